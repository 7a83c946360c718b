//! Identifiers: of events, requests and users.
//!
//! Each is a text with a grammar that is checked once, at the edge.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::room;

/// The text is not an identifier of the wanted kind; the message says what one looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(&'static str);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(InvalidId($rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().into()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, out)
            }
        }
    };
}

text_id! {
    /// Names one event for ever: 1 to 64 of `A-Z a-z 0-9 _ . : -`. A publisher that chooses it may safely publish again.
    EventId, "an event id is 1 to 64 letters, digits or _ . : -", |text| {
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
    }
}

text_id! {
    /// A client's name for one of its requests, 1 to 64 characters; the answer carries it as `replyTo`.
    RequestId, "an id is a string of 1 to 64 characters", |text| {
        // At most four bytes a character: longer texts need not be counted.
        text.len() <= 256 && (1..=64).contains(&text.chars().count())
    }
}

text_id! {
    /// A user: the `sub` of a token, which is also the id of the user's own room and shares its grammar.
    UserId, "a user id is 1 to 128 letters, digits or _ . @ | ~ -", room::is_id
}

impl UserId {
    /// The user's own room, `user:<id>`.
    #[must_use]
    pub fn room(&self) -> room::Room {
        room::Room::user(&self.0)
    }
}
