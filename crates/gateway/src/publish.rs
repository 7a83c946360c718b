//! Publishing: from what a publisher sent to a draft that a broker can publish.
//!
//! Owns the checks that are the same over a socket, over HTTP and from the library: the type's name, the payload, the
//! rooms, the rights, and what the gateway stamps. Each refusal names the place, from the event's root.

use std::collections::BTreeSet;

use roomcast_protocol::event::{EventType, PayloadError};
use roomcast_protocol::http::EventBody;
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{ErrorCode, Event, EventId, Operation, Room, Timestamp, UserId};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::access;
use crate::auth::Identity;
use crate::config::Config;
use crate::hub::ConnectionId;
use crate::publication::{Draft, Head};

/// An event as its publisher sent it, nothing of it checked.
#[derive(Debug)]
pub(crate) struct Submission {
    /// The type's name.
    pub event_type: String,
    /// The payload.
    pub payload: Box<RawValue>,
    /// The id, when the publisher chose one.
    pub event_id: Option<String>,
    /// The rooms, when the publisher names them.
    pub rooms: Option<Vec<String>>,
    /// Who did it, as the publisher says.
    pub user_id: Option<String>,
    /// When it happened, as the publisher says.
    pub timestamp: Option<String>,
}

impl From<EventBody> for Submission {
    fn from(event: EventBody) -> Self {
        let EventBody { event_type, payload, event_id, rooms, user_id, timestamp } = event;
        Self { event_type, payload, event_id, rooms, user_id, timestamp }
    }
}

/// Who publishes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Author<'a> {
    /// The process itself, through the library.
    Library,
    /// A token over HTTP.
    Http(&'a Identity),
    /// A connection; it gets no echo of its typing.
    Socket(&'a Identity, ConnectionId),
}

const TYPING: &str = "user.typing";

/// A submission that makes sense. Whether its author may publish it is not said yet.
#[derive(Debug)]
pub(crate) struct Checked {
    event_type: EventType,
    event_id: Option<EventId>,
    payload: Box<RawValue>,
    rooms: Vec<Room>,
    user_id: Option<String>,
    timestamp: Option<String>,
}

/// Checks a submission.
///
/// # Errors
/// The answer that tells the publisher what is wrong.
pub(crate) fn check(config: &Config, author: Author<'_>, submission: Submission) -> Result<Checked, ErrorPayload> {
    let event_type: EventType = submission
        .event_type
        .parse()
        .map_err(|error: roomcast_protocol::event::InvalidEventType| invalid("/type", error.to_string()))?;
    if submission.payload.get().len() > config.max_message_bytes {
        let message = format!("the payload has more than {} bytes", config.max_message_bytes);
        return Err(ErrorPayload {
            pointer: Some("/payload".into()),
            ..ErrorPayload::new(ErrorCode::LimitExceeded, message)
        });
    }
    let event_id = submission
        .event_id
        .as_deref()
        .map(str::parse::<EventId>)
        .transpose()
        .map_err(|error| invalid("/eventId", error.to_string()))?;
    let payload =
        if event_type.as_str() == TYPING { stamp_typing(author, submission.payload)? } else { submission.payload };
    let rooms = rooms(config, event_type.as_str(), &payload, submission.rooms)?;
    let Submission { user_id, timestamp, .. } = submission;
    Ok(Checked { event_type, event_id, payload, rooms, user_id, timestamp })
}

impl Checked {
    /// Where it goes.
    pub(crate) fn rooms(&self) -> &[Room] {
        &self.rooms
    }

    /// What its author must be allowed to do there.
    pub(crate) fn operation(&self) -> Operation {
        Operation::PublishType(self.event_type.clone())
    }

    /// Stamps what its author may publish.
    ///
    /// # Errors
    /// The answer that tells the publisher what is wrong with what it says of who and when.
    pub(crate) fn stamp(self, author: Author<'_>, now: Timestamp) -> Result<Draft, ErrorPayload> {
        let user_id = acting_user(author, &self.rooms, self.user_id)?;
        let timestamp = match (author, self.timestamp) {
            (Author::Socket(..), _) | (_, None) => now,
            (_, Some(text)) => text
                .parse()
                .map_err(|error: roomcast_protocol::InvalidTimestamp| invalid("/timestamp", error.to_string()))?,
        };
        let is_repeatable = self.event_id.is_some();
        let event_id = self.event_id.unwrap_or_else(new_event_id);
        let (payload, user_id) = (&*self.payload, user_id.as_ref());
        let head = Head { event_type: &self.event_type, payload, timestamp, user_id, event_id: &event_id }.encode();
        let event_type = self.event_type.as_str();
        let except = match author {
            Author::Socket(_, connection) if event_type == TYPING => Some(connection),
            _ => None,
        };
        let is_ephemeral = Event::is_ephemeral_type(event_type);
        Ok(Draft { is_ephemeral, event_id, is_repeatable, rooms: self.rooms, head, except })
    }
}

fn new_event_id() -> EventId {
    // Ordered by time, so that ids sort as events did. A UUID's text fits the grammar.
    let mut text = Uuid::encode_buffer();
    let text: &str = Uuid::now_v7().hyphenated().encode_lower(&mut text);
    text.parse().unwrap_or_else(|_| unreachable!("a UUID is an event id"))
}

fn invalid(pointer: &str, message: impl Into<String>) -> ErrorPayload {
    ErrorPayload { pointer: Some(pointer.into()), ..ErrorPayload::new(ErrorCode::InvalidPayload, message) }
}

impl Author<'_> {
    /// The identity to stamp in place of what the publisher says, unless it may speak for others.
    fn stamped(&self, rooms: &[Room]) -> Option<&Identity> {
        match self {
            Self::Library => None,
            Self::Socket(identity, _) => Some(identity),
            Self::Http(identity) => {
                (!rooms.iter().all(|room| access::may_speak_for_others(identity, room))).then_some(*identity)
            }
        }
    }
}

