//! Joining and leaving rooms.
//!
//! Owns what a request for rooms comes to, room by room, and the order of its answer: the acknowledgement, who is present, what
//! was missed, then what happens. Refuses to know how missed events are put in order ([`replay`](super::replay)) and what was
//! lost without a request ([`repair`](super::repair)).

use std::collections::{BTreeMap, BTreeSet};

use roomcast_protocol::client::Subscribe;
use roomcast_protocol::server::{ErrorPayload, GapReason, PresenceStatus, Reply, RoomOutcome, SubscriptionAck};
use roomcast_protocol::{ErrorCode, Operation, Position, RequestId, Room};

use super::Session;
use super::replay::Replay;
use crate::broker::{Page, Unavailable};
use crate::callback::{Asking, Ruling};
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
            match parse_room(&self.admission.node.config, name) {
                // A room that is named twice counts once.
                Ok(room) if wanted.contains(&room) => {}
                Ok(room) => wanted.push(room),
                Err(refusal) => drop(outcomes.insert(name.clone(), RoomOutcome::Denied { code: refusal.code })),
            }
        }
        let Some(identity) = self.identity.clone() else { return };
        // Both at once: a back end that is asked has one deadline for the request.
        let (rulings, may_attend) = tokio::join!(
            self.admission.node.rule(&identity, &wanted, &Operation::Subscribe, Asking::Kept),
            self.may_attend(&identity, &wanted, request.presence.as_ref()),
        );
        self.deny_without_right(&rulings, &mut wanted, &mut outcomes).await;
        self.deny_over_limit(&mut wanted, &mut outcomes);
        self.hub().hold(self.key());
        let (joined, replay, present) = self.join_since(&wanted, &may_attend, &request).await;
        outcomes.extend(joined);
        let ack = self.frame(id, Reply::SubscriptionAck(SubscriptionAck { rooms: outcomes }));
        self.handle_of().outbox.send(ack);
        self.tell_presence(&present).await;
        self.replay(replay).await;
        let lost = self.hub().release(self.key());
        self.tell_lost(lost);
        self.release_presence(&present);
    }

    /// Joins all rooms, and gathers what those with a position have missed. Answers also where presence was entered.
    async fn join_since(
        &mut self,
        rooms: &[Room],
        may_attend: &[Room],
        request: &Subscribe,
    ) -> (Vec<(String, RoomOutcome)>, Replay, Vec<Room>) {
        let mut replay = Replay::default();
        let since = |room: &Room| Some((room.clone(), Some(*request.since.get(room.as_str())?)));
        let wanted: Vec<_> = rooms.iter().filter_map(since).collect();
        let (Ok(positions), Ok(pages)) = self.join_and_read(rooms, wanted).await else {
            let outcome = |room: &Room| (room.to_string(), self.without_broker(room, request));
            return (rooms.iter().map(outcome).collect(), replay, Vec::new());
        };
        let Ok(present) = self.attend(rooms, may_attend, request.presence.as_ref()).await else {
            self.leave(rooms);
            let denied = RoomOutcome::Denied { code: ErrorCode::Unavailable };
            return (rooms.iter().map(|room| (room.to_string(), denied)).collect(), replay, Vec::new());
        };
        let mut pages = pages.into_iter();
        let mut outcomes = Vec::with_capacity(rooms.len());
        for (room, position) in rooms.iter().zip(positions) {
            let is_denied = request.presence.is_some() && !present.contains(room);
            let presence = is_denied.then_some(PresenceStatus::Denied);
            let since = request.since.get(room.as_str());
            let outcome = match since.copied().zip(since.and_then(|_| pages.next())) {
                None => RoomOutcome::Subscribed { position, presence },
                Some((since, page)) => {
                    // Live delivery goes on where the replay ends; what is held of before comes with the replay.
                    self.hub().start_at(self.key(), room, page.latest);
                    self.admission.node.metrics.recovery(page.gap_reason().is_none());
                    match page.gap_reason() {
                        Some(reason) => RoomOutcome::Gap { position: page.latest, reason, presence },
                        None => {
                            let recovered = page.publications.len() as u64;
                            replay.add(room.clone(), page.publications);
                            RoomOutcome::Recovered { position: since, recovered, presence }
                        }
                    }
                }
            };
            outcomes.push((room.to_string(), outcome));
        }
        (outcomes, replay, present)
    }

    /// Joins first and reads then: what is published in between is held, and known by its position.
    async fn join_and_read(
        &mut self,
        rooms: &[Room],
        since: Vec<(Room, Option<Position>)>,
    ) -> (Result<Vec<Position>, Unavailable>, Result<Vec<Page>, Unavailable>) {
        let positions = self.join(rooms).await;
        if positions.is_err() || since.is_empty() {
            return (positions, Ok(Vec::new()));
        }
        let limit = self.admission.node.config.most_recovered();
        (positions, self.admission.node.broker.history(since, limit).await)
    }

    /// What becomes of a room while the broker is away: whoever is in it and asks for nothing more stays, and everybody else
    /// is out of it and keeps its position.
    fn without_broker(&self, room: &Room, request: &Subscribe) -> RoomOutcome {
        let joined = self.hub().position(self.key(), room);
        let asks_more = request.since.contains_key(room.as_str()) || request.presence.is_some();
        match joined.filter(|_| !asks_more) {
            Some(position) => {
                self.leave_presence(std::slice::from_ref(room));
                RoomOutcome::Subscribed { position, presence: None }
            }
            None => {
                self.leave(std::slice::from_ref(room));
                RoomOutcome::Denied { code: ErrorCode::Unavailable }
            }
        }
    }

    /// Sends what was missed, as fast as the socket takes it.
    pub(super) async fn replay(&self, mut replay: Replay) {
        let outbox = &self.handle_of().outbox;
        while let Some(frame) = replay.next() {
            if !outbox.drained().await {
                return;
            }
            outbox.send(frame);
        }
    }

    /// Tells of rooms in which more came during a request than could be kept.
    pub(super) fn tell_lost(&self, lost: Vec<(Room, Position)>) {
        if lost.is_empty() {
            return;
        }
        let gap = |position| RoomOutcome::Gap { position, reason: GapReason::TooManyMissed, presence: None };
        let rooms = lost.into_iter().map(|(room, position)| (room.to_string(), gap(position))).collect();
        self.reply(None, Reply::SubscriptionAck(SubscriptionAck { rooms }));
    }

    /// Leaves the rooms: behind the answer nothing of them comes.
    pub(super) async fn unsubscribe(&mut self, id: Option<RequestId>, names: Vec<String>) {
        if let Some(refusal) = self.too_many_rooms(&names) {
            return self.error(id, refusal);
        }
        let mut outcomes = BTreeMap::new();
        for name in names {
            let outcome = match parse_room(&self.admission.node.config, &name) {
                Ok(room) => {
                    self.leave(std::slice::from_ref(&room));
                    self.leave_typing(&[room]).await;
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
        let most = self.admission.node.config.max_rooms_per_message;
        let count = names.iter().collect::<BTreeSet<_>>().len();
        let refusal = || ErrorPayload::new(ErrorCode::LimitExceeded, format!("at most {most} rooms in one message"));
        (count > most).then(refusal)
    }

    /// Takes out the rooms that may not be joined; one that the connection is in all the same it leaves.
    async fn deny_without_right(
        &mut self,
        rulings: &[Ruling],
        wanted: &mut Vec<Room>,
        outcomes: &mut BTreeMap<String, RoomOutcome>,
    ) {
        let mut denied = Vec::new();
        let mut rulings = rulings.iter();
        wanted.retain(|room| {
            let code = match rulings.next() {
                Some(Ruling::Allowed) => return true,
                Some(Ruling::Unavailable) => ErrorCode::Unavailable,
                Some(Ruling::Forbidden) | None => ErrorCode::Forbidden,
            };
            outcomes.insert(room.to_string(), RoomOutcome::Denied { code });
            denied.push(room.clone());
            false
        });
        self.leave(&denied);
        self.leave_typing(&denied).await;
    }

    /// Rooms that the connection is in already take no further place.
    fn deny_over_limit(&self, wanted: &mut Vec<Room>, outcomes: &mut BTreeMap<String, RoomOutcome>) {
        let mut free = self.admission.node.config.max_rooms.saturating_sub(self.hub().room_count(self.key()));
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
            match self.admission.node.broker.open(new.clone()).await {
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
        self.leave_presence(rooms);
        let left: Vec<Room> = rooms.iter().filter(|room| self.hub().leave(self.key(), room)).cloned().collect();
        self.admission.node.broker.release(&left);
    }
}
