//! What an application holds of its rooms: a stream of deliveries.
//!
//! Owns the meaning of each delivery. Refuses to know the connection: a subscription outlives any number of them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::future::poll_fn;
use roomcast_protocol::server::GapReason;
use roomcast_protocol::{CloseCode, ErrorCode, EventFrame, Room};
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
    /// Events of the room may have been missed: load its state anew. Live events go on behind this notice.
    Gap {
        /// The room.
        room: Room,
        /// Why nothing was replayed; `None` after a reconnection that could not tell what was missed.
        reason: Option<GapReason>,
    },
    /// The room is joined again after a reconnection, and no kept event of it was missed.
    Resumed {
        /// The room.
        room: Room,
        /// How many missed events follow.
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
