//! One node's way to the shared broker and back: what it publishes arrives, what comes to it is lost, doubled and late.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use roomcast_protocol::{Position, Published, Room};
use tokio::sync::{mpsc, watch};

use super::store::{Message, Store};
use crate::broker::{Broker, Deliver, Page, Unavailable};
use crate::publication::Draft;

/// The way of one node.
pub(super) struct Bus {
    store: Arc<Store>,
}

impl Bus {
    /// Begins to carry what is published to the node.
    pub(super) fn start(store: &Arc<Store>, deliver: Deliver, seed: u64) -> Arc<Self> {
        tokio::spawn(carry(store.clone(), store.listen(), deliver, StdRng::seed_from_u64(seed ^ 0x5eed)));
        Arc::new(Self { store: store.clone() })
    }
}

/// Brings messages to the hub, in order, until the node is no more: not all of them, and some twice.
async fn carry(store: Arc<Store>, mut messages: mpsc::Receiver<Message>, deliver: Deliver, mut random: StdRng) {
    loop {
        let message = tokio::select! {
            message = messages.recv() => message,
            () = deliver.closed() => None,
        };
        let Some(Message { publication, life }) = message else { return };
        // Half of what was under way when the connection broke was still read.
        let is_cut = life != store.life() && random.random_bool(0.5);
        let copies = match random.random_range(0..100) {
            _ if !store.is_lossy() => 1,
            _ if is_cut => 0,
            0..6 => 0,
            6..12 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            if deliver.send(publication.clone()).await.is_err() {
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
        Box::pin(self.store.publish(draft))
    }

    fn open(&self, rooms: Vec<Room>) -> BoxFuture<'_, Result<Vec<Position>, Unavailable>> {
        Box::pin(async move {
            // A moment in which others act, as with a broker across a network.
            tokio::task::yield_now().await;
            self.store.broker()?.open(rooms).await
        })
    }

    fn history(
        &self,
        rooms: Vec<(Room, Option<Position>)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, Unavailable>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let pages = self.store.broker()?.history(rooms, limit).await;
            tokio::task::yield_now().await;
            pages
        })
    }

    fn positions(&self, rooms: Vec<Room>) -> BoxFuture<'_, Result<Vec<Position>, Unavailable>> {
        Box::pin(async move { self.store.broker()?.positions(rooms).await })
    }

    fn resynced(&self) -> Option<watch::Receiver<u64>> {
        Some(self.store.resynced.subscribe())
    }

    fn release(&self, rooms: &[Room]) {
        self.store.inner().release(rooms);
    }

    fn sweep(&self) {
        self.store.inner().sweep();
    }

    fn is_ready(&self) -> bool {
        !self.store.is_away()
    }
}
