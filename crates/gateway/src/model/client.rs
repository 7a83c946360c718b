//! A client that keeps its positions and objects to whatever does not follow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::server::{Reply, RoomOutcome};
use roomcast_protocol::{ErrorCode, Position, Room, ServerMessage};
use serde_json::json;

use super::traffic::Traffic;
use super::truth::{Applied, Truth};
use super::world::unfilled;
use crate::auth::Identity;
use crate::frame::Frame;
use crate::node::Node;
use crate::outbox::Outbox;
use crate::session::{Incoming, Session};

/// One client, with the connection that it has at the moment.
pub(super) struct Client {
    index: usize,
    /// The node that it is or was connected to.
    node: usize,
    connection: Option<Connection>,
    /// What it knows: the last position in each room, kept over connections.
    positions: BTreeMap<Room, Position>,
    /// The rooms that it is in.
    rooms: BTreeSet<Room>,
    /// The rooms that it wants back when it reconnects.
    wanted: BTreeSet<Room>,
    /// Rooms that it has asked to restart: what still comes of them before the answer comes again with the replay.
    restarting: BTreeSet<Room>,
    /// Whether its connection has a hole that was not repaired yet.
    has_hole: bool,
    applied: Applied,
    /// What happens while it asks.
    traffic: Arc<Traffic>,
}

struct Connection {
    session: Session,
    outbox: Arc<Outbox>,
}

