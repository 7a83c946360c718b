//! The names of event types.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// The name of an event type that may be published: two or more lower-case words joined by dots, at most 64 characters,
/// and none of the names that the protocol keeps for its own frames.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct EventType(Arc<str>);

/// The text cannot name an event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEventType {
    /// Outside the grammar.
    #[error(
        "an event type is two or more lower-case words joined by dots, such as issue.updated, of at most 64 characters"
    )]
    Grammar,
    /// One of the protocol's own.
    #[error("event types that start with connection., subscription., publish., auth. or presence. are reserved")]
    Reserved,
}

impl EventType {
    /// The longest name, in characters.
    pub const MAX_LENGTH: usize = 64;

    /// What the names of the protocol's own frames start with.
    pub const RESERVED: [&'static str; 5] = ["connection.", "subscription.", "publish.", "auth.", "presence."];

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn fits_grammar(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    text.len() <= EventType::MAX_LENGTH
        && text.contains('.')
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.split('.').all(word)
}

impl FromStr for EventType {
    type Err = InvalidEventType;

    fn from_str(text: &str) -> Result<Self, InvalidEventType> {
        if Self::RESERVED.iter().any(|prefix| text.starts_with(prefix)) || text == "error" {
            return Err(InvalidEventType::Reserved);
        }
        if fits_grammar(text) { Ok(Self(text.into())) } else { Err(InvalidEventType::Grammar) }
    }
}

impl TryFrom<String> for EventType {
    type Error = InvalidEventType;

    fn try_from(text: String) -> Result<Self, InvalidEventType> {
        text.parse()
    }
}

impl From<EventType> for String {
    fn from(name: EventType) -> Self {
        name.0.as_ref().into()
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}
