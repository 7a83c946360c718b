//! The model test: random histories of publishing, joining, leaving, breaking and losing, against the promise that each client
//! has every event of its rooms in order, or was told of a gap exactly at the cut.
//!
//! Everything but the socket is the product's own: nodes, hubs, sessions, replays, repairs. What is simulated is the broker
//! that the nodes share, which comes back with the same state, an older one or none, and each node's way to it, which loses
//! and doubles messages. Nodes are killed. A seed is a whole history; a failing one is printed and replayed with
//! `ROOMCAST_SEED=<seed> cargo test -p roomcast-gateway model`.

mod bus;
mod client;
mod store;
mod traffic;
mod truth;
mod world;

use std::panic::AssertUnwindSafe;

use crate::fault::{self, Fault};
use world::World;

/// Histories in one run. Each takes some milliseconds.
const SEEDS: u64 = 2000;

/// What happens in one history.
const STEPS: usize = 60;

/// Runs one history to its end.
fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed).await;
        for _ in 0..STEPS {
            world.step().await;
        }
        world.settle().await;
        world.stop();
    });
}

/// The panic of a history, if it ends in one.
fn objection(seed: u64) -> Option<String> {
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(seed)));
    outcome.err().map(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

#[test]
fn every_client_has_every_event_in_order_or_is_told_of_the_gap() {
    if let Some(seed) = std::env::var("ROOMCAST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        run(seed);
        return;
    }
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let found = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(move || search(first, threads))).collect();
        parts.into_iter().find_map(|part| part.join().unwrap())
    });
    if let Some((seed, objection)) = found {
        panic!("seed {seed}: {objection}");
    }
}

/// The first history from `first` on, in steps, that the model objects to.
fn search(first: u64, step: u64) -> Option<(u64, String)> {
    (first..SEEDS).step_by(step as usize).find_map(|seed| Some((seed, objection(seed)?)))
}

/// Whether the model objects to a build with the fault, within so many seeds.
fn is_found(fault: Fault) -> bool {
    fault::build_in(Some(fault));
    // What is found here is wanted: the panics need not be printed.
    let is_found = search(0, 1).is_some();
    fault::build_in(None);
    is_found
}

#[test]
fn a_build_that_holds_nothing_back_is_found() {
    assert!(is_found(Fault::UnheldRead));
}

#[test]
fn a_build_that_checks_no_epoch_is_found() {
    assert!(is_found(Fault::AnyEpoch));
}

#[test]
fn a_build_that_delivers_twice_is_found() {
    assert!(is_found(Fault::Redelivery));
}

#[test]
fn a_broker_that_goes_back_and_keeps_its_epochs_is_found() {
    assert!(is_found(Fault::KeptEpoch));
}
