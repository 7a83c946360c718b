//! Delivery: from the broker's queue to the hub, turn by turn, and the writing at the end of each.
//!
//! Owns what a turn is. The write is nearly all of what a delivery costs, and several frames cost one write what one does. So
//! a turn takes what was published already, and then lets everything else that is ready run a few times, for that may publish
//! too; only then each outbox that was put into is written once.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::yield_now;

use super::Node;
use crate::hub::Touched;
use crate::outbox::Outbox;
use crate::publication::Publication;

/// Publications that the hub takes in one turn, at most.
const TURN: usize = 256;

/// How often a turn lets others run before it ends. With 16 publishers and a room of 1000, a delivery costs 1.5–1.9 µs of
/// processor time without, 0.65–0.78 with one, 0.59–0.86 with two, 0.50–0.64 with three, 0.38–0.67 with four: behind the
/// third, little is left to gather, and each costs who waits a little.
const YIELDS: usize = 3;

/// Outboxes that are written in one go: some hundred microseconds, for which nothing else runs on that thread.
const CHUNK: usize = 64;

/// Chunks that may be under way: behind so many the next turn waits, and publishers with it.
const CHUNKS: usize = 256;

impl Node {
    /// Brings publications to the hub, turn by turn.
    pub(super) async fn deliver(self: Arc<Self>, mut publications: mpsc::Receiver<Arc<Publication>>) {
        let mut received = Vec::with_capacity(TURN);
        let mut touched = Touched::default();
        let chunks = Arc::new(Semaphore::new(CHUNKS));
        while publications.recv_many(&mut received, TURN).await > 0 {
            let (mut left, mut yields) = (TURN - received.len(), 0);
            self.hand_over(&mut received, &mut touched);
            // A full turn has gathered enough.
            while yields < YIELDS && left > 0 {
                tokio::select! {
                    // The hub has what was published at once; only the writing waits.
                    biased;
                    more @ 1.. = publications.recv_many(&mut received, left) => {
                        left -= more;
                        self.hand_over(&mut received, &mut touched);
                    }
                    () = yield_now() => yields += 1,
                }
            }
            self.metrics.delivered.inc_by(std::mem::take(&mut touched.frames));
            self.write(&mut touched.outboxes, &chunks).await;
        }
    }

    fn hand_over(&self, received: &mut Vec<Arc<Publication>>, touched: &mut Touched) {
        for publication in received.drain(..) {
            self.hub.deliver(&publication, touched);
        }
    }

    /// Writes what the turn has put into these. All but a chunk are handed to whichever worker is free: the order of each
    /// connection is its outbox's to keep, and a small room that comes next does not wait for a large one.
    async fn write(self: &Arc<Self>, outboxes: &mut Vec<Arc<Outbox>>, chunks: &Arc<Semaphore>) {
        while outboxes.len() > CHUNK {
            // The semaphore is never closed.
            let Ok(permit) = chunks.clone().acquire_owned().await else { return };
            let (node, chunk) = (self.clone(), outboxes.split_off(outboxes.len() - CHUNK));
            self.tasks.spawn(async move {
                chunk.iter().for_each(|outbox| outbox.write(&node.metrics));
                drop(permit);
            });
        }
        outboxes.drain(..).for_each(|outbox| outbox.write(&self.metrics));
    }
}
