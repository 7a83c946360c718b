//! A broker whose way to the hub loses and doubles messages, and which may forget everything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use roomcast_protocol::{Position, Published, Room};
use tokio::sync::{mpsc, watch};

use crate::broker::memory::MemoryBroker;
use crate::broker::{Broker, DELIVER_QUEUE, Deliver, Page, Unavailable};
use crate::config::Config;
use crate::publication::{Draft, Publication};

/// The simulated bus.
pub(super) struct Bus {
    config: Config,
    raw: Deliver,
    broker: Mutex<Arc<MemoryBroker>>,
    is_lossy: Arc<AtomicBool>,
    is_away: AtomicBool,
    resynced: watch::Sender<u64>,
}

impl Bus {
    pub(super) fn start(config: &Config, deliver: Deliver, seed: u64) -> Arc<Self> {
        let (raw, messages) = mpsc::channel(DELIVER_QUEUE);
        let is_lossy = Arc::new(AtomicBool::new(true));
        tokio::spawn(carry(messages, deliver, is_lossy.clone(), StdRng::seed_from_u64(seed ^ 0x5eed)));
        let broker = Mutex::new(Arc::new(MemoryBroker::new(config, raw.clone())));
        let resynced = watch::channel(0).0;
        Arc::new(Self { config: config.clone(), raw, broker, is_lossy, is_away: AtomicBool::new(false), resynced })
    }

    /// Nothing more is lost, so that what was lost can be found.
    pub(super) fn set_lossy(&self, is_lossy: bool) {
        self.is_lossy.store(is_lossy, Ordering::Relaxed);
    }

    /// The broker comes back without anything that it knew.
    pub(super) fn restart(&self) {
        *self.broker.lock().unwrap() = Arc::new(MemoryBroker::new(&self.config, self.raw.clone()));
        self.resynced.send_modify(|count| *count += 1);
    }

    /// The broker does not answer any more, or answers again.
    pub(super) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    fn broker(&self) -> Result<Arc<MemoryBroker>, Unavailable> {
        if self.is_away() { Err(Unavailable) } else { Ok(self.broker.lock().unwrap().clone()) }
    }
}

/// Brings messages to the hub: in order, but not all of them, and some twice.
async fn carry(
    mut messages: mpsc::Receiver<Arc<Publication>>,
    deliver: Deliver,
    is_lossy: Arc<AtomicBool>,
    mut random: StdRng,
) {
    while let Some(message) = messages.recv().await {
        let copies = match random.random_range(0..100) {
            _ if !is_lossy.load(Ordering::Relaxed) => 1,
            0..6 => 0,
            6..12 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            if deliver.send(message.clone()).await.is_err() {
                return;
            }
        }
        if random.random_bool(0.3) {
            tokio::task::yield_now().await;
        }
    }
}

impl Broker for Bus {
    fn publish(&self, draft: Draft) -> BoxFuture<'_, Result<Published, Unavailable>> {
        Box::pin(async move { self.broker()?.publish(draft).await })
    }

    fn open(&self, rooms: Vec<Room>) -> BoxFuture<'_, Result<Vec<Position>, Unavailable>> {
        Box::pin(async move {
            // A moment in which others act, as with a broker across a network.
            tokio::task::yield_now().await;
            self.broker()?.open(rooms).await
        })
    }

    fn history(
        &self,
        rooms: Vec<(Room, Option<Position>)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, Unavailable>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let pages = self.broker()?.history(rooms, limit).await;
            tokio::task::yield_now().await;
            pages
        })
    }

    fn positions(&self, rooms: Vec<Room>) -> BoxFuture<'_, Result<Vec<Position>, Unavailable>> {
        Box::pin(async move { self.broker()?.positions(rooms).await })
    }

    fn resynced(&self) -> Option<watch::Receiver<u64>> {
        Some(self.resynced.subscribe())
    }

    fn release(&self, rooms: &[Room]) {
        self.broker.lock().unwrap().release(rooms);
    }

    fn sweep(&self) {
        self.broker.lock().unwrap().sweep();
    }

    fn is_ready(&self) -> bool {
        true
    }
}
