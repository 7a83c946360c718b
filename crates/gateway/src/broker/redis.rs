//! The broker in Redis: streams that all nodes share, and a bus between the nodes.
//!
//! Publishing is one script over all rooms of the event; delivery is by pub/sub, subscribed while a room is held. Everything
//! of a room is bounded as in the embedded broker; bytes in all and the number of rooms are Redis' own memory limit's. Epochs
//! begin anew when the data may be others than before: another process or primary, unless `REDIS_DURABLE` says that nothing is
//! ever rolled back.

mod address;
mod complaint;
mod connections;
mod feed;
mod link;
mod message;
#[cfg(test)]
mod outages;
mod scripts;
#[cfg(test)]
mod secure;
mod trust;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use prometheus_client::metrics::counter::Counter;
use roomcast_protocol::{Position, Published, Room};
use tokio::sync::watch;

use crate::broker::{Broker, Deliver, Page, Unavailable};
use crate::config::{Config, InvalidConfig};
use crate::publication::Draft;
use address::{Address, Failure};
pub(crate) use connections::{Connections, Inbox};
use link::Info;
pub(crate) use message::{CLUSTER, PRESENCE, data};
use scripts::{Placed, RawPage, read_positions};

/// Rooms whose counters are touched by one command.
const BATCH: usize = 128;

/// The broker in Redis.
pub struct RedisBroker {
    connections: Arc<Connections>,
}

impl RedisBroker {
    /// A broker that delivers there and counts what it ignores. It does nothing until it [runs](Broker::run).
    ///
    /// # Errors
    /// [`InvalidConfig`] when the address cannot be read.
    pub fn new(config: &Config, deliver: Deliver, ignored: Counter) -> Result<Self, InvalidConfig> {
        Ok(Self::over(Arc::new(Connections::new(config, Inbox::of(deliver, ignored))?)))
    }

    /// The same over connections that others use too.
    pub(crate) fn over(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    /// Touches the counters of held rooms, so that they outlive their last member by the configured time.
    async fn refresh(&self) {
        loop {
            tokio::time::sleep(self.connections.refresh).await;
            for rooms in self.connections.feed.rooms().chunks(BATCH) {
                // The next round comes long before they end.
                let _ = self.positions(rooms.to_vec()).await;
            }
        }
    }

    /// Publishes to the bus alone, in one step, so that a node gets the copies behind each other.
    async fn publish_ephemeral(&self, draft: Draft) -> Result<Published, Unavailable> {
        let text = message::encode_ephemeral(&draft);
        let mut commands = redis::pipe();
        commands.atomic();
        for room in &draft.rooms {
            commands.publish(self.connections.scripts.channel(room), text.as_slice()).ignore();
        }
        self.connections.link.send(&commands).await?;
        Ok(Published { event_id: draft.event_id, positions: BTreeMap::new(), duplicate: false })
    }
}

impl Broker for RedisBroker {
    fn publish(&self, draft: Draft) -> BoxFuture<'_, Result<Published, Unavailable>> {
        Box::pin(async move {
            if draft.is_ephemeral {
                return self.publish_ephemeral(draft).await;
            }
            let placed: Placed =
                self.connections.link.run(|server| self.connections.scripts.publish(server, &draft)).await?;
            let positions = draft.rooms.into_iter().zip(placed.positions).collect();
            Ok(Published { event_id: draft.event_id, positions, duplicate: placed.is_duplicate })
        })
    }

    fn open(&self, rooms: Vec<Room>) -> BoxFuture<'_, Result<Vec<Position>, Unavailable>> {
        Box::pin(async move {
            // Subscribed first: what is published behind the position that is read then arrives.
            let holds = self.connections.feed.open(rooms.clone()).await?;
            let positions = self.positions(rooms).await?;
            holds.keep();
            Ok(positions)
        })
    }

    fn history(
        &self,
        rooms: Vec<(Room, Option<Position>)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, Unavailable>> {
        Box::pin(async move {
            let mut pages = Vec::with_capacity(rooms.len());
            let mut left: VecDeque<_> = rooms.into();
            while !left.is_empty() {
                let wanted = left.make_contiguous();
                let read: Vec<RawPage> =
                    self.connections.link.run(|server| self.connections.scripts.history(server, wanted, limit)).await?;
                if read.is_empty() {
                    return Err(Unavailable);
                }
                left.drain(..read.len().min(left.len()));
                pages.extend(read.into_iter().map(RawPage::read));
            }
            Ok(pages)
        })
    }

    fn positions(&self, rooms: Vec<Room>) -> BoxFuture<'_, Result<Vec<Position>, Unavailable>> {
        Box::pin(async move {
            let read: Vec<String> =
                self.connections.link.run(|server| self.connections.scripts.positions(server, &rooms)).await?;
            read_positions(read).ok().filter(|read| read.len() == rooms.len()).ok_or(Unavailable)
        })
    }

    fn resynced(&self) -> Option<watch::Receiver<u64>> {
        Some(self.connections.feed.resynced())
    }

    fn release(&self, rooms: &[Room]) {
        self.connections.feed.release(rooms);
    }

    /// Keeps the connections.
    fn run(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            tokio::join!(self.connections.run(), self.refresh());
        })
    }

    /// Redis forgets by itself.
    fn sweep(&self) {}

    fn is_ready(&self) -> bool {
        self.connections.is_ready()
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RedisBroker").field("is_ready", &self.is_ready()).finish_non_exhaustive()
    }
}

/// Whether the configured address can be read.
///
/// # Errors
/// [`InvalidConfig`] when it cannot.
pub(crate) fn check_address(config: &Config) -> Result<(), InvalidConfig> {
    Address::of(config).map(drop)
}

/// Whether a broker can run on the configured server. One that cannot be reached may be there later; one that is a
/// cluster or refuses the password will not change by itself.
///
/// # Errors
/// [`InvalidConfig`] when only another configuration could help.
pub(crate) async fn check_server(config: &Config) -> Result<(), InvalidConfig> {
    let address = Address::of(config)?;
    let checked = async {
        let mut connection = address.connect(None).await?;
        Info::ask(&mut connection).await?.check()
    };
    match checked.await {
        Err(Failure::Lasting(reason)) => {
            Err(InvalidConfig { key: "REDIS_URL", problem: format!("cannot use Redis at {address}: {reason}") })
        }
        Err(Failure::Passing(reason)) => {
            tracing::warn!(redis = %address, %reason, "cannot reach Redis yet, starting all the same");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