/// Who types is whose token it is.
fn stamp_typing(author: Author<'_>, payload: Box<RawValue>) -> Result<Box<RawValue>, ErrorPayload> {
    let fields: Map<String, Value> =
        serde_json::from_str(payload.get()).map_err(|_| invalid("/payload", "expected an object"))?;
    let room = fields.get("issueId").and_then(Value::as_str).and_then(|id| Room::new("issue", id).ok());
    // Without a room the payload is refused below anyway.
    let Some(identity) = author.stamped(room.as_slice()) else { return Ok(payload) };
    let mut fields = fields;
    fields.insert("userId".into(), identity.user.as_str().into());
    fields.insert("userEmail".into(), (*identity.email).into());
    to_raw_value(&fields).map_err(|_| invalid("/payload", "expected an object"))
}

/// The rooms that the event goes to, each once.
fn rooms(
    config: &Config,
    event_type: &str,
    payload: &RawValue,
    named: Option<Vec<String>>,
) -> Result<Vec<Room>, ErrorPayload> {
    // Types that are not in the registry are looked at too: a payload nested too deeply for its readers is refused here.
    let default = if named.is_none() || event_type == TYPING {
        Event::decode(event_type, payload).and_then(|event| event.rooms()).map_err(refused)?
    } else {
        Event::check(event_type, payload).map_err(refused)?;
        Vec::new()
    };
    let Some(named) = named else {
        let mut known = BTreeSet::new();
        let rooms: Vec<Room> = default.into_iter().filter(|room| known.insert(room.clone())).collect();
        return if rooms.is_empty() { Err(invalid("/rooms", format!("{event_type} needs rooms"))) } else { Ok(rooms) };
    };
    let rooms = named_rooms(config, &named)?;
    if event_type == TYPING && default.first() != rooms.first().filter(|_| rooms.len() == 1) {
        return Err(invalid("/rooms", "user.typing goes to the room of its issue only"));
    }
    Ok(rooms)
}

fn named_rooms(config: &Config, named: &[String]) -> Result<Vec<Room>, ErrorPayload> {
    if named.is_empty() {
        return Err(invalid("/rooms", "the list is empty"));
    }
    let most = config.max_rooms_per_message;
    let mut rooms = Vec::new();
    for (index, name) in named.iter().enumerate() {
        let room = parse_room(config, name)
            .map_err(|error| ErrorPayload { pointer: Some(format!("/rooms/{index}")), ..error })?;
        // A room that is named twice counts once.
        if rooms.contains(&room) {
            continue;
        }
        if rooms.len() == most {
            let error = ErrorPayload::new(ErrorCode::LimitExceeded, format!("at most {most} rooms"));
            return Err(ErrorPayload { pointer: Some("/rooms".into()), ..error });
        }
        rooms.push(room);
    }
    Ok(rooms)
}

/// A room of this gateway by its name.
///
/// # Errors
/// `INVALID_ROOM`, when the name is none or its kind is not known here.
pub(crate) fn parse_room(config: &Config, name: &str) -> Result<Room, ErrorPayload> {
    let room: Room = name.parse().map_err(|error: roomcast_protocol::InvalidRoom| {
        ErrorPayload::new(ErrorCode::InvalidRoom, error.to_string())
    })?;
    if config.has_room_kind(room.kind()) {
        Ok(room)
    } else {
        Err(ErrorPayload::new(ErrorCode::InvalidRoom, "rooms of this kind do not exist here"))
    }
}

fn refused(error: PayloadError) -> ErrorPayload {
    invalid(&error.pointer, error.message)
}

fn acting_user(author: Author<'_>, rooms: &[Room], said: Option<String>) -> Result<Option<UserId>, ErrorPayload> {
    if let Some(identity) = author.stamped(rooms) {
        return Ok(Some(identity.user.clone()));
    }
    said.map(|user| user.parse().map_err(|error: roomcast_protocol::InvalidId| invalid("/userId", error.to_string())))
        .transpose()
}
