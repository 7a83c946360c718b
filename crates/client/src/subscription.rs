//! What an application holds of its rooms: a stream of deliveries.
//!
//! Owns the meaning of each delivery. Refuses to know the connection: a subscription outlives any number of them.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::future::poll_fn;
use roomcast_protocol::server::{GapReason, PresenceChange, PresenceMember, PresenceState};
use roomcast_protocol::{CloseCode, ErrorCode, EventFrame, Position, Room};
use serde_json::Value;
use tokio::sync::Notify;

use crate::Error;
use crate::calls::Calls;
use crate::driver::Command;
use crate::mailbox::Mailbox;
use crate::presence::Wish;

/// What a subscription brings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Delivery {
    /// An event of one or more of the subscription's rooms, once. Types that this version does not know come as
    /// [`Event::Custom`](roomcast_protocol::Event::Custom).
    Event(Box<EventFrame>),
    /// Events of the room are lost to this subscription: load its state anew. Whatever happens behind this notice comes.
    Gap {
        /// The room.
        room: Room,
        /// Why nothing was replayed; `None` where the gateway did not say.
        reason: Option<GapReason>,
    },
    /// The room goes on, after a reconnection or from the position that
    /// [`Client::subscribe_since`](crate::Client::subscribe_since) named, without a hole.
    Resumed {
        /// The room.
        room: Room,
        /// How many missed events follow, at most: an event of several rooms counts in each and comes once.
        recovered: u64,
    },
    /// The subscription was not read quickly enough, and its oldest deliveries were dropped here. They may have been of any
    /// of its rooms, and gap notices too: load the state of all its rooms anew. Where they were about who is in a room, a
    /// fresh [`PresenceState`](Delivery::PresenceState) of that room follows at once.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// Who is in a room, the user itself included, in a room that this subscription [joined](crate::Join::presence) with
    /// presence. It replaces what was known: it comes at first, on each reconnection, after the own data has changed, and
    /// whenever more has changed than is told one by one.
    PresenceState(PresenceState),
    /// Another user has come into the room, or has other data.
    PresenceJoined(PresenceChange),
    /// Another user has left the room: at once where it asked to, else some time after its connection was lost.
    PresenceLeft(PresenceChange),
    /// The gateway does not tell who is in the room: the token does not grant it, or too many are. Events of the room come
    /// all the same. It is asked again on a reconnection, with another token, and with other data.
    PresenceDenied {
        /// The room.
        room: Room,
    },
    /// The gateway refuses the room (at first, on a reconnection, or since the token lost its grant): the subscription is no
    /// longer in it. A subscription without any room left ends.
    Denied {
        /// The room.
        room: Room,
        /// Why.
        code: ErrorCode,
    },
    /// The client is closed for good. The last delivery.
    Closed {
        /// The close code, as in [`ConnectionState::Closed`](crate::ConnectionState::Closed).
        code: Option<CloseCode>,
        /// Words for people.
        reason: String,
    },
}

/// A subscription to one or more rooms: a stream of [`Delivery`]. It survives reconnections, keeps its client alive, and
/// leaves its rooms when it is dropped, unless another subscription is in them.
///
/// **Nothing is lost.** Behind a lost connection every room goes on where it was: the missed events come, in order, behind a
/// [`Delivery::Resumed`], or a [`Delivery::Gap`] says that they are lost. That is so for each room by itself.
///
/// **From a state to its events.** [`position`](Self::position) says where the stream begins. So, to follow what is stored
/// elsewhere: subscribe first, load the state then, and apply what the stream brings, which waits meanwhile. Where the
/// state knows its own position, what lies before that is in it already ([`Position::is_before`]). A state that takes so long
/// that more comes than [the buffer](crate::ClientBuilder::buffer) holds is told by [`Delivery::Lagged`], and loaded again.
///
/// **Over restarts.** Keep [`positions`](Self::positions) beside what was applied, and go on with
/// [`Client::subscribe_all_since`](crate::Client::subscribe_all_since). The positions in an event's frame are those of the
/// connection, which may be in more rooms than the subscription is.
///
/// **Which events.** Those of its rooms, each once, however many of its rooms an event is in. An ephemeral event does not
/// say its rooms: it goes to the subscriptions of the rooms that its type implies (`user.typing` to its issue). Where the
/// type implies none, or none that the client is in, every subscription of the client gets it, since the gateway sends
/// nothing to a connection outside the event's rooms.
///
/// **Who is there.** In rooms that were joined with [presence](crate::Join::presence), [`members`](Self::members) says who
/// is in them as of the deliveries taken so far, so that nobody has to put the changes together. While the connection is
/// away it keeps what was known; the list is told anew on the way back. Subscriptions of one client share what it says of
/// its user in a room: whoever spoke last has the say, and one that says nothing silences nobody. When the last one that
/// takes part is dropped, the user is gone from the list, also where others stay in the room.
#[derive(Debug)]
#[must_use = "dropping a subscription leaves its rooms"]
pub struct Subscription {
    id: SubscriptionId,
    rooms: Vec<Room>,
    mailbox: Arc<Mailbox>,
    departures: Arc<Departures>,
    /// Keeps the driver running.
    calls: Calls,
}

