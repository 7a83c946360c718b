//! The connection for deliveries: subscribed to the rooms that are held, and to a channel of its own.
//!
//! Owns which rooms are held and the way from the bus to the hub. It trusts no silence: when nothing comes it publishes to
//! its own channel, and a connection on which that does not come back is made anew. What was lost meanwhile is not its
//! business; that something may have been, it tells.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};
use roomcast_protocol::Room;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::address::{Address, Failure, within};
use super::complaint::Complaint;
use super::connections::Inbox;
use super::link::{Backoff, Info, Link};
use super::message::{self, Message};
use super::scripts::Scripts;
use crate::broker::Unavailable;

/// A room stays subscribed this long after its last member: many come back at once.
pub(super) const LINGER: Duration = Duration::from_secs(10);

/// Rooms in one command.
const BATCH: usize = 512;

/// How long a command may take to be confirmed.
const CONFIRM: Duration = Duration::from_secs(2);

/// How long whoever opens a room waits for that.
const OPEN: Duration = Duration::from_secs(1);

/// Messages between the socket and the hub. Beyond them the hub is too slow, and the connection is given up.
const QUEUE: usize = 4096;

/// How often silence and lingering rooms are looked at.
const TICK: Duration = Duration::from_secs(1);

/// After so much silence the connection is tried.
const SILENCE: Duration = Duration::from_secs(2);

/// How long that may take.
const ECHO: Duration = Duration::from_secs(3);

/// The connection for deliveries.
pub(crate) struct Feed {
    address: Arc<Address>,
    scripts: Arc<Scripts>,
    link: Arc<Link>,
    inbox: Inbox,
    /// Names this node, for as long as its process runs.
    node: String,
    held: Mutex<HashMap<Room, Held>>,
    wanted: mpsc::Sender<Wanted>,
    is_online: AtomicBool,
    resynced: watch::Sender<u64>,
    complaint: Complaint,
}

/// A room that has members, or had them a moment ago.
#[derive(Debug, Default)]
struct Held {
    members: usize,
    /// Since when there are none.
    idle: Option<Instant>,
    /// Whether the server has confirmed the subscription, on the connection of the moment.
    is_subscribed: bool,
}

/// Rooms to subscribe to, and who waits for it.
pub(crate) struct Wanted {
    rooms: Vec<Room>,
    done: oneshot::Sender<()>,
}

/// Holds on rooms that are given up unless they are kept.
pub(crate) struct Holds<'a> {
    feed: &'a Feed,
    rooms: Vec<Room>,
}

/// One connection's life.
struct Subscription {
    connection: MultiplexedConnection,
    process: String,
    messages: mpsc::Receiver<PushInfo>,
    /// The connection has ended, or more came than could be taken.
    broken: Arc<Notify>,
    heard: Arc<Mutex<Instant>>,
}

impl Holds<'_> {
    /// They are the caller's from now on.
    pub(crate) fn keep(mut self) {
        self.rooms.clear();
    }
}

impl Drop for Holds<'_> {
    fn drop(&mut self) {
        self.feed.release(&self.rooms);
    }
}

impl Feed {
    /// A feed, and what [`Feed::run`] is to be given.
    pub(super) fn new(
        address: Arc<Address>,
        scripts: Arc<Scripts>,
        link: Arc<Link>,
        inbox: Inbox,
    ) -> (Self, mpsc::Receiver<Wanted>) {
        let (wanted, requests) = mpsc::channel(QUEUE);
        let feed = Self {
            node: Uuid::now_v7().simple().to_string(),
            address,
            scripts,
            link,
            inbox,
            held: Mutex::default(),
            wanted,
            is_online: AtomicBool::new(false),
            resynced: watch::channel(0).0,
            complaint: Complaint::default(),
        };
        (feed, requests)
    }

    /// Names this node.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// Whether everything that is published in held rooms arrives at the moment.
    pub(super) fn is_online(&self) -> bool {
        self.is_online.load(Ordering::Relaxed)
    }

    /// Grows with every connection but the first.
    pub(crate) fn resynced(&self) -> watch::Receiver<u64> {
        self.resynced.subscribe()
    }

