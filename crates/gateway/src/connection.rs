//! Connections: one task for each, which alone reads from its socket and closes it.
//!
//! Owns reading and closing, and the writing that the outbox cannot do by itself. The loop waits for three things: news of the
//! outbox (frames to write, a wish to close, a deadline), the end of the request under way, and the socket itself. While a
//! request is under way nothing more is read, but writing goes on; a peer that does not read delays nobody but itself.

#[cfg(feature = "echo")]
pub(crate) mod echo;
mod ending;
mod life;
mod socket;
mod wire;

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use roomcast_protocol::CloseCode;
use roomcast_protocol::server::{AuthExpiring, Reply};
use roomcast_websocket::{Close, Violation};
use tokio::task::coop::has_budget_remaining;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::auth::{BadToken, Identity};
use crate::frame::Frame;
use crate::heartbeat::{Deadlines, Due, Open};
use crate::moment::Moment;
use crate::node::Node;
use crate::outbox::{Closing, Outbox};
use crate::session::{Incoming, Outcome, Session};
use crate::wheel::Appointment;
pub(crate) use life::Life;
use socket::{Io, Socket};
pub(crate) use wire::{Bare, Piped, Wire};

/// Control frames that are looked at before all others have their turn: answering them waits for nothing, so a flood of pings
/// would have a processor for itself. An honest client sends one now and then.
const CONTROLS: u32 = 16;

/// A request under way gives the session back with its outcome.
pub(crate) type UnderWay = BoxFuture<'static, (Box<Session>, Outcome)>;

/// What woke the loop.
enum Turn {
    Flushed,
    Answered(Box<Session>, Outcome),
    Received(Io),
}

/// Why the loop ended.
enum End {
    /// The gateway closes.
    Close(Closing),
    /// The client closed, and is answered with the same.
    Closed(Option<Close>),
    /// The connection broke; nothing more can be said.
    Gone,
    /// It is to be broken, and nothing more is said.
    Cut,
}

/// One connection.
pub(crate) struct Connection<W> {
    socket: Socket<W>,
    node: Arc<Node>,
    outbox: Arc<Outbox>,
    deadlines: Deadlines,
    appointment: Appointment,
    /// Since when a message of the client is known to be incomplete.
    incomplete_since: Option<Moment>,
    work: Work,
    /// Whether the hub has put the connection on hold for missing events, and nothing was done about it yet.
    has_hole: bool,
    /// Control frames since others had their turn.
    controls: u32,
}

/// What a connection's session does.
enum Work {
    /// Waits for the next request.
    Idle(Box<Session>),
    /// Carries one out.
    UnderWay(UnderWay),
}

impl Work {
    fn session(&self) -> Option<&Session> {
        match self {
            Self::Idle(session) => Some(session),
            Self::UnderWay(_) => None,
        }
    }
}

/// What a connection begins with, as its first request.
pub(crate) fn begin(mut session: Box<Session>, identity: Option<Result<Identity, BadToken>>) -> UnderWay {
    Box::pin(async move {
        let outcome = session.begin(identity).await;
        (session, outcome)
    })
}

fn handle(mut session: Box<Session>, message: Incoming) -> UnderWay {
    Box::pin(async move {
        let outcome = session.handle(message).await;
        (session, outcome)
    })
}

fn repair(mut session: Box<Session>) -> UnderWay {
    Box::pin(async move {
        session.repair().await;
        (session, None)
    })
}

fn end_typing(mut session: Box<Session>) -> UnderWay {
    Box::pin(async move {
        session.end_typing().await;
        (session, None)
    })
}

impl<W: Wire> Connection<W> {
    /// A connection that begins with this request. `read` was read of the wire before the upgrade.
    pub(crate) fn new(wire: W, read: Vec<u8>, node: Arc<Node>, outbox: Arc<Outbox>, begin: UnderWay) -> Box<Self> {
        Box::new(Self {
            socket: Socket::new(wire, read, &node.config),
            deadlines: Deadlines::new(&node.config, node.wheel.now()),
            node,
            outbox,
            appointment: Appointment::default(),
            incomplete_since: None,
            work: Work::UnderWay(begin),
            has_hole: false,
            controls: 0,
        })
    }

