//! Joining and leaving rooms.

use std::collections::{BTreeMap, BTreeSet};

use roomcast_protocol::client::Subscribe;
use roomcast_protocol::server::{ErrorPayload, GapReason, PresenceStatus, Reply, RoomOutcome, SubscriptionAck};
use roomcast_protocol::{ErrorCode, Operation, Position, RequestId, Room};

use super::Session;
use crate::access;
use crate::broker::Unavailable;
use crate::publish::parse_room;

impl Session {
    /// Joins the rooms that the client may join; the answer names an outcome for each, and events come behind it.
    pub(super) async fn subscribe(&mut self, id: Option<RequestId>, request: Subscribe) {
        if let Some(refusal) = self.too_many_rooms(&request.rooms) {
            return self.error(id, refusal);
        }
        let mut outcomes = BTreeMap::new();
        let mut wanted: Vec<Room> = Vec::new();
        for name in &request.rooms {
            match self.may_join(name) {
                // A room that is named twice counts once.
                Ok(room) if wanted.contains(&room) => {}
                Ok(room) => wanted.push(room),
                Err(code) => drop(outcomes.insert(name.clone(), RoomOutcome::Denied { code })),
            }
        }
        self.deny_over_limit(&mut wanted, &mut outcomes);
        self.hub().hold(self.key());
        let joined = self.join(&wanted).await;
        for (index, room) in wanted.iter().enumerate() {
            let outcome = match &joined {
                Ok(positions) => self.outcome(room, positions[index], &request),
                Err(_) => RoomOutcome::Denied { code: ErrorCode::Unavailable },
            };
            outcomes.insert(room.to_string(), outcome);
        }
        let ack = self.frame(id, Reply::SubscriptionAck(SubscriptionAck { rooms: outcomes }));
        self.hub().resume(self.key(), ack);
    }

    /// Leaves the rooms: behind the answer nothing of them comes.
    pub(super) fn unsubscribe(&mut self, id: Option<RequestId>, names: Vec<String>) {
        if let Some(refusal) = self.too_many_rooms(&names) {
            return self.error(id, refusal);
        }
        let mut outcomes = BTreeMap::new();
        for name in names {
            let outcome = match parse_room(&self.node.config, &name) {
                Ok(room) => {
                    self.leave(&[room]);
                    RoomOutcome::Unsubscribed
                }
                Err(refusal) => RoomOutcome::Denied { code: refusal.code },
            };
            outcomes.insert(name, outcome);
        }
        self.reply(id, Reply::SubscriptionAck(SubscriptionAck { rooms: outcomes }));
    }

    /// A room that is named twice counts once.
    fn too_many_rooms(&self, names: &[String]) -> Option<ErrorPayload> {
        let most = self.node.config.max_rooms_per_message;
        let count = names.iter().collect::<BTreeSet<_>>().len();
        let refusal = || ErrorPayload::new(ErrorCode::LimitExceeded, format!("at most {most} rooms in one message"));
        (count > most).then(refusal)
    }

    fn may_join(&self, name: &str) -> Result<Room, ErrorCode> {
        let room = parse_room(&self.node.config, name).map_err(|refusal| refusal.code)?;
        if self.may(&room, &Operation::Subscribe) { Ok(room) } else { Err(ErrorCode::Forbidden) }
    }

    fn may(&self, room: &Room, operation: &Operation) -> bool {
        let identity = self.identity.as_ref();
        identity.is_some_and(|identity| access::is_allowed(self.node.config.room_access, identity, room, operation))
    }

    /// Rooms that the connection is in already take no further place.
    fn deny_over_limit(&self, wanted: &mut Vec<Room>, outcomes: &mut BTreeMap<String, RoomOutcome>) {
        let mut free = self.node.config.max_rooms.saturating_sub(self.hub().room_count(self.key()));
        wanted.retain(|room| {
            if self.hub().position(self.key(), room).is_some() {
                return true;
            }
            let fits = free > 0;
            free = free.saturating_sub(1);
            if !fits {
                outcomes.insert(room.to_string(), RoomOutcome::Denied { code: ErrorCode::LimitExceeded });
            }
            fits
        });
    }

    /// Takes a seat in each room and learns where delivery starts there; all or none. The connection must be on hold.
    pub(super) async fn join(&mut self, rooms: &[Room]) -> Result<Vec<Position>, Unavailable> {
        let new: Vec<Room> = rooms.iter().filter(|room| self.hub().seat(self.key(), room)).cloned().collect();
        if !new.is_empty() {
            match self.node.broker.open(new.clone()).await {
                Ok(positions) => new
                    .iter()
                    .zip(positions)
                    .for_each(|(room, position)| self.hub().start_at(self.key(), room, position)),
                Err(error) => {
                    for room in &new {
                        self.hub().leave(self.key(), room);
                    }
                    return Err(error);
                }
            }
        }
        rooms.iter().map(|room| self.hub().position(self.key(), room).ok_or(Unavailable)).collect()
    }

    pub(super) fn leave(&self, rooms: &[Room]) {
        let left: Vec<Room> = rooms.iter().filter(|room| self.hub().leave(self.key(), room)).cloned().collect();
        self.node.broker.release(&left);
    }

    /// What to tell of a room that was joined. A position that is the current one has missed nothing; replaying what was
    /// missed is not there yet, so every other one is told as a gap rather than passed over.
    fn outcome(&self, room: &Room, position: Position, request: &Subscribe) -> RoomOutcome {
        let is_denied = request.presence.is_some() && !self.may(room, &Operation::Presence);
        let presence = is_denied.then_some(PresenceStatus::Denied);
        match request.since.get(room.as_str()) {
            None => RoomOutcome::Subscribed { position, presence },
            Some(since) if *since == position => RoomOutcome::Recovered { position, recovered: 0, presence },
            Some(since) => {
                let reason = if since.is_before(&position) == Some(true) {
                    GapReason::TooManyMissed
                } else {
                    GapReason::EpochChanged
                };
                RoomOutcome::Gap { position, reason, presence }
            }
        }
    }
}
