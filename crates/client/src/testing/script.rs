//! What a test can make happen.
//!
//! Owns the names under which a script calls for it; what becomes of it is the world's.

use std::time::Duration;

use roomcast_protocol::http::EventBody;
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{CloseCode, ErrorCode, NewEvent, Published, Room};

use super::submission::Author;
use super::{Connections, FakeGateway, Identity};
use crate::Error;

/// Refusals that may be asked for ahead.
const MOST_REFUSALS: usize = 10_000;

/// How a connection is refused before it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// HTTP 403: a client stays away.
    Forbidden,
    /// HTTP 429, with a `Retry-After` in whole seconds.
    TooManyRequests {
        /// When to come back.
        retry_after: Duration,
    },
    /// HTTP 503, with a `Retry-After` in whole seconds.
    Unavailable {
        /// When to come back.
        retry_after: Duration,
    },
}

/// What happens, as the test wants it.
impl FakeGateway {
    /// Publishes an event, as a back end that may do everything.
    ///
    /// # Errors
    /// What a [`Publisher`](crate::Publisher) is told by a gateway that refuses it: kind [`Denied`](crate::ErrorKind::Denied).
    pub fn publish(&self, event: impl Into<NewEvent>) -> Result<Published, Error> {
        let event = EventBody::try_from(&event.into())
            .map_err(|error| ErrorPayload::new(ErrorCode::InvalidPayload, error.to_string()));
        let published = event.and_then(|event| self.shared.with(|world| world.publish(Author::Script, event, None)));
        published.map_err(|refusal| Error::refused("publish", &refusal))
    }

    /// Nobody can connect any more, and whoever is connected is cut off: until [`come_up`](Self::come_up).
    pub fn go_down(&self) {
        self.shared.with(|world| {
            world.is_down = true;
            let everybody: Vec<_> = world.sessions.keys().copied().collect();
            everybody.into_iter().for_each(|id| world.cut(id));
        });
        self.shared.break_line();
    }

    /// The end of [`go_down`](Self::go_down).
    pub fn come_up(&self) {
        self.shared.with(|world| world.is_down = false);
    }

    /// Refuses the next connect. Called several times, it refuses so many, in this order.
    pub fn refuse_next(&self, refusal: Refusal) {
        self.shared.with(|world| {
            if world.refusals.len() < MOST_REFUSALS {
                world.refusals.push_back(refusal);
            }
        });
    }

    /// Refuses the next event that a client or a publisher publishes, with this. Called several times, it refuses so many,
    /// in this order.
    pub fn refuse_next_publish(&self, refusal: ErrorPayload) {
        self.shared.with(|world| {
            if world.publish_refusals.len() < MOST_REFUSALS {
                world.publish_refusals.push_back(refusal);
            }
        });
    }

    /// The broker is away, until this is called with `false`: rooms are denied for now, and publishes fail with
    /// `UNAVAILABLE`.
    pub fn set_unavailable(&self, is_away: bool) {
        self.shared.with(|world| world.is_away = is_away);
    }

    /// Events of the room are lost, and its stream begins anew: whoever is in it is told of a gap, and so is whoever comes
    /// back to it.
    pub fn gap(&self, room: &Room) {
        self.shared.with(|world| world.gap(room));
    }

    /// What is kept of the room is gone, as after a long time: nobody notices but who has missed some of it and comes back.
    pub fn forget_history(&self, room: &Room) {
        self.shared.with(|world| world.streams.forget(room));
    }

    /// Sends the user away: connections are closed with 4501, and tokens that were made up to this second are refused.
    ///
    /// # Panics
    /// When it is no user id.
    pub fn disconnect(&self, user: &str) {
        self.shared.with(|world| {
            let second = world.clock.millis() / 1000;
            world.disconnected.insert(Identity::of(user).into_user(), second);
        });
        self.connections().of(user).close(CloseCode::Disconnected);
    }

    /// Every frame and every answer waits so long before it is sent; zero ends that.
    pub fn delay(&self, delay: Duration) {
        self.shared.with(|world| world.delay = delay);
    }

    /// Nothing passes any more, in neither direction, while connections stay open, until this is called with `false`: a
    /// network that has gone without a word.
    pub fn stall(&self, is_stalled: bool) {
        self.shared.with(|world| {
            world.is_stalled = is_stalled;
            world.sessions.values().for_each(|session| session.outbox.wake());
        });
    }

    /// Those who are connected, to look at them or to do something to them.
    pub fn connections(&self) -> Connections<'_> {
        Connections::all(&self.shared)
    }
}
