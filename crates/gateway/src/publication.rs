//! Publications: events on their way from the broker to their readers.
//!
//! A publication carries all rooms of its event with their positions, and one prepared frame for each set of rooms that a
//! reader is in: the text differs only in `positions`, and never names a room that its reader is not in.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use roomcast_protocol::event::EventType;
use roomcast_protocol::{EventId, Position, Room, Timestamp, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::frame::{Frame, Subject};
use crate::hub::ConnectionId;

/// The most rooms that one event may have: a set of them fits one [`RoomSet`].
pub(crate) const MAX_ROOMS: usize = 128;

/// A set of a publication's rooms, by their place in its list.
pub(crate) type RoomSet = u128;

/// An event that may be published: checked, stamped and encoded, but without positions yet.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The event's id.
    pub event_id: EventId,
    /// Whether the publisher chose the id, so that it is remembered and a repeat publishes nothing.
    pub is_repeatable: bool,
    /// Where the event goes: 1 to [`MAX_ROOMS`] rooms, none twice.
    pub rooms: Vec<Room>,
    /// The frame's text up to `positions`.
    pub head: Bytes,
    /// Ephemeral events have no positions and are not kept.
    pub is_ephemeral: bool,
    /// The connection that gets no echo.
    pub except: Option<ConnectionId>,
}

/// What the text of an event's frame begins with.
pub(crate) struct Head<'a> {
    /// The type's name.
    pub event_type: &'a EventType,
    /// The payload, as its publisher wrote it.
    pub payload: &'a RawValue,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Who did it.
    pub user_id: Option<&'a UserId>,
    /// The event's id.
    pub event_id: &'a EventId,
}

/// As much of an event's text as says what it is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    user_id: Option<Cow<'a, str>>,
}

impl Head<'_> {
    /// The text, open at its end for `positions`.
    #[must_use]
    pub(crate) fn encode(&self) -> Bytes {
        let timestamp = self.timestamp.to_string();
        let (user_key, user_id) = self.user_id.map_or(("", ""), |user| ("\",\"userId\":\"", user.as_str()));
        // Names of types, users and events are of letters that JSON does not escape. The closing brace comes with the positions.
        let parts = [
            "{\"type\":\"",
            self.event_type.as_str(),
            "\",\"payload\":",
            self.payload.get(),
            ",\"timestamp\":\"",
            &timestamp,
            user_key,
            user_id,
            "\",\"eventId\":\"",
            self.event_id.as_str(),
            "\"",
        ];
        parts.concat().into()
    }
}

/// An event with its positions. Shared by the broker's history and everybody whom it is delivered to.
#[derive(Debug)]
pub struct Publication {
    /// The event's id.
    pub event_id: EventId,
    /// The rooms, each with the event's place in its stream; `None` for an ephemeral event.
    pub places: Vec<(Room, Option<Position>)>,
    /// The connection that gets no echo.
    pub except: Option<ConnectionId>,
    /// The frame for readers in all the rooms: the only one of most publications, and so what is kept of its text.
    whole: Frame,
    /// How much of that text is the draft's head, which all frames have.
    head: usize,
    /// Frames for readers in some of the rooms, made at first use.
    partial: Mutex<Vec<(RoomSet, Frame)>>,
}

impl Publication {
    /// The draft, at these places.
    #[must_use]
    pub fn new(draft: Draft, places: Vec<(Room, Option<Position>)>) -> Arc<Self> {
        Arc::new(Self {
            event_id: draft.event_id,
            except: draft.except,
            whole: encode(&draft.head, &places, RoomSet::MAX),
            head: draft.head.len(),
            places,
            partial: Mutex::new(Vec::new()),
        })
    }

    /// The set of all its rooms.
    #[must_use]
    pub fn all_rooms(&self) -> RoomSet {
        RoomSet::MAX >> (MAX_ROOMS - self.places.len().clamp(1, MAX_ROOMS))
    }

    /// The frame for a reader that is in these of its rooms.
    #[must_use]
    pub fn frame(&self, rooms: RoomSet) -> Frame {
        if rooms == self.all_rooms() {
            return self.whole.clone();
        }
        let mut partial = self.partial.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, frame)) = partial.iter().find(|(set, _)| *set == rooms) {
            return frame.clone();
        }
        let frame = encode(&self.whole.text()[..self.head], &self.places, rooms);
        partial.push((rooms, frame.clone()));
        frame
    }

    /// Its place in a room.
    pub(crate) fn position(&self, room: &Room) -> Option<Position> {
        self.places.iter().find(|(known, _)| known == room)?.1
    }

    /// The set of one of its rooms; empty when it is none of them.
    pub(crate) fn only(&self, room: &Room) -> RoomSet {
        self.places.iter().position(|(known, _)| known == room).map_or(0, |place| 1 << place)
    }

    /// How many bytes it takes to keep: an estimate for budgets.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.whole.len() + self.places.iter().map(|(room, _)| room.as_str().len() + 48).sum::<usize>() + 160
    }
}