    /// Serves it until it ends.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let end = match self.poll_turn(cx) {
                Poll::Ready(Turn::Flushed) => self.flushed(),
                Poll::Ready(Turn::Answered(session, outcome)) => self.answered(session, outcome),
                Poll::Ready(Turn::Received(message)) => self.received(message),
                Poll::Pending => {
                    // Not before the first time: whoever brings a token with the upgrade has no deadline for it.
                    if !self.outbox.deadline.is_set() {
                        self.schedule();
                    }
                    return Poll::Pending;
                }
            };
            if let Some(end) = end {
                return Poll::Ready(end);
            }
            if self.controls >= CONTROLS || !has_budget_remaining() {
                self.controls = 0;
                // A task that merely wakes itself comes before the driver of sockets and timers.
                let _ = pin!(yield_now()).poll(cx);
                return Poll::Pending;
            }
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        // Writing what others sent comes before asking for more; an answer before the next question.
        if self.outbox.poll_flushed(cx).is_ready() {
            return Poll::Ready(Turn::Flushed);
        }
        if let Work::UnderWay(request) = &mut self.work
            && let Poll::Ready((session, outcome)) = request.as_mut().poll(cx)
        {
            return Poll::Ready(Turn::Answered(session, outcome));
        }
        let may_read = self.work.session().is_some();
        self.socket.poll(cx, may_read, &self.outbox, &self.node.metrics).map(Turn::Received)
    }

    /// Looks at the news of the outbox. Its frames are written when the loop comes to the socket.
    fn flushed(&mut self) -> Option<End> {
        let taken = self.outbox.news();
        if let Some(closing) = taken.closing {
            return Some(if closing == Closing::CUT { End::Cut } else { End::Close(closing) });
        }
        if taken.is_broken {
            return Some(self.lost("io"));
        }
        if taken.has_stalled {
            self.schedule();
        }
        if taken.is_slowed {
            self.node.slowed.pace(&self.outbox, &self.node.wheel);
        }
        self.has_hole |= taken.has_hole;
        self.begin_repair();
        if taken.is_time { self.on_time() } else { None }
    }

    /// Begins a request, when none is under way that would be answered out of turn. Answers whether it has begun.
    fn request(&mut self, request: impl FnOnce(Box<Session>) -> UnderWay) -> bool {
        // The place is taken by a future that takes no memory.
        match std::mem::replace(&mut self.work, Work::UnderWay(Box::pin(pending()))) {
            Work::Idle(session) => self.work = Work::UnderWay(request(session)),
            under_way @ Work::UnderWay(_) => {
                self.work = under_way;
                return false;
            }
        }
        true
    }

    /// Fills a hole, as soon as that is possible.
    fn begin_repair(&mut self) {
        if self.has_hole && self.request(repair) {
            self.has_hole = false;
        }
    }

    fn answered(&mut self, session: Box<Session>, outcome: Outcome) -> Option<End> {
        let expires_at = session.expires_at();
        self.work = Work::Idle(session);
        if let Some(expires_at) = expires_at {
            self.deadlines.authenticated(expires_at, self.node.clock.now(), self.node.wheel.now());
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
        let now = self.node.wheel.now();
        // Between two frames of one message there may be control frames.
        let begun = matches!(io, Io::Control | Io::Begun) && self.socket.is_incomplete();
        self.incomplete_since = begun.then(|| self.incomplete_since.unwrap_or(now));
        let (incoming, bytes) = match io {
            Io::Text(text) => {
                let bytes = text.len();
                (Incoming::Text(text), bytes)
            }
            Io::Binary(bytes) => (Incoming::Binary(bytes.len()), bytes.len()),
            Io::Control => {
                self.controls += 1;
                self.deadlines.seen(now);
                self.schedule();
                return None;
            }
            Io::Begun => {
                self.schedule();
                return None;
            }
            Io::Closes(close) => return Some(End::Closed(close)),
            Io::Violates(violation) => return Some(self.failed(violation)),
            Io::Ended => return Some(self.lost("reset")),
            Io::Broken => return Some(self.lost("io")),
        };
        self.deadlines.seen(now);
        self.node.metrics.received(bytes);
        self.request(|session| handle(session, incoming));
        None
    }

    /// What a client did wrong becomes a close code.
    fn failed(&self, violation: Violation) -> End {
        let code = match violation.close_code() {
            1007 => CloseCode::InvalidUtf8,
            1009 => CloseCode::MessageTooBig,
            _ => CloseCode::ProtocolError,
        };
        tracing::debug!(%violation, "a client has broken a rule of WebSockets");
        self.node.metrics.connection_error(code.reason());
        End::Close(Closing { code, retry_after_ms: Some(0) })
    }

    fn lost(&self, reason: &'static str) -> End {
        self.node.metrics.connection_error(reason);
        End::Gone
    }

    /// A deadline may have passed.
    fn on_time(&mut self) -> Option<End> {
        self.outbox.rest();
        let close = |code| Some(End::Close(Closing { code, retry_after_ms: Some(0) }));
        while let Some(due) = self.deadlines.due(&self.node.config, self.node.wheel.now(), self.open()) {
            match due {
                Due::Expiring(expires_at) => {
                    let notice = Reply::AuthExpiring(AuthExpiring { expires_at });
                    self.outbox.send(Frame::reply(None, notice, self.node.clock.now()));
                }
                // During a request nothing is read; a peer that takes its replay is not silent.
                Due::Idle if self.work.session().is_none() && self.outbox.take_progress() => {
                    self.deadlines.seen(self.node.wheel.now());
                }
                Due::Idle => return close(CloseCode::HeartbeatTimeout),
                Due::Stalled => return close(CloseCode::SlowConsumer),
                Due::Message => return close(CloseCode::ProtocolError),
                Due::Aged => return close(CloseCode::Rebalance),
                Due::Expired => return close(CloseCode::TokenExpired),
                Due::Authentication => {
                    // A request under way is the authentication itself; it is given its time by the broker's own.
                    let Some(session) = self.work.session() else { break };
                    let closing = session.time_out();
                    self.outbox.close(closing);
                    break;
                }
            }
        }
        let typing_ends_at = self.work.session().and_then(Session::typing_ends_at);
        if typing_ends_at.is_some_and(|at| at <= Instant::now()) {
            self.request(end_typing);
        }
        self.schedule();
        None
    }

    fn open(&self) -> Open {
        let stalled_since = self.outbox.stalled_since().map(|since| self.node.wheel.moment(since));
        Open { incomplete_since: self.incomplete_since, stalled_since }
    }

    /// Makes sure that the wheel rings for the next deadline. Where it is not told of a later one, it rings early and is told then.
    fn schedule(&mut self) {
        let wheel = &self.node.wheel;
        let typing = self.work.session().and_then(Session::typing_ends_at).map(|at| wheel.moment(at));
        let next = self.deadlines.next(&self.node.config, self.open());
        let next = typing.map_or(next, |typing| typing.min(next));
        wheel.keep_alive(next, &mut self.appointment, &self.outbox);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Handle;

    /// There are tens of thousands: what each holds while nothing happens must not grow unseen. Allocators have classes of sizes,
    /// and these are the last before the next one; an `Arc` has 16 bytes of its own.
    #[test]
    fn an_idle_connection_holds_no_more_than_it_did() {
        assert!(size_of::<Connection<Bare>>() <= 160, "{}", size_of::<Connection<Bare>>());
        assert!(size_of::<Session>() <= 48, "{}", size_of::<Session>());
        assert!(size_of::<Outbox>() <= 192 - 16, "{}", size_of::<Outbox>());
        assert!(size_of::<Handle>() <= 128 - 16, "{}", size_of::<Handle>());
        assert!(size_of::<Identity>() <= 128 - 16, "{}", size_of::<Identity>());
        assert!(size_of::<Life>() <= 16, "{}", size_of::<Life>());
    }
}
