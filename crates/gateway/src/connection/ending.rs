//! The end of a connection: what is said, to whom, and how long that may take.
//!
//! Owns the order: a word about why where the peer can hear it, the close frame, then the peer's own close. Nothing is read for
//! its meaning any more.

use std::time::Duration;

use roomcast_protocol::server::{ConnectionClosing, Reply};
use roomcast_protocol::{Advice, CloseCode};
use roomcast_websocket::Close;

use super::{Connection, End, Wire};
use crate::frame::Frame;
use crate::outbox::Closing;

/// How long a closing connection may take to read what is left for it and to answer the close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl<W: Wire> Connection<W> {
    /// Ends it.
    pub(super) async fn end(mut self: Box<Self>, end: End) {
        let code = self.see_off(end).await;
        self.node.metrics.closed(code);
        tracing::debug!(code = code.code(), "connection closed");
    }

    async fn see_off(&mut self, end: End) -> CloseCode {
        match end {
            End::Close(closing) => {
                if closing.code == CloseCode::SlowConsumer {
                    self.node.metrics.connection_error(closing.code.reason());
                }
                self.close(closing).await;
                closing.code
            }
            End::Closed(close) => self.answer(close).await,
            End::Gone => CloseCode::Other(1006),
            End::Cut => {
                self.outbox.seal();
                self.outbox.cut();
                Closing::CUT.code
            }
        }
    }

    /// Says why, closes, and gives the peer a moment to read it.
    async fn close(&mut self, closing: Closing) {
        self.outbox.seal();
        if is_abrupt(closing.code) {
            self.outbox.forget();
        }
        if is_announced(closing.code) {
            let notice = Reply::ConnectionClosing(announcement(closing));
            self.outbox.push_last(Frame::reply(None, notice, self.node.clock.now()));
        }
        self.outbox.push_last(Frame::close(Some(closing.code), closing.code.reason()));
        self.finish().await;
    }

    /// Answers the client's close with its own code, behind what was queued for it.
    async fn answer(&mut self, close: Option<Close>) -> CloseCode {
        let code = close.as_ref().map(|close| CloseCode::from(close.code));
        self.outbox.seal();
        self.outbox.push_last(Frame::close(code, close.as_ref().map_or("", |close| &close.reason)));
        self.finish().await;
        code.unwrap_or(CloseCode::Other(1005))
    }

    async fn finish(&mut self) {
        // A peer that reads nothing gets no more time than this: the connection is dropped then.
        let finished = self.socket.finish(&self.outbox, &self.node.metrics);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, finished).await;
    }
}

/// Whether nothing that waits is sent any more: too much for the peer, or not for it any longer.
fn is_abrupt(code: CloseCode) -> bool {
    matches!(code, CloseCode::SlowConsumer | CloseCode::TokenExpired)
}

/// Not where the peer speaks no WebSocket any more, nor where an error frame has said it already.
fn is_announced(code: CloseCode) -> bool {
    use CloseCode::{InvalidUtf8, MessageTooBig, ProtocolError, Unauthorized};
    !matches!(code, ProtocolError | InvalidUtf8 | MessageTooBig | Unauthorized)
}

fn announcement(closing: Closing) -> ConnectionClosing {
    let comes_back = closing.code.advice() == Advice::Reconnect;
    ConnectionClosing {
        code: closing.code.code(),
        reason: closing.code.reason().into(),
        retry_after_ms: if comes_back { closing.retry_after_ms.or(Some(0)) } else { None },
        resumable: comes_back,
    }
}
