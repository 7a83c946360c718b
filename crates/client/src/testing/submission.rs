//! Events as a gateway checks them.
//!
//! Owns the way from what a publisher sent to a draft: the type's name, the payload, the rooms, the rights, and what the
//! gateway stamps. Each refusal names the place, from the event's root. What a payload must have is the protocol's to say.

use std::collections::BTreeMap;

use roomcast_protocol::event::{EventType, PayloadError};
use roomcast_protocol::http::EventBody;
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{ErrorCode, Event, EventFrame, EventId, Operation, Room, Timestamp, UserId};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::builder::Settings;
use super::identity::Claims;
use super::session::SessionId;

pub(super) const TYPING: &str = "user.typing";

/// Who publishes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Author<'a> {
    /// The test, as a back end that may do everything.
    Script,
    /// A token over HTTP.
    Http(&'a Claims),
    /// A connection; it gets no echo of its typing.
    Socket(&'a Claims, SessionId),
}

/// An event that may be published.
#[derive(Debug)]
pub(super) struct Draft {
    /// Without its positions.
    pub(super) frame: EventFrame,
    pub(super) rooms: Vec<Room>,
    /// The publisher chose the id.
    pub(super) is_repeatable: bool,
    /// The connection that gets no echo.
    pub(super) except: Option<SessionId>,
}

pub(super) fn refusal(code: ErrorCode, pointer: &str, message: impl Into<String>) -> ErrorPayload {
    ErrorPayload { pointer: Some(pointer.into()), ..ErrorPayload::new(code, message) }
}

fn invalid(pointer: &str, message: impl ToString) -> ErrorPayload {
    refusal(ErrorCode::InvalidPayload, pointer, message.to_string())
}

impl<'a> Author<'a> {
    fn claims(self) -> Option<&'a Claims> {
        match self {
            Self::Script => None,
            Self::Http(claims) | Self::Socket(claims, _) => Some(claims),
        }
    }

    /// Whom to stamp in place of what the publisher says, unless it may speak for others.
    fn stamped(self, rooms: &[Room]) -> Option<&'a Claims> {
        match self {
            Self::Script => None,
            Self::Socket(claims, _) => Some(claims),
            Self::Http(claims) => {
                let may_speak = rooms.iter().all(|room| claims.grants_allow(room, &Operation::Publish));
                (!may_speak).then_some(claims)
            }
        }
    }
}

/// Checks an event, and stamps it. `new_id` makes one where the publisher gave none.
///
/// # Errors
/// The answer that tells the publisher what is wrong.
pub(super) fn draft(
    settings: &Settings,
    author: Author<'_>,
    submission: EventBody,
    now: Timestamp,
    new_id: impl FnOnce() -> EventId,
) -> Result<Draft, ErrorPayload> {
    let EventBody { event_type, payload, user_id, rooms, event_id, timestamp } = submission;
    let name: EventType = event_type.parse().map_err(|error| invalid("/type", error))?;
    let most = settings.limits.max_message_bytes;
    if payload.get().len() as u64 > most {
        let message = format!("the payload has more than {most} bytes");
        return Err(refusal(ErrorCode::LimitExceeded, "/payload", message));
    }
    let event_id: Option<EventId> =
        event_id.map(|id| id.parse().map_err(|error| invalid("/eventId", error))).transpose()?;
    let is_typing = event_type == TYPING;
    let payload = if is_typing { stamp_typing(author, payload)? } else { payload };
    let event = Event::decode(&event_type, &payload).map_err(refused)?;
    let rooms = rooms_of(settings, &event, rooms)?;
    check_rights(settings, author, &rooms, &Operation::PublishType(name))?;
    let user_id = acting_user(author, &rooms, user_id)?;
    let timestamp = match (author, timestamp) {
        (Author::Socket(..), _) | (_, None) => now,
        (_, Some(text)) => text.parse().map_err(|error| invalid("/timestamp", error))?,
    };
    let except = match author {
        Author::Socket(_, session) if is_typing => Some(session),
        _ => None,
    };
    let is_repeatable = event_id.is_some();
    let event_id = Some(event_id.unwrap_or_else(new_id));
    Ok(Draft {
        frame: EventFrame { event, timestamp, user_id, event_id, positions: BTreeMap::new() },
        rooms,
        is_repeatable,
        except,
    })
}

fn refused(error: PayloadError) -> ErrorPayload {
    invalid(&error.pointer, error.message)
}

/// Who types is whose token it is.
fn stamp_typing(author: Author<'_>, payload: Box<RawValue>) -> Result<Box<RawValue>, ErrorPayload> {
    let no_object = |_| invalid("/payload", "expected an object");
    let mut fields: Map<String, Value> = serde_json::from_str(payload.get()).map_err(no_object)?;
    let room = fields.get("issueId").and_then(Value::as_str).and_then(|id| Room::new("issue", id).ok());
    let Some(claims) = author.stamped(room.as_slice()) else { return Ok(payload) };
    fields.insert("userId".into(), claims.user.as_str().into());
    fields.insert("userEmail".into(), claims.email.as_str().into());
    to_raw_value(&fields).map_err(no_object)
}

/// The rooms that the event goes to, each once.
fn rooms_of(settings: &Settings, event: &Event, named: Option<Vec<String>>) -> Result<Vec<Room>, ErrorPayload> {
    let implied = event.rooms().map_err(refused);
    let Some(named) = named else {
        let mut rooms = Vec::new();
        for room in implied? {
            if !rooms.contains(&room) {
                rooms.push(room);
            }
        }
        let none = || invalid("/rooms", format!("{} needs rooms", event.event_type()));
        return if rooms.is_empty() { Err(none()) } else { Ok(rooms) };
    };
    let rooms = named_rooms(settings, &named)?;
    if event.event_type() == TYPING && implied?.first() != rooms.first().filter(|_| rooms.len() == 1) {
        return Err(invalid("/rooms", "user.typing goes to the room of its issue only"));
    }
    Ok(rooms)
}

fn named_rooms(settings: &Settings, named: &[String]) -> Result<Vec<Room>, ErrorPayload> {
    if named.is_empty() {
        return Err(invalid("/rooms", "the list is empty"));
    }
    let most = settings.limits.max_rooms_per_message;
    let mut rooms = Vec::new();
    for (index, name) in named.iter().enumerate() {
        let pointer = format!("/rooms/{index}");
        let room = settings.room(name).ok_or_else(|| refusal(ErrorCode::InvalidRoom, &pointer, "not a room here"))?;
        if rooms.contains(&room) {
            continue;
        }
        if rooms.len() as u64 == most {
            return Err(refusal(ErrorCode::LimitExceeded, "/rooms", format!("at most {most} rooms")));
        }
        rooms.push(room);
    }
    Ok(rooms)
}

fn check_rights(
    settings: &Settings,
    author: Author<'_>,
    rooms: &[Room],
    operation: &Operation,
) -> Result<(), ErrorPayload> {
    let Some(claims) = author.claims() else { return Ok(()) };
    match rooms.iter().find(|room| !claims.may(settings.is_open, room, operation)) {
        Some(room) => {
            let message = format!("the token does not grant {operation} on {room}");
            Err(ErrorPayload::new(ErrorCode::Forbidden, message))
        }
        None => Ok(()),
    }
}

fn acting_user(author: Author<'_>, rooms: &[Room], said: Option<String>) -> Result<Option<UserId>, ErrorPayload> {
    match author.stamped(rooms) {
        Some(claims) => Ok(Some(claims.user.clone())),
        None => said.map(|user| user.parse().map_err(|error| invalid("/userId", error))).transpose(),
    }
}