/// Names a subscription within its client.
pub(crate) type SubscriptionId = u64;

/// The subscriptions that were dropped since the driver last looked. A list and not a command, so that dropping never
/// waits and never fails; it holds at most one entry for each subscription.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    gone: Mutex<Vec<SubscriptionId>>,
    news: Notify,
}

impl Subscription {
    pub(crate) fn new(
        id: SubscriptionId,
        rooms: Vec<Room>,
        mailbox: Arc<Mailbox>,
        departures: Arc<Departures>,
        calls: Calls,
    ) -> Self {
        Self { id, rooms, mailbox, departures, calls }
    }

    /// The rooms that were asked for.
    #[must_use]
    pub fn rooms(&self) -> &[Room] {
        &self.rooms
    }

    /// How far this subscription has come in the room: over the deliveries that were taken from it, and at first over
    /// nothing, so that everything behind the position is still to come. Over a [`Delivery::Gap`] and a
    /// [`Delivery::Lagged`] too: it is then the position to load the room's state behind.
    ///
    /// `None` for a room that this subscription never was in, or is not in yet.
    #[must_use]
    pub fn position(&self, room: &Room) -> Option<Position> {
        self.mailbox.position(room)
    }

    /// How far this subscription has come in each of its rooms; see [`position`](Self::position).
    #[must_use]
    pub fn positions(&self) -> BTreeMap<Room, Position> {
        self.mailbox.positions()
    }

    /// Who is in the room, the user itself included, by id: as of the deliveries that were taken from this subscription.
    ///
    /// `None` for a room that was not joined with presence, where it is denied, and before the first
    /// [`Delivery::PresenceState`].
    #[must_use]
    pub fn members(&self, room: &Room) -> Option<Vec<PresenceMember>> {
        self.mailbox.members(room)
    }

    /// Says something else of the user in a room that this subscription joined with presence; `null` is nothing. Returns
    /// when the client has taken note: it is sent at once where there is a connection, and again on each reconnection.
    ///
    /// Each change is a message, of which a gateway takes about a hundred a minute. While one is on its way the changes
    /// behind it wait, and only the last of them is sent.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) when the data is too large, or the subscription takes no part in the room's
    /// presence; [`Closed`](crate::ErrorKind::Closed) when the client has ended.
    pub async fn update_presence(&self, room: &Room, data: Value) -> Result<(), Error> {
        let (id, room, wish) = (self.id, room.clone(), Wish::with_data(&data)?);
        self.calls.request("change presence", |reply| Command::Attend { id, room, wish, reply }).await
    }

    /// The next delivery; `None` at the end. May be dropped while it waits without losing anything.
    pub async fn next(&mut self) -> Option<Delivery> {
        poll_fn(|cx| self.mailbox.poll_next(cx)).await
    }
}

impl Stream for Subscription {
    type Item = Delivery;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.mailbox.poll_next(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.mailbox.abandon();
        self.departures.add(self.id);
    }
}

impl Departures {
    fn add(&self, id: SubscriptionId) {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        self.news.notify_one();
    }

    /// Waits until there may be departures. May be dropped at any time without losing one.
    pub(crate) async fn wait(&self) {
        self.news.notified().await;
    }

    pub(crate) fn take(&self) -> Vec<SubscriptionId> {
        std::mem::take(&mut self.gone.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
