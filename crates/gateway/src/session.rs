//! Sessions: what a client asks for, and whether it may.
//!
//! Owns the decisions about one connection's requests, one after the other, each answered before the next is looked at.
//! Knows no socket: frames come in as text and go out through the outbox.

mod limits;
mod presence;
mod repair;
mod replay;
mod subscribe;
mod typing;

use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::client::{InvalidMessage, Publish};
use roomcast_protocol::server::{
    AuthAck, Connected, ConnectionAck, ErrorPayload, Heartbeat, Pong, Reply, RoomOutcome, SchemaVersion,
};
use roomcast_protocol::{
    ClientMessage, CloseCode, ErrorCode, Operation, Request, RequestId, Room, SCHEMA_HASH, SCHEMA_VERSION, SUBPROTOCOL,
    Timestamp,
};
use tokio::time::Instant;

use crate::auth::{BadToken, Identity};
use crate::callback::{Asking, Ruling};
use crate::frame::Frame;
use crate::node::{Admission, Handle, undecided};
use crate::outbox::Closing;
use crate::publish::{Author, Submission};
use crate::rate_limit::{FixedWindow, Verdict};
use limits::Dues;
pub(crate) use limits::rate_limit_exceeded;
use limits::too_many;
use typing::{Indicator, Typing};

/// Invalid messages in a minute that no honest client sends.
const MOST_INVALID: u32 = 50;

/// How long a client is told to wait when its user has too many connections: one of them may have ended by then.
const TOO_MANY_CONNECTIONS_MS: u64 = 5000;

/// A message from the client. It may be a token, so it shows nothing of itself.
pub(crate) enum Incoming {
    /// Text, as it came.
    Text(String),
    /// Binary, which the protocol has no use for, of so many bytes.
    Binary(usize),
}

impl Incoming {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => *bytes,
        }
    }
}

/// How an upgrade presented itself.
#[derive(Debug)]
pub(crate) struct Presented {
    /// The token and what became of it; `None` when the first frame must bring it.
    pub identity: Option<Result<Identity, BadToken>>,
    /// Whether the client speaks `roomcast.v1`, and so subscribes to its user room itself.
    pub has_subprotocol: bool,
}

/// One connection's state beyond its socket.
pub(crate) struct Session {
    /// Its entry at the node, and the node.
    admission: Admission,
    identity: Option<Arc<Identity>>,
    has_subprotocol: bool,
    /// Boxed, for hardly any connection has any of it.
    seldom: Option<Box<Seldom>>,
    /// What is counted against `LIMITS`; `None` without any.
    dues: Option<Box<Dues>>,
}

/// What a connection has that types, or makes mistakes.
#[derive(Default)]
struct Seldom {
    invalid: FixedWindow,
    typing: Typing,
}

/// Whether the connection goes on after a request.
pub(crate) type Outcome = Option<Closing>;

impl Session {
    /// A session that [`Session::begin`] brings to life.
    #[must_use]
    pub(crate) fn new(admission: Admission, has_subprotocol: bool) -> Self {
        let dues = Dues::of_connection(&admission.node.meters, admission.handle.address);
        Self { admission, identity: None, has_subprotocol, seldom: None, dues }
    }