/// The frame of a head for a reader in these of the places.
fn encode(head: &[u8], places: &[(Room, Option<Position>)], rooms: RoomSet) -> Frame {
    let mut text = Frame::beginning(head.len() + 64);
    text.extend_from_slice(head);
    let named = places.iter().enumerate().filter(|(index, _)| rooms & (1 << index) != 0);
    let mut opening: &[u8] = br#","positions":{"#;
    for (room, position) in named.filter_map(|(_, (room, position))| Some((room, (*position)?))) {
        // Rooms and positions are of letters that JSON does not escape.
        for part in [opening, b"\"", room.as_str().as_bytes(), b"\":\"", position.text().as_bytes(), b"\""] {
            text.extend_from_slice(part);
        }
        opening = b",";
    }
    if opening == b"," {
        text.push(b'}');
    }
    text.push(b'}');
    let frame = Frame::of_beginning(text);
    let subject = subject(&frame, places);
    frame.about(subject)
}

/// What an ephemeral event is about. Only the latest of those that a slow reader has not got is worth sending.
fn subject(frame: &Frame, places: &[(Room, Option<Position>)]) -> Option<Subject> {
    if places.iter().any(|(_, position)| position.is_some()) {
        return None;
    }
    let about: About<'_> = serde_json::from_str(frame.as_str()).ok()?;
    let rooms: Vec<&Room> = places.iter().map(|(room, _)| room).collect();
    Some(Subject::of((rooms, about.event_type, about.user_id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use roomcast_protocol::Epoch;

    fn publication(rooms: &[&str], is_ephemeral: bool) -> Arc<Publication> {
        let event_id: EventId = "e1".parse().unwrap();
        let payload = RawValue::from_string("{ \"n\": 1 }".into()).unwrap();
        let head = Head {
            event_type: &"custom.event".parse().unwrap(),
            payload: &payload,
            timestamp: "2024-01-15T10:30:00Z".parse().unwrap(),
            user_id: None,
            event_id: &event_id,
        };
        let rooms: Vec<Room> = rooms.iter().map(|room| room.parse().unwrap()).collect();
        let place = |offset| (!is_ephemeral).then_some(Position { epoch: Epoch(35), offset });
        let places = rooms.iter().cloned().zip((1..).map(place)).collect();
        let draft = Draft {
            event_id: event_id.clone(),
            is_repeatable: false,
            rooms,
            head: head.encode(),
            is_ephemeral,
            except: None,
        };
        Publication::new(draft, places)
    }

    #[test]
    fn a_frame_names_the_rooms_of_its_reader_and_no_others() {
        let publication = publication(&["team:a", "issue:b", "user:c"], false);
        let positions = |rooms| {
            serde_json::from_str::<serde_json::Value>(publication.frame(rooms).as_str()).unwrap()["positions"].clone()
        };
        assert_eq!(positions(0b111), serde_json::json!({"team:a": "z:1", "issue:b": "z:2", "user:c": "z:3"}));
        assert_eq!(positions(0b010), serde_json::json!({"issue:b": "z:2"}));
    }

    #[test]
    fn one_frame_is_shared_by_all_readers_of_the_same_rooms() {
        let publication = publication(&["team:a", "issue:b"], false);
        for rooms in [0b11, 0b10] {
            assert_eq!(publication.frame(rooms).bytes().as_ptr(), publication.frame(rooms).bytes().as_ptr());
        }
    }

    #[test]
    fn an_ephemeral_frame_has_no_positions() {
        let frame = publication(&["issue:b"], true).frame(1);
        assert_eq!(
            frame.as_str(),
            r#"{"type":"custom.event","payload":{ "n": 1 },"timestamp":"2024-01-15T10:30:00.000Z","eventId":"e1"}"#
        );
    }

    #[test]
    fn ephemeral_events_of_one_type_user_and_room_have_one_subject_and_kept_events_none() {
        let subject = |rooms: &[&str], is_ephemeral| publication(rooms, is_ephemeral).frame(1).subject();
        assert_eq!(subject(&["issue:b"], false), None);
        assert!(subject(&["issue:b"], true).is_some());
        assert_eq!(subject(&["issue:b"], true), subject(&["issue:b"], true));
        assert_ne!(subject(&["issue:b"], true), subject(&["issue:c"], true));
    }

    #[test]
    fn as_many_rooms_as_allowed_have_a_set() {
        let rooms: Vec<String> = (0..MAX_ROOMS).map(|index| format!("team:t{index}")).collect();
        let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
        assert_eq!(publication(&rooms, false).all_rooms(), RoomSet::MAX);
        assert_eq!(publication(&rooms[..1], false).all_rooms(), 1);
    }
}
