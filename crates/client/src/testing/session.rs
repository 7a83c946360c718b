//! One connection of the fake: who it is, where it is, and how it ends.
//!
//! Owns the life of a connection from its token to its end, and what becomes due by time. What a client asks for is in
//! `requests`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::server::{
    AuthAck, AuthExpiring, Connected, ConnectionAck, ConnectionClosing, ErrorPayload, Heartbeat, Reply, ReplyFrame,
    RoomOutcome, SchemaVersion,
};
use roomcast_protocol::{
    Advice, CloseCode, ErrorCode, Operation, Position, RequestId, Room, SCHEMA_HASH, SCHEMA_VERSION, SUBPROTOCOL,
    UserId,
};
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::clock::timestamp;
use super::identity::Claims;
use super::outbox::Outbox;
use super::requests::Window;
use super::streams::Placed;
use super::world::World;

pub(super) type SessionId = u64;

/// Before its end a token is told of, and so long after it the connection is closed.
const NOTICE_MS: i64 = 60_000;
const GRACE_MS: i64 = 10_000;

/// How long a connection may take to say who it is.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// `None` until a good token came.
    pub(super) claims: Option<Claims>,
    has_subprotocol: bool,
    /// Where it is, and behind which position it gets events.
    pub(super) rooms: BTreeMap<Room, Position>,
    /// Until when the user is typing where.
    pub(super) typing: BTreeMap<Room, Instant>,
    pub(super) messages: Window,
    pub(super) invalid: Window,
    authenticate_by: Option<Instant>,
    warn_at: Option<Instant>,
    close_at: Option<Instant>,
    pub(super) outbox: Outbox,
    /// It has ended; what waits is still sent.
    is_over: bool,
}

impl Session {
    pub(super) fn is_open(&self) -> bool {
        self.claims.is_some() && !self.is_over
    }

    pub(super) fn is_live(&self) -> bool {
        !self.is_over
    }

    pub(super) fn user(&self) -> Option<&UserId> {
        self.claims.as_ref().map(|claims| &claims.user)
    }

    pub(super) fn send(&mut self, frame: &impl Serialize, ready: Instant, counts: bool) {
        if let (false, Ok(text)) = (self.is_over, serde_json::to_string(frame)) {
            self.outbox.push(text, ready, counts);
        }
    }

    /// Sends an event with its places in these rooms.
    pub(super) fn event(&mut self, placed: &Placed, rooms: &[Room], ready: Instant, counts: bool) {
        let places = rooms.iter().filter_map(|room| Some((room.clone(), (*placed.places.get(room)?)?)));
        let mut frame = placed.frame.clone();
        frame.positions = places.collect();
        self.send(&frame, ready, counts);
    }

    /// When something of it is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let typing = self.typing.values().min().copied();
        [self.authenticate_by, self.warn_at, self.close_at, typing].into_iter().flatten().min()
    }
}

fn take_due(at: &mut Option<Instant>, now: Instant) -> bool {
    at.take_if(|at| *at <= now).is_some()
}

impl World {
    /// A new connection, of whom nothing is known yet.
    pub(super) fn admit(&mut self, has_subprotocol: bool) -> (SessionId, Arc<Notify>) {
        self.connected += 1;
        let id = self.connected;
        let session = Session {
            id,
            claims: None,
            has_subprotocol,
            rooms: BTreeMap::new(),
            typing: BTreeMap::new(),
            messages: Window::default(),
            invalid: Window::default(),
            authenticate_by: Some(Instant::now() + AUTH_TIMEOUT),
            warn_at: None,
            close_at: None,
            outbox: Outbox::default(),
            is_over: false,
        };
        let wake = session.outbox.waker();
        self.sessions.insert(id, session);
        (id, wake)
    }

    /// Looks at a token that was brought; says whom it names.
    pub(super) fn check(&mut self, token: &str) -> Result<Claims, ErrorPayload> {
        let checked = Claims::read(token, self.clock.millis()).and_then(|claims| {
            let is_revoked = self.disconnected.get(&claims.user).is_some_and(|second| claims.issued_at <= *second);
            if is_revoked { Err("the token has been revoked") } else { Ok(claims) }
        });
        self.remember_token(token, checked.as_ref().ok().map(|claims| claims.user.clone()));
        checked.map_err(|reason| ErrorPayload::new(ErrorCode::Unauthorized, reason))
    }

    /// Lets in whoever brings a good token, and ends the connection of whoever does not.
    pub(super) fn welcome(&mut self, id: SessionId, token: &str, reply_to: Option<RequestId>) {
        match self.check(token) {
            Ok(claims) => self.let_in(id, claims, reply_to),
            Err(refusal) => self.unauthorized(id, refusal, reply_to),
        }
    }

    pub(super) fn unauthorized(&mut self, id: SessionId, refusal: ErrorPayload, reply_to: Option<RequestId>) {
        self.say(id, reply_to, Reply::Error(refusal));
        self.shut(id, CloseCode::Unauthorized, Duration::ZERO);
    }

