//! HTTP bodies: events to publish, and what the gateway answers.
//!
//! Owns their shapes in both directions: the SDK's publisher writes what the gateway reads. Fields that the gateway refuses
//! with a pointer to the place (a room, an id, a payload) are kept as they came; checking them is the gateway's.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::server::ErrorPayload;
use crate::{ErrorCode, NewEvent, Published};

/// One event to publish: body of `POST /api/v1/events`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventBody {
    /// The type's name, such as `issue.updated`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The payload, as it came.
    pub payload: Box<RawValue>,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Where to; absent: the rooms of the event's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rooms: Option<Vec<String>>,
    /// The event's id; absent: the gateway makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// When it happened; absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
}

impl TryFrom<&NewEvent> for EventBody {
    type Error = serde_json::Error;

    /// The event as the SDK posts it.
    ///
    /// # Errors
    /// Never for what [`Event::payload`](crate::Event::payload) gives; it is serde's to say.
    fn try_from(new: &NewEvent) -> Result<Self, serde_json::Error> {
        Ok(Self {
            event_type: new.event.event_type().into(),
            payload: to_raw_value(&new.event.payload())?,
            user_id: new.user_id.as_ref().map(ToString::to_string),
            rooms: new.rooms.as_ref().map(|rooms| rooms.iter().map(ToString::to_string).collect()),
            event_id: new.event_id.as_ref().map(ToString::to_string),
            timestamp: new.timestamp.as_ref().map(ToString::to_string),
        })
    }
}

/// Several events to publish, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Batch {
    /// At most 1,000.
    pub events: Vec<EventBody>,
}

/// The answer to a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BatchAnswer {
    /// One for each event, in the batch's order.
    pub results: Vec<BatchResult>,
}

/// What became of one event of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum BatchResult {
    /// It was published.
    Published(Published),
    /// It was refused, with the pointer from its own root.
    Refused(ErrorPayload),
}

/// An error of the HTTP API: `application/problem+json` (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `about:blank`: the code says what kind it is.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub problem_type: Option<String>,
    /// Words for the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The HTTP status, repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Words for this case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What kind of error.
    pub code: ErrorCode,
    /// JSON pointer (RFC 6901) to what is wrong, from the event's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Try again after this many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}
