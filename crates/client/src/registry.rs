//! Who wants which rooms, and where each room stands with the gateway.
//!
//! Owns the sharing of rooms by subscriptions, the first outcome that a subscriber waits for, and the way of an event to
//! its subscriptions, once to each. Refuses the socket and the clock: a link asks what to subscribe to and tells what
//! became of it. How far each subscription has come in a room is the [`entry`]'s to know.

mod entry;
mod recent;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use roomcast_protocol::server::RoomOutcome;
use roomcast_protocol::{CloseCode, ErrorCode, Event, EventFrame, Position, Room};
use tokio::sync::oneshot;

use crate::mailbox::{Item, Mailbox, Moves};
use crate::portion::Portion;
use crate::subscription::SubscriptionId;
use crate::{Delivery, Error};

use entry::{Entrance, Entry, Notice, Settled};
use recent::Recent;

/// What a subscriber waits for: the outcome of all its rooms.
pub(crate) type FirstOutcome = oneshot::Sender<Result<(), Error>>;

/// A room, and the position behind which its events are wanted; `None`: from now on.
pub(crate) type RoomSince = (Room, Option<Position>);

/// All subscriptions of a client, and the rooms that they share.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    members: HashMap<SubscriptionId, Member>,
    rooms: BTreeMap<Room, Entry>,
    /// At least every room that needs asking; others are passed over when it is read.
    idle: BTreeSet<Room>,
    /// Rooms that nobody wants any more and that the gateway does not know this of.
    left: BTreeSet<Room>,
    /// What was delivered lately.
    recent: Recent,
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

/// What an event is to one subscription.
#[derive(Debug, Default)]
struct Arrival {
    /// The rooms in which it is new, and its positions there.
    moves: Moves,
    /// The rooms in which it is not, or not yet: the subscription has had it, or will, in its place.
    stays: Vec<Room>,
}

impl Registry {
    pub(crate) fn add(
        &mut self,
        id: SubscriptionId,
        rooms: &[RoomSince],
        mailbox: Arc<Mailbox>,
        waiting: FirstOutcome,
    ) {
        let rooms: BTreeMap<Room, Option<Position>> = rooms.iter().cloned().collect();
        let names: BTreeSet<Room> = rooms.keys().cloned().collect();
        let member = Member { mailbox, rooms: names.clone(), undecided: names, waiting: Some(waiting) };
        self.members.insert(id, member);
        for (room, since) in rooms {
            let entry = self.rooms.entry(room.clone()).or_default();
            let settled = entry.sit(id, since);
            if entry.needs_asking() {
                self.idle.insert(room.clone());
            }
            if let Some(settled) = settled {
                self.tell(&room, settled);
            }
        }
    }

    pub(crate) fn remove(&mut self, id: SubscriptionId) {
        let Some(member) = self.members.remove(&id) else { return };
        for room in member.rooms {
            self.forget(&room, id);
        }
    }

