//! Events: what happened, typed.
//!
//! Owns the registry of event types: one line in `events!` ties a type's name to its payload and to the rooms that it
//! goes to when its publisher names none. A type that is not in the registry is kept as it came ([`Event::Custom`]), and so
//! is every field of a payload that its struct does not name: a newer publisher never breaks an older reader.

mod comment;
mod cycle;
mod issue;
mod kind;
mod payload;
mod project;
mod user;

use serde_json::Value;
use serde_json::value::RawValue;

pub use comment::{CommentCreated, CommentDeleted, CommentUpdated};
pub use cycle::CycleUpdated;
pub use issue::{IssueArchived, IssueCreated, IssueDeleted, IssueUpdated};
pub use kind::{EventType, InvalidEventType};
pub use payload::{Extra, Payload, PayloadError};
pub use project::ProjectUpdated;
pub use user::{NotificationNew, UserTyping};

use crate::Room;

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident = $type:literal;)+) => {
        /// What happened: one variant for each type of the registry, and [`Event::Custom`] for all others.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Event {
            $($(#[doc = $doc])+ $name($name),)+
            /// An event of a type that is not in the registry: the application's own, or a newer one.
            Custom(CustomEvent),
        }

        impl Event {
            /// The types in the registry, in its order.
            pub const TYPES: &'static [&'static str] = &[$($type),+];

            /// The type's name, such as `issue.updated`.
            #[must_use]
            pub fn event_type(&self) -> &str {
                match self { $(Self::$name(_) => $type,)+ Self::Custom(event) => &event.event_type }
            }

            /// Reads a payload by its type's name. A name outside the registry gives [`Event::Custom`].
            ///
            /// # Errors
            /// [`PayloadError`] when the payload is not as its type wants it, or nested too deeply for any type.
            pub fn decode(event_type: &str, payload: &RawValue) -> Result<Self, PayloadError> {
                match event_type {
                    $($type => payload::decode(payload).map(Self::$name),)+
                    _ => payload::custom(event_type, payload).map(Self::Custom),
                }
            }

            /// Checks a payload as [`decode`](Self::decode) does, without keeping anything of a type that is not in the registry.
            ///
            /// # Errors
            /// The same.
            pub fn check(event_type: &str, payload: &RawValue) -> Result<(), PayloadError> {
                match event_type {
                    $($type => payload::decode::<$name>(payload).map(drop),)+
                    _ => payload::check_custom(payload),
                }
            }

            /// The rooms that the event goes to when its publisher names none; empty where the type has no such rooms. A
            /// payload with a `workspaceId` adds that workspace's room to the type's own.
            ///
            /// # Errors
            /// [`PayloadError`] with the pointer to the field whose value cannot be the id of a room.
            pub fn rooms(&self) -> Result<Vec<Room>, PayloadError> {
                match self { $(Self::$name(payload) => payload::rooms(payload),)+ Self::Custom(_) => Ok(Vec::new()) }
            }

            /// The payload as JSON.
            #[must_use]
            pub fn payload(&self) -> Value {
                match self { $(Self::$name(payload) => payload::to_value(payload),)+ Self::Custom(event) => event.payload.clone() }
            }
        }

        $(impl From<$name> for Event {
            fn from(payload: $name) -> Self {
                Self::$name(payload)
            }
        })+

        /// The registry with its payloads' schemas: for what is made from the list.
        #[cfg(feature = "schema")]
        pub(crate) fn registered(generator: &mut schemars::SchemaGenerator) -> Vec<crate::schema::Registered> {
            vec![$(crate::schema::Registered {
                name: stringify!($name),
                wire_type: $type,
                description: concat!($($doc),+).trim(),
                payload: generator.subschema_for::<$name>(),
            }),+]
        }
    };
}

events! {
    /// An issue was created.
    IssueCreated = "issue.created";
    /// Properties of an issue changed.
    IssueUpdated = "issue.updated";
    /// An issue was deleted.
    IssueDeleted = "issue.deleted";
    /// An issue was archived.
    IssueArchived = "issue.archived";
    /// A comment was added to an issue.
    CommentCreated = "comment.created";
    /// A comment was edited.
    CommentUpdated = "comment.updated";
    /// A comment was deleted.
    CommentDeleted = "comment.deleted";
    /// Properties of a project changed.
    ProjectUpdated = "project.updated";
    /// Properties of a cycle changed.
    CycleUpdated = "cycle.updated";
    /// A user started or stopped typing in an issue. Ephemeral: neither kept nor replayed.
    UserTyping = "user.typing";
    /// A notification to one user.
    NotificationNew = "notification.new";
}

/// An event of a type that is not in the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomEvent {
    /// The type's name, as it came.
    pub event_type: String,
    /// The payload, as it came.
    pub payload: Value,
}

impl Event {
    /// An event of the application's own type.
    #[must_use]
    pub fn custom(event_type: impl Into<String>, payload: impl Into<CustomPayload>) -> Self {
        Self::Custom(CustomEvent { event_type: event_type.into(), payload: payload.into().0 })
    }

    /// Whether events of the type are neither kept nor replayed, and may be dropped for a slow reader.
    #[must_use]
    pub fn is_ephemeral_type(event_type: &str) -> bool {
        event_type == "user.typing"
    }
}

/// The payload of a custom event, from JSON in either form.
#[derive(Debug, Clone)]
pub struct CustomPayload(Value);

impl From<Value> for CustomPayload {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl From<&RawValue> for CustomPayload {
    fn from(raw: &RawValue) -> Self {
        // A RawValue is JSON already; only its nesting can exceed what a Value holds, and then its text is kept.
        Self(serde_json::from_str(raw.get()).unwrap_or_else(|_| Value::String(raw.get().into())))
    }
}
