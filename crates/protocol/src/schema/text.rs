//! The texts with a grammar, and the map of positions, as schemas.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{EventId, EventType, Position, RequestId, Room, Timestamp, UserId};

macro_rules! texts {
    ($($(#[doc = $doc:literal])+ $name:ident = {$($rules:tt)+};)+) => {
        $(impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "description": concat!($($doc),+).trim(), $($rules)+})
            }
        })+
    };
}

texts! {
    /// A room: `kind:id`, such as `team:team_456`.
    Room = {"pattern": r"^[a-z][a-z0-9_]{0,31}:[A-Za-z0-9_.@|~-]{1,128}$"};
    /// A place in the stream of one room, `epoch:offset`. Two positions of one room and epoch compare by the integer behind
    /// the last colon, and by nothing else.
    Position = {"pattern": r"^(0|[1-9a-z][0-9a-z]{0,12}):(0|[1-9][0-9]{0,19})$"};
    /// Names one event for ever. Whoever publishes may choose it, and may then safely publish again.
    EventId = {"pattern": r"^[A-Za-z0-9_.:-]{1,64}$"};
    /// A client's name for one of its requests, 1 to 64 characters; the answer carries it as `replyTo`.
    RequestId = {"minLength": 1, "maxLength": 64};
    /// A user: the `sub` of a token.
    UserId = {"pattern": r"^[A-Za-z0-9_.@|~-]{1,128}$"};
    /// A point in time: RFC 3339 in UTC with milliseconds, `2024-01-15T10:30:00.000Z`.
    Timestamp = {"format": "date-time"};
    /// The name of an event type: two or more lower-case words joined by dots. Those of the protocol's own frames are
    /// reserved.
    EventType = {
        "maxLength": 64,
        "pattern": r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$",
        "not": {"pattern": r"^(connection|subscription|publish|auth|presence)\."}
    };
}

/// A position for each of some rooms, as a schema; in code it is a map of [`Room`] to [`Position`].
#[derive(Debug)]
pub struct Positions;

impl JsonSchema for Positions {
    fn schema_name() -> Cow<'static, str> {
        "Positions".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A position for each of some rooms, by the room's name.",
            "propertyNames": generator.subschema_for::<Room>(),
            "additionalProperties": generator.subschema_for::<Position>(),
        })
    }
}
