//! A node's record and audience, and connections that know what their frames told them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::server::{Reply, ServerMessage};
use roomcast_protocol::{Room, UserId};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::audience::Audience;
use super::memory::MemoryPresence;
use super::redis as shared_presence;
use super::{Data, Entry, Guest, Presence};
use crate::broker::contract::PATIENCE;
use crate::broker::contract::redis_server::RedisServer;
use crate::broker::redis as shared;
use crate::clock::Clock;
use crate::config::{Config, Secret};
use crate::hub::ConnectionId;
use crate::outbox::Outbox;

/// A connection and what it knows from its frames.
pub(super) struct Client {
    pub(super) guest: Guest,
    pub(super) outbox: Arc<Outbox>,
    pub(super) stage: Stage,
    pub(super) known: BTreeMap<String, Option<String>>,
    /// How often it was told that somebody has left.
    pub(super) left: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Away,
    Held,
    Listed,
    Released,
}

/// A node.
pub(super) struct World {
    pub(super) audience: Arc<Audience>,
    pub(super) record: Arc<dyn Presence>,
    pub(super) room: Room,
    /// Ends with the node.
    tasks: JoinSet<()>,
}

impl Client {
    /// Every two of them are of one user.
    pub(super) fn new(number: usize) -> Self {
        let user: UserId = format!("user_{}", number / 2).parse().unwrap();
        let guest = Guest { user, connection: ConnectionId::new(), data: None };
        Self { guest, outbox: Arc::new(Outbox::new(64 << 20)), stage: Stage::Away, known: BTreeMap::new(), left: 0 }
    }

    pub(super) fn read(&mut self) {
        let mut frames = VecDeque::new();
        self.outbox.take(&mut frames);
        for frame in frames {
            self.outbox.written(frame.len());
            let Ok(ServerMessage::Reply(reply)) = ServerMessage::parse(frame.as_str()) else { panic!("{frame:?}") };
            let text = |data: Option<serde_json::Value>| data.map(|data| data.to_string());
            match reply.reply {
                Reply::PresenceState(state) => {
                    let members = state.members.into_iter();
                    self.known = members.map(|member| (member.user_id.to_string(), text(member.data))).collect();
                }
                Reply::PresenceJoined(change) => {
                    self.known.insert(change.member.user_id.to_string(), text(change.member.data));
                }
                Reply::PresenceLeft(change) => {
                    self.left += 1;
                    self.known.remove(change.member.user_id.as_str());
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

impl World {
    /// A node of its own.
    pub(super) fn embedded(config: &Config) -> Self {
        Self::embedded_with_record(config).0
    }

    /// The same, and its record as what it is.
    pub(super) fn embedded_with_record(config: &Config) -> (Self, Arc<MemoryPresence>) {
        let audience = Arc::new(Audience::new(Clock::system()));
        let record = Arc::new(MemoryPresence::new(config, audience.clone()));
        (Self::run(audience, record.clone(), JoinSet::new()), record)
    }

    /// A node on that server, once it is ready, which gets the room's messages.
    pub(super) async fn in_redis(config: &Config, server: &RedisServer) -> Self {
        let config = Config { redis_url: Some(Secret::new(server.url())), ..config.clone() };
        let (deliver, mut delivered) = mpsc::channel(64);
        let audience = Arc::new(Audience::new(Clock::system()));
        let inbox = shared::Inbox { audience: audience.clone(), ..shared::Inbox::of(deliver, Default::default()) };
        let connections = Arc::new(shared::Connections::new(&config, inbox).unwrap());
        let mut tasks = JoinSet::new();
        let (running, opening) = (connections.clone(), connections.clone());
        tasks.spawn(async move { running.run().await });
        tasks.spawn(async move { while delivered.recv().await.is_some() {} });
        let record = Arc::new(shared_presence::RedisPresence::new(&config, connections, audience.clone()));
        let world = Self::run(audience, record, tasks);
        eventually("the node is ready", async || opening.is_ready()).await;
        opening.feed.open(vec![world.room.clone()]).await.unwrap().keep();
        world
    }

    fn run(audience: Arc<Audience>, record: Arc<dyn Presence>, mut tasks: JoinSet<()>) -> Self {
        let (running, telling, told) = (record.clone(), audience.clone(), record.clone());
        tasks.spawn(async move { running.run().await });
        tasks.spawn(async move { telling.run(&*told).await });
        Self { audience, record, room: "team:a".parse().unwrap(), tasks }
    }

    /// The node dies: nothing of it is done any more, and nothing is said.
    pub(super) fn kill(&mut self) {
        self.tasks.abort_all();
    }

    /// Enters the room and is told who is there.
    pub(super) async fn enter(&self, client: &mut Client, data: Option<&str>) {
        client.guest.data = data.map(data_of);
        self.audience.hold(client.guest.connection, &client.guest.user, &client.outbox, &self.room);
        let entries = self.record.enter(std::slice::from_ref(&self.room), &client.guest).await;
        assert_eq!(entries.unwrap(), [Entry::Entered]);
        let roster = self.record.roster(&self.room).await.unwrap();
        self.audience.tell_state(client.guest.connection, &self.room, &roster);
        self.audience.release(client.guest.connection, &self.room);
        client.stage = Stage::Released;
    }

    /// Leaves the room.
    pub(super) fn leave(&self, client: &mut Client) {
        self.audience.leave(client.guest.connection, &self.room);
        self.record.leave(std::slice::from_ref(&self.room), &client.guest.user, client.guest.connection);
        client.stage = Stage::Away;
    }

    /// The connection is gone; the client has another one from now on.
    pub(super) fn lose(&self, client: &mut Client) {
        let rooms = self.audience.remove(client.guest.connection);
        self.record.lose(&rooms, &client.guest.user, client.guest.connection);
        client.guest.connection = ConnectionId::new();
        client.stage = Stage::Away;
    }

    /// Who is there, and with which data.
    pub(super) async fn truth(&self) -> BTreeMap<String, Option<String>> {
        let roster = self.record.roster(&self.room).await.unwrap();
        let text = |data: Option<Data>| data.map(|data| RawValue::get(&data).to_owned());
        roster.members.into_iter().map(|member| (member.user.to_string(), text(member.data))).collect()
    }

    /// Who is there, as `user connections data`.
    pub(super) async fn list(&self) -> Vec<String> {
        let roster = self.record.roster(&self.room).await.unwrap_or_default();
        let line = |member: super::Member| {
            let data = member.data.map(|data| format!(" {}", RawValue::get(&data))).unwrap_or_default();
            format!("{} {}{data}", member.user, member.connections)
        };
        roster.members.into_iter().map(line).collect()
    }
}

/// JSON of a text.
pub(super) fn data_of(text: &str) -> Data {
    Arc::from(to_raw_value(text).unwrap())
}

/// Waits until it is so.
pub(super) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