    fn forget(&mut self, room: &Room, id: SubscriptionId) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        entry.seats.remove(&id);
        if entry.seats.is_empty() {
            if entry.is_known_to_gateway() {
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

    /// Takes as many rooms to ask for, by the request of this number, as the portion holds.
    pub(crate) fn ask(&mut self, mut portion: Portion, request: u64) -> Vec<RoomSince> {
        let mut asked = Vec::new();
        while let Some(room) = self.idle.first() {
            if let Some(entry) = self.rooms.get_mut(room).filter(|entry| entry.needs_asking()) {
                let since = entry.since();
                if !portion.takes(room, since.as_ref()) {
                    break;
                }
                entry.ask(request, since);
                asked.push((room.clone(), since));
            }
            self.idle.pop_first();
        }
        asked
    }

    /// The request told nothing of the rooms that still wait for it: they are to be asked for again, if there are any.
    pub(crate) fn ask_again(&mut self, request: u64) -> bool {
        let asked = self.asked(request);
        for room in &asked {
            if let Some(entry) = self.rooms.get_mut(room) {
                entry.put_out(true);
            }
        }
        let again = !asked.is_empty();
        self.idle.extend(asked);
        again
    }

    /// The rooms that wait for the answer to the request.
    pub(crate) fn asked(&self, request: u64) -> Vec<Room> {
        let asked = self.rooms.iter().filter(|(_, entry)| entry.is_asked_by(request));
        asked.map(|(room, _)| room.clone()).collect()
    }

    /// The connection is gone, and with it every membership.
    pub(crate) fn disconnected(&mut self) {
        self.left.clear();
        for (room, entry) in &mut self.rooms {
            entry.disconnected();
            self.idle.insert(room.clone());
        }
    }

    /// What became of a room by the answer to this request. Says whether the room is to be asked for again, later.
    pub(crate) fn outcome(&mut self, request: u64, room: &Room, outcome: RoomOutcome) -> bool {
        let Some(entry) = self.rooms.get_mut(room).filter(|entry| entry.is_asked_by(request)) else { return false };
        let settled = match outcome {
            RoomOutcome::Subscribed { position, .. } => entry.enter(position, Entrance::Subscribed),
            RoomOutcome::Recovered { position, recovered, .. } => entry.enter(position, Entrance::Recovered(recovered)),
            RoomOutcome::Gap { position, reason, .. } => entry.enter(position, Entrance::Gap(reason)),
            RoomOutcome::Denied { code } => return self.denied(room, code),
            RoomOutcome::Unsubscribed => return false,
        };
        if entry.needs_asking() {
            self.idle.insert(room.clone());
        }
        settled.into_iter().for_each(|settled| self.tell(room, settled));
        false
    }

    /// What the gateway says of a room unasked. A room that it is asked about is told by the answer.
    pub(crate) fn news(&mut self, room: &Room, outcome: RoomOutcome) {
        let Some(entry) = self.rooms.get_mut(room).filter(|entry| entry.is_joined()) else { return };
        match outcome {
            RoomOutcome::Gap { position, reason, .. } => {
                entry.gap(position, reason).into_iter().for_each(|settled| self.tell(room, settled));
            }
            RoomOutcome::Denied { code } => self.lost(room, code),
            _ => {}
        }
    }

    /// Tells a subscription how it goes on in a room.
    fn tell(&mut self, room: &Room, settled: Settled) {
        let Some(member) = self.members.get_mut(&settled.id) else { return };
        let is_first = member.undecided.remove(room);
        if is_first {
            member.mailbox.start(room, settled.start);
        }
        let room = room.clone();
        match settled.notice {
            Some(Notice::Resumed { recovered }) => {
                member.mailbox.push(Item::Notice(Delivery::Resumed { room, recovered }), Moves::new());
            }
            Some(Notice::Gap { position, reason }) => {
                let moves = vec![(room.clone(), position)];
                member.mailbox.push(Item::Notice(Delivery::Gap { room, reason }), moves);
            }
            None => {}
        }
        if is_first {
            self.decide(settled.id);
        }
    }

    /// A room is refused. For the moment only: whoever was in it stays, keeps its position and is told nothing, and the
    /// room is asked for again. For good: all leave it.
    fn denied(&mut self, room: &Room, code: ErrorCode) -> bool {
        let transient = is_transient(code);
        let Some(entry) = self.rooms.get_mut(room) else { return false };
        entry.put_out(transient);
        let seats: Vec<SubscriptionId> = entry.seats.keys().copied().collect();
        for id in seats {
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
        entry.put_out(false);
        let seats: Vec<SubscriptionId> = entry.seats.keys().copied().collect();
        seats.into_iter().for_each(|id| self.expel(id, room, code));
    }

    fn expel(&mut self, id: SubscriptionId, room: &Room, code: ErrorCode) {
        self.forget(room, id);
        let Some(member) = self.members.get_mut(&id) else { return };
        member.rooms.remove(room);
        member.undecided.remove(room);
        member.mailbox.push(Item::Notice(Delivery::Denied { room: room.clone(), code }), Moves::new());
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
        if frame.positions.is_empty() {
            let targets = self.implied(&frame.event);
            let frame: Arc<EventFrame> = frame.into();
            for member in targets.iter().filter_map(|id| self.members.get(id)) {
                member.mailbox.push(Item::Event(frame.clone()), Moves::new());
            }
            return;
        }
        let mut arrivals = self.arrivals(&frame.positions);
        arrivals.retain(|_, arrival| !arrival.moves.is_empty());
        let had = match &frame.event_id {
            Some(event) if !arrivals.is_empty() => self.recent.note(event, arrivals.keys().copied()),
            _ => Vec::new(),
        };
        let frame: Arc<EventFrame> = frame.into();
        for (id, arrival) in arrivals {
            let Some(member) = self.members.get(&id) else { continue };
            if had.contains(&id) {
                member.mailbox.pass(arrival.moves);
            } else {
                member.mailbox.push(Item::Event(without(&frame, &arrival.stays)), arrival.moves);
            }
        }
    }

    /// Moves the positions of the event's rooms.
    fn arrivals(&mut self, positions: &BTreeMap<Room, Position>) -> BTreeMap<SubscriptionId, Arrival> {
        let mut arrivals: BTreeMap<SubscriptionId, Arrival> = BTreeMap::new();
        for (room, position) in positions {
            let Some(entry) = self.rooms.get_mut(room) else { continue };
            for (id, is_new) in entry.advance(*position) {
                let arrival = arrivals.entry(id).or_default();
                if is_new {
                    arrival.moves.push((room.clone(), *position));
                } else {
                    arrival.stays.push(room.clone());
                }
            }
        }
        arrivals
    }

    /// Where an event goes that names no rooms; see [`Subscription`](crate::Subscription).
    fn implied(&self, event: &Event) -> BTreeSet<SubscriptionId> {
        let joined = |room| self.rooms.get(&room).filter(|entry| entry.is_joined());
        let rooms = event.rooms().unwrap_or_default();
        let targets: BTreeSet<_> =
            rooms.into_iter().filter_map(joined).flat_map(|entry| entry.seats.keys().copied()).collect();
        // Of user.typing the contract says where it goes: without a member it is a straggler from a room just left.
        if targets.is_empty() && !Event::is_ephemeral_type(event.event_type()) {
            return self.members.keys().copied().collect();
        }
        targets
    }

    /// The client has ended: tells every subscription, and ends its stream.
    pub(crate) fn close(&mut self, code: Option<CloseCode>, reason: &str) {
        for (_, member) in self.members.drain() {
            member.mailbox.push(Item::Notice(Delivery::Closed { code, reason: reason.into() }), Moves::new());
            member.mailbox.finish();
            if let Some(waiting) = member.waiting {
                let _ = waiting.send(Err(Error::closed(code, reason)));
            }
        }
        self.rooms.clear();
    }
}

/// The frame as it is for a subscription that has not come to these rooms' positions: it must not take them for its own.
fn without(frame: &Arc<EventFrame>, rooms: &[Room]) -> Arc<EventFrame> {
    if rooms.is_empty() {
        return frame.clone();
    }
    let mut frame = EventFrame::clone(frame);
    frame.positions.retain(|room, _| !rooms.contains(room));
    Arc::new(frame)
}

/// Whether the same request may be granted a little later.
pub(crate) fn is_transient(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::RateLimitExceeded | ErrorCode::Unavailable | ErrorCode::UnknownError)
}

#[cfg(test)]
mod tests;
