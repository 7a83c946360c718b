//! What a client asks of the fake, frame by frame.
//!
//! Owns what becomes of each request, in which order it is answered, and how many are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roomcast_protocol::client::{InvalidMessage, PresenceOptions, Publish, Subscribe};
use roomcast_protocol::event::UserTyping;
use roomcast_protocol::http::EventBody;
use roomcast_protocol::server::{
    ConnectionAck, ErrorPayload, Pong, PresenceState, PresenceStatus, Reply, RoomOutcome, SubscriptionAck,
};
use roomcast_protocol::{ClientMessage, CloseCode, ErrorCode, Event, Operation, Position, Request, RequestId, Room};
use tokio::time::Instant;

use super::identity::Claims;
use super::record::Source;
use super::session::{SessionId, over};
use super::streams::merge;
use super::submission::{Author, TYPING};
use super::world::World;

/// Refused messages in one window, and invalid ones in a minute, that are patience enough.
const MOST_REFUSED: u64 = 100;
const MOST_INVALID: u64 = 50;

const MINUTE: Duration = Duration::from_secs(60);

/// How long an indicator of typing lasts, and how many a connection may show.
const TYPING_LASTS: Duration = Duration::from_secs(6);
const MOST_TYPING: usize = 128;

/// Counts in a minute that begins with the first.
#[derive(Debug, Default)]
pub(super) struct Window {
    start: Option<Instant>,
    count: u64,
}

impl Window {
    /// How many there were in the minute, this one included, and how long the minute lasts.
    fn hit(&mut self, now: Instant) -> (u64, Duration) {
        let start = match self.start {
            Some(start) if now < start + MINUTE => start,
            _ => {
                *self = Self { start: Some(now), count: 0 };
                now
            }
        };
        self.count += 1;
        (self.count, (start + MINUTE).saturating_duration_since(now))
    }
}

impl World {
    /// Takes a message of a client; `None` for a binary one.
    pub(super) fn receive(&mut self, id: SessionId, text: Option<&str>) {
        let invalid = || InvalidMessage { reply_to: None, message: "binary messages are not supported".into() };
        let request = text.map_or_else(|| Err(invalid()), Request::parse);
        let reply_to = match &request {
            Ok(request) => request.id.clone(),
            Err(invalid) => invalid.reply_to.clone(),
        };
        let Some(session) = self.sessions.get(&id).filter(|session| session.is_live()) else { return };
        let is_known = session.claims.is_some();
        if self.is_over_limit(id, reply_to.as_ref()) {
            return;
        }
        match request {
            Ok(Request { message: ClientMessage::Authenticate { token }, .. }) if !is_known => {
                self.welcome(id, &token, reply_to);
            }
            _ if !is_known => {
                let refusal = ErrorPayload::new(ErrorCode::Unauthorized, "the first frame must be authenticate");
                self.unauthorized(id, refusal, reply_to);
            }
            Ok(request) => self.carry_out(id, request),
            Err(invalid) => self.count_invalid(id, invalid),
        }
    }

    fn is_over_limit(&mut self, id: SessionId, reply_to: Option<&RequestId>) -> bool {
        let most = self.settings.limits.messages_per_minute;
        let Some(session) = self.sessions.get_mut(&id) else { return true };
        let (count, left) = session.messages.hit(Instant::now());
        if count <= most {
            return false;
        }
        let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let message = format!("Rate limit exceeded. Try again in {} seconds.", millis.div_ceil(1000));
        let refusal = ErrorPayload::new(ErrorCode::RateLimitExceeded, message);
        let refusal = ErrorPayload { retry_after_ms: Some(millis), ..refusal };
        self.say(id, reply_to.cloned(), Reply::Error(refusal));
        if count - most >= MOST_REFUSED {
            self.shut(id, CloseCode::RateLimited, left);
        }
        true
    }

    fn count_invalid(&mut self, id: SessionId, invalid: InvalidMessage) {
        let refusal = ErrorPayload::new(ErrorCode::InvalidMessage, invalid.message);
        self.say(id, invalid.reply_to, Reply::Error(refusal));
        let count = self.sessions.get_mut(&id).map_or(0, |session| session.invalid.hit(Instant::now()).0);
        if count >= MOST_INVALID {
            self.shut(id, CloseCode::TooManyInvalid, Duration::ZERO);
        }
    }

