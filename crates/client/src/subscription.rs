//! What an application holds of its rooms: a stream of deliveries.
//!
//! Owns the meaning of each delivery. Refuses to know the connection: a subscription outlives any number of them.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::future::poll_fn;
use roomcast_protocol::server::GapReason;
use roomcast_protocol::{CloseCode, ErrorCode, EventFrame, Position, Room};
use tokio::sync::{Notify, mpsc};

use crate::driver::Command;
use crate::mailbox::Mailbox;

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
    /// of its rooms, and gap notices too: load the state of all its rooms anew.
    Lagged {
        /// How many.
        missed: u64,
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
#[derive(Debug)]
#[must_use = "dropping a subscription leaves its rooms"]
pub struct Subscription {
    id: SubscriptionId,
    rooms: Vec<Room>,
    mailbox: Arc<Mailbox>,
    departures: Arc<Departures>,
    /// Keeps the driver running.
    _commands: mpsc::Sender<Command>,
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
        commands: mpsc::Sender<Command>,
    ) -> Self {
        Self { id, rooms, mailbox, departures, _commands: commands }
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
