//! What a fake gateway remembers for the test: what was published, and with which tokens.

use std::fmt;

use roomcast_protocol::{Event, EventId, Room, UserId};

/// An event that a client or a publisher has published. A repeat under the same id is none.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Publication {
    /// What happened.
    pub event: Event,
    /// Where it went to.
    pub rooms: Vec<Room>,
    /// Who did it, as the gateway has stamped it.
    pub user_id: Option<UserId>,
    /// The event's id.
    pub event_id: EventId,
    /// How it came.
    pub source: Source,
}

/// How an event came to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Over a WebSocket: [`Client::publish`](crate::Client::publish) and [`typing`](crate::Client::typing).
    Socket,
    /// Over HTTP: a [`Publisher`](crate::Publisher).
    Http,
}

/// A token that was brought, at a connect, for a renewal or with an HTTP call. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct UsedToken {
    pub(super) text: String,
    pub(super) user: Option<UserId>,
}

impl UsedToken {
    /// The token itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whom it names; `None` when it was refused.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }
}

impl fmt::Debug for UsedToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("UsedToken").field("user", &self.user).finish_non_exhaustive()
    }
}
