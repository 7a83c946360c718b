//! The model test: random histories of publishing, joining, leaving, breaking and losing, against the promise that each client
//! has every event of its rooms in order, or was told of a gap exactly at the cut.
//!
//! Everything but the socket is the product's own: node, hub, sessions, replays, repairs. The bus between broker and hub is
//! simulated: it loses and doubles messages, and its broker may forget everything. A seed is a whole history; a failing one
//! is printed and replayed with `ROOMCAST_SEED=<seed> cargo test -p roomcast-gateway model`.

mod bus;
mod client;
mod traffic;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use roomcast_protocol::Room;

use crate::clock::Clock;
use crate::config::{Config, Secret};
use crate::fault::{self, Fault};
use crate::node::Node;
use crate::publication::Draft;
use bus::Bus;
use client::Client;
use traffic::Traffic;

/// Histories in one run. Each takes a few milliseconds.
const SEEDS: u64 = 2000;

const ROOMS: [&str; 3] = ["team:a", "issue:b", "cycle:c"];

/// Events are this large, so that a replay of a few fills what may wait for a socket, and stops in the middle.
const EVENT_BYTES: usize = 12 << 10;

struct World {
    random: StdRng,
    node: Arc<Node>,
    bus: Arc<Bus>,
    clients: Vec<Client>,
    published: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let config = Config {
            jwt_secret: Some(Secret::new("a secret of the model, of 32 bytes and more")),
            history_size: 12.into(),
            messages_per_minute: u32::MAX,
            max_queue_bytes: 64 << 20,
            ..Config::serve()
        };
        let mut bus = None;
        let node = Node::start_with(config, Clock::system(), 1000, |config, deliver| {
            let simulated = Bus::start(config, deliver, seed);
            bus = Some(simulated.clone());
            simulated
        });
        let bus = bus.unwrap();
        let traffic = Traffic::start(&node, seed);
        let clients = (0..3).map(|index| Client::new(&node, index, traffic.clone())).collect();
        Self { random: StdRng::seed_from_u64(seed), node, bus, clients, published: 0 }
    }

    async fn step(&mut self) {
        let client = self.random.random_range(0..self.clients.len());
        match self.random.random_range(0..100) {
            0..45 => self.publish().await,
            45..60 => {
                let rooms = self.some_rooms();
                let with_since = self.random.random_bool(0.5);
                self.clients[client].subscribe(&rooms, with_since).await;
            }
            60..66 => {
                let rooms = self.some_rooms();
                self.clients[client].unsubscribe(&rooms).await;
            }
            66..74 => self.clients[client].disconnect(),
            74..84 => {
                // Comes back with all its rooms, and perhaps breaks again in the middle of the replay.
                let patience = if self.random.random_bool(0.3) { Some(self.random.random_range(0..4)) } else { None };
                self.clients[client].reconnect(&self.node, patience).await;
            }
            84..94 => tokio::time::sleep(Duration::from_millis(self.random.random_range(1..3000))).await,
            94..96 => self.bus.restart(),
            96..98 => self.bus.set_away(self.random.random_bool(0.5)),
            _ => self.settle().await,
        }
        // Others get their turn: the hub, the bus, the wheel.
        for _ in 0..self.random.random_range(0..4) {
            tokio::task::yield_now().await;
        }
        self.clients[client].read().await;
    }

    fn some_rooms(&mut self) -> Vec<Room> {
        some_rooms(&mut self.random)
    }

    async fn publish(&mut self) {
        for _ in 0..self.random.random_range(1..5) {
            self.published += 1;
            let rooms = self.some_rooms();
            let published = self.node.broker.publish(event(&format!("step-{}", self.published), rooms)).await;
            assert!(published.is_ok() || self.bus.is_away());
        }
    }

    /// Gives everything the time that is promised, and compares every client with the truth.
    async fn settle(&mut self) {
        self.bus.set_lossy(false);
        self.bus.set_away(false);
        // Sleeping, so that the paused clock goes on by itself whenever nothing is left to do.
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            for client in &mut self.clients {
                client.read().await;
            }
        }
        for client in &self.clients {
            for room in client.rooms() {
                let truth = self.node.broker.positions(vec![room.clone()]).await.unwrap()[0];
                assert_eq!(client.position(&room), Some(truth), "client {} is behind in {room}", client.index());
            }
        }
        self.bus.set_lossy(true);
    }
}

fn some_rooms(random: &mut StdRng) -> Vec<Room> {
    let count = random.random_range(1..=ROOMS.len());
    let first = random.random_range(0..ROOMS.len());
    (0..count).map(|index| ROOMS[(first + index) % ROOMS.len()].parse().unwrap()).collect()
}

/// An event that can be published.
fn event(id: &str, rooms: Vec<Room>) -> Draft {
    let filler = "x".repeat(EVENT_BYTES);
    let head =
        format!("{{\"type\":\"custom.event\",\"timestamp\":\"2024-01-15T10:30:00.000Z\",\"payload\":\"{filler}\"")
            .into();
    Draft { event_id: id.parse().unwrap(), is_repeatable: false, rooms, head, is_ephemeral: false, except: None }
}

/// Runs one history to its end.
fn run(seed: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.step().await;
        }
        world.settle().await;
        world.node.stop.cancel();
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
    for seed in 0..SEEDS {
        if let Some(objection) = objection(seed) {
            panic!("seed {seed}: {objection}");
        }
    }
}

/// Whether the model objects to a build with the fault, within so many seeds.
fn is_found(fault: Fault) -> bool {
    fault::build_in(Some(fault));
    // What is found here is wanted: the panics need not be printed.
    let is_found = (0..SEEDS).any(|seed| objection(seed).is_some());
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
