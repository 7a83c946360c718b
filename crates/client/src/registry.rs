//! Who wants which rooms, and where each room stands with the gateway.
//!
//! Owns the sharing of rooms by subscriptions, the first outcome that a subscriber waits for, and the way of an event to
//! its subscriptions, once to each. Refuses the socket and the clock: a link asks what to subscribe to and tells what
//! became of it. How far each subscription has come in a room is the [`entry`]'s to know, and who takes part in its presence
//! [`presence`]'s.

mod entry;
mod presence;
mod recent;
mod routing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use roomcast_protocol::client::Subscribe;
use roomcast_protocol::server::RoomOutcome;
use roomcast_protocol::{CloseCode, ErrorCode, Position, Room};

use crate::calls::Outcome;
use crate::join::Place;
use crate::mailbox::{Item, Mailbox, Moves};
use crate::portion::Portion;
use crate::presence::Wish;
use crate::subscription::SubscriptionId;
use crate::{Delivery, Error};

use entry::{Entrance, Entry, Notice, Settled};
use recent::Recent;

/// A room, and the position behind which its events are wanted; `None`: from now on.
pub(crate) type RoomSince = (Room, Option<Position>);

/// What one request asks for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) rooms: Vec<RoomSince>,
    /// One for all its rooms, as the protocol has it.
    pub(crate) wish: Option<Wish>,
}

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
    waiting: Option<Outcome<()>>,
}

impl Asked {
    pub(crate) fn into_message(self) -> Subscribe {
        let named = |(room, since): &RoomSince| Some((room.to_string(), (*since)?));
        let since = self.rooms.iter().filter_map(named).collect();
        let rooms = self.rooms.into_iter().map(|(room, _)| room.into()).collect();
        Subscribe { rooms, since, presence: self.wish.map(Wish::into_options) }
    }
}

impl Registry {
    pub(crate) fn add(&mut self, id: SubscriptionId, places: Vec<Place>, mailbox: Arc<Mailbox>, waiting: Outcome<()>) {
        let rooms: BTreeMap<Room, Place> = places.into_iter().map(|place| (place.room.clone(), place)).collect();
        let names: BTreeSet<Room> = rooms.keys().cloned().collect();
        let member = Member { mailbox, rooms: names.clone(), undecided: names, waiting: Some(waiting) };
        self.members.insert(id, member);
        for (room, place) in rooms {
            let entry = self.rooms.entry(room.clone()).or_default();
            let settled = entry.sit(id, place.since);
            if let Some(wish) = place.wish {
                entry.presence.attend(id, wish);
            }
            if entry.needs_asking() {
                self.idle.insert(room.clone());
            }
            if let Some(settled) = settled {
                self.tell(&room, settled);
                self.greet(id, &room);
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
        entry.presence.withdraw(id);
        if entry.seats.is_empty() {
            if entry.is_known_to_gateway() {
                self.left.insert(room.clone());
            }
            self.rooms.remove(room);
        } else if entry.needs_asking() {
            self.idle.insert(room.clone());
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

    /// Takes as many rooms to ask for, by the request of this number, as the portion holds: those whose wish for presence
    /// is that of the first. The others have their turn.
    pub(crate) fn ask(&mut self, mut portion: Portion, request: u64) -> Asked {
        let mut asked = Asked::default();
        let mut others = BTreeSet::new();
        while let Some(room) = self.idle.pop_first() {
            let Some(entry) = self.rooms.get_mut(&room).filter(|entry| entry.needs_asking()) else { continue };
            let (since, wish) = (entry.since(), entry.presence.wish());
            if asked.rooms.is_empty() {
                portion.spend(wish.as_ref().map_or(0, Wish::bytes));
                asked.wish = wish;
            } else if asked.wish != wish {
                others.insert(room);
                continue;
            }
            if !portion.takes(&room, since.as_ref()) {
                self.idle.insert(room);
                break;
            }
            entry.ask(request, since);
            asked.rooms.push((room, since));
        }
        self.idle.append(&mut others);
        asked
    }

    /// The request told nothing of the rooms that still wait for it: they are to be asked for again, if there are any.
    pub(crate) fn ask_again(&mut self, request: u64) -> bool {
        let asked = self.asked(request);
        for room in &asked {
            if let Some(entry) = self.rooms.get_mut(room) {
                entry.ask_again(request);
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
            RoomOutcome::Denied { code } => return self.denied(room, code),
            RoomOutcome::Unsubscribed => return false,
            // It was asked for its presence only, and moves nobody.
            _ if entry.presence.is_asked_by(request) => Vec::new(),
            RoomOutcome::Subscribed { position, .. } => entry.enter(position, Entrance::Subscribed),
            RoomOutcome::Recovered { position, recovered, .. } => entry.enter(position, Entrance::Recovered(recovered)),
            RoomOutcome::Gap { position, reason, .. } => entry.enter(position, Entrance::Gap(reason)),
        };
        settled.into_iter().for_each(|settled| self.tell(room, settled));
        self.presence_answered(room, presence::status(outcome));
        if self.rooms.get(room).is_some_and(Entry::needs_asking) {
            self.idle.insert(room.clone());
        }
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

/// Whether the same request may be granted a little later.
pub(crate) fn is_transient(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::RateLimitExceeded | ErrorCode::Unavailable | ErrorCode::UnknownError)
}

#[cfg(test)]
mod tests;
