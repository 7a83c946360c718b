//! Who wants which rooms, and where each room stands with the gateway.
//!
//! Owns the sharing of rooms by subscriptions, the first outcome that a subscriber waits for, the last position of each
//! room, and the way of an event to its subscriptions. Refuses the socket and the clock: a link asks what to subscribe to
//! and tells what became of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use roomcast_protocol::server::RoomOutcome;
use roomcast_protocol::{CloseCode, ErrorCode, Event, EventFrame, Position, Room};
use tokio::sync::oneshot;

use crate::mailbox::{Item, Mailbox};
use crate::subscription::SubscriptionId;
use crate::{Delivery, Error};

/// What a subscriber waits for: the outcome of all its rooms.
pub(crate) type FirstOutcome = oneshot::Sender<Result<(), Error>>;

/// All subscriptions of a client, and the rooms that they share.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    members: HashMap<SubscriptionId, Member>,
    rooms: BTreeMap<Room, Entry>,
    /// At least every room that stands idle; others are passed over when it is read.
    idle: BTreeSet<Room>,
    /// Rooms that nobody wants any more and that the gateway does not know this of.
    left: BTreeSet<Room>,
}

#[derive(Debug)]
struct Member {
    mailbox: Arc<Mailbox>,
    /// The rooms that it is in or waits for.
    rooms: BTreeSet<Room>,
    /// Those without a first outcome.
    undecided: BTreeSet<Room>,
    /// Who waits for the first outcome.
    waiting: Option<FirstOutcome>,
}

#[derive(Debug, Default)]
struct Entry {
    members: BTreeSet<SubscriptionId>,
    standing: Standing,
    /// The last position seen, kept over reconnections: what a later version resumes from, and today's proof that
    /// nothing was missed. `None`: never joined.
    position: Option<Position>,
}

/// Where a room stands on the current connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// To be asked for.
    #[default]
    Idle,
    /// Asked for by the request of this number; an answer to another one says nothing about it.
    Asked(u64),
    /// In it.
    Joined,
}

impl Registry {
    pub(crate) fn add(&mut self, id: SubscriptionId, rooms: &[Room], mailbox: Arc<Mailbox>, waiting: FirstOutcome) {
        let rooms: BTreeSet<Room> = rooms.iter().cloned().collect();
        let mut undecided = rooms.clone();
        for room in &rooms {
            let entry = self.rooms.entry(room.clone()).or_default();
            entry.members.insert(id);
            match entry.standing {
                Standing::Idle => {
                    self.idle.insert(room.clone());
                }
                Standing::Asked(_) => {}
                Standing::Joined => {
                    undecided.remove(room);
                }
            }
        }
        self.members.insert(id, Member { mailbox, rooms, undecided, waiting: Some(waiting) });
        self.decide(id);
    }

    pub(crate) fn remove(&mut self, id: SubscriptionId) {
        let Some(member) = self.members.remove(&id) else { return };
        for room in member.rooms {
            self.forget(&room, id);
        }
    }

