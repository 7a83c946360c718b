//! What can go wrong, for both handles of the SDK.
//!
//! Owns the one error type and its kinds, which are what a program decides by; the text is for people. No text holds a
//! token or the query of a URL.

use std::fmt;
use std::time::Duration;

use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{CloseCode, ErrorCode, Room};

/// Why something asked of the SDK was not done.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    pointer: Option<String>,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option of a builder cannot be used.
    Options,
    /// The token provider failed, or what it gave cannot be a token.
    Token,
    /// No connection could be made.
    Connect,
    /// The connection was lost before the answer came. Whether the request was carried out is unknown.
    Disconnected,
    /// The answer did not come in time. Whether the request was carried out is unknown.
    Timeout,
    /// The gateway refused, and said why.
    Denied {
        /// Why.
        code: ErrorCode,
    },
    /// The request cannot be put into words that the gateway would take.
    Invalid,
    /// Too many requests wait already.
    Busy,
    /// The client is closed for good.
    Closed {
        /// The close code that ended it; `None` when something else did.
        code: Option<CloseCode>,
    },
    /// The answer is none that this version understands.
    Protocol,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, pointer: None }
    }

    pub(crate) fn options(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Options, message)
    }

    pub(crate) fn connect(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Connect, message)
    }

    pub(crate) fn disconnected(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Disconnected, message)
    }

    pub(crate) fn closed(code: Option<CloseCode>, reason: &str) -> Self {
        Self::new(ErrorKind::Closed { code }, format!("use a closed client: {reason}"))
    }

    pub(crate) fn room_denied(room: &Room, code: ErrorCode) -> Self {
        Self::new(ErrorKind::Denied { code }, format!("subscribe to {room}: denied with {code}"))
    }

    /// What a gateway refused of `doing`.
    pub(crate) fn refused(doing: &str, payload: &ErrorPayload) -> Self {
        let message = match &payload.pointer {
            Some(pointer) => format!("{doing}: {} ({} at {pointer})", payload.message, payload.code),
            None => format!("{doing}: {} ({})", payload.message, payload.code),
        };
        Self {
            kind: ErrorKind::Denied { code: payload.code },
            message,
            retry_after: payload.retry_after_ms.map(Duration::from_millis),
            pointer: payload.pointer.clone(),
        }
    }

    pub(crate) fn after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after.or(self.retry_after);
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The gateway's wish for how long to wait before another try.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// JSON pointer (RFC 6901) to what is wrong with a refused event, from the event's root.
    #[must_use]
    pub fn pointer(&self) -> Option<&str> {
        self.pointer.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
