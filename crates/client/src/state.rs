//! What an application can see of its connection.

use std::time::Duration;

use roomcast_protocol::{CloseCode, UserId};

use crate::{Error, ErrorKind};

/// Where a client's connection stands. [`Client::watch_state`](crate::Client::watch_state) tells every change.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConnectionState {
    /// The first attempt is under way.
    Connecting,
    /// Connected and authenticated.
    #[non_exhaustive]
    Open {
        /// Names the connection, in the gateway's logs and for operators.
        connection_id: String,
        /// Whom the token names.
        user_id: UserId,
    },
    /// The connection was lost, or could not be made. The client tries again, for ever.
    Reconnecting {
        /// How many attempts failed in a row, this loss included: 1 at first.
        attempt: u32,
        /// How long the client waits before the next attempt, counted from the moment of this state.
        next_try: Duration,
        /// Why the connection is not open.
        error: Error,
    },
    /// The end: the client does not come back.
    Closed {
        /// The close code that says why: 1000 when the application closed the client, 4500 to 4999 when the gateway said to
        /// stay away. `None` when it was refused over HTTP, or the runtime ended.
        code: Option<CloseCode>,
        /// Words for people.
        reason: String,
    },
}

impl ConnectionState {
    /// Whether the client is connected and authenticated.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// Whether the client has ended for good.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// The error of a call to a client that has ended.
    pub(crate) fn closed_error(&self) -> Error {
        match self {
            Self::Closed { code, reason } => Error::closed(*code, reason),
            _ => Error::closed(None, "its task has ended"),
        }
    }

    /// The error of a call whose answer did not come in time.
    pub(crate) fn timeout_error(&self, doing: &str) -> Error {
        let message = match self {
            Self::Reconnecting { error, .. } => format!("{doing}: timed out; last, it failed to {error}"),
            Self::Connecting => format!("{doing}: timed out while connecting"),
            _ => format!("{doing}: timed out"),
        };
        Error::new(ErrorKind::Timeout, message)
    }
}
