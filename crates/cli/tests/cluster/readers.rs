//! Clients: through the balancer, most of them the SDK, each writing down what it was told.
//!
//! Owns the journals. It judges nothing. Some clients are [`plain`](crate::plain): they drop nothing that comes twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomcast_client::protocol::server::GapReason;
use roomcast_client::protocol::{EventId, Position, Room};
use roomcast_client::{Client, Delivery, Subscription};
use tokio::task::JoinSet;

use crate::cluster::token;
use crate::harness::PATIENCE;
use crate::load::number_of;
use crate::oracle::{Journal, Told};
use crate::plain;

/// Clients that connect at a time: a handshake in a debug build takes milliseconds, and it has a deadline.
const AT_A_TIME: usize = 50;

/// Every client with its journal.
pub(crate) struct Readers {
    readers: Vec<Reader>,
    /// Dropping them ends the clients.
    _tasks: JoinSet<()>,
}

struct Reader {
    /// `None` for a plain one.
    client: Option<Client>,
    record: Shared,
}

/// A journal that is being written.
pub(crate) type Shared = Arc<Mutex<Record>>;

/// What a client was told so far.
#[derive(Default)]
pub(crate) struct Record {
    journal: Journal,
    /// How far it has come.
    at: BTreeMap<Room, Position>,
    /// The largest number of an event that came, per room.
    latest: BTreeMap<Room, u64>,
    resumed: u64,
    /// What should not have come.
    strange: Vec<String>,
}

impl Readers {
    /// Connects so many clients, the first of them plain, each to the rooms that are given to its number.
    pub(crate) async fn join(
        address: SocketAddr,
        count: usize,
        plain: usize,
        rooms: impl Fn(usize) -> Vec<Room>,
    ) -> Self {
        let (mut readers, mut tasks) = (Vec::new(), JoinSet::new());
        for number in 0..plain {
            let record = Shared::default();
            let reader = plain::Reader::join(address, number, rooms(number), record.clone()).await;
            tasks.spawn(reader.read());
            readers.push(Reader { client: None, record });
        }
        let numbers: Vec<usize> = (plain..count).collect();
        for numbers in numbers.chunks(AT_A_TIME) {
            let mut joining = JoinSet::new();
            for number in numbers {
                joining.spawn(join(address, *number, rooms(*number)));
            }
            for (client, subscription) in joining.join_all().await {
                let record = Shared::default();
                record.lock().unwrap().start(subscription.positions());
                tasks.spawn(read(subscription, record.clone()));
                readers.push(Reader { client: Some(client), record });
            }
        }
        Self { readers, _tasks: tasks }
    }

    /// Whether every client of the SDK has a connection.
    pub(crate) fn are_connected(&self) -> bool {
        self.readers.iter().filter_map(|reader| reader.client.as_ref()).all(|client| client.state().is_open())
    }

    /// Whether every client has, in each of its rooms, an event of this number or a later one.
    pub(crate) fn have_come_to(&self, number: u64) -> bool {
        self.all(|record| record.at.keys().all(|room| record.latest.get(room).is_some_and(|latest| *latest >= number)))
    }

    /// Whether every client stands at the end of each of its rooms.
    pub(crate) fn are_at(&self, ends: &BTreeMap<Room, Position>) -> bool {
        self.all(|record| record.at.iter().all(|(room, at)| at.is_before(&ends[room]) == Some(false)))
    }

    /// How often a room went on without a hole.
    pub(crate) fn resumed(&self) -> u64 {
        self.readers.iter().map(|reader| reader.record.lock().unwrap().resumed).sum()
    }

    pub(crate) fn journals(&self) -> Vec<Journal> {
        self.readers.iter().map(|reader| reader.record.lock().unwrap().journal.clone()).collect()
    }

    /// What came that nobody expects: a denied room, a closed client, an overflowing mailbox.
    pub(crate) fn strange(&self) -> Vec<String> {
        self.readers.iter().flat_map(|reader| reader.record.lock().unwrap().strange.clone()).collect()
    }

    /// Who stands where, of those who are not at the end.
    pub(crate) fn stragglers(&self, ends: &BTreeMap<Room, Position>) -> String {
        let mut behind = Vec::new();
        for (number, reader) in self.readers.iter().enumerate() {
            let at = reader.record.lock().unwrap().at.clone();
            let late = at.iter().filter(|(room, at)| at.is_before(&ends[*room]) != Some(false));
            behind.extend(late.map(|(room, at)| format!("reader {number} in {room} at {at} of {}", ends[room])));
        }
        behind.truncate(20);
        behind.join("\n  ")
    }

    fn all(&self, is_so: impl Fn(&Record) -> bool) -> bool {
        self.readers.iter().all(|reader| is_so(&reader.record.lock().unwrap()))
    }
}

async fn join(address: SocketAddr, number: usize, rooms: Vec<Room>) -> (Client, Subscription) {
    // Deadlines for a busy machine: what is measured here is not how soon a connection comes about.
    let client = Client::builder(&format!("ws://{address}/ws"))
        .token(token(&format!("user_{number}"), "subscribe"))
        .connect_timeout(PATIENCE)
        .handshake_timeout(PATIENCE)
        .request_timeout(PATIENCE)
        // After an outage of 20 s the default window would let some wait for half a minute.
        .retry(Duration::from_millis(500), Duration::from_secs(4))
        .build()
        .unwrap();
    let subscription = client.subscribe_all(rooms).await.unwrap();
    (client, subscription)
}

async fn read(mut subscription: Subscription, record: Shared) {
    while let Some(delivery) = subscription.next().await {
        let mut record = record.lock().unwrap();
        match delivery {
            Delivery::Event(frame) => match frame.event_id {
                Some(id) => record.event(id, frame.positions),
                None => record.is_strange(format!("an event without an id: {:?}", frame.event)),
            },
            Delivery::Gap { room, reason } => {
                let position = subscription.position(&room).unwrap();
                record.gap(room, position, reason);
            }
            Delivery::Resumed { .. } => record.resumed(),
            other => record.is_strange(format!("{other:?}")),
        }
    }
}

impl Record {
    /// From here on everything comes.
    pub(crate) fn start(&mut self, positions: BTreeMap<Room, Position>) {
        self.at.clone_from(&positions);
        self.journal.start = positions;
    }

    /// How far the client has come.
    pub(crate) fn at(&self) -> &BTreeMap<Room, Position> {
        &self.at
    }

    pub(crate) fn event(&mut self, id: EventId, positions: BTreeMap<Room, Position>) {
        for (room, position) in &positions {
            let latest = self.latest.entry(room.clone()).or_default();
            *latest = number_of(&id).max(*latest);
            self.at.insert(room.clone(), *position);
        }
        self.journal.told.push(Told::Event { id, positions });
    }

    pub(crate) fn gap(&mut self, room: Room, position: Position, reason: Option<GapReason>) {
        self.at.insert(room.clone(), position);
        self.journal.told.push(Told::Gap { room, position, reason });
    }

    pub(crate) fn resumed(&mut self) {
        self.resumed += 1;
    }

    pub(crate) fn is_strange(&mut self, what: String) {
        self.strange.push(what);
    }
}