    fn carry_out(&mut self, id: SessionId, Request { id: reply_to, message }: Request) {
        let answer = match message {
            ClientMessage::Ping => {
                let pong = Pong { message: "pong".into(), timestamp: self.clock.now() };
                Ok(Reply::ConnectionAck(ConnectionAck::Pong(pong)))
            }
            ClientMessage::Authenticate { token } => self.renew(id, &token),
            ClientMessage::Subscribe(subscribe) => match self.too_many_rooms(&subscribe.rooms) {
                Some(refusal) => Err(refusal),
                None => return self.subscribe(id, reply_to, &subscribe),
            },
            ClientMessage::Unsubscribe { rooms } => self.unsubscribe(id, rooms),
            ClientMessage::Publish(publish) => match self.publish_of(id, reply_to.clone(), publish) {
                Ok(()) => return,
                Err(refusal) => Err(refusal),
            },
        };
        self.say(id, reply_to, answer.unwrap_or_else(Reply::Error));
    }

    fn too_many_rooms(&self, names: &[String]) -> Option<ErrorPayload> {
        let most = self.settings.limits.max_rooms_per_message;
        let count = names.iter().collect::<BTreeSet<_>>().len() as u64;
        let refusal = || ErrorPayload::new(ErrorCode::LimitExceeded, format!("at most {most} rooms in one message"));
        (count > most).then(refusal)
    }

    /// The order of the answer: the acknowledgement, who is present, what was missed.
    fn subscribe(&mut self, id: SessionId, reply_to: Option<RequestId>, request: &Subscribe) {
        let Some(claims) = self.sessions.get(&id).and_then(|session| session.claims.clone()) else { return };
        let (mut outcomes, mut missed, mut present) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for name in &request.rooms {
            let since = request.since.get(name).copied();
            let room = match self.may_join(id, &claims, name, since, request.presence.is_some()) {
                Ok(room) => room,
                Err(code) => {
                    outcomes.insert(name.clone(), RoomOutcome::Denied { code });
                    continue;
                }
            };
            if outcomes.contains_key(name) {
                continue;
            }
            let presence = self.attend(id, &claims, &room, request.presence.as_ref());
            present.extend((request.presence.is_some() && presence.is_none()).then(|| room.clone()));
            let position = self.join(id, &room);
            let outcome = match since {
                None => RoomOutcome::Subscribed { position, presence },
                Some(since) => {
                    let page = self.streams.missed(&room, since);
                    self.start_at(id, &room, page.latest);
                    let recovered = page.events.len() as u64;
                    missed.insert(room.clone(), page.events);
                    match page.reason {
                        Some(reason) => RoomOutcome::Gap { position: page.latest, reason, presence },
                        None => RoomOutcome::Recovered { position: since, recovered, presence },
                    }
                }
            };
            outcomes.insert(name.clone(), outcome);
        }
        self.say(id, reply_to, Reply::SubscriptionAck(SubscriptionAck { rooms: outcomes }));
        for room in present {
            let members = self.presence.members(&room);
            self.say(id, None, Reply::PresenceState(PresenceState { room, members }));
        }
        let ready = self.ready();
        if let Some(session) = self.sessions.get_mut(&id) {
            merge(missed).iter().for_each(|(placed, rooms)| session.event(placed, rooms, ready, false));
        }
    }

    fn may_join(
        &mut self,
        id: SessionId,
        claims: &Claims,
        name: &str,
        since: Option<Position>,
        wants_presence: bool,
    ) -> Result<Room, ErrorCode> {
        let room = self.settings.room(name).ok_or(ErrorCode::InvalidRoom)?;
        let Some(session) = self.sessions.get(&id) else { return Err(ErrorCode::UnknownError) };
        let is_in = session.rooms.contains_key(&room);
        let is_full = session.rooms.len() as u64 >= self.settings.limits.max_rooms;
        if !claims.may(self.settings.is_open, &room, &Operation::Subscribe) {
            self.leave(id, &room);
            return Err(ErrorCode::Forbidden);
        }
        if !is_in && is_full {
            return Err(ErrorCode::LimitExceeded);
        }
        // Whoever is in it and asks for nothing more stays in it while the broker is away.
        if self.is_away && !(is_in && since.is_none() && !wants_presence) {
            self.leave(id, &room);
            return Err(ErrorCode::Unavailable);
        }
        Ok(room)
    }

