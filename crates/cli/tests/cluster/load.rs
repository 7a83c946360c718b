//! The publisher: a steady stream of events, each repeated under its id until it is answered. It keeps the truth.
//!
//! Owns the rate and what the answers said. It never gives up an event: what it has published is what readers must have.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use roomcast_client::protocol::{ErrorCode, Event, EventId, NewEvent, Position, Room, Service};
use roomcast_client::{Error, ErrorKind};
use serde_json::json;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::harness::PATIENCE;
use crate::oracle::Truth;

/// Events that are on their way at a time: a frozen Redis keeps each for more than a second.
const WORKERS: usize = 16;

/// Every so many-th event goes to two rooms.
const SHARED: u64 = 4;

/// So much of what was missed is made up for: a busy machine's hiccup, and not an outage.
const CATCH_UP: Duration = Duration::from_millis(500);

/// Between two tries of one event.
const PAUSE: Duration = Duration::from_millis(50);

/// The stream of events. It goes on until it is stopped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

/// The moments for events.
struct Pace {
    period: Duration,
    due: tokio::time::Instant,
}

struct Shared {
    cluster: Arc<Cluster>,
    rooms: Vec<Room>,
    pace: tokio::sync::Mutex<Pace>,
    next: AtomicU64,
    is_over: AtomicBool,
    published: AtomicU64,
    /// Tries that were not answered with positions.
    failed: AtomicU64,
    /// Of all tries since the last look.
    slowest: Mutex<Duration>,
    truth: Mutex<Truth>,
}

impl Load {
    /// So many events a second, in turn into each of the rooms and through each of the nodes.
    pub(crate) fn start(cluster: &Arc<Cluster>, rooms: &[Room], per_second: u32) -> Self {
        let pace = Pace { period: Duration::from_secs(1) / per_second, due: tokio::time::Instant::now() };
        let shared = Arc::new(Shared {
            cluster: cluster.clone(),
            rooms: rooms.to_vec(),
            pace: tokio::sync::Mutex::new(pace),
            next: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            published: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            slowest: Mutex::default(),
            truth: Mutex::default(),
        });
        let mut workers = JoinSet::new();
        (0..WORKERS).for_each(|_| drop(workers.spawn(work(shared.clone()))));
        Self { shared, workers }
    }

    pub(crate) fn published(&self) -> u64 {
        self.shared.published.load(Ordering::SeqCst)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::SeqCst)
    }

    /// The number of the next event.
    pub(crate) fn next(&self) -> u64 {
        self.shared.next.load(Ordering::SeqCst)
    }

    /// The slowest answer since the last look.
    pub(crate) fn slowest(&self) -> Duration {
        std::mem::take(&mut *self.shared.slowest.lock().unwrap())
    }

    /// Ends the stream with one more event for each room; answers the truth and where each room ends.
    pub(crate) async fn stop(mut self) -> (Truth, BTreeMap<Room, Position>) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        while let Some(ended) = self.workers.join_next().await {
            ended.unwrap();
        }
        let mut ends = BTreeMap::new();
        for room in &self.shared.rooms {
            let number = self.shared.next.fetch_add(1, Ordering::SeqCst);
            ends.extend(self.shared.publish(number, vec![room.clone()]).await);
        }
        let truth = std::mem::take(&mut *self.shared.truth.lock().unwrap());
        (truth, ends)
    }
}

impl Pace {
    /// Waits for the next moment.
    async fn turn(&mut self) {
        let earliest = tokio::time::Instant::now().checked_sub(CATCH_UP).unwrap_or(self.due);
        self.due = (self.due + self.period).max(earliest);
        tokio::time::sleep_until(self.due).await;
    }
}

async fn work(shared: Arc<Shared>) {
    loop {
        shared.pace.lock().await.turn().await;
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        shared.publish(number, shared.rooms_of(number)).await;
    }
}

impl Shared {
    fn rooms_of(&self, number: u64) -> Vec<Room> {
        let room = |number: u64| self.rooms[usize::try_from(number).unwrap() % self.rooms.len()].clone();
        match number % SHARED {
            0 => vec![room(number), room(number + 1)],
            _ => vec![room(number)],
        }
    }

    /// Publishes until it is answered, each time through the next node.
    async fn publish(&self, number: u64, rooms: Vec<Room>) -> BTreeMap<Room, Position> {
        let id: EventId = format!("e{number}").parse().unwrap();
        let event = Event::custom("load.event", json!({"number": number}));
        let event = NewEvent::from(event).to(rooms).with_id(id.clone());
        let start = Instant::now();
        for attempt in usize::try_from(number).unwrap().. {
            let begun = Instant::now();
            let outcome = self.cluster.node(attempt).publisher.publish(event.clone()).await;
            self.note_answer(begun.elapsed());
            match outcome {
                Ok(published) => {
                    let mut truth = self.truth.lock().unwrap();
                    published.positions.iter().for_each(|(room, position)| truth.note(room, *position, &id));
                    self.published.fetch_add(1, Ordering::SeqCst);
                    return published.positions;
                }
                Err(error) if may_be_repeated(&error) => drop(self.failed.fetch_add(1, Ordering::SeqCst)),
                Err(error) => panic!("{id} was refused: {error}"),
            }
            assert!(start.elapsed() < 2 * PATIENCE, "{id} cannot be published");
            tokio::time::sleep(PAUSE).await;
        }
        unreachable!("there is no last number")
    }

    fn note_answer(&self, took: Duration) {
        let mut slowest = self.slowest.lock().unwrap();
        *slowest = took.max(*slowest);
    }
}

/// Whether the outcome is unknown, or nothing was done: a dead node, or one without Redis.
fn may_be_repeated(error: &Error) -> bool {
    let unavailable = ErrorKind::Denied { code: ErrorCode::Unavailable };
    let unknown = [unavailable, ErrorKind::Connect, ErrorKind::Disconnected, ErrorKind::Timeout];
    unknown.contains(&error.kind())
}

/// The number that [`Load`] gave to the event.
pub(crate) fn number_of(id: &EventId) -> u64 {
    id.as_str().trim_start_matches('e').parse().unwrap()
}
