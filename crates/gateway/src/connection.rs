//! Connections: one task for each, which alone touches its socket.
//!
//! Owns reading, writing and closing. The loop waits for three things: a flush of the outbox (frames to write, a wish to
//! close, a deadline), the end of the request under way, and the socket itself. While a request is under way nothing more is
//! read, but writing goes on; a peer that does not read delays nobody but itself.

mod socket;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use roomcast_protocol::server::{AuthExpiring, ConnectionClosing, Reply};
use roomcast_protocol::{Advice, CloseCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::auth::{BadToken, Identity};
use crate::frame::Frame;
use crate::heartbeat::{Deadlines, Due};
use crate::node::Node;
use crate::outbox::{Closing, Outbox};
use crate::session::{Incoming, Outcome, Session};
use socket::{Io, Socket};

/// How long a closing connection may take to read what is left for it and to answer the close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A request under way gives the session back with its outcome.
type UnderWay = BoxFuture<'static, (Session, Outcome)>;

/// What woke the loop.
enum Turn {
    Flushed,
    Answered(Session, Outcome),
    Received(Io),
}

/// Why the loop ended.
enum End {
    /// The gateway closes.
    Close(Closing),
    /// The client closed, or its connection broke; nothing more can be said.
    Gone(CloseCode),
}

struct Connection<S> {
    socket: Socket<S>,
    node: Arc<Node>,
    outbox: Arc<Outbox>,
    deadlines: Deadlines,
    /// The earliest time at which the wheel will ring.
    rings_at: Option<Instant>,
    /// The session, while no request is under way.
    session: Option<Session>,
    under_way: Option<UnderWay>,
    /// Whether the hub has put the connection on hold for missing events, and nothing was done about it yet.
    has_hole: bool,
    frames: VecDeque<Frame>,
}

/// Runs one connection to its end. `read` was read of the stream before the upgrade.
pub(crate) async fn run<S>(
    stream: S,
    read: &[u8],
    node: Arc<Node>,
    session: Session,
    identity: Option<Result<Identity, BadToken>>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let outbox = session.handle_of().outbox.clone();
    let socket = Socket::new(stream, read, &node.config).await;
    let deadlines = Deadlines::new(&node.config);
    let begin = begin(session, identity);
    let mut connection = Connection {
        socket,
        node,
        outbox,
        deadlines,
        rings_at: None,
        session: None,
        under_way: Some(begin),
        has_hole: false,
        frames: VecDeque::new(),
    };
    connection.schedule();
    let code = match connection.serve().await {
        End::Close(closing) => {
            connection.close(closing).await;
            closing.code
        }
        End::Gone(code) => code,
    };
    connection.node.metrics.closed(code);
    tracing::debug!(code = code.code(), "connection closed");
}

fn begin(mut session: Session, identity: Option<Result<Identity, BadToken>>) -> UnderWay {
    Box::pin(async move {
        let outcome = session.begin(identity).await;
        (session, outcome)
    })
}

fn handle(mut session: Session, message: Incoming) -> UnderWay {
    Box::pin(async move {
        let outcome = session.handle(message).await;
        (session, outcome)
    })
}

fn repair(mut session: Session) -> UnderWay {
    Box::pin(async move {
        session.repair().await;
        (session, None)
    })
}

fn end_typing(mut session: Session) -> UnderWay {
    Box::pin(async move {
        session.end_typing().await;
        (session, None)
    })
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    async fn serve(&mut self) -> End {
        loop {
            let end = match self.turn().await {
                Turn::Flushed => self.flushed(),
                Turn::Answered(session, outcome) => self.answered(session, outcome),
                Turn::Received(message) => self.received(message),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    async fn turn(&mut self) -> Turn {
        let (socket, outbox, under_way) = (&mut self.socket, &self.outbox, &mut self.under_way);
        let may_read = under_way.is_none();
        tokio::select! {
            // Writing what others sent comes before asking for more; an answer before the next question.
            biased;
            () = outbox.flushed() => Turn::Flushed,
            (session, outcome) = async { under_way.as_mut().expect("guarded").await }, if !may_read => Turn::Answered(session, outcome),
            message = poll_fn(|cx| socket.poll(cx, may_read, outbox)) => Turn::Received(message),
        }
    }

    /// Takes what the outbox has: frames first, then a wish to close, which comes behind them.
    fn flushed(&mut self) -> Option<End> {
        let taken = self.outbox.take(&mut self.frames);
        if taken.closing.is_some_and(|closing| is_abrupt(closing.code)) {
            // What has not reached the library yet is not sent any more.
            self.socket.forget_queue();
        }
        for frame in self.frames.drain(..) {
            self.node.metrics.sent(frame.len());
            self.socket.queue(frame);
        }
        if let Some(closing) = taken.closing {
            return Some(End::Close(closing));
        }
        self.has_hole |= taken.has_hole;
        self.begin_repair();
        if taken.is_time { self.on_time() } else { None }
    }

    /// Fills a hole, when no request is under way that would be answered out of turn.
    fn begin_repair(&mut self) {
        if self.has_hole
            && let Some(session) = self.session.take()
        {
            self.has_hole = false;
            self.under_way = Some(repair(session));
        }
    }

    fn answered(&mut self, session: Session, outcome: Outcome) -> Option<End> {
        self.under_way = None;
        let expires_at = session.expires_at();
        self.session = Some(session);
        if let Some(expires_at) = expires_at {
            self.deadlines.authenticated(expires_at, self.node.clock.now());
            self.schedule();
        }
        // Through the outbox, so that the answer that was just queued goes first.
        if let Some(closing) = outcome {
            self.outbox.close(closing);
        }
        self.begin_repair();
        None
    }

    fn received(&mut self, io: Io) -> Option<End> {
        let message = match io {
            Io::Message(message) => message,
            Io::Begun => {
                self.schedule();
                return None;
            }
            Io::Failed(error) => return Some(self.broken(&error)),
            Io::Ended => return Some(End::Gone(self.socket.peer_code())),
        };
        self.deadlines.seen();
        let incoming = match message {
            Message::Text(text) => Incoming::Text(text.as_str().to_owned()),
            Message::Binary(_) => Incoming::Binary,
            // The library answers pings and closes by itself.
            _ => return None,
        };
        self.node.metrics.received(match &incoming {
            Incoming::Text(text) => text.len(),
            Incoming::Binary => 0,
        });
        let session = self.session.take()?;
        self.under_way = Some(handle(session, incoming));
        None
    }

    /// An error of the socket becomes a close code, or tells that the peer is gone.
    fn broken(&self, error: &tungstenite::Error) -> End {
        use tungstenite::Error;
        let (code, reason) = match error {
            Error::Capacity(_) => (CloseCode::MessageTooBig, "message too big"),
            Error::Utf8(_) => (CloseCode::InvalidUtf8, "invalid utf-8"),
            Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
                self.node.metrics.connection_error("reset");
                return End::Gone(CloseCode::Other(1006));
            }
            Error::Protocol(_) => (CloseCode::ProtocolError, "protocol error"),
            Error::WriteBufferFull(_) => (CloseCode::SlowConsumer, "slow consumer"),
            Error::ConnectionClosed | Error::AlreadyClosed => return End::Gone(self.socket.peer_code()),
            _ => {
                self.node.metrics.connection_error("io");
                return End::Gone(CloseCode::Other(1006));
            }
        };
        self.node.metrics.connection_error(reason);
        End::Close(Closing { code, retry_after_ms: Some(0) })
    }

    /// A deadline may have passed.
    fn on_time(&mut self) -> Option<End> {
        let close = |code| Some(End::Close(Closing { code, retry_after_ms: Some(0) }));
        while let Some(due) = self.deadlines.due(self.socket.incomplete_since()) {
            match due {
                Due::Ping => self.socket.ping(),
                Due::Expiring(expires_at) => {
                    let notice = Reply::AuthExpiring(AuthExpiring { expires_at });
                    self.outbox.send(Frame::reply(None, notice, self.node.clock.now()));
                }
                // During a request nothing is read; a peer that takes its replay is not silent.
                Due::Idle if self.under_way.is_some() && self.socket.take_progress() => self.deadlines.seen(),
                Due::Idle => return close(CloseCode::HeartbeatTimeout),
                Due::Message => return close(CloseCode::ProtocolError),
                Due::Expired => {
                    self.socket.forget_queue();
                    return close(CloseCode::TokenExpired);
                }
                Due::Authentication => {
                    // A request under way is the authentication itself; it is given its time by the broker's own.
                    let Some(session) = &self.session else { break };
                    let closing = session.time_out();
                    self.outbox.close(closing);
                    break;
                }
            }
        }
        let is_over = |session: &mut Session| session.typing_ends_at().is_some_and(|at| at <= Instant::now());
        if let Some(session) = self.session.take_if(is_over) {
            self.under_way = Some(end_typing(session));
        }
        self.schedule();
        None
    }

    /// Makes sure that the wheel rings for the next deadline. One entry does for all: an earlier one looks for itself.
    fn schedule(&mut self) {
        let now = Instant::now();
        let typing = self.session.as_ref().and_then(Session::typing_ends_at);
        let next = self.deadlines.next(self.socket.incomplete_since());
        let next = typing.map_or(next, |typing| typing.min(next));
        if self.rings_at.is_none_or(|rings_at| rings_at <= now || next < rings_at) {
            self.rings_at = Some(next);
            self.node.wheel.schedule(next, &self.outbox);
        }
    }

    /// Says why, closes, and gives the peer a moment to read it.
    async fn close(&mut self, closing: Closing) {
        self.outbox.take(&mut self.frames);
        self.outbox.abandon();
        for frame in self.frames.drain(..).filter(|_| !is_abrupt(closing.code)) {
            self.socket.queue(frame);
        }
        if is_announced(closing.code) {
            self.socket.queue(Frame::reply(
                None,
                Reply::ConnectionClosing(announcement(closing)),
                self.node.clock.now(),
            ));
        }
        self.socket.queue_close(closing.code);
        // A peer that reads nothing gets no more time than this: the connection is dropped then.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.socket.finish(&self.outbox)).await;
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