    /// Replaces what the connection says in the room's presence; answers that it may not take part.
    fn attend(
        &mut self,
        id: SessionId,
        claims: &Claims,
        room: &Room,
        wish: Option<&PresenceOptions>,
    ) -> Option<PresenceStatus> {
        let may_attend = claims.may(self.settings.is_open, room, &Operation::Presence);
        let Some(wish) = wish.filter(|_| may_attend) else {
            self.leave_presence(id, room);
            return wish.map(|_| PresenceStatus::Denied);
        };
        let data = wish.data.as_ref().and_then(|data| serde_json::from_str(data.get()).ok());
        let news = self.presence.enter(room, &claims.user, id, data);
        self.tell(news);
        None
    }

    fn unsubscribe(&mut self, id: SessionId, names: Vec<String>) -> Result<Reply, ErrorPayload> {
        if let Some(refusal) = self.too_many_rooms(&names) {
            return Err(refusal);
        }
        let mut rooms = BTreeMap::new();
        for name in names {
            let outcome = match self.settings.room(&name) {
                Some(room) => {
                    self.leave(id, &room);
                    RoomOutcome::Unsubscribed
                }
                None => RoomOutcome::Denied { code: ErrorCode::InvalidRoom },
            };
            rooms.insert(name, outcome);
        }
        Ok(Reply::SubscriptionAck(SubscriptionAck { rooms }))
    }

    fn publish_of(
        &mut self,
        id: SessionId,
        reply_to: Option<RequestId>,
        Publish { event, rooms }: Publish,
    ) -> Result<(), ErrorPayload> {
        let session = self.sessions.get(&id).ok_or_else(over)?;
        let claims = session.claims.clone().ok_or_else(over)?;
        let typing = (event.event_type == TYPING).then(|| serde_json::from_str(event.payload.get()).ok()).flatten();
        if let Some(room) = typing.as_ref().and_then(Value::room)
            && !session.rooms.contains_key(&room)
            && !claims.grants_allow(&room, &Operation::PublishType(event.event_type.parse().map_err(|_| over())?))
        {
            return Err(ErrorPayload::new(ErrorCode::Forbidden, format!("join {room} to type there")));
        }
        let submission = EventBody {
            event_type: event.event_type,
            payload: event.payload,
            event_id: event.event_id,
            rooms,
            user_id: None,
            timestamp: None,
        };
        let draft = self.draft(Author::Socket(&claims, id), submission)?;
        let (published, placed) = self.place(draft, Some(Source::Socket))?;
        self.say(id, reply_to, Reply::PublishAck(published));
        if let Some(placed) = placed {
            if let Event::UserTyping(typing) = &placed.frame.event {
                self.note_typing(id, &claims, typing);
            }
            self.deliver(&placed);
        }
        Ok(())
    }

    /// Notes an indicator; the one that would end first makes place for another.
    fn note_typing(&mut self, id: SessionId, claims: &Claims, typing: &UserTyping) {
        let (Some(session), Ok(room)) = (self.sessions.get_mut(&id), Room::new("issue", &typing.issue_id)) else {
            return;
        };
        if !typing.is_typing {
            session.typing.remove(&room);
            return;
        }
        session.typing.insert(room, Instant::now() + TYPING_LASTS);
        let first = session.typing.iter().min_by_key(|(_, until)| **until).map(|(room, _)| room.clone());
        if let Some(first) = first.filter(|_| session.typing.len() > MOST_TYPING) {
            session.typing.remove(&first);
            self.say_stopped(id, claims, &first);
        }
    }
}

/// What is read of an indicator before it is checked.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    issue_id: String,
}

impl Value {
    fn room(&self) -> Option<Room> {
        Room::new("issue", &self.issue_id).ok()
    }
}
