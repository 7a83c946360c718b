//! The payloads of the frames that are no events.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ErrorCode, Position, Room, Timestamp, UserId};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Limits that are the operator's own, by whom they bound and of what, as in `user.publishes`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rates: BTreeMap<String, Rate>,
}

/// So much in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// How much.
    pub count: u64,
    /// In how long, in milliseconds, from the first on.
    pub window_ms: u64,
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

impl fmt::Display for GapReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::EpochChanged => "epoch_changed",
            Self::HistoryTruncated => "history_truncated",
            Self::TooManyMissed => "too_many_missed",
        })
    }
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
