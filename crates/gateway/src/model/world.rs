//! The world of one history: several nodes, the broker that they share, and clients.
//!
//! Owns what may happen, and how often. All chance comes from the seed.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use roomcast_protocol::Room;

use super::bus::Bus;
use super::client::Client;
use super::store::{Comeback, Store};
use super::traffic::Traffic;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::{Config, Secret};
use crate::node::Node;
use crate::publication::Draft;

const ROOMS: [&str; 3] = ["team:a", "issue:b", "cycle:c"];

/// Nodes that live at a time.
const NODES: usize = 3;

const CLIENTS: usize = 3;

/// Events are this large, so that a replay of a few fills what may wait for a socket, and stops in the middle.
const EVENT_BYTES: usize = 12 << 10;

/// What comes before the filler of an event.
const OPENING: &str = r#"{"type":"custom.event","timestamp":"2024-01-15T10:30:00.000Z","payload":""#;

pub(super) struct World {
    random: StdRng,
    config: Config,
    store: Arc<Store>,
    nodes: Vec<Arc<Node>>,
    clients: Vec<Client>,
    published: u64,
}

impl World {
    pub(super) async fn new(seed: u64) -> Self {
        let config = Config {
            jwt_secret: Some(Secret::new("a secret of the model, of 32 bytes and more")),
            history_size: 12.into(),
            messages_per_minute: u32::MAX,
            max_queue_bytes: 64 << 20,
            ..Config::serve()
        };
        let mut random = StdRng::seed_from_u64(seed);
        let store = Store::start(&config);
        let nodes = (0..NODES).map(|_| start_node(&config, &store, &mut random)).collect();
        let traffic = Traffic::start(&store, seed);
        let clients = (0..CLIENTS).map(|index| Client::new(index, store.truth.clone(), traffic.clone())).collect();
        let mut world = Self { random, config, store, nodes, clients, published: 0 };
        for client in 0..CLIENTS {
            world.reconnect(client, None).await;
        }
        world
    }

    pub(super) async fn step(&mut self) {
        let client = self.random.random_range(0..CLIENTS);
        match self.random.random_range(0..100) {
            0..44 => self.publish().await,
            44..59 => {
                let rooms = some_rooms(&mut self.random);
                let with_since = self.random.random_bool(0.5);
                self.clients[client].subscribe(&rooms, with_since).await;
            }
            59..64 => {
                let rooms = some_rooms(&mut self.random);
                self.clients[client].unsubscribe(&rooms).await;
            }
            64..70 => self.clients[client].disconnect(),
            70..80 => {
                // Comes back with all its rooms, and perhaps breaks again in the middle of the replay.
                let patience = if self.random.random_bool(0.3) { Some(self.random.random_range(0..4)) } else { None };
                self.reconnect(client, patience).await;
            }
            80..89 => tokio::time::sleep(Duration::from_millis(self.random.random_range(1..3000))).await,
            89..91 => self.kill_node().await,
            91..93 => self.store.save(),
            93..96 => {
                let comebacks = [Comeback::Same, Comeback::Older, Comeback::Empty];
                self.store.restart(comebacks[self.random.random_range(0..comebacks.len())]);
            }
            96..98 => self.store.set_away(self.random.random_bool(0.5)),
            _ => self.settle().await,
        }
        // Others get their turn: the hubs, the ways to them, the wheels.
        for _ in 0..self.random.random_range(0..4) {
            tokio::task::yield_now().await;
        }
        self.clients[client].read().await;
    }

    async fn publish(&mut self) {
        for _ in 0..self.random.random_range(1..5) {
            self.published += 1;
            let rooms = some_rooms(&mut self.random);
            let node = &self.nodes[self.random.random_range(0..NODES)];
            let published = node.broker.publish(event(&format!("step-{}", self.published), rooms)).await;
            assert!(published.is_ok() || self.store.is_away());
        }
    }

    /// Connects a client to one of the nodes, whichever it was on before.
    async fn reconnect(&mut self, client: usize, patience: Option<usize>) {
        let node = self.random.random_range(0..NODES);
        self.clients[client].reconnect(node, &self.nodes[node], patience).await;
    }

    /// Ends a node at once, with everything that was under way in it. Another takes its place, and its clients come back to
    /// any of the nodes.
    async fn kill_node(&mut self) {
        let node = self.random.random_range(0..NODES);
        self.nodes[node].stop.cancel();
        let lost: Vec<usize> = (0..CLIENTS).filter(|client| self.clients[*client].node() == Some(node)).collect();
        for client in &lost {
            self.clients[*client].disconnect();
        }
        self.nodes[node] = start_node(&self.config, &self.store, &mut self.random);
        for client in lost {
            self.reconnect(client, None).await;
        }
    }

    /// Gives everything up to the time that is promised, and compares every client with the truth.
    pub(super) async fn settle(&mut self) {
        self.store.set_lossy(false);
        self.store.set_away(false);
        // Sleeping, so that the paused clock goes on by itself whenever nothing is left to do.
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            for client in &mut self.clients {
                client.read().await;
            }
            if self.stragglers().await.is_empty() {
                break;
            }
        }
        assert_eq!(self.stragglers().await, Vec::<String>::new());
        self.clients.iter().for_each(Client::check);
        self.store.set_lossy(true);
    }

    /// Who is not where the broker is.
    async fn stragglers(&self) -> Vec<String> {
        let mut stragglers = Vec::new();
        for client in &self.clients {
            for room in client.rooms() {
                let truth = self.store.inner().positions(vec![room.clone()]).await.unwrap()[0];
                if client.position(&room) != Some(truth) {
                    stragglers.push(format!("client {} is behind {truth} in {room}", client.index()));
                }
            }
        }
        stragglers
    }

    /// Ends everything.
    pub(super) fn stop(&self) {
        self.nodes.iter().for_each(|node| node.stop.cancel());
    }
}

fn start_node(config: &Config, store: &Arc<Store>, random: &mut StdRng) -> Arc<Node> {
    let seed = random.random();
    Node::start_with(config.clone(), Clock::system(), 1000, |_, deliver| Bus::start(store, deliver, seed))
}

/// One room or several, which follow each other.
pub(super) fn some_rooms(random: &mut StdRng) -> Vec<Room> {
    let count = random.random_range(1..=ROOMS.len());
    let first = random.random_range(0..ROOMS.len());
    (0..count).map(|index| ROOMS[(first + index) % ROOMS.len()].parse().unwrap()).collect()
}

/// An event that can be published.
pub(super) fn event(id: &str, rooms: Vec<Room>) -> Draft {
    let filler = "x".repeat(EVENT_BYTES);
    let head = format!("{OPENING}{filler}\",\"eventId\":\"{id}\"").into();
    Draft { event_id: id.parse().unwrap(), is_repeatable: false, rooms, head, is_ephemeral: false, except: None }
}

/// The frame without an event's filler, whose parsing would take most of the time.
pub(super) fn unfilled(frame: &str) -> Cow<'_, str> {
    match frame.strip_prefix(OPENING) {
        Some(rest) => format!("{OPENING}{}", &rest[EVENT_BYTES..]).into(),
        None => frame.into(),
    }
}
