//! Frames from a client to the gateway.
//!
//! Owns their shapes in both directions: the SDK writes them, the gateway parses them. Parsing checks what a frame can say
//! by itself; whether the sender may do it, and whether a room or an event exists, is the gateway's to decide.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserializer, Error as _};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Position, RequestId};

/// A frame of a client, with the id by which it wants its answer marked.
#[derive(Debug, Clone)]
pub struct Request {
    /// Comes back as `replyTo`.
    pub id: Option<RequestId>,
    /// What the client asks for.
    pub message: ClientMessage,
}

/// What a client can ask for. Its `Debug` shows no token.
#[derive(Clone)]
pub enum ClientMessage {
    /// `{"type":"ping"}`: answered with a `connection.ack` whose message is "pong".
    Ping,
    /// As the first frame: who this is. Later: the same user's next token.
    Authenticate {
        /// A JWT.
        token: String,
    },
    /// Join rooms.
    Subscribe(Subscribe),
    /// Leave rooms.
    Unsubscribe {
        /// The rooms' names, as the client wrote them.
        rooms: Vec<String>,
    },
    /// Publish an event.
    Publish(Publish),
}

impl fmt::Debug for ClientMessage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping => out.write_str("Ping"),
            Self::Authenticate { .. } => out.debug_struct("Authenticate").finish_non_exhaustive(),
            Self::Subscribe(subscribe) => out.debug_tuple("Subscribe").field(subscribe).finish(),
            Self::Unsubscribe { rooms } => out.debug_struct("Unsubscribe").field("rooms", rooms).finish(),
            Self::Publish(publish) => out.debug_tuple("Publish").field(publish).finish(),
        }
    }
}

/// `{"action":"subscribe"}`.
#[derive(Debug, Clone, Default)]
pub struct Subscribe {
    /// The rooms' names, as the client wrote them: an invalid one is denied by itself, not with its whole frame.
    pub rooms: Vec<String>,
    /// The position of the last event seen, for each room to resume.
    pub since: BTreeMap<String, Position>,
    /// Asks for presence, in every room of the request.
    pub presence: Option<PresenceOptions>,
}

/// How a connection takes part in presence.
#[derive(Debug, Clone, Default)]
pub struct PresenceOptions {
    /// What others see beside the user's id.
    pub data: Option<Box<RawValue>>,
}

impl PresenceOptions {
    /// The most bytes that `data` may have, as the client wrote it.
    pub const MAX_DATA: usize = 1024;

    /// Presence with something to say.
    ///
    /// # Errors
    /// What is wrong with the data, in words: it is over [`MAX_DATA`](Self::MAX_DATA), or nested too deeply to be read by
    /// others where it stands.
    pub fn with_data(data: Box<RawValue>) -> Result<Self, String> {
        if data.get().len() > Self::MAX_DATA {
            return Err(format!("presence: data is over {} bytes", Self::MAX_DATA));
        }
        // In a member, in a list, in a payload.
        let read: Result<serde_json::Value, _> = serde_json::from_str(&format!("[[[{}]]]", data.get()));
        read.map_err(|error| format!("presence: data: {}", reason(&error)))?;
        Ok(Self { data: Some(data) })
    }
}

/// `{"action":"publish"}`.
#[derive(Debug, Clone)]
pub struct Publish {
    /// The event.
    pub event: ClientEvent,
    /// The rooms to publish to; absent: those of the event's type.
    pub rooms: Option<Vec<String>>,
}

/// An event as a client publishes it: who and when are stamped by the gateway.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientEvent {
    /// The type's name, such as `user.typing`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The payload, as it came.
    pub payload: Box<RawValue>,
    /// The event's id, when the client chose one so that it may publish again safely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
}

/// The frame is none that a client may send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidMessage {
    /// The frame's id, when that could be read.
    pub reply_to: Option<RequestId>,
    /// What is wrong.
    pub message: String,
}

/// The flat outer object: which frame it is decides how its fields are read.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type", deserialize_with = "present")]
    frame_type: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    action: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    token: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    rooms: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    since: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    presence: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    event: Option<&'a RawValue>,
}

/// A field that is there, `null` included: serde's own `Option` cannot tell `null` from absent.
pub(crate) fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads an object: derived structs would also take an array, field by field.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, serde_json::Error> {
    if json.trim_start().starts_with('{') {
        serde_json::from_str(json)
    } else {
        Err(serde_json::Error::custom("expected an object"))
    }
}

impl Request {
    /// Parses a text frame.
    ///
    /// # Errors
    /// [`InvalidMessage`] when it is not JSON, no known frame, or has a field of the wrong type.
    pub fn parse(text: &str) -> Result<Self, InvalidMessage> {
        let envelope: Envelope<'_> = object(text)
            .map_err(|error| InvalidMessage { reply_to: None, message: format!("not a frame: {error}") })?;
        let id = match envelope.id {
            Some(id) => Some(field(id, "id").map_err(|message| InvalidMessage { reply_to: None, message })?),
            None => None,
        };
        match envelope.message() {
            Ok(message) => Ok(Self { id, message }),
            Err(message) => Err(InvalidMessage { reply_to: id, message }),
        }
    }
}

