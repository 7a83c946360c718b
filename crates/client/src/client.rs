//! The handle: what an application asks of its connection.
//!
//! Owns what can be asked, and nothing of the connection itself: each call is a command to the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use roomcast_protocol::event::UserTyping;
use roomcast_protocol::{Event, NewEvent, Position, Published, Room};
use tokio::sync::{mpsc, oneshot, watch};

use crate::calls::Calls;
use crate::driver::{Command, Driver, Publishing};
use crate::join::Place;
use crate::mailbox::Mailbox;
use crate::options::Options;
use crate::subscription::Departures;
use crate::{ClientBuilder, ConnectionState, Error, ErrorKind, Join, Subscription};

/// Commands on their way to the driver, which takes them at once: more only pile up when it gets no time to run.
const COMMANDS: usize = 64;

/// A connection to a gateway that mends itself. Cheap to clone; all clones share one socket.
#[derive(Debug, Clone)]
pub struct Client {
    calls: Calls,
    departures: Arc<Departures>,
    options: Arc<Options>,
    /// Of the next subscription.
    next_id: Arc<AtomicU64>,
}

impl Client {
    /// A client for the gateway at this `ws://` or `wss://` URL, such as `ws://127.0.0.1:3001/ws`.
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }

    pub(crate) fn start(options: Options, runtime: &tokio::runtime::Handle) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (state, watcher) = watch::channel(ConnectionState::Connecting);
        let (options, departures) = (Arc::new(options), Arc::new(Departures::default()));
        runtime.spawn(Driver::new(options.clone(), inbox, departures.clone(), state).run());
        let calls = Calls::new(commands, watcher, options.request_timeout);
        Self { calls, departures, options, next_id: Arc::default() }
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.calls.state().borrow().clone()
    }

    /// The connection's state, to be watched. It does not keep the client alive.
    #[must_use]
    pub fn watch_state(&self) -> watch::Receiver<ConnectionState> {
        self.calls.state().clone()
    }

    /// Subscribes to a room. Returns when the gateway has said yes: every later event of the room comes, and
    /// [`Subscription::position`] says later than what.
    ///
    /// Subscriptions share rooms: the second one to a room is answered at once, and the gateway learns of the end of the last.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) when the gateway refuses the room, [`Timeout`](ErrorKind::Timeout) when no answer came
    /// in time, also because there is no connection, [`Closed`](ErrorKind::Closed) when the client has ended.
    pub async fn subscribe(&self, room: Room) -> Result<Subscription, Error> {
        self.subscribe_with([Join::new(room)]).await
    }

    /// Subscribes to several rooms by one request and as one stream. Succeeds when one room or more is joined; each refused
    /// one comes as a [`Delivery::Denied`](crate::Delivery::Denied).
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe), where `Denied` means that all rooms were; [`Invalid`](ErrorKind::Invalid) without rooms.
    pub async fn subscribe_all(&self, rooms: impl IntoIterator<Item = Room>) -> Result<Subscription, Error> {
        self.subscribe_with(rooms.into_iter().map(Join::new)).await
    }

    /// Subscribes to a room from a position on, which an earlier subscription told: the application has everything up to
    /// it. The first delivery says how it goes on: [`Resumed`](crate::Delivery::Resumed), and every missed event follows,
    /// or [`Gap`](crate::Delivery::Gap), and the room's state is to be loaded anew.
    ///
    /// Other subscriptions to the room notice nothing of it.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_since(&self, room: Room, position: Position) -> Result<Subscription, Error> {
        self.subscribe_with([Join::new(room).since(position)]).await
    }

    /// Subscribes to several rooms as one stream, each from its position on; those without one from now on.
    ///
    /// # Errors
    /// As [`subscribe_all`](Self::subscribe_all).
    pub async fn subscribe_all_since(
        &self,
        rooms: impl IntoIterator<Item = (Room, Option<Position>)>,
    ) -> Result<Subscription, Error> {
        let join = |(room, since)| match since {
            Some(position) => Join::new(room).since(position),
            None => Join::new(room),
        };
        self.subscribe_with(rooms.into_iter().map(join)).await
    }

    /// Subscribes to rooms as one stream, each as its [`Join`] says: from a position on, and with presence. The other ways
    /// to subscribe are short for this one.
    ///
    /// # Errors
    /// As [`subscribe_all`](Self::subscribe_all); [`Invalid`](ErrorKind::Invalid) also when the data for others is too large.
    pub async fn subscribe_with(&self, joins: impl IntoIterator<Item = Join>) -> Result<Subscription, Error> {
        let places: Vec<Place> = joins.into_iter().map(Join::check).collect::<Result<_, _>>()?;
        if places.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "subscribe: no rooms were named"));
        }
        if self.state().is_closed() {
            return Err(self.state().closed_error());
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::new(Mailbox::new(self.options.buffer));
        let names = places.iter().map(|place| place.room.clone()).collect();
        // Made first: dropped with this future, at whatever point, it leaves the rooms.
        let subscription = Subscription::new(id, names, mailbox.clone(), self.departures.clone(), self.calls.clone());
        self.calls.request("subscribe", |reply| Command::Subscribe { id, places, mailbox, reply }).await?;
        Ok(subscription)
    }

    /// Publishes an event as the token's user, who may do that where the token grants it.
    ///
    /// Who and when are stamped by the gateway: the event's own `user_id` and `timestamp` are not sent. An event without an
    /// id gets one, by which it is repeated safely when the connection is lost before the answer.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) when the gateway refuses the event, [`Timeout`](ErrorKind::Timeout) and
    /// [`Disconnected`](ErrorKind::Disconnected) when its fate is unknown, [`Invalid`](ErrorKind::Invalid) when it is larger than
    /// a message may be, [`Busy`](ErrorKind::Busy) when too many events wait for a connection, [`Closed`](ErrorKind::Closed)
    /// when the client has ended.
    pub async fn publish(&self, event: impl Into<NewEvent>) -> Result<Published, Error> {
        let publish = Publishing::message(event.into())?;
        self.calls.request("publish", |reply| Command::Publish(Publishing { publish, reply })).await
    }

    /// Shows or ends a typing indicator in an issue, whose room the client must be in. It ends by itself six seconds
    /// after the last call, and when the client leaves the room or is gone. It needs no presence, and shows in none: others
    /// get it as an event of the issue, a [`UserTyping`].
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn typing(&self, issue_id: &str, is_typing: bool) -> Result<(), Error> {
        // The gateway stamps the user.
        let typing = UserTyping { issue_id: issue_id.into(), is_typing, ..UserTyping::default() };
        self.publish(Event::from(typing)).await.map(drop)
    }

    /// Closes the connection and ends every subscription. Returns when that is done; what waits for an answer fails.
    ///
    /// Where the client took part in presence, its user stays in the list for as long as the gateway waits for one who may
    /// come back. To be gone at once, drop those subscriptions first, while the connection is open.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.calls.tell(Command::Close { done }).await {
            // Nothing is sent: the driver's end drops the other half.
            let _ = closed.await;
        }
    }
}
