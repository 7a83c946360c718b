//! Frames from the gateway to a client.
//!
//! Owns their shapes in both directions: the gateway writes them, the SDK reads them. A frame of a later version is kept as
//! [`ServerMessage::Unknown`], never an error.

use std::collections::BTreeMap;

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::client::{object, present};
use crate::event::{Event, EventType};
use crate::{ErrorCode, EventId, Position, Published, RequestId, Room, Timestamp, UserId};

macro_rules! replies {
    ($($(#[doc = $doc:literal])+ $name:ident($payload:ty) = $type:literal;)+) => {
        /// What a frame that is no event says.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Reply {
            $($(#[doc = $doc])+ $name($payload),)+
        }

        impl Reply {
            /// The types of these frames, in order.
            pub const TYPES: &'static [&'static str] = &[$($type),+];

            /// The frame's type.
            #[must_use]
            pub fn frame_type(&self) -> &'static str {
                match self { $(Self::$name(_) => $type,)+ }
            }

            fn serialize_payload<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                match self { $(Self::$name(payload) => map.serialize_entry("payload", payload),)+ }
            }

            /// `None` for a type that is no reply.
            fn decode(frame_type: &str, payload: &RawValue) -> Option<Result<Self, serde_json::Error>> {
                match frame_type {
                    $($type => Some(serde_json::from_str(payload.get()).map(Self::$name)),)+
                    _ => None,
                }
            }
        }

        /// These frames with their payloads' schemas: for what is made from the list.
        #[cfg(feature = "schema")]
        pub(crate) fn registered(generator: &mut schemars::SchemaGenerator) -> Vec<crate::schema::Registered> {
            vec![$(crate::schema::Registered {
                name: stringify!($name),
                wire_type: $type,
                description: concat!($($doc),+).trim(),
                payload: generator.subschema_for::<$payload>(),
            }),+]
        }
    };
}

replies! {
    /// The connection is authenticated, or a ping came in.
    ConnectionAck(ConnectionAck) = "connection.ack";
    /// The server is about to close the connection.
    ConnectionClosing(ConnectionClosing) = "connection.closing";
    /// A new token is in force.
    AuthAck(AuthAck) = "auth.ack";
    /// The token is about to run out.
    AuthExpiring(AuthExpiring) = "auth.expiring";
    /// What became of each room of a request, or, without `replyTo`, of a room that the client is in.
    SubscriptionAck(SubscriptionAck) = "subscription.ack";
    /// The event was published.
    PublishAck(Published) = "publish.ack";
    /// Who is in a room, oneself included.
    PresenceState(PresenceState) = "presence.state";
    /// A user came into a room, or has new data.
    PresenceJoined(PresenceChange) = "presence.joined";
    /// A user left a room.
    PresenceLeft(PresenceChange) = "presence.left";
    /// A frame was refused.
    Error(ErrorPayload) = "error";
}

/// A frame from the gateway.
#[derive(Debug, Clone)]
pub enum ServerMessage {
    /// An event of a room.
    Event(Box<EventFrame>),
    /// An answer, or news of the connection itself.
    Reply(Box<ReplyFrame>),
    /// A frame that this version does not know, to be ignored.
    Unknown {
        /// Its type.
        frame_type: String,
    },
}

/// A frame that is no event.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplyFrame {
    /// The id of the request that it answers.
    pub reply_to: Option<RequestId>,
    /// What it says.
    pub reply: Reply,
    /// When the gateway wrote it.
    pub timestamp: Timestamp,
}

/// An event, as it reaches a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct EventFrame {
    /// What happened.
    pub event: Event,
    /// When.
    pub timestamp: Timestamp,
    /// Who did it.
    pub user_id: Option<UserId>,
    /// The event's id; the same event may come again under it.
    pub event_id: Option<EventId>,
    /// The event's place in each of its rooms that the connection is in; empty for an ephemeral event.
    pub positions: BTreeMap<Room, Position>,
}

/// Payload of `connection.ack`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum ConnectionAck {
    /// The connection is open and authenticated.
    Connected(Box<Connected>),
    /// The answer to a ping.
    Pong(Pong),
}

