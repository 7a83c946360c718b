//! The broker: gives events their positions, keeps them, and hands them to the hub.
//!
//! Owns the streams. [`memory`] is the embedded one; [`redis`] keeps them where several nodes share them. There is one way
//! from a publisher to a subscriber, on the publishing node too: broker, [`Deliver`], hub, outbox.

pub mod memory;
pub mod redis;

#[cfg(test)]
pub(crate) mod contract;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use roomcast_protocol::server::GapReason;
use roomcast_protocol::{Position, Published, Room};
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::per_kind::PerKind;
use crate::publication::{Draft, Publication};

/// Where a broker delivers: whole publications, each with all its positions, in the order of every one of its rooms.
pub type Deliver = mpsc::Sender<Arc<Publication>>;

/// Publications between broker and hub. A publisher waits when the hub is this far behind.
pub const DELIVER_QUEUE: usize = 1024;

/// The broker could not do it, or does not know whether it did. Repeating with the same event id is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the broker is not available")]
pub struct Unavailable;

/// What every broker promises:
///
/// - Giving the positions, storing and delivering a publication are **one atomic step over all its rooms**: two publications
///   have the same order in every room that they share. (A cluster that cannot do this is refused at start.)
/// - Offsets in a room are consecutive within an epoch. A stream made anew has a new epoch; a position is never given twice.
/// - What is begun first (polled for the first time) is placed first, though the one before it is not answered yet; a broker
///   that has to do something twice, because it lost what it had, may place that later.
/// - Delivery is in order of positions, and only to rooms that are held open.
/// - A publication whose id its publisher chose is remembered per room for [`REMEMBERED`]; a repeat answers the first
///   positions, in the same atomic step.
pub trait Broker: Send + Sync + 'static {
    /// Publishes to all rooms of the draft, or to none.
    fn publish(&self, draft: Draft) -> BoxFuture<'_, Result<Published, Unavailable>>;

    /// Holds the rooms open for one more member each. Answers, room by room, the position as of now: every later
    /// publication is delivered, every earlier one may be on its way still.
    fn open(&self, rooms: Vec<Room>) -> BoxFuture<'_, Result<Vec<Position>, Unavailable>>;

    /// The kept events of each room behind a position, oldest first, or its newest ones: at most `limit` for each room.
    fn history(
        &self,
        rooms: Vec<(Room, Option<Position>)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, Unavailable>>;

    /// The position that each of these rooms, which are held open, has reached.
    fn positions(&self, rooms: Vec<Room>) -> BoxFuture<'_, Result<Vec<Position>, Unavailable>>;

    /// Grows whenever deliveries may have been lost in a mass, as after an outage. `None` for a broker that loses nothing on
    /// its way to the hub, so that nothing needs to be verified.
    fn resynced(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// Gives up what [`Broker::open`] held, once for each room and member.
    fn release(&self, rooms: &[Room]);

    /// Forgets what is too old. Called every few seconds.
    fn sweep(&self);

    /// What the broker has to do by itself, as long as the node runs; called once.
    fn run(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whether publishing and opening work at the moment.
    fn is_ready(&self) -> bool;
}

/// Kept events of one room.
#[derive(Debug, Clone)]
pub struct Page {
    /// The events, oldest first, without a hole.
    pub publications: Vec<Arc<Publication>>,
    /// Where the page ends: the position of its last event, or of the room's last when none follows.
    pub position: Position,
    /// The position of the room's last event.
    pub latest: Position,
    /// Whether more events follow.
    pub more: bool,
    /// Why the events behind the wanted position cannot be had; then there are none.
    pub gap: Option<GapReason>,
}

impl Page {
    /// Why a client behind the wanted position cannot be brought up to date.
    pub(crate) fn gap_reason(&self) -> Option<GapReason> {
        self.gap.or(self.more.then_some(GapReason::TooManyMissed))
    }
}

/// How long an event id that its publisher chose is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(300);

/// How much is kept of one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoomBounds {
    /// Events.
    pub(crate) events: usize,
    /// Bytes of events.
    pub(crate) bytes: usize,
    /// Age of an event.
    pub(crate) age: Duration,
}

impl RoomBounds {
    /// The configured ones, for every kind that has any of its own.
    pub(crate) fn of(config: &Config) -> PerKind<Self> {
        let (size, bytes, ttl) = (&config.history_size, &config.history_bytes, &config.history_ttl);
        let bounds = |kind: &str| Self { events: *size.of(kind), bytes: *bytes.of(kind), age: *ttl.of(kind) };
        let kinds: BTreeSet<&String> = size.kinds.keys().chain(bytes.kinds.keys()).chain(ttl.kinds.keys()).collect();
        PerKind {
            others: Self { events: size.others, bytes: bytes.others, age: ttl.others },
            kinds: kinds.into_iter().map(|kind| (kind.clone(), bounds(kind))).collect(),
        }
    }
}
