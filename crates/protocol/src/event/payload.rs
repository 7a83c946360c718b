//! What all payloads have in common: reading them with an error that names the place, and the rooms that they imply.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::Room;
use crate::event::CustomEvent;

/// The fields of a payload that its struct does not name, kept as they came.
pub type Extra = Map<String, Value>;

/// Arrays and objects within each other that serde_json reads into a [`Value`].
const DEEPEST: usize = 127;

/// The payload of a registered event type.
pub trait Payload: Serialize + DeserializeOwned {
    /// The rooms that the event goes to by default: kind, the field that holds the id, and the id.
    fn default_rooms(&self) -> Vec<(&'static str, String, &str)>;

    /// The fields that the struct does not name.
    fn extra(&self) -> &Extra;
}

/// A payload is not as its type wants it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PayloadError {
    /// JSON pointer (RFC 6901) to the place, from the event's root: `/payload/teamId`.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

impl PayloadError {
    /// An error at a place of the payload; an empty `path` is the payload itself.
    fn at(path: &str, message: impl Into<String>) -> Self {
        let pointer = if path.is_empty() { "/payload".into() } else { format!("/payload/{}", escape(path)) };
        Self { pointer, message: message.into() }
    }
}

/// RFC 6901 section 3.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

pub(super) fn decode<P: Payload>(payload: &RawValue) -> Result<P, PayloadError> {
    let mut deserializer = serde_json::Deserializer::from_str(payload.get());
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().iter().next().map(ToString::to_string).filter(|_| error.path().to_string() != ".");
        let message = error.inner().to_string();
        // The position in a raw payload means nothing to its publisher.
        let message = message.split(" at line ").next().unwrap_or_default();
        let field = field.or_else(|| missing_field(message)).unwrap_or_default();
        PayloadError::at(&field, message)
    })
}

/// That a payload of a type that is not in the registry can be read.
pub(super) fn check_custom(payload: &RawValue) -> Result<(), PayloadError> {
    let text = payload.get();
    // What opens fewer than may be open at once needs no closer look. With a bit less, `{` is `[`; and a count that fits a
    // byte is taken of many bytes at once.
    let openings = |bytes: &[u8]| bytes.iter().map(|byte| u8::from(*byte & !0x20 == b'[')).sum::<u8>();
    if text.as_bytes().chunks(usize::from(u8::MAX)).map(|chunk| usize::from(openings(chunk))).sum::<usize>() <= DEEPEST
    {
        return Ok(());
    }
    let (mut depth, mut deepest, mut is_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if deepest > DEEPEST { Err(PayloadError::at("", "nested too deeply")) } else { Ok(()) }
}

/// Keeps a payload of a type that is not in the registry.
pub(super) fn custom(event_type: &str, payload: &RawValue) -> Result<CustomEvent, PayloadError> {
    // A RawValue is JSON already; only its nesting can exceed what a Value holds.
    let payload = serde_json::from_str(payload.get()).map_err(|_| PayloadError::at("", "nested too deeply"))?;
    Ok(CustomEvent { event_type: event_type.into(), payload })
}

/// serde reports a missing field at the struct that lacks it; its name stands only in the message.
fn missing_field(message: &str) -> Option<String> {
    message.strip_prefix("missing field `")?.split('`').next().map(Into::into)
}

pub(super) fn rooms<P: Payload>(payload: &P) -> Result<Vec<Room>, PayloadError> {
    let room = |kind: &str, field: &str, id: &str| {
        Room::new(kind, id).map_err(|error| PayloadError::at(field, format!("cannot name a {kind} room: {error}")))
    };
    let mut rooms = payload
        .default_rooms()
        .into_iter()
        .map(|(kind, field, id)| room(kind, &field, id))
        .collect::<Result<Vec<_>, _>>()?;
    // What is meant for one user must not reach a whole workspace because it mentions it.
    if rooms.is_empty() {
        return Ok(rooms);
    }
    // Every other event that says its workspace goes there too, so that a page that shows all of it needs one room.
    match payload.extra().get("workspaceId") {
        Some(Value::String(id)) => rooms.push(room("workspace", "workspaceId", id)?),
        Some(_) => return Err(PayloadError::at("workspaceId", "invalid type, expected a string")),
        None => {}
    }
    Ok(rooms)
}

/// Payload structs are maps with string keys, which always have a JSON form.
pub(super) fn to_value<P: Payload>(payload: &P) -> Value {
    serde_json::to_value(payload).unwrap_or_default()
}

/// Defines a payload: its struct, with unknown fields kept, and the rooms that it implies.
macro_rules! payload {
    (
        $(#[$doc:meta])*
        $name:ident -> [$($kind:literal = $room:ident),*] {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[cfg_attr(feature = "schema", schemars(transform = crate::schema::add_workspace))]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            /// Fields that this version does not name, kept as they came.
            #[serde(flatten)]
            pub extra: $crate::event::Extra,
        }

        impl $crate::event::Payload for $name {
            fn default_rooms(&self) -> Vec<(&'static str, String, &str)> {
                vec![$(($kind, $crate::event::payload::wire_name(stringify!($room)), self.$room.as_str())),*]
            }

            fn extra(&self) -> &$crate::event::Extra {
                &self.extra
            }
        }
    };
}
pub(super) use payload;

/// The wire's name of a field: `team_id` is `teamId` there.
pub(super) fn wire_name(field: &str) -> String {
    let mut words = field.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, IssueUpdated};

    fn pointer_of(payload: &str) -> String {
        let raw = RawValue::from_string(payload.into()).unwrap();
        decode::<IssueUpdated>(&raw).unwrap_err().pointer
    }

    #[test]
    fn a_missing_field_is_named() {
        assert_eq!(pointer_of(r#"{"id":"i","changes":{}}"#), "/payload/teamId");
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named() {
        assert_eq!(pointer_of(r#"{"id":7,"changes":{},"teamId":"t"}"#), "/payload/id");
        assert_eq!(pointer_of(r#"{"id":"i","changes":[],"teamId":"t"}"#), "/payload/changes");
    }

    #[test]
    fn a_payload_that_is_no_object_is_named_itself() {
        assert_eq!(pointer_of("7"), "/payload");
        assert_eq!(pointer_of("null"), "/payload");
    }

    #[test]
    fn a_payload_may_be_as_deep_as_its_readers_can_read() {
        for depth in [0, 1, DEEPEST - 1, DEEPEST, DEEPEST + 1, 1000] {
            let nested = format!(r#"{}"\\\"[[\"{{"{}"#, "[".repeat(depth), "]".repeat(depth));
            let raw = RawValue::from_string(nested).unwrap();
            assert_eq!(check_custom(&raw).is_ok(), custom("a.b", &raw).is_ok(), "{depth}");
            assert_eq!(check_custom(&raw).is_ok(), depth <= DEEPEST, "{depth}");
        }
    }

    #[test]
    fn an_id_that_cannot_name_a_room_is_named() {
        let raw = RawValue::from_string(r#"{"id":"a b","changes":{},"teamId":"t"}"#.into()).unwrap();
        let event = Event::decode("issue.updated", &raw).unwrap();
        assert_eq!(event.rooms().unwrap_err().pointer, "/payload/id");
    }
}
