//! The cluster suite: real nodes on a real Redis, with many clients, while something breaks. Nothing is lost in silence.
//!
//! Owns which tests may run beside each other, and how one waits here. Every test prints a line of figures:
//! `cargo test -p roomcast-cli --test cluster -- --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod balancer;
mod cluster;
mod gaps;
#[allow(dead_code, reason = "the other binary of tests uses the rest")]
#[path = "../it/harness.rs"]
mod harness;
mod line;
mod load;
mod nodes;
mod oracle;
mod outages;
mod plain;
mod readers;
#[path = "../../../gateway/tests/it/redis_server.rs"]
mod redis_server;
mod trial;

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{Semaphore, SemaphorePermit};

use harness::PATIENCE;

/// How many tests run at a time. Those with an outage mostly wait; two of them are what two cores take.
const PLACES: u32 = 2;

static MACHINE: Semaphore = Semaphore::const_new(PLACES as usize);

/// A share of the machine, for a test that mostly waits.
async fn share() -> SemaphorePermit<'static> {
    MACHINE.acquire().await.unwrap()
}

/// The whole machine, for a test with a thousand clients, and as many open files as it may have: three for each client.
async fn all_of_it() -> SemaphorePermit<'static> {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum }).unwrap();
    MACHINE.acquire_many(PLACES).await.unwrap()
}

/// Waits until it is so, and says how long that took; what it says otherwise is looked up only when it fails.
async fn eventually(what: &str, mut is_so: impl FnMut() -> bool, state: impl FnOnce() -> String) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it does not come about that {what}: {}", state());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}