/// The first frame on a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Connected {
    /// Words for people.
    pub message: String,
    /// When the gateway wrote it.
    pub timestamp: Timestamp,
    /// Names the connection, in logs and for operators.
    pub connection_id: String,
    /// Whom the token names.
    pub user_id: UserId,
    /// The protocol's name and version, `roomcast.v1`.
    pub protocol: String,
    /// When the token runs out.
    pub expires_at: Timestamp,
    /// The rooms that the connection is in from the start.
    pub rooms: BTreeMap<String, RoomOutcome>,
    /// How the connection is kept alive.
    pub heartbeat: Heartbeat,
    /// What the connection may do at most.
    pub limits: Limits,
    /// Which events the gateway knows.
    pub schema: SchemaVersion,
}

/// The answer to a ping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pong {
    /// Always "pong".
    pub message: String,
    /// When the gateway wrote it.
    pub timestamp: Timestamp,
}

/// How a connection is kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// The gateway pings about this often, in milliseconds.
    pub ping_interval_ms: u64,
    /// The gateway closes a connection that sent no frame for this long, in milliseconds.
    pub timeout_ms: u64,
}

/// What a connection may do at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Messages in a minute; with another window configured, the number scaled to a minute.
    pub messages_per_minute: u64,
    /// Bytes in one message.
    pub max_message_bytes: u64,
    /// Rooms at a time.
    pub max_rooms: u64,
    /// Rooms in one request.
    pub max_rooms_per_message: u64,
}

/// Which events a gateway knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SchemaVersion {
    /// The version of the protocol's schema.
    pub version: String,
    /// Changes whenever the schema does.
    pub hash: String,
}

/// Payload of `connection.closing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ConnectionClosing {
    /// The close code that follows.
    pub code: u16,
    /// Words for people.
    pub reason: String,
    /// Come back after this many milliseconds; absent where the advice is to stay away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Whether coming back with positions can recover what is missed.
    pub resumable: bool,
}

/// Payload of `auth.ack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuthAck {
    /// Whom the token names.
    pub user_id: UserId,
    /// When the token runs out.
    pub expires_at: Timestamp,
    /// Rooms that the new token does not grant, which the connection has left.
    pub lost_rooms: Vec<Room>,
}

/// Payload of `auth.expiring`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AuthExpiring {
    /// When the token runs out.
    pub expires_at: Timestamp,
}

/// Payload of `subscription.ack`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubscriptionAck {
    /// By the room's name, as the client wrote it.
    pub rooms: BTreeMap<String, RoomOutcome>,
}

/// What became of one room of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("type" = "object", "discriminator" = {"propertyName": "status"})))]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum RoomOutcome {
    /// Joined; live events start behind the position.
    #[cfg_attr(feature = "schema", schemars(title = "RoomSubscribed"))]
    Subscribed {
        /// Where live delivery starts.
        position: Position,
        /// Present when presence was asked for and not granted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        presence: Option<PresenceStatus>,
    },
    /// Joined; every missed event follows, in order, then live events.
    #[cfg_attr(feature = "schema", schemars(title = "RoomRecovered"))]
    Recovered {
        /// The position that the client gave; each replayed event moves it.
        position: Position,
        /// How many missed events follow.
        recovered: u64,
        /// Present when presence was asked for and not granted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        presence: Option<PresenceStatus>,
    },
    /// Joined, but events were missed that cannot be replayed: load the state anew.
    #[cfg_attr(feature = "schema", schemars(title = "RoomGap"))]
    Gap {
        /// Where live delivery starts.
        position: Position,
        /// Why nothing is replayed.
        reason: GapReason,
        /// Present when presence was asked for and not granted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        presence: Option<PresenceStatus>,
    },
    /// Not joined.
    #[cfg_attr(feature = "schema", schemars(title = "RoomDenied"))]
    Denied {
        /// Why.
        code: ErrorCode,
    },
    /// Left, or not joined in the first place.
    #[cfg_attr(feature = "schema", schemars(title = "RoomUnsubscribed"))]
    Unsubscribed,
}