impl Envelope<'_> {
    fn message(&self) -> Result<ClientMessage, String> {
        match (self.frame_type, self.action) {
            (Some(_), Some(_)) => Err("a frame has a type or an action, not both".into()),
            (None, None) => Err("a frame has a type or an action".into()),
            (Some(frame_type), None) => match field::<Cow<'_, str>>(frame_type, "type")?.as_ref() {
                "ping" => Ok(ClientMessage::Ping),
                _ => Err("unknown type: a client sends ping, or an action".into()),
            },
            (None, Some(action)) => self.action(&field::<Cow<'_, str>>(action, "action")?),
        }
    }

    fn action(&self, action: &str) -> Result<ClientMessage, String> {
        match action {
            "authenticate" => Ok(ClientMessage::Authenticate { token: required(self.token, "token")? }),
            "subscribe" => self.subscribe().map(ClientMessage::Subscribe),
            "unsubscribe" => Ok(ClientMessage::Unsubscribe { rooms: rooms(self.rooms)? }),
            "publish" => {
                let event = self.event.ok_or("event is missing")?;
                let event = object(event.get()).map_err(|error| format!("event: {}", reason(&error)))?;
                let rooms = self.rooms.map(|rooms| field(rooms, "rooms")).transpose()?;
                Ok(ClientMessage::Publish(Publish { event, rooms }))
            }
            _ => Err("unknown action: it is authenticate, subscribe, unsubscribe or publish".into()),
        }
    }

    fn subscribe(&self) -> Result<Subscribe, String> {
        let rooms = rooms(self.rooms)?;
        let mut since = BTreeMap::new();
        if let Some(raw) = self.since {
            let positions: BTreeMap<String, &RawValue> = field(raw, "since")?;
            // What was not asked for is not looked at. A set, since both lists may be as long as a message allows.
            let asked: BTreeSet<&str> = rooms.iter().map(String::as_str).collect();
            for (room, position) in positions.into_iter().filter(|(room, _)| asked.contains(room.as_str())) {
                since.insert(room, field(position, "since")?);
            }
        }
        let presence = self.presence.map(presence).transpose()?.flatten();
        Ok(Subscribe { rooms, since, presence })
    }
}

fn rooms(raw: Option<&RawValue>) -> Result<Vec<String>, String> {
    let rooms: Vec<String> = required(raw, "rooms")?;
    if rooms.is_empty() { Err("rooms is empty".into()) } else { Ok(rooms) }
}

fn presence(raw: &RawValue) -> Result<Option<PresenceOptions>, String> {
    #[derive(Deserialize)]
    struct Options {
        #[serde(default)]
        data: Option<Box<RawValue>>,
    }
    if let Ok(wanted) = serde_json::from_str::<bool>(raw.get()) {
        return Ok(wanted.then(PresenceOptions::default));
    }
    let options: Options = object(raw.get()).map_err(|_| "presence is true or an object with data")?;
    options.data.map_or(Ok(PresenceOptions::default()), PresenceOptions::with_data).map(Some)
}

fn required<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>, name: &str) -> Result<T, String> {
    field(raw.ok_or_else(|| format!("{name} is missing"))?, name)
}

fn field<'a, T: Deserialize<'a>>(raw: &'a RawValue, name: &str) -> Result<T, String> {
    serde_json::from_str(raw.get()).map_err(|error| format!("{name}: {}", reason(&error)))
}

/// The error without its place, which would be one inside the field.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

impl Serialize for Request {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        match &self.message {
            ClientMessage::Ping => map.serialize_entry("type", "ping")?,
            ClientMessage::Authenticate { token } => {
                map.serialize_entry("action", "authenticate")?;
                map.serialize_entry("token", token)?;
            }
            ClientMessage::Subscribe(subscribe) => {
                map.serialize_entry("action", "subscribe")?;
                map.serialize_entry("rooms", &subscribe.rooms)?;
                if !subscribe.since.is_empty() {
                    map.serialize_entry("since", &subscribe.since)?;
                }
                match &subscribe.presence {
                    None => {}
                    Some(PresenceOptions { data: None }) => map.serialize_entry("presence", &true)?,
                    Some(PresenceOptions { data }) => {
                        map.serialize_entry("presence", &BTreeMap::from([("data", data)]))?
                    }
                }
            }
            ClientMessage::Unsubscribe { rooms } => {
                map.serialize_entry("action", "unsubscribe")?;
                map.serialize_entry("rooms", rooms)?;
            }
            ClientMessage::Publish(publish) => {
                map.serialize_entry("action", "publish")?;
                map.serialize_entry("event", &publish.event)?;
                if let Some(rooms) = &publish.rooms {
                    map.serialize_entry("rooms", rooms)?;
                }
            }
        }
        map.end()
    }
}