    fn forget(&mut self, room: &Room, id: SubscriptionId) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        entry.members.remove(&id);
        if entry.members.is_empty() {
            if entry.standing != Standing::Idle {
                self.left.insert(room.clone());
            }
            self.rooms.remove(room);
        }
    }

    /// Whether anybody wants the room.
    pub(crate) fn wants(&self, room: &Room) -> bool {
        self.rooms.contains_key(room)
    }

    /// Whether there is anything to ask the gateway for.
    pub(crate) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Takes the rooms to leave.
    pub(crate) fn take_left(&mut self) -> BTreeSet<Room> {
        std::mem::take(&mut self.left)
    }

    /// Takes at most `limit` rooms to ask for by the request of this number.
    pub(crate) fn ask(&mut self, limit: usize, request: u64) -> Vec<Room> {
        let mut asked = Vec::new();
        while asked.len() < limit
            && let Some(room) = self.idle.pop_first()
        {
            if let Some(entry) = self.rooms.get_mut(&room).filter(|entry| entry.standing == Standing::Idle) {
                entry.standing = Standing::Asked(request);
                asked.push(room);
            }
        }
        asked
    }

    /// The request told nothing of the rooms that still wait for it: they are to be asked for again, if there are any.
    pub(crate) fn ask_again(&mut self, request: u64) -> bool {
        let before = self.idle.len();
        for (room, entry) in self.rooms.iter_mut().filter(|(_, entry)| entry.standing == Standing::Asked(request)) {
            entry.standing = Standing::Idle;
            self.idle.insert(room.clone());
        }
        self.idle.len() > before
    }

    /// The rooms that wait for the answer to the request.
    pub(crate) fn asked(&self, request: u64) -> Vec<Room> {
        let asked = self.rooms.iter().filter(|(_, entry)| entry.standing == Standing::Asked(request));
        asked.map(|(room, _)| room.clone()).collect()
    }

    /// The connection is gone, and with it every membership.
    pub(crate) fn disconnected(&mut self) {
        self.left.clear();
        for (room, entry) in &mut self.rooms {
            entry.standing = Standing::Idle;
            self.idle.insert(room.clone());
        }
    }

    /// What became of a room; `request` is the request that is answered, `None` for news of a room that is joined.
    /// Says whether the room is to be asked for again, later.
    pub(crate) fn outcome(&mut self, request: Option<u64>, room: &Room, outcome: RoomOutcome) -> bool {
        let expected = request.map_or(Standing::Joined, Standing::Asked);
        let Some(entry) = self.rooms.get_mut(room).filter(|entry| entry.standing == expected) else { return false };
        let (position, notice) = match outcome {
            RoomOutcome::Subscribed { position, .. } if entry.position == Some(position) => {
                (position, Delivery::Resumed { room: room.clone(), recovered: 0 })
            }
            RoomOutcome::Subscribed { position, .. } => (position, Delivery::Gap { room: room.clone(), reason: None }),
            RoomOutcome::Recovered { position, recovered, .. } => {
                (position, Delivery::Resumed { room: room.clone(), recovered })
            }
            RoomOutcome::Gap { position, reason, .. } => {
                (position, Delivery::Gap { room: room.clone(), reason: Some(reason) })
            }
            RoomOutcome::Denied { code } => return self.denied(room, code),
            RoomOutcome::Unsubscribed => return false,
        };
        entry.standing = Standing::Joined;
        entry.position = Some(position);
        for id in entry.members.clone() {
            let Some(member) = self.members.get_mut(&id) else { continue };
            if member.undecided.remove(room) {
                self.decide(id);
            } else {
                member.mailbox.push(Item::Notice(notice.clone()));
            }
        }
        false
    }

    /// A room is refused. For the moment only: whoever was in it stays and is told nothing, and the room is asked for
    /// again. For good: all leave it.
    fn denied(&mut self, room: &Room, code: ErrorCode) -> bool {
        let transient = is_transient(code);
        let Some(entry) = self.rooms.get_mut(room) else { return false };
        entry.standing = Standing::Idle;
        for id in entry.members.clone() {
            let waits = self.members.get(&id).is_some_and(|member| member.undecided.contains(room));
            if waits || !transient {
                self.expel(id, room, code);
            }
        }
        let again = self.wants(room);
        if again {
            self.idle.insert(room.clone());
        }
        again
    }

    /// The gateway has put the connection out of the room.
    pub(crate) fn lost(&mut self, room: &Room, code: ErrorCode) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        entry.standing = Standing::Idle;
        for id in entry.members.clone() {
            self.expel(id, room, code);
        }
    }

    fn expel(&mut self, id: SubscriptionId, room: &Room, code: ErrorCode) {
        self.forget(room, id);
        let Some(member) = self.members.get_mut(&id) else { return };
        member.rooms.remove(room);
        member.undecided.remove(room);
        member.mailbox.push(Item::Notice(Delivery::Denied { room: room.clone(), code }));
        if !member.rooms.is_empty() {
            return self.decide(id);
        }
        member.mailbox.finish();
        if let Some(waiting) = self.members.remove(&id).and_then(|member| member.waiting) {
            let _ = waiting.send(Err(Error::room_denied(room, code)));
        }
    }

    /// Tells the subscriber, once all its rooms have an outcome and one of them is joined.
    fn decide(&mut self, id: SubscriptionId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if member.undecided.is_empty()
            && let Some(waiting) = member.waiting.take()
        {
            // A subscriber that waits no longer drops its subscription, which tells the driver.
            let _ = waiting.send(Ok(()));
        }
    }

    /// Hands an event to the subscriptions of its rooms, once to each.
    pub(crate) fn route(&mut self, frame: Box<EventFrame>) {
        let targets = if frame.positions.is_empty() { self.implied(&frame.event) } else { self.positioned(&frame) };
        let frame: Arc<EventFrame> = frame.into();
        for id in targets {
            if let Some(member) = self.members.get(&id) {
                member.mailbox.push(Item::Event(frame.clone()));
            }
        }
    }

    /// Moves the positions of the event's rooms. A room that was asked for and not acknowledged is left out: the event
    /// comes from an earlier membership.
    fn positioned(&mut self, frame: &EventFrame) -> BTreeSet<SubscriptionId> {
        let mut targets = BTreeSet::new();
        for (room, position) in &frame.positions {
            let Some(entry) = self.rooms.get_mut(room).filter(|entry| entry.standing == Standing::Joined) else {
                continue;
            };
            if entry.position.is_none_or(|last| last.is_before(position) != Some(false)) {
                entry.position = Some(*position);
            }
            targets.extend(&entry.members);
        }
        targets
    }

    /// Where an event goes that names no rooms; see [`Subscription`](crate::Subscription).
    fn implied(&self, event: &Event) -> BTreeSet<SubscriptionId> {
        let joined = |room| self.rooms.get(&room).filter(|entry| entry.standing == Standing::Joined);
        let rooms = event.rooms().unwrap_or_default();
        let targets: BTreeSet<_> =
            rooms.into_iter().filter_map(joined).flat_map(|entry| entry.members.iter().copied()).collect();
        // Of user.typing the contract says where it goes: without a member it is a straggler from a room just left.
        if targets.is_empty() && !Event::is_ephemeral_type(event.event_type()) {
            return self.members.keys().copied().collect();
        }
        targets
    }

    /// The client has ended: tells every subscription, and ends its stream.
    pub(crate) fn close(&mut self, code: Option<CloseCode>, reason: &str) {
        for (_, member) in self.members.drain() {
            member.mailbox.push(Item::Notice(Delivery::Closed { code, reason: reason.into() }));
            member.mailbox.finish();
            if let Some(waiting) = member.waiting {
                let _ = waiting.send(Err(Error::closed(code, reason)));
            }
        }
        self.rooms.clear();
    }
}

/// Whether the same request may be granted a little later.
pub(crate) fn is_transient(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::RateLimitExceeded | ErrorCode::Unavailable | ErrorCode::UnknownError)
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