/// What became of a wish for presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PresenceStatus {
    /// The token does not grant it.
    Denied,
}

/// Why missed events cannot be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The stream of the position is lost.
    EpochChanged,
    /// The events are older than what is retained.
    HistoryTruncated,
    /// There are more than the gateway replays.
    TooManyMissed,
}

/// Payload of `presence.state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PresenceState {
    /// The room.
    pub room: Room,
    /// Who is in it.
    pub members: Vec<PresenceMember>,
}

/// Payload of `presence.joined` and `presence.left`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PresenceChange {
    /// The room.
    pub room: Room,
    /// Who came or left.
    pub member: PresenceMember,
}

/// A user in a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PresenceMember {
    /// The user.
    pub user_id: UserId,
    /// What the user's client said of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
    /// How many connections the user has in the room.
    pub connections: u32,
}

/// Payload of `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErrorPayload {
    /// What kind of error.
    pub code: ErrorCode,
    /// Words for people.
    pub message: String,
    /// Try again after this many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// JSON pointer (RFC 6901) to what is wrong, from the event's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

impl ErrorPayload {
    /// An error with nothing but a code and words.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None, pointer: None }
    }
}

impl Serialize for ReplyFrame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.reply.frame_type())?;
        if let Some(id) = &self.reply_to {
            map.serialize_entry("replyTo", id)?;
        }
        self.reply.serialize_payload(&mut map)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        map.end()
    }
}

impl Serialize for EventFrame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.event.event_type())?;
        map.serialize_entry("payload", &self.event.payload())?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        if let Some(user) = &self.user_id {
            map.serialize_entry("userId", user)?;
        }
        if let Some(id) = &self.event_id {
            map.serialize_entry("eventId", id)?;
        }
        if !self.positions.is_empty() {
            map.serialize_entry("positions", &self.positions)?;
        }
        map.end()
    }
}

/// The flat outer object: the type decides how the payload is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(rename = "type")]
    frame_type: String,
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    timestamp: Option<Timestamp>,
    reply_to: Option<RequestId>,
    user_id: Option<UserId>,
    event_id: Option<EventId>,
    #[serde(default)]
    positions: BTreeMap<Room, Position>,
}

impl ServerMessage {
    /// Reads a text frame. What this version does not know is kept as unknown.
    ///
    /// # Errors
    /// When it is not JSON, has no type, or is a known frame with a field of the wrong type.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let envelope: Envelope<'_> = match object(text) {
            Ok(envelope) => envelope,
            Err(error) => return unknown(text).ok_or(error),
        };
        let (Some(payload), Some(timestamp)) = (envelope.payload, envelope.timestamp) else {
            return Ok(Self::Unknown { frame_type: envelope.frame_type });
        };
        if let Some(reply) = Reply::decode(&envelope.frame_type, payload) {
            return Ok(Self::Reply(Box::new(ReplyFrame { reply_to: envelope.reply_to, reply: reply?, timestamp })));
        }
        if envelope.frame_type.parse::<EventType>().is_err() {
            return Ok(Self::Unknown { frame_type: envelope.frame_type });
        }
        // A publisher of a later version may have changed a payload: better an untyped event than none.
        let event = Event::decode(&envelope.frame_type, payload)
            .unwrap_or_else(|_| Event::custom(envelope.frame_type.as_str(), payload));
        Ok(Self::Event(Box::new(EventFrame {
            event,
            timestamp,
            user_id: envelope.user_id,
            event_id: envelope.event_id,
            positions: envelope.positions,
        })))
    }
}

/// A frame that cannot be read, but whose type this version does not know either: its fields may mean anything.
fn unknown(text: &str) -> Option<ServerMessage> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        frame_type: String,
    }
    let Typed { frame_type } = object(text).ok()?;
    let known = Reply::TYPES.contains(&frame_type.as_str()) || frame_type.parse::<EventType>().is_ok();
    (!known).then_some(ServerMessage::Unknown { frame_type })
}
