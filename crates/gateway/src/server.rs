//! The server: listens, accepts and hands byte streams to HTTP.
//!
//! Owns the accept loop and its time-outs. `run(listener, shutdown)` takes both as arguments, so tests bind port 0; and
//! `serve_stream` takes any byte stream, so tests run the whole gateway over in-memory pipes.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http::{Peer, Service};

/// Connections that may wait to be accepted: a reconnect wave is thousands at once.
const BACKLOG: i32 = 4096;

/// Bytes of a request's head. A token has at most 8 KiB.
const MAX_HEAD: usize = 16 << 10;

/// Bytes that the system takes for a connection beyond what is on its way. It asks for more when half of them are sent.
const UNSENT: u32 = 128 << 10;

/// How long accepting pauses when the process has no file left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens on the address.
///
/// # Errors
/// When the address cannot be bound, as with a port in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted gateway takes its port over from connections that are still closing.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// How long peers may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For a request's head, and for silence before it.
    pub(crate) header: Duration,
    /// To acknowledge what was written (`TCP_USER_TIMEOUT`).
    pub(crate) unacknowledged: Duration,
}

/// Accepts connections until `stop`, then lets the requests under way end.
pub(crate) async fn accept(
    listener: TcpListener,
    service: Service,
    timeouts: Timeouts,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let service = Arc::new(service);
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of files: the next attempt would fail at once too, and spin.
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // A frame should leave when it is written, not when the next one comes.
        let _ = stream.set_nodelay(true);
        // What a peer does not acknowledge within this is not coming back for it.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(timeouts.unacknowledged));
        // The system takes what it can send, and little more: what waits, waits where it has a bound, and is noticed.
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        let (service, stop) = (Service::clone(&service), stop.clone());
        tasks.spawn(serve_stream(stream, peer, service, timeouts.header, stop));
    }
}

/// Serves one byte stream.
pub(crate) async fn serve_stream<S>(
    stream: S,
    peer: SocketAddr,
    service: Service,
    header_timeout: Duration,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requests = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let answer = service.clone().answer(request.map(Body::new));
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Runs from the first moment on, so that it is the limit for silence as well.
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), requests)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