    /// Holds the rooms once more; answers when all of them are subscribed.
    pub(crate) async fn open(&self, rooms: Vec<Room>) -> Result<Holds<'_>, Unavailable> {
        let missing = self.hold(&rooms);
        let holds = Holds { feed: self, rooms };
        if !missing.is_empty() {
            let (done, confirmed) = oneshot::channel();
            self.wanted.try_send(Wanted { rooms: missing, done }).map_err(|_| Unavailable)?;
            tokio::time::timeout(OPEN, confirmed).await.map_err(|_| Unavailable)?.map_err(|_| Unavailable)?;
        }
        Ok(holds)
    }

    /// Counts a member in each room; answers those that are not subscribed.
    fn hold(&self, rooms: &[Room]) -> Vec<Room> {
        let mut held = self.held();
        let mut missing = Vec::new();
        for room in rooms {
            let entry = held.entry(room.clone()).or_default();
            entry.members += 1;
            entry.idle = None;
            if !entry.is_subscribed {
                missing.push(room.clone());
            }
        }
        missing
    }

    /// Gives up one hold on each room.
    pub(super) fn release(&self, rooms: &[Room]) {
        let mut held = self.held();
        for room in rooms {
            let Some(entry) = held.get_mut(room) else { continue };
            entry.members = entry.members.saturating_sub(1);
            if entry.members == 0 {
                entry.idle = Some(Instant::now());
            }
        }
    }

    /// The rooms that are held.
    pub(super) fn rooms(&self) -> Vec<Room> {
        self.held().keys().cloned().collect()
    }

    /// Keeps a connection, for ever.
    pub(super) async fn run(&self, mut requests: mpsc::Receiver<Wanted>) {
        let mut backoff = Backoff::default();
        let mut is_first = true;
        loop {
            // Where Redis is not, there is nothing to subscribe to.
            self.link.ready().await;
            match self.subscribe_all().await {
                Ok(subscription) => {
                    backoff = Backoff::default();
                    self.complaint.forget();
                    self.is_online.store(true, Ordering::Relaxed);
                    if !std::mem::take(&mut is_first) {
                        self.resynced.send_modify(|count| *count += 1);
                    }
                    let failure = self.serve(subscription, &mut requests).await;
                    self.go_offline();
                    tracing::warn!(redis = %self.address, reason = %failure, "lost the bus");
                }
                Err(failure) => self.complaint.say(&failure, |failure| {
                    tracing::warn!(redis = %self.address, reason = %failure, "cannot connect to the bus");
                }),
            }
            backoff.wait().await;
        }
    }

    fn go_offline(&self) {
        self.is_online.store(false, Ordering::Relaxed);
        self.held().values_mut().for_each(|entry| entry.is_subscribed = false);
    }

    async fn subscribe_all(&self) -> Result<Subscription, Failure> {
        let (queue, messages) = mpsc::channel(QUEUE);
        let broken = Arc::new(Notify::new());
        let heard = Arc::new(Mutex::new(Instant::now()));
        let (ended, hears) = (broken.clone(), heard.clone());
        let pushed = move |info: PushInfo| match info.kind {
            PushKind::Message => {
                *hears.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                if queue.try_send(info).is_err() {
                    ended.notify_one();
                }
            }
            PushKind::Disconnection => ended.notify_one(),
            _ => {}
        };
        let mut connection = self.address.connect(Some(Box::new(pushed))).await?;
        let process = Info::ask(&mut connection).await?.process();
        if self.link.process().is_some_and(|other| other != process) {
            return Err(Failure::Passing("it is another server than the one that takes commands".into()));
        }
        let own = [self.scripts.node_channel(&self.node), self.scripts.nodes_channel()];
        within(CONFIRM, connection.subscribe(&own)).await?;
        let rooms = self.rooms();
        for rooms in rooms.chunks(BATCH) {
            self.subscribe(&mut connection, rooms).await?;
        }
        Ok(Subscription { connection, process, messages, broken, heard })
    }

    async fn subscribe(&self, connection: &mut MultiplexedConnection, rooms: &[Room]) -> Result<(), Failure> {
        let channels: Vec<String> = rooms.iter().map(|room| self.scripts.channel(room)).collect();
        within(CONFIRM, connection.subscribe(channels)).await?;
        let mut held = self.held();
        for room in rooms {
            if let Some(entry) = held.get_mut(room) {
                entry.is_subscribed = true;
            }
        }
        Ok(())
    }

    /// Runs one connection to its end.
    async fn serve(&self, subscription: Subscription, requests: &mut mpsc::Receiver<Wanted>) -> Failure {
        let Subscription { connection, process, messages, broken, heard } = subscription;
        tokio::select! {
            // Reading goes on while a subscription waits for its confirmation.
            () = self.read(messages) => Failure::Passing("the hub has gone".into()),
            failure = self.control(connection, &process, &heard, requests) => failure,
            () = broken.notified() => Failure::Passing("the connection has ended".into()),
        }
    }

    /// Brings everything to where it belongs.
    async fn read(&self, mut messages: mpsc::Receiver<PushInfo>) {
        let mut run = Run::default();
        while let Some(info) = messages.recv().await {
            let Some((channel, text)) = content(info) else {
                self.inbox.ignored.inc();
                continue;
            };
            // An empty text is a probe: that it came is all that it says.
            if text.is_empty() || run.is_copy(&channel, &text) {
                continue;
            }
            match message::decode(text) {
                Some(Message::Publication(publication)) => {
                    if self.inbox.deliver.send(publication).await.is_err() {
                        return;
                    }
                }
                Some(Message::Presence(change)) => self.inbox.audience.note(change),
                Some(Message::Cluster(text)) => drop(self.inbox.cluster.try_send(text)),
                None => drop(self.inbox.ignored.inc()),
            }
        }
        // Its sender lives as long as the connection, whose end is noticed elsewhere.
        std::future::pending().await
    }

    async fn control(
        &self,
        mut connection: MultiplexedConnection,
        process: &str,
        heard: &Mutex<Instant>,
        requests: &mut mpsc::Receiver<Wanted>,
    ) -> Failure {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut probed = None;
        let mut batch = Vec::new();
        loop {
            let outcome = tokio::select! {
                _ = requests.recv_many(&mut batch, BATCH) => self.serve_requests(&mut connection, &mut batch).await,
                _ = ticks.tick() => match self.let_go(&mut connection).await {
                    Ok(()) => self.listen_for_life(process, heard, &mut probed).await,
                    Err(failure) => Err(failure),
                },
            };
            if let Err(failure) = outcome {
                return failure;
            }
        }
    }

    async fn serve_requests(
        &self,
        connection: &mut MultiplexedConnection,
        batch: &mut Vec<Wanted>,
    ) -> Result<(), Failure> {
        let mut rooms: Vec<Room> = batch.iter().flat_map(|wanted| wanted.rooms.iter().cloned()).collect();
        rooms.sort_unstable();
        rooms.dedup();
        {
            let held = self.held();
            rooms.retain(|room| held.get(room).is_some_and(|entry| !entry.is_subscribed));
        }
        for rooms in rooms.chunks(BATCH) {
            self.subscribe(connection, rooms).await?;
        }
        for wanted in batch.drain(..) {
            // Whoever waited may have gone.
            let _ = wanted.done.send(());
        }
        Ok(())
    }

    /// Unsubscribes from rooms that have had no members for long enough.
    async fn let_go(&self, connection: &mut MultiplexedConnection) -> Result<(), Failure> {
        let is_over = |entry: &Held| entry.idle.is_some_and(|since| since.elapsed() >= LINGER);
        let over: Vec<String> = {
            let mut held = self.held();
            let over = held.extract_if(|_, entry| is_over(entry));
            over.map(|(room, _)| self.scripts.channel(&room)).collect()
        };
        for channels in over.chunks(BATCH) {
            within(CONFIRM, connection.unsubscribe(channels)).await?;
        }
        Ok(())
    }

    /// Makes sure that the connection is still to the server that takes commands, and that what is published arrives.
    async fn listen_for_life(
        &self,
        process: &str,
        heard: &Mutex<Instant>,
        probed: &mut Option<Instant>,
    ) -> Result<(), Failure> {
        if self.link.process().is_some_and(|other| other != process) {
            return Err(Failure::Passing("another server takes the commands now".into()));
        }
        let heard = *heard.lock().unwrap_or_else(PoisonError::into_inner);
        if probed.is_some_and(|at| heard > at) {
            *probed = None;
        }
        match *probed {
            Some(at) if at.elapsed() >= ECHO => Err(Failure::Passing("nothing published arrives".into())),
            Some(_) => Ok(()),
            None if heard.elapsed() < SILENCE => Ok(()),
            None => {
                let at = Instant::now();
                // Without commands nothing can be said about the silence.
                let is_sent = self.link.is_live()
                    && self
                        .link
                        .send_one(redis::cmd("PUBLISH").arg(self.scripts.node_channel(&self.node)).arg(""))
                        .await
                        .is_ok();
                *probed = is_sent.then_some(at);
                Ok(())
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Room, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies of one publication, which come directly behind each other: one by each of its rooms' channels.
#[derive(Default)]
struct Run {
    text: Vec<u8>,
    channels: Vec<Vec<u8>>,
}

impl Run {
    /// Whether the message has just come by another channel. The same text by the same channel was published twice.
    fn is_copy(&mut self, channel: &[u8], text: &[u8]) -> bool {
        if self.text == text && !self.channels.iter().any(|known| known == channel) {
            self.channels.push(channel.to_vec());
            return true;
        }
        self.text = text.to_vec();
        self.channels = vec![channel.to_vec()];
        false
    }
}

fn content(info: PushInfo) -> Option<(Vec<u8>, Vec<u8>)> {
    match <[Value; 2]>::try_from(info.data).ok()? {
        [Value::BulkString(channel), Value::BulkString(text)] => Some((channel, text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_publication_by_several_channels_comes_once() {
        let mut run = Run::default();
        let seen: Vec<bool> = [("a", "1"), ("b", "1"), ("a", "1"), ("b", "1"), ("b", "2"), ("b", "2")]
            .map(|(channel, text)| run.is_copy(channel.as_bytes(), text.as_bytes()))
            .into();
        assert_eq!(seen, [false, true, false, true, false, false]);
    }
}