    fn let_in(&mut self, id: SessionId, claims: Claims, reply_to: Option<RequestId>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.claims = Some(claims.clone());
        session.authenticate_by = None;
        let mut rooms = BTreeMap::new();
        if !session.has_subprotocol {
            let room = claims.user.room();
            let position = self.join(id, &room);
            rooms.insert(room.to_string(), RoomOutcome::Subscribed { position, presence: None });
        }
        let connected = Connected {
            message: "Connected to WebSocket server".into(),
            timestamp: self.clock.now(),
            connection_id: format!("connection-{id}"),
            user_id: claims.user,
            protocol: SUBPROTOCOL.into(),
            expires_at: timestamp(claims.expires_at),
            rooms,
            heartbeat: Heartbeat { ping_interval_ms: 30_000, timeout_ms: 60_000 },
            limits: self.settings.limits.clone(),
            schema: SchemaVersion { version: SCHEMA_VERSION.into(), hash: SCHEMA_HASH.into() },
        };
        self.say(id, reply_to, Reply::ConnectionAck(ConnectionAck::Connected(Box::new(connected))));
        self.watch_expiry(id);
    }

    /// The same user's next token: rooms that it does not open are left, the rest goes on.
    pub(super) fn renew(&mut self, id: SessionId, token: &str) -> Result<Reply, ErrorPayload> {
        let claims = self.check(token)?;
        let Some(session) = self.sessions.get_mut(&id) else { return Err(over()) };
        if session.user() != Some(&claims.user) {
            return Err(ErrorPayload::new(ErrorCode::Unauthorized, "the token is another user's"));
        }
        session.claims = Some(claims.clone());
        let is_open = self.settings.is_open;
        let rooms: Vec<Room> = session.rooms.keys().cloned().collect();
        let may = |room: &Room, operation| claims.may(is_open, room, &operation);
        let (kept, lost_rooms): (Vec<_>, Vec<_>) = rooms.into_iter().partition(|room| may(room, Operation::Subscribe));
        lost_rooms.iter().for_each(|room| self.leave(id, room));
        for room in kept.iter().filter(|room| !may(room, Operation::Presence)) {
            self.leave_presence(id, room);
        }
        self.watch_expiry(id);
        Ok(Reply::AuthAck(AuthAck { user_id: claims.user, expires_at: timestamp(claims.expires_at), lost_rooms }))
    }

    fn watch_expiry(&mut self, id: SessionId) {
        let clock = self.clock;
        if let Some(session) = self.sessions.get_mut(&id)
            && let Some(claims) = &session.claims
        {
            session.warn_at = clock.instant(claims.expires_at.saturating_sub(NOTICE_MS));
            session.close_at = clock.instant(claims.expires_at.saturating_add(GRACE_MS));
        }
    }

    /// Tells that the token is about to run out.
    pub(super) fn warn(&mut self, id: SessionId) {
        let claims = self.sessions.get(&id).and_then(|session| session.claims.as_ref());
        if let Some(expires_at) = claims.map(|claims| timestamp(claims.expires_at)) {
            self.say(id, None, Reply::AuthExpiring(AuthExpiring { expires_at }));
        }
    }

    /// The gateway closes the connection, and says when to come back where that is wanted.
    pub(super) fn shut(&mut self, id: SessionId, code: CloseCode, retry_after: Duration) {
        let Some(session) = self.sessions.get(&id).filter(|session| session.is_live()) else { return };
        if session.is_open() {
            let resumable = code.advice() == Advice::Reconnect;
            let retry_after_ms = resumable.then(|| u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX));
            let reason = code.reason().into();
            let closing = ConnectionClosing { code: code.code(), reason, retry_after_ms, resumable };
            self.say(id, None, Reply::ConnectionClosing(closing));
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.outbox.close(code);
        }
        self.end(id);
    }

    /// The network takes the connection, without a word.
    pub(super) fn cut(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.outbox.cut();
        }
        self.end(id);
    }

    /// The connection's task has ended.
    pub(super) fn remove(&mut self, id: SessionId) {
        self.end(id);
        self.sessions.remove(&id);
    }

    /// It is in no room any more; its user may come back.
    fn end(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.is_live()) else { return };
        session.is_over = true;
        (session.authenticate_by, session.warn_at, session.close_at) = (None, None, None);
        let (rooms, typing) = (std::mem::take(&mut session.rooms), std::mem::take(&mut session.typing));
        let Some(claims) = session.claims.clone() else { return };
        for room in typing.into_keys() {
            self.say_stopped(id, &claims, &room);
        }
        let now = Instant::now();
        for room in rooms.into_keys() {
            let news = self.presence.lose(&room, &claims.user, id, now);
            self.tell(news);
        }
    }

    /// Does for one connection what is due.
    pub(super) fn tick_session(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let over: Vec<Room> = session.typing.extract_if(.., |_, until| *until <= now).map(|(room, _)| room).collect();
        let (warns, closes) = (take_due(&mut session.warn_at, now), take_due(&mut session.close_at, now));
        let is_unknown = take_due(&mut session.authenticate_by, now);
        if let Some(claims) = session.claims.clone() {
            over.iter().for_each(|room| self.say_stopped(id, &claims, room));
        }
        if is_unknown {
            let refusal = ErrorPayload::new(ErrorCode::Unauthorized, "no authentication in time");
            self.unauthorized(id, refusal, None);
        }
        if warns {
            self.warn(id);
        }
        if closes {
            self.shut(id, CloseCode::TokenExpired, Duration::ZERO);
        }
    }

    /// Sends an answer, or news of the connection itself.
    pub(super) fn say(&mut self, id: SessionId, reply_to: Option<RequestId>, reply: Reply) {
        let frame = ReplyFrame { reply_to, reply, timestamp: self.clock.now() };
        let ready = self.ready();
        if let Some(session) = self.sessions.get_mut(&id) {
            session.send(&frame, ready, true);
        }
        self.close_if_slow(id);
    }
}

pub(super) fn over() -> ErrorPayload {
    ErrorPayload::new(ErrorCode::UnknownError, "the connection is over")
}
