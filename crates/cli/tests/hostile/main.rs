//! The hostile suite: a real `roomcast serve`, and clients that mean it harm, or are just many.
//!
//! Owns which tests may run beside each other. Every test prints its figures:
//! `cargo test -p roomcast-cli --test hostile -- --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod attacks;
mod crowds;
mod drain;
#[allow(dead_code, reason = "the other binary of tests uses the rest")]
#[path = "../it/harness.rs"]
mod harness;
mod latency;
#[path = "../../../gateway/tests/it/redis_server.rs"]
mod redis_server;
mod server;
mod wire;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::const_new(());

/// A share of the machine, for a test that mostly waits.
async fn share() -> RwLockReadGuard<'static, ()> {
    raise_files();
    MACHINE.read().await
}

/// The whole machine.
async fn all_of_it() -> RwLockWriteGuard<'static, ()> {
    raise_files();
    MACHINE.write().await
}

/// As many open files as there may be.
fn raise_files() {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum }).unwrap();
}
