//! The WebSocket.
//!
//! Owns the upgrade, the bounds of the socket's buffers, and the turn from frames to messages and back; nothing else in
//! the SDK knows a WebSocket type. It never waits for a slow peer: sending puts into a bounded queue, which is written
//! while reading.

#[cfg(feature = "testing")]
pub(crate) mod served;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use http::{HeaderValue, StatusCode, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use roomcast_protocol::{CloseCode, Request, SUBPROTOCOL, ServerMessage};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tower_service::Service;

use crate::Error;
use crate::backoff::retry_after;
use crate::connector::Connector;
use crate::token::Token;

/// Far above what a gateway sends (64 KiB of event and its envelope), far below what hurts.
const MAX_MESSAGE: usize = 1 << 20;

/// Several events of usual size in one read; the default of 128 KiB would be zero-filled for each.
const READ_BUFFER: usize = 8 * 1024;

/// Messages of one turn are written together up to this many bytes.
const WRITE_BUFFER: usize = 16 * 1024;

/// Room behind the write buffer for the largest message that a gateway may be configured to take.
const MAX_WRITE_BUFFER: usize = WRITE_BUFFER + 2 * MAX_MESSAGE;

/// Messages that wait for the socket. A peer that lets more of them wait is as good as silent.
const MAX_OUTGOING: usize = 256;

/// How long a goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A bidirectional stream of bytes: TCP, TLS, a pipe.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

type Dialled = Pin<Box<dyn Future<Output = Result<Box<dyn ByteStream>, Error>> + Send>>;

/// Of the stream itself a connection pool has to know nothing.
impl Connection for Box<dyn ByteStream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Opens the byte stream of a connection, for a WebSocket or for HTTP.
#[derive(Clone)]
pub(crate) struct Dial(Arc<dyn Fn() -> Dialled + Send + Sync>);

impl Dial {
    pub(crate) fn custom<F, T, S>(dial: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = io::Result<S>> + Send + 'static,
        S: ByteStream + 'static,
    {
        Self(Arc::new(move || {
            let stream = dial();
            Box::pin(async move { stream.await.map(boxed).map_err(cannot_connect) })
        }))
    }

    /// Over TCP, with TLS for `wss` and `https`.
    pub(crate) fn network(connector: Connector, url: &Uri) -> Result<Self, Error> {
        let mut parts = url.clone().into_parts();
        parts.scheme = Some(match url.scheme_str() {
            Some("wss" | "https") => http::uri::Scheme::HTTPS,
            _ => http::uri::Scheme::HTTP,
        });
        let target = Uri::from_parts(parts).map_err(|error| Error::options(format!("use the url: {error}")))?;
        Ok(Self(Arc::new(move || {
            let (mut connector, target) = (connector.clone(), target.clone());
            Box::pin(async move {
                poll_fn(|cx| connector.poll_ready(cx)).await.map_err(cannot_connect)?;
                connector.call(target).await.map(|stream| boxed(TokioIo::new(stream))).map_err(cannot_connect)
            })
        })))
    }
}

/// What it connects to is decided already: a handle has one URL.
impl Service<Uri> for Dial {
    type Response = TokioIo<Box<dyn ByteStream>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let stream = (self.0)();
        Box::pin(async move { stream.await.map(TokioIo::new) })
    }
}

fn boxed<S: ByteStream + 'static>(stream: S) -> Box<dyn ByteStream> {
    Box::new(stream)
}

/// With every cause: the outermost words of a connector's error say too little.
fn cannot_connect(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = error.into();
    let mut text = format!("connect to the gateway: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    Error::connect(text)
}

/// Why there is no socket.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// It did not come to an answer.
    Failed(Error),
    /// The upgrade was answered, with something else.
    Refused {
        status: StatusCode,
        /// The answer's hint.
        retry_after: Option<Duration>,
    },
}

/// What a turn of the socket brought.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A message of the gateway.
    Message(ServerMessage),
    /// A sign of life without meaning: a ping, a pong, or something that this version cannot read.
    Alive,
    /// Nothing came, but a queue that was full has room again.
    Writable,
    /// The gateway said goodbye.
    Closed(CloseCode),
}

/// An open WebSocket.
pub(crate) struct Transport {
    socket: WebSocketStream<Box<dyn ByteStream>>,
    /// Accepted by [`Transport::send`], not yet by the socket.
    outgoing: VecDeque<Message>,
    /// The socket holds bytes that are not written yet.
    unflushed: bool,
    /// Writing failed. Reading goes on: it brings the gateway's reason.
    broken: bool,
}

