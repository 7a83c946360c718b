//! The handle: what an application asks of its connection.
//!
//! Owns the calls, their deadlines, and nothing of the connection itself: each call is a command to the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use roomcast_protocol::event::UserTyping;
use roomcast_protocol::{Event, NewEvent, Position, Published, Room};
use tokio::sync::{mpsc, oneshot, watch};

use crate::driver::{Command, Driver, Publishing};
use crate::mailbox::Mailbox;
use crate::options::Options;
use crate::registry::RoomSince;
use crate::subscription::Departures;
use crate::{ClientBuilder, ConnectionState, Error, ErrorKind, Subscription};

/// Commands on their way to the driver, which takes them at once: more only pile up when it gets no time to run.
const COMMANDS: usize = 64;

/// A connection to a gateway that mends itself. Cheap to clone; all clones share one socket.
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<ConnectionState>,
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
        Self { commands, state: watcher, departures, options, next_id: Arc::default() }
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.state.borrow().clone()
    }

    /// The connection's state, to be watched. It does not keep the client alive.
    #[must_use]
    pub fn watch_state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
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
        self.join([(room, None)]).await
    }

    /// Subscribes to several rooms by one request and as one stream. Succeeds when one room or more is joined; each refused
    /// one comes as a [`Delivery::Denied`](crate::Delivery::Denied).
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe), where `Denied` means that all rooms were; [`Invalid`](ErrorKind::Invalid) without rooms.
    pub async fn subscribe_all(&self, rooms: impl IntoIterator<Item = Room>) -> Result<Subscription, Error> {
        self.join(rooms.into_iter().map(|room| (room, None))).await
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
        self.join([(room, Some(position))]).await
    }

    /// Subscribes to several rooms as one stream, each from its position on; those without one from now on.
    ///
    /// # Errors
    /// As [`subscribe_all`](Self::subscribe_all).
    pub async fn subscribe_all_since(
        &self,
        rooms: impl IntoIterator<Item = (Room, Option<Position>)>,
    ) -> Result<Subscription, Error> {
        self.join(rooms).await
    }

    async fn join(&self, rooms: impl IntoIterator<Item = RoomSince>) -> Result<Subscription, Error> {
        let rooms: Vec<RoomSince> = rooms.into_iter().collect();
        if rooms.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "subscribe: no rooms were named"));
        }
        if self.state.borrow().is_closed() {
            return Err(self.state.borrow().closed_error());
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::new(Mailbox::new(self.options.buffer));
        let names = rooms.iter().map(|(room, _)| room.clone()).collect();
        // Made first: dropped with this future, at whatever point, it leaves the rooms.
        let subscription =
            Subscription::new(id, names, mailbox.clone(), self.departures.clone(), self.commands.clone());
        let (reply, outcome) = oneshot::channel();
        self.request("subscribe", Command::Subscribe { id, rooms, mailbox, reply }, outcome).await?;
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
        let (reply, outcome) = oneshot::channel();
        let command = Command::Publish(Publishing::new(event.into(), reply)?);
        self.request("publish", command, outcome).await
    }

    /// Shows or ends a typing indicator in an issue, whose room the client must be in. It ends by itself six seconds
    /// after the last call, and when the client leaves the room or is gone.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn typing(&self, issue_id: &str, is_typing: bool) -> Result<(), Error> {
        // The gateway stamps the user.
        let typing = UserTyping { issue_id: issue_id.into(), is_typing, ..UserTyping::default() };
        self.publish(Event::from(typing)).await.map(drop)
    }

    /// Closes the connection and ends every subscription. Returns when that is done; what waits for an answer fails.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close { done }).await.is_ok() {
            // Nothing is sent: the driver's end drops the other half.
            let _ = closed.await;
        }
    }

    /// Sends a command and waits for its outcome, both within the request's deadline.
    async fn request<T>(
        &self,
        doing: &str,
        command: Command,
        outcome: oneshot::Receiver<Result<T, Error>>,
    ) -> Result<T, Error> {
        let exchange = async {
            self.commands.send(command).await.ok()?;
            outcome.await.ok()
        };
        match tokio::time::timeout(self.options.request_timeout, exchange).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Err(self.state.borrow().closed_error()),
            Err(_) => Err(self.state.borrow().timeout_error(doing)),
        }
    }
}
