//! The bodies of the publishing calls.

use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{ErrorCode, NewEvent, Published, Room, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, event_id};

/// One event, as the call takes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventBody {
    #[serde(rename = "type")]
    event_type: String,
    payload: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<Vec<Room>>,
    event_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
}

/// Several events.
#[derive(Debug, Serialize)]
pub(super) struct BatchBody {
    pub(super) events: Vec<EventBody>,
}

/// What became of several events, in their order.
#[derive(Debug, Deserialize)]
pub(super) struct BatchAnswer {
    pub(super) results: Vec<Outcome>,
}

/// What became of one event of several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    Published(Published),
    Refused(Problem),
}

/// Why a call was refused (RFC 9457).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    pub(super) code: ErrorCode,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    pointer: Option<String>,
    #[serde(default)]
    retry_after_ms: Option<u64>,
}

impl EventBody {
    /// `with_rooms`: whether the call takes rooms; those of a call that does not are in its path.
    pub(super) fn new(event: NewEvent, with_rooms: bool) -> Self {
        Self {
            event_id: event_id(&event),
            event_type: event.event.event_type().into(),
            payload: event.event.payload(),
            user_id: event.user_id,
            rooms: event.rooms.filter(|_| with_rooms),
            timestamp: event.timestamp,
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let words = problem.detail.or(problem.message).or(problem.title).unwrap_or_else(|| "refused".into());
        let payload = ErrorPayload {
            retry_after_ms: problem.retry_after_ms,
            pointer: problem.pointer,
            ..ErrorPayload::new(problem.code, words)
        };
        Self::refused("publish", &payload)
    }
}

impl From<Outcome> for Result<Published, Error> {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Published(published) => Ok(published),
            Outcome::Refused(problem) => Err(problem.into()),
        }
    }
}
