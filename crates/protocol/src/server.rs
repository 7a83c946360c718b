//! Frames from the gateway to a client.
//!
//! Owns their shapes in both directions: the gateway writes them, the SDK reads them. A frame of a later version is kept as
//! [`ServerMessage::Unknown`], never an error.

mod payload;

use std::collections::BTreeMap;

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use payload::{
    AuthAck, AuthExpiring, Connected, ConnectionAck, ConnectionClosing, ErrorPayload, GapReason, Heartbeat, Limits,
    Pong, PresenceChange, PresenceMember, PresenceState, PresenceStatus, Rate, RoomOutcome, SchemaVersion,
    SubscriptionAck,
};

use crate::client::{object, present};
use crate::event::{Event, EventType};
use crate::{EventId, Position, Published, RequestId, Room, Timestamp, UserId};

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