impl Client {
    /// A client that is not connected yet.
    pub(super) fn new(index: usize, truth: Arc<Truth>, traffic: Arc<Traffic>) -> Self {
        Self {
            index,
            node: 0,
            connection: None,
            positions: BTreeMap::new(),
            rooms: BTreeSet::new(),
            wanted: BTreeSet::new(),
            restarting: BTreeSet::new(),
            has_hole: false,
            applied: Applied::new(index, truth),
            traffic,
        }
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// The node that it is connected to.
    pub(super) fn node(&self) -> Option<usize> {
        self.connection.is_some().then_some(self.node)
    }

    /// Compares everything that it ever applied with the truth.
    pub(super) fn check(&self) {
        self.applied.check();
    }

    pub(super) fn rooms(&self) -> Vec<Room> {
        self.rooms.iter().cloned().collect()
    }

    pub(super) fn position(&self, room: &Room) -> Option<Position> {
        self.positions.get(room).copied()
    }

    pub(super) async fn subscribe(&mut self, rooms: &[Room], with_since: bool) {
        let since: BTreeMap<String, String> = rooms
            .iter()
            .filter(|_| with_since)
            .filter_map(|room| Some((room.to_string(), self.positions.get(room)?.to_string())))
            .collect();
        self.wanted.extend(rooms.iter().cloned());
        self.restarting.extend(since.keys().map(|room| room.parse::<Room>().unwrap()));
        self.ask(json!({"action": "subscribe", "rooms": rooms, "since": since}), None).await;
    }

    pub(super) async fn unsubscribe(&mut self, rooms: &[Room]) {
        self.wanted.retain(|room| !rooms.contains(room));
        self.ask(json!({"action": "unsubscribe", "rooms": rooms}), None).await;
    }

    /// The connection breaks; frames that were on their way are lost.
    pub(super) fn disconnect(&mut self) {
        self.connection = None;
        self.has_hole = false;
        self.restarting.clear();
        self.rooms.clear();
    }

    /// Connects and resumes all rooms in one request, which breaks after `patience` batches of frames.
    pub(super) async fn reconnect(&mut self, index: usize, node: &Arc<Node>, patience: Option<usize>) {
        self.disconnect();
        self.node = index;
        self.connection = Some(Connection::new(node, self.index));
        if !self.wanted.is_empty() {
            let since: BTreeMap<_, _> =
                self.wanted.iter().filter_map(|room| Some((room, self.positions.get(room)?))).collect();
            self.ask(json!({"action": "subscribe", "rooms": self.wanted, "since": since}), patience).await;
        }
    }

    /// Asks, and reads until the answer is complete, or until patience is over and the connection breaks.
    async fn ask(&mut self, request: serde_json::Value, patience: Option<usize>) {
        let Some(mut connection) = self.connection.take() else { return };
        let outbox = connection.outbox.clone();
        let (mut batches, mut is_done) = (0, false);
        self.traffic.set_busy(true);
        {
            let mut handling = std::pin::pin!(connection.session.handle(Incoming::Text(request.to_string())));
            while !is_done {
                tokio::select! {
                    biased;
                    outcome = handling.as_mut() => {
                        assert_eq!(outcome, None);
                        is_done = true;
                    }
                    () = tokio::task::yield_now() => {}
                }
                self.take(&outbox);
                batches += 1;
                if patience.is_some_and(|patience| batches > patience) {
                    break;
                }
            }
        }
        self.traffic.set_busy(false);
        if is_done {
            self.connection = Some(connection);
        } else {
            drop(connection);
            self.disconnect();
        }
    }

    /// Reads what has come, and has the connection repaired as its task would.
    pub(super) async fn read(&mut self) {
        let Some(outbox) = self.connection.as_ref().map(|connection| connection.outbox.clone()) else { return };
        self.take(&outbox);
        while std::mem::take(&mut self.has_hole) {
            let Some(mut connection) = self.connection.take() else { return };
            {
                let mut repair = std::pin::pin!(connection.session.repair());
                loop {
                    tokio::select! {
                        biased;
                        () = repair.as_mut() => break,
                        // Sleeping: a repair waits for a broker that is away.
                        () = tokio::time::sleep(Duration::from_millis(1)) => {}
                    }
                    self.take(&outbox);
                }
            }
            self.connection = Some(connection);
            self.take(&outbox);
        }
    }

    /// Takes frames, and the news of a hole.
    fn take(&mut self, outbox: &Outbox) {
        let mut frames = VecDeque::new();
        let taken = outbox.take(&mut frames);
        assert!(taken.closing.is_none(), "the connection is closed");
        for frame in frames {
            outbox.written(frame.len());
            self.apply(&frame);
        }
        self.has_hole |= taken.has_hole;
    }

    fn apply(&mut self, frame: &Frame) {
        match ServerMessage::parse(&unfilled(frame.as_str())).unwrap() {
            ServerMessage::Event(event) => {
                let id = event.event_id.expect("an event has an id");
                for (room, position) in event.positions {
                    if self.restarting.contains(&room) {
                        continue;
                    }
                    assert!(
                        self.rooms.contains(&room),
                        "client {}: an event of {room}, which it is not in",
                        self.index
                    );
                    let known = self.positions[&room];
                    assert_eq!(
                        known.epoch, position.epoch,
                        "client {}: another epoch of {room} without a gap",
                        self.index
                    );
                    assert_eq!(
                        position.offset,
                        known.offset + 1,
                        "client {}: a hole or a repeat in {room}",
                        self.index
                    );
                    self.applied.add(&room, position, id.clone());
                    self.positions.insert(room, position);
                }
            }
            ServerMessage::Reply(reply) => {
                let Reply::SubscriptionAck(ack) = reply.reply else { return };
                for (room, outcome) in ack.rooms {
                    self.outcome(room.parse().unwrap(), outcome);
                }
            }
            ServerMessage::Unknown { frame_type } => panic!("unknown {frame_type}"),
        }
    }

    fn outcome(&mut self, room: Room, outcome: RoomOutcome) {
        self.restarting.remove(&room);
        match outcome {
            RoomOutcome::Subscribed { position, .. } | RoomOutcome::Gap { position, .. } => {
                // Whoever subscribes without a position, or is told of a gap, loads the state anew.
                self.applied.start(&room, position);
                self.positions.insert(room.clone(), position);
                self.rooms.insert(room);
            }
            RoomOutcome::Recovered { position, .. } => {
                assert_eq!(
                    self.positions.get(&room),
                    Some(&position),
                    "recovered from another position than was given"
                );
                self.rooms.insert(room);
            }
            RoomOutcome::Unsubscribed => {
                self.rooms.remove(&room);
            }
            // Out of the room, and its position kept for another time.
            RoomOutcome::Denied { code } => {
                assert_eq!(code, ErrorCode::Unavailable);
                self.rooms.remove(&room);
            }
        }
    }
}

impl Connection {
    fn new(node: &Arc<Node>, index: usize) -> Self {
        let grants = serde_json::from_value(json!({"*": ["subscribe"]})).unwrap();
        let identity = Identity::of(format!("user_{index}").parse().unwrap(), Some(grants));
        let admission = node.admit([127, 0, 0, 1].into()).ok().unwrap();
        let outbox = admission.handle.outbox.clone();
        let mut session = Session::new(admission, true);
        session.assume(identity);
        Self { session, outbox }
    }
}
