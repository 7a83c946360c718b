//! Error codes: the answer to one frame or call that could not be carried out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)+) => {
        /// Why a frame or an HTTP call was refused. It never ends a connection; a close code does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code as the wire writes it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// The HTTP status that carries the code.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $(Self::$name => $status),+ }
            }
        }
    };
}

error_codes! {
    /// The token is missing, malformed, expired or not signed by a known key.
    Unauthorized = "UNAUTHORIZED", 401;
    /// Too many messages or failed authentications; `retryAfterMs` says when the next one counts anew.
    RateLimitExceeded = "RATE_LIMIT_EXCEEDED", 429;
    /// Not JSON, not a known frame, or a field of the wrong type.
    InvalidMessage = "INVALID_MESSAGE", 400;
    /// The gateway failed; repeating may help.
    UnknownError = "UNKNOWN_ERROR", 500;
    /// The token does not grant this.
    Forbidden = "FORBIDDEN", 403;
    /// The name is outside the grammar of rooms, or of a kind that this gateway does not have.
    InvalidRoom = "INVALID_ROOM", 422;
    /// The event is not as its type wants it; `pointer` is the JSON pointer to the place, from the event's root.
    InvalidPayload = "INVALID_PAYLOAD", 422;
    /// More rooms, events or bytes than allowed at once.
    LimitExceeded = "LIMIT_EXCEEDED", 413;
    /// The broker is away. Of a publish the outcome is unknown: repeat it with the same `eventId`.
    Unavailable = "UNAVAILABLE", 503;
}

/// The text is none of the error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an error code")]
pub struct UnknownErrorCode;

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, UnknownErrorCode> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownErrorCode)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A code of a later version reads as [`ErrorCode::UnknownError`], so that the rest of its frame is not lost.
impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(text.parse().unwrap_or(Self::UnknownError))
    }
}