    /// When the token in force runs out.
    #[must_use]
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        self.identity.as_ref().map(|identity| identity.expires_at)
    }

    /// A session of somebody whose token was checked elsewhere.
    #[cfg(test)]
    pub(crate) fn assume(&mut self, identity: Identity) {
        self.identity = Some(Arc::new(identity));
    }

    /// Carries out what the upgrade brought.
    pub(crate) async fn begin(&mut self, identity: Option<Result<Identity, BadToken>>) -> Outcome {
        match identity {
            None => None,
            Some(Ok(identity)) => self.welcome(identity, None).await,
            Some(Err(reason)) => Some(self.unauthorized(&reason.to_string(), None)),
        }
    }

    /// Ends a connection that never said who it is.
    pub(crate) fn time_out(&self) -> Closing {
        self.unauthorized("no authentication in time", None)
    }

    /// Carries out one message.
    pub(crate) async fn handle(&mut self, message: Incoming) -> Outcome {
        let request = match &message {
            Incoming::Text(text) => Request::parse(text),
            Incoming::Binary(_) => {
                Err(InvalidMessage { reply_to: None, message: "binary messages are not supported".into() })
            }
        };
        let id = match &request {
            Ok(request) => request.id.clone(),
            Err(invalid) => invalid.reply_to.clone(),
        };
        if let Err(outcome) = self.count(&id, &request, message.bytes()) {
            return outcome;
        }
        match request {
            Ok(request) if self.identity.is_none() => self.first(request).await,
            Ok(request) => self.carry_out(request).await,
            Err(_) if self.identity.is_none() => Some(self.unauthorized("the first frame must be authenticate", id)),
            Err(invalid) => self.invalid(invalid),
        }
    }

    async fn first(&mut self, request: Request) -> Outcome {
        let ClientMessage::Authenticate { token } = request.message else {
            return Some(self.unauthorized("the first frame must be authenticate", request.id));
        };
        if let Some(retry_after) = self.admission.node.auth_block(self.admission.handle.address) {
            self.error(request.id, too_many("authentication attempts", retry_after));
            return Some(Closing { code: CloseCode::RateLimited, retry_after_ms: Some(millis(retry_after)) });
        }
        match self.admission.node.authenticate(&token, self.admission.handle.address).await {
            Ok(identity) => self.welcome(identity, request.id).await,
            Err(reason) => Some(self.unauthorized(&reason.to_string(), request.id)),
        }
    }

    async fn carry_out(&mut self, request: Request) -> Outcome {
        let id = request.id;
        match request.message {
            ClientMessage::Ping => self.reply(id, Reply::ConnectionAck(ConnectionAck::Pong(self.pong()))),
            ClientMessage::Authenticate { token } => self.renew(id, &token).await,
            ClientMessage::Subscribe(subscribe) => self.subscribe(id, subscribe).await,
            ClientMessage::Unsubscribe { rooms } => self.unsubscribe(id, rooms).await,
            ClientMessage::Publish(publish) => self.publish(id, publish).await,
        }
        None
    }

    fn pong(&self) -> Pong {
        Pong { message: "pong".into(), timestamp: self.admission.node.clock.now() }
    }

    /// Says who the client is; a client of the original joins its user room with it.
    async fn welcome(&mut self, identity: Identity, reply_to: Option<RequestId>) -> Outcome {
        let identity = Arc::new(identity);
        if !self.admission.node.enter(self.handle_of(), &identity) {
            let refusal = ErrorPayload::new(ErrorCode::LimitExceeded, "the user has too many connections");
            self.error(reply_to, refusal);
            return Some(Closing { code: CloseCode::RateLimited, retry_after_ms: Some(TOO_MANY_CONNECTIONS_MS) });
        }
        if self.admission.node.is_revoked(&identity) {
            return Some(self.unauthorized(&BadToken::Revoked.to_string(), reply_to));
        }
        if let Some(dues) = &mut self.dues {
            dues.identify(&self.admission.node.meters, &identity.user);
        }
        self.identity = Some(identity.clone());
        let mut rooms = std::collections::BTreeMap::new();
        self.hub().hold(self.key());
        if !self.has_subprotocol {
            let room = identity.user.room();
            let outcome = match self.join(std::slice::from_ref(&room)).await {
                Ok(positions) => RoomOutcome::Subscribed { position: positions[0], presence: None },
                Err(_) => RoomOutcome::Denied { code: ErrorCode::Unavailable },
            };
            rooms.insert(room.to_string(), outcome);
        }
        let connected = self.connected(&identity, rooms);
        let ack = self.frame(reply_to, Reply::ConnectionAck(ConnectionAck::Connected(Box::new(connected))));
        let lost = self.hub().resume(self.key(), ack);
        self.tell_lost(lost);
        None
    }

    fn connected(&self, identity: &Identity, rooms: std::collections::BTreeMap<String, RoomOutcome>) -> Connected {
        let config = &self.admission.node.config;
        Connected {
            message: "Connected to WebSocket server".into(),
            timestamp: self.admission.node.clock.now(),
            connection_id: self.handle_of().id.to_string(),
            user_id: identity.user.clone(),
            protocol: SUBPROTOCOL.into(),
            expires_at: identity.expires_at,
            rooms,
            heartbeat: Heartbeat {
                ping_interval_ms: millis(config.ping_interval),
                timeout_ms: millis(config.idle_timeout),
            },
            limits: self.limits(&identity.raised),
            schema: SchemaVersion { version: SCHEMA_VERSION.into(), hash: SCHEMA_HASH.into() },
        }
    }

    /// The same user's next token: rooms that it does not grant are left, the rest goes on.
    async fn renew(&mut self, id: Option<RequestId>, token: &str) {
        if let Some(retry_after) = self.admission.node.auth_block(self.admission.handle.address) {
            return self.error(id, too_many("authentication attempts", retry_after));
        }
        let user = self.identity.as_ref().map(|identity| identity.user.clone());
        let identity = match self.admission.node.authenticate(token, self.admission.handle.address).await {
            Ok(identity) if Some(&identity.user) == user.as_ref() => Arc::new(identity),
            Ok(_) => return self.error(id, ErrorPayload::new(ErrorCode::Unauthorized, "the token is another user's")),
            Err(reason) => return self.error(id, ErrorPayload::new(ErrorCode::Unauthorized, reason.to_string())),
        };
        let (mut lost_rooms, lost_presence) = match self.lost(&identity).await {
            Ok(lost) => lost,
            Err(refusal) => return self.error(id, refusal),
        };
        lost_rooms.sort();
        self.leave(&lost_rooms);
        self.leave_typing(&lost_rooms).await;
        let ack = AuthAck { user_id: identity.user.clone(), expires_at: identity.expires_at, lost_rooms };
        self.handle_of().set_identity(identity.clone());
        let is_revoked = self.admission.node.is_revoked(&identity);
        self.identity = Some(identity);
        self.leave_presence(&lost_presence);
        self.reply(id, Reply::AuthAck(ack));
        if is_revoked {
            // Since it was checked, a moment ago.
            self.handle_of().outbox.close(Closing { code: CloseCode::Disconnected, retry_after_ms: None });
        }
    }

    /// Rooms that a new token does not open any more, and those where it does not show who is there; looked at anew.
    async fn lost(&self, identity: &Identity) -> Result<(Vec<Room>, Vec<Room>), ErrorPayload> {
        let (joined, attended) =
            (self.hub().rooms_of(self.key()), self.admission.node.audience.rooms_of(self.handle_of().id));
        let (to_join, to_attend) = tokio::join!(
            self.admission.node.rule(identity, &joined, &Operation::Subscribe, Asking::Anew),
            self.admission.node.rule(identity, &attended, &Operation::Presence, Asking::Anew),
        );
        if to_join.iter().chain(&to_attend).any(|ruling| *ruling == Ruling::Unavailable) {
            // What the old token opened stays open until it ends.
            return Err(undecided("nobody could say which rooms the token opens"));
        }
        let lost = |rooms: Vec<Room>, rulings: Vec<Ruling>| {
            let pairs = rooms.into_iter().zip(rulings);
            pairs.filter(|(_, ruling)| *ruling != Ruling::Allowed).map(|(room, _)| room).collect()
        };
        Ok((lost(joined, to_join), lost(attended, to_attend)))
    }

    async fn publish(&mut self, id: Option<RequestId>, publish: Publish) {
        let Some(identity) = self.identity.clone() else { return };
        let (event, rooms) = (publish.event, publish.rooms);
        let submission = Submission {
            event_type: event.event_type,
            payload: event.payload,
            event_id: event.event_id,
            rooms,
            user_id: None,
            timestamp: None,
        };
        let indicator =
            (submission.event_type == "user.typing").then(|| Indicator::read(&submission.payload)).flatten();
        if let Some((room, _)) = &indicator
            && let Err(refusal) = self.may_type(&identity, room)
        {
            return self.error(id, refusal);
        }
        let author = Author::Socket(&identity, self.handle_of().id);
        // Before the hold: a back end that is asked may take its time.
        let draft = match self.admission.node.draft(author, submission).await {
            Ok(draft) => draft,
            Err(refusal) => return self.error(id, refusal),
        };
        // On hold, so that the event's own copy comes behind its acknowledgement.
        self.hub().hold(self.key());
        let published = self.admission.node.publish_draft(draft).await;
        if let (Ok(_), Some((room, indicator))) = (&published, indicator) {
            self.note_typing(room, &indicator).await;
        }
        let answer = published.map_or_else(|refusal| self.refusal(refusal), Reply::PublishAck);
        let answer = self.frame(id, answer);
        let lost = self.hub().resume(self.key(), answer);
        self.tell_lost(lost);
    }

    /// Typing is for issues that the connection is in, unless its token grants more.
    fn may_type(&self, identity: &Identity, room: &Room) -> Result<(), ErrorPayload> {
        let is_granted = |name| {
            let operation = Operation::PublishType(name);
            identity.grants.as_ref().is_some_and(|grants| grants.allows(room, &operation))
        };
        if self.hub().position(self.key(), room).is_some() || "user.typing".parse().is_ok_and(is_granted) {
            return Ok(());
        }
        Err(ErrorPayload::new(ErrorCode::Forbidden, format!("join {room} to type there")))
    }

    fn invalid(&mut self, invalid: InvalidMessage) -> Outcome {
        self.error(invalid.reply_to, ErrorPayload::new(ErrorCode::InvalidMessage, invalid.message));
        // One less may pass than closes.
        let invalid = &mut self.seldom.get_or_insert_default().invalid;
        let verdict = invalid.hit(MOST_INVALID - 1, Duration::from_secs(60), Instant::now());
        (verdict != Verdict::Allowed).then_some(Closing { code: CloseCode::TooManyInvalid, retry_after_ms: None })
    }

    fn unauthorized(&self, reason: &str, id: Option<RequestId>) -> Closing {
        self.admission.node.metrics.connection_error("unauthorized");
        self.error(id, ErrorPayload::new(ErrorCode::Unauthorized, reason));
        Closing { code: CloseCode::Unauthorized, retry_after_ms: None }
    }

    fn error(&self, id: Option<RequestId>, error: ErrorPayload) {
        let refusal = self.refusal(error);
        self.reply(id, refusal);
    }

    fn refusal(&self, error: ErrorPayload) -> Reply {
        self.admission.node.metrics.error(error.code);
        Reply::Error(error)
    }

    /// Queues news of the connection itself.
    pub(crate) fn reply(&self, reply_to: Option<RequestId>, reply: Reply) {
        self.handle_of().outbox.send(self.frame(reply_to, reply));
    }

    fn frame(&self, reply_to: Option<RequestId>, reply: Reply) -> Frame {
        Frame::reply(reply_to, reply, self.admission.node.clock.now())
    }

    /// The connection's entry in the node.
    #[must_use]
    pub(crate) fn handle_of(&self) -> &Arc<Handle> {
        &self.admission.handle
    }

    fn hub(&self) -> &crate::hub::Hub {
        &self.admission.node.hub
    }

    fn key(&self) -> crate::hub::MemberKey {
        self.admission.handle.key
    }
}

/// Whole milliseconds, rounded up, so that waiting them is waiting long enough.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
