//! Events that are published while a request is under way: between its acknowledgement and the last frame of its replay.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use super::store::Store;
use super::world::{event, some_rooms};

/// Publishes as long as somebody asks something.
pub(super) struct Traffic {
    is_busy: watch::Sender<bool>,
}

impl Traffic {
    pub(super) fn start(store: &Arc<Store>, seed: u64) -> Arc<Self> {
        let is_busy = watch::channel(false).0;
        let (store, mut busy) = (store.clone(), is_busy.subscribe());
        tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed ^ 0x7_aff1c);
            let mut published = 0;
            // Waits in between, so that the paused clock can go on.
            while busy.wait_for(|is_busy| *is_busy).await.is_ok() {
                for _ in 0..random.random_range(1..12) {
                    tokio::task::yield_now().await;
                }
                published += 1;
                let _ = store.publish(event(&format!("traffic-{published}"), some_rooms(&mut random))).await;
            }
        });
        Arc::new(Self { is_busy })
    }

    pub(super) fn set_busy(&self, is_busy: bool) {
        self.is_busy.send_replace(is_busy);
    }
}
