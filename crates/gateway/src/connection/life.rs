//! The life of one connection's task: the upgrade, the open connection, its end.
//!
//! Owns that a task is small: the runtime puts it next to what it holds itself, for as long as the connection lives, and what
//! only the beginning or the end of it needs lies elsewhere.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::wire::{Bare, Piped};
use super::{Connection, End};

/// What the task does. With this and what the runtime needs for a task it fits into 128 bytes.
pub(crate) enum Life {
    /// Waits for the stream, and so for what comes next.
    Upgrading(Box<BoxFuture<'static, Option<Life>>>),
    /// Serves a connection over a socket.
    Bare(Box<Connection<Bare>>),
    /// Serves one over anything else.
    Piped(Box<Connection<Piped<TokioIo<Upgraded>>>>),
    /// Says good-bye.
    Ending(Box<BoxFuture<'static, ()>>),
    /// Nothing any more.
    Over,
}

impl Life {
    /// Begins with a stream that is yet to come, if it comes.
    pub(crate) fn begin(stream: impl Future<Output = Option<Self>> + Send + 'static) -> Self {
        Self::Upgrading(Box::new(Box::pin(stream)))
    }

    /// What is to be done when an open connection has ended.
    fn end(self, end: End) -> Self {
        match self {
            Self::Bare(connection) => Self::Ending(Box::new(Box::pin(connection.end(end)))),
            Self::Piped(connection) => Self::Ending(Box::new(Box::pin(connection.end(end)))),
            other => other,
        }
    }
}

impl Future for Life {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let end = match &mut *self {
                Self::Bare(connection) => ready!(connection.poll_end(cx)),
                Self::Piped(connection) => ready!(connection.poll_end(cx)),
                Self::Upgrading(stream) => {
                    *self = ready!(Pin::new(stream).poll(cx)).unwrap_or(Self::Over);
                    continue;
                }
                Self::Ending(end) => {
                    ready!(Pin::new(end).poll(cx));
                    *self = Self::Over;
                    continue;
                }
                Self::Over => return Poll::Ready(()),
            };
            *self = std::mem::replace(&mut *self, Self::Over).end(end);
        }
    }
}
