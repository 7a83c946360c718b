//! The tasks of a fake gateway: a byte stream from its first request to its last frame.
//!
//! Owns that every task ends with its stream, and with the gateway. What HTTP has is in `calls`.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use roomcast_protocol::{BEARER_PREFIX, CloseCode, SUBPROTOCOL};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::calls::{self, no_call, refused_upgrade};
use super::outbox::Turn;
use super::session::SessionId;
use super::world::Shared;
use crate::transport::ByteStream;
use crate::transport::served::{Received, Served, accept_key};

/// Bytes on their way in memory, each way.
const PIPE: usize = 64 * 1024;

/// Opens a byte stream to the gateway, in memory.
pub(super) fn dial(shared: &Arc<Shared>) -> io::Result<DuplexStream> {
    if shared.look(|world| world.is_down) {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "the fake gateway is down"));
    }
    let (near, far) = tokio::io::duplex(PIPE);
    tokio::spawn(serve(shared.clone(), far));
    Ok(near)
}

/// Takes what connects to the listener, until the gateway is dropped.
pub(super) async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    let mut closed = shared.closed.subscribe();
    loop {
        tokio::select! {
            _ = closed.wait_for(|is_closed| *is_closed) => return,
            accepted = listener.accept() => {
                // A gateway that is down breaks what connects: a port that was given away cannot be closed for a while.
                if let Ok((stream, _)) = accepted
                    && !shared.look(|world| world.is_down)
                {
                    let _ = stream.set_nodelay(true);
                    tokio::spawn(serve(shared.clone(), stream));
                }
            }
        }
    }
}

/// Serves a byte stream, until it ends or breaks.
async fn serve(shared: Arc<Shared>, stream: impl ByteStream + 'static) {
    let mut line = shared.line.subscribe();
    let answering = shared.clone();
    let service = service_fn(move |request| {
        let shared = answering.clone();
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::select! {
        _ = line.changed() => {}
        // A client that breaks off is none of the gateway's failures.
        _ = serving => {}
    }
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/ws") => upgrade(shared, request),
        (&Method::GET, "/livez" | "/readyz") => Response::new(Full::default()),
        (&Method::POST, path) => match calls::publish_path(path) {
            Some(user) => {
                let user = user.map(ToOwned::to_owned);
                calls::publish(shared, user, request).await
            }
            None => no_call(),
        },
        _ => no_call(),
    }
}

/// What the client offered as subprotocols.
fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',').map(str::trim))
}

/// The token of a request's header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Answers an upgrade, and leaves the connection to a task of its own.
fn upgrade(shared: &Arc<Shared>, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let headers = request.headers();
    let is_upgrade = headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_upgrade) else {
        return calls::malformed("this is the WebSocket endpoint: connect with Upgrade: websocket");
    };
    let accept = accept_key(key.as_bytes());
    let has_subprotocol = offered(headers).any(|item| item == SUBPROTOCOL);
    let query = || request.uri().query()?.split('&').find_map(|pair| pair.strip_prefix("token="));
    let token = bearer(headers).or_else(|| offered(headers).find_map(|item| item.strip_prefix(BEARER_PREFIX)));
    let token = token.or_else(query).map(ToOwned::to_owned);
    let admitted = shared.with(|world| match world.refusal() {
        Some(refusal) => Err(refusal),
        None => Ok((world.admit(has_subprotocol), world.settings.limits.max_message_bytes)),
    });
    let ((id, wake), max_message) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => return refused_upgrade(refusal),
    };
    let leaving = Leaving { shared: shared.clone(), id };
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrading.await else { return };
        let stream: Box<dyn ByteStream> = Box::new(TokioIo::new(upgraded));
        let socket = Served::new(stream, usize::try_from(max_message).unwrap_or(usize::MAX)).await;
        if let Some(token) = token {
            leaving.shared.with(|world| world.welcome(id, &token, None));
        }
        converse(&leaving.shared, id, &wake, socket).await;
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if has_subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    response
}

/// A connection leaves with its task, however that ends.
struct Leaving {
    shared: Arc<Shared>,
    id: SessionId,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.shared.with(|world| world.remove(self.id));
    }
}

/// Passes frames both ways until the connection ends.
async fn converse(shared: &Shared, id: SessionId, wake: &Notify, mut socket: Served) {
    loop {
        let (turn, due) = shared.look(|world| (world.turn(id), world.next_due()));
        match turn {
            Turn::Cut => return,
            Turn::Close(code) => return socket.close(code).await,
            Turn::Send(text) => tokio::select! {
                biased;
                () = cut(shared, id, wake) => return,
                is_sent = socket.send(text) => if !is_sent { return },
            },
            Turn::Wait { until, reads } => tokio::select! {
                biased;
                // The test, another client, or something due at another time.
                () = wake.notified() => {}
                // Something is due, of whichever connection.
                () = at(until.into_iter().chain(due).min()) => {}
                received = socket.next(), if reads => match received {
                    Some(Received::Text(text)) => shared.with(|world| world.receive(id, Some(&text))),
                    Some(Received::Binary) => shared.with(|world| world.receive(id, None)),
                    Some(Received::Alive) => {}
                    Some(Received::TooLarge) => return socket.close(CloseCode::MessageTooBig).await,
                    None => return,
                },
            },
        }
    }
}

/// Waits until the connection is cut.
async fn cut(shared: &Shared, id: SessionId, wake: &Notify) {
    while !shared.look(|world| world.sessions.get(&id).is_none_or(|session| session.outbox.is_cut())) {
        wake.notified().await;
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
