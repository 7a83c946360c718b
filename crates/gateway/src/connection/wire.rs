//! The byte stream of a connection: a bare socket, or anything that reads and writes.
//!
//! Owns the difference between the two. Over a bare socket the outbox may write from anywhere and the task only goes on where
//! the socket took less; anything else (TLS, a pipe in a test) is the task's alone.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use crate::metrics::Metrics;
use crate::outbox::{Outbox, Written};

/// A byte stream to one client.
pub(crate) trait Wire: Send {
    /// What is read from.
    type Reader: AsyncRead + Unpin + Send;

    /// What is read from.
    fn reader(&mut self) -> &mut Self::Reader;

    /// Writes what the outbox holds. `Pending` while the peer takes no more; never `Blocked`.
    fn poll_write(&mut self, cx: &mut Context<'_>, outbox: &Outbox, metrics: &Metrics) -> Poll<Written>;

    /// Says that nothing more will be written.
    fn shut_down(&mut self, outbox: &Outbox) -> impl Future<Output = ()> + Send;
}

/// A TCP connection as it is.
pub(crate) struct Bare(OwnedReadHalf);

impl Bare {
    /// Leaves the writing half with the outbox.
    pub(crate) fn new(stream: TcpStream, outbox: &Outbox) -> Self {
        let (read, write) = stream.into_split();
        outbox.connect(write);
        Self(read)
    }
}

impl Wire for Bare {
    type Reader = OwnedReadHalf;

    fn reader(&mut self) -> &mut OwnedReadHalf {
        &mut self.0
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, outbox: &Outbox, metrics: &Metrics) -> Poll<Written> {
        outbox.poll_write_wire(cx, metrics)
    }

    async fn shut_down(&mut self, outbox: &Outbox) {
        outbox.shut_down();
    }
}

/// Any stream.
pub(crate) struct Piped<S> {
    stream: S,
    /// Whether the stream may hold bytes back.
    is_dirty: bool,
}

impl<S> Piped<S> {
    /// Over this stream.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, is_dirty: false }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for Piped<S> {
    type Reader = S;

    fn reader(&mut self) -> &mut S {
        &mut self.stream
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, outbox: &Outbox, metrics: &Metrics) -> Poll<Written> {
        let Self { stream, is_dirty } = self;
        let written = outbox.write_by(metrics, |slices| {
            *is_dirty = true;
            match Pin::new(&mut *stream).poll_write_vectored(cx, slices) {
                Poll::Ready(written) => written,
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            }
        });
        if *is_dirty && matches!(written, Written::All) {
            if ready!(Pin::new(stream).poll_flush(cx)).is_err() {
                return Poll::Ready(Written::Broken);
            }
            *is_dirty = false;
        }
        if matches!(written, Written::Blocked) { Poll::Pending } else { Poll::Ready(written) }
    }

    async fn shut_down(&mut self, _outbox: &Outbox) {
        // A stream that is broken needs no farewell.
        let _ = poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await;
    }
}