impl Transport {
    pub(crate) async fn open(dial: &Dial, url: &Uri, token: &Token) -> Result<Self, OpenError> {
        let request = upgrade_request(url, token).map_err(OpenError::Failed)?;
        let stream = (dial.0)().await.map_err(OpenError::Failed)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(Self { socket, outgoing: VecDeque::new(), unflushed: false, broken: false }),
            Err(tungstenite::Error::Http(response)) => {
                Err(OpenError::Refused { status: response.status(), retry_after: retry_after(response.headers()) })
            }
            Err(error) => Err(OpenError::Failed(Error::connect(format!("open the websocket: {error}")))),
        }
    }

    /// Queues a request.
    pub(crate) fn send(&mut self, text: String) -> Result<(), Error> {
        self.queue(Message::text(text))
    }

    /// Whether the queue takes another request. The last place is kept for a ping.
    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.len() + 1 < MAX_OUTGOING
    }

    /// Queues a ping, as a control frame: those do not count against the message limit.
    pub(crate) fn ping(&mut self) -> Result<(), Error> {
        self.queue(Message::Ping(Bytes::new()))
    }

    fn queue(&mut self, message: Message) -> Result<(), Error> {
        if self.outgoing.len() >= MAX_OUTGOING {
            return Err(Error::disconnected("send to the gateway: it reads nothing"));
        }
        self.outgoing.push_back(message);
        Ok(())
    }

    /// The next thing from the gateway. Writes what is queued meanwhile. May be dropped at any time without loss.
    pub(crate) async fn next(&mut self) -> Result<Incoming, Error> {
        poll_fn(|cx| {
            let was_full = !self.has_room();
            self.poll_write(cx);
            if was_full && self.has_room() {
                return Poll::Ready(Ok(Incoming::Writable));
            }
            self.poll_read(cx)
        })
        .await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) {
        while !self.broken && !self.outgoing.is_empty() {
            match self.socket.poll_ready_unpin(cx) {
                Poll::Pending => return,
                Poll::Ready(Err(_)) => self.broken = true,
                Poll::Ready(Ok(())) => {
                    let sent = self.outgoing.pop_front().map(|message| self.socket.start_send_unpin(message));
                    self.broken = matches!(sent, Some(Err(_)));
                    self.unflushed = true;
                }
            }
        }
        if self.unflushed && !self.broken {
            match self.socket.poll_flush_unpin(cx) {
                Poll::Pending => {}
                Poll::Ready(flushed) => (self.unflushed, self.broken) = (false, flushed.is_err()),
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Error>> {
        Poll::Ready(match ready!(self.socket.poll_next_unpin(cx)) {
            Some(Ok(Message::Text(text))) => Ok(read_message(&text)),
            Some(Ok(Message::Close(frame))) => Ok(Incoming::Closed(close_code(frame))),
            Some(Ok(_)) => Ok(Incoming::Alive),
            Some(Err(error)) => Err(Error::disconnected(format!("keep the connection: {error}"))),
            None => Err(Error::disconnected("keep the connection: it ended without a word")),
        })
    }

    /// Says goodbye, or answers one. Bounded, and there is nothing to do about a failure.
    pub(crate) async fn close(mut self) {
        let goodbye = async {
            while let Some(message) = self.outgoing.pop_front() {
                self.socket.feed(message).await?;
            }
            // Where the gateway said goodbye first, its own frame has been answered, and this only writes the answer.
            self.socket.close(Some(CloseFrame { code: CloseCode::Normal.code().into(), reason: "".into() })).await?;
            while self.socket.next().await.transpose()?.is_some() {}
            Ok::<(), tungstenite::Error>(())
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
    }
}

fn upgrade_request(url: &Uri, token: &Token) -> Result<tungstenite::handshake::client::Request, Error> {
    let mut request = url
        .clone()
        .into_client_request()
        .map_err(|error| Error::connect(format!("make the upgrade request: {error}")))?;
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, token.bearer()?);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("roomcast-client/", env!("CARGO_PKG_VERSION"))));
    Ok(request)
}

fn read_message(text: &str) -> Incoming {
    match ServerMessage::parse(text) {
        Ok(ServerMessage::Unknown { frame_type }) => {
            tracing::debug!(frame_type, "ignoring a frame that this version does not know");
            Incoming::Alive
        }
        Ok(message) => Incoming::Message(message),
        Err(error) => {
            tracing::warn!(%error, "ignoring a frame that cannot be read");
            Incoming::Alive
        }
    }
}

/// RFC 6455 section 7.1.5: a close frame without a code counts as 1005.
fn close_code(frame: Option<CloseFrame>) -> CloseCode {
    CloseCode::from(frame.map_or(1005, |frame| u16::from(frame.code)))
}

/// The text of a request, as [`Transport::send`] takes it.
pub(crate) fn encode(request: &Request) -> Result<String, Error> {
    serde_json::to_string(request)
        .map_err(|error| Error::new(crate::ErrorKind::Invalid, format!("write the request: {error}")))
}

impl fmt::Debug for Dial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Dial")
    }
}
