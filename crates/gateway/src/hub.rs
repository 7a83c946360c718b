//! The hub: which connections of this node are in which rooms, and the one way to them.
//!
//! Owns local membership. Membership goes by position: a seat in a room gets the events behind the position that its
//! acknowledgement named, each once, and none before the acknowledgement. While a request is under way its connection is on
//! hold: what arrives waits, in order, until the answer is queued. An event that is not the next one of its room puts its
//! reader on hold too, until the connection has filled the hole or told of it. The hub never awaits, never encodes and never writes; it
//! puts shared frames into outboxes and remembers which it touched, and one flush for each ends the turn.

mod delivery;
mod members;
mod pages;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roomcast_protocol::{Epoch, Position, Room};
use slab::Slab;
use uuid::Uuid;

use crate::fault::{self, Fault};
use crate::frame::Frame;
use crate::outbox::Outbox;
use crate::publication::Publication;
pub(crate) use delivery::Touched;
pub(crate) use members::Hole;
use members::{Member, Place, RoomEntry, Seat};
pub(crate) use pages::RoomPage;

/// Names a connection, over all nodes and times.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(Uuid);

impl ConnectionId {
    /// When the connection began, in milliseconds since 1970: its name says so.
    #[must_use]
    pub fn began_at(&self) -> Option<i64> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        i64::try_from(seconds * 1000 + u64::from(nanos / 1_000_000)).ok()
    }

    /// A new name.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl Default for ConnectionId {
    fn default() -> Self {
        Self::new()
    }
}

impl std::str::FromStr for ConnectionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.simple(), out)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// A connection's place in the hub. Not reused while the connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MemberKey(usize);

/// Local membership and delivery.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: Slab<Member>,
    rooms: Slab<RoomEntry>,
    by_name: HashMap<Room, usize>,
}

impl Hub {
    /// Admits a connection.
    pub(crate) fn admit(&self, connection: ConnectionId, outbox: Arc<Outbox>) -> MemberKey {
        MemberKey(self.lock().members.insert(Member::new(connection, outbox)))
    }

    /// Forgets a connection; answers the rooms in which it had started, which the broker still holds open for it.
    pub(crate) fn remove(&self, key: MemberKey) -> Vec<Room> {
        let mut state = self.lock();
        let mut rooms = state.rooms_of(key);
        rooms.retain(|room| {
            let seat = state.seat_of(key, room);
            let has_started = seat.is_some_and(|(index, seat)| state.rooms[index].seats()[seat].after().is_some());
            state.unseat(key, room);
            has_started
        });
        state.members.remove(key.0);
        rooms
    }

    /// Puts the connection on hold: what arrives for it waits until [`Hub::resume`]. A hold for a hole just goes on.
    pub(crate) fn hold(&self, key: MemberKey) {
        if !fault::is_built_in(Fault::UnheldRead) {
            self.lock().members[key.0].hold.get_or_insert_default();
        }
    }

    /// Takes a seat in the room for a connection on hold. Answers false when it has one already.
    pub(crate) fn seat(&self, key: MemberKey, room: &Room) -> bool {
        let mut state = self.lock();
        if state.seat_of(key, room).is_some() {
            return false;
        }
        let index = state.room_index(room);
        let seat = state.rooms[index].add(key.0);
        state.members[key.0].sit(Place::new(index, seat));
        true
    }

    /// Says behind which position the seat gets its events.
    pub(crate) fn start_at(&self, key: MemberKey, room: &Room, position: Position) {
        let mut state = self.lock();
        if let Some((index, seat)) = state.seat_of(key, room) {
            state.rooms[index].seats_mut()[seat].advance(position);
        }
    }

    /// Says that a life of the room's stream is over: what still comes of it is passed over.
    pub(crate) fn bury(&self, key: MemberKey, room: &Room, former: Epoch) {
        let mut state = self.lock();
        if let Some((index, _)) = state.seat_of(key, room) {
            state.members[key.0].bury(index, former);
        }
    }

    /// The position of the last event that the connection got in the room, or of its start there.
    pub(crate) fn position(&self, key: MemberKey, room: &Room) -> Option<Position> {
        let state = self.lock();
        let (index, seat) = state.seat_of(key, room)?;
        state.rooms[index].seats()[seat].after()
    }

    /// Gives up a seat. Answers false when there was none.
    pub(crate) fn leave(&self, key: MemberKey, room: &Room) -> bool {
        self.lock().unseat(key, room)
    }

    /// Ends the hold: the answer first, then what waited, in order.
    pub(crate) fn resume(&self, key: MemberKey, answer: Frame) -> Vec<(Room, Position)> {
        self.lock().members[key.0].outbox.push(answer);
        self.release(key)
    }

    /// Ends the hold behind everything that was queued meanwhile. Answers the rooms of which too much came to be kept: their
    /// delivery goes on behind the positions, and what lies before them is lost to this connection, which must be told.
    pub(crate) fn release(&self, key: MemberKey) -> Vec<(Room, Position)> {
        let mut state = self.lock();
        if state.members[key.0].has_holes() {
            // What is missing comes before what waits.
            state.members[key.0].outbox.report_hole();
            return Vec::new();
        }
        let mut hold = state.members[key.0].hold.take().unwrap_or_default();
        while let Some(publication) = hold.waiting.pop_front() {
            if !state.deliver_to(key.0, &publication) {
                // On hold again; what is left waits behind the publication that has shown the hole.
                if let Some(again) = &mut state.members[key.0].hold {
                    again.waiting.append(&mut hold.waiting);
                    again.lost = hold.lost;
                }
                return Vec::new();
            }
        }
        let mut lost = hold.lost;
        lost.retain(|(room, position)| state.skip_to(key, room, *position));
        let outbox = state.members[key.0].outbox.clone();
        drop(state);
        outbox.flush();
        lost
    }

    /// Takes the holes of a connection that the hub has put on hold, as far as a request has not closed them since.
    pub(crate) fn take_holes(&self, key: MemberKey) -> Vec<Hole> {
        let mut state = self.lock();
        let mut holes = state.members[key.0].take_holes();
        holes.retain_mut(|hole| match state.missing(key.0, &hole.room, hole.until) {
            Some(after) => {
                hole.after = after;
                true
            }
            None => false,
        });
        holes
    }

    /// Whether the connection has holes that nobody has taken yet.
    pub(crate) fn has_holes(&self, key: MemberKey) -> bool {
        self.lock().members[key.0].has_holes()
    }

    /// Compares a room's members with the position that the broker has reached there: whoever is behind has missed
    /// something that nothing later has shown. Answers how many are behind.
    pub(crate) fn verify(&self, room: &Room, reached: Position) -> usize {
        let mut state = self.lock();
        let Some(&index) = state.by_name.get(room) else { return 0 };
        let members: Vec<usize> = state.rooms[index].seats().iter().map(Seat::member).collect();
        let mut behind = 0;
        for member in members {
            if state.note_hole(member, room, reached) {
                state.members[member].hold.get_or_insert_default();
                state.members[member].outbox.report_hole();
                behind += 1;
            }
        }
        behind
    }

    /// Delivers a publication to every local member of its rooms, once each.
    pub(crate) fn deliver(&self, publication: &Arc<Publication>, touched: &mut Touched) {
        self.lock().deliver(publication, touched);
    }

    /// How many rooms the connection is in.
    pub(crate) fn room_count(&self, key: MemberKey) -> usize {
        self.lock().members[key.0].seats.len()
    }

    /// The rooms that the connection is in.
    pub(crate) fn rooms_of(&self, key: MemberKey) -> Vec<Room> {
        self.lock().rooms_of(key)
    }

    /// Every room with its number of local members.
    pub(crate) fn rooms(&self) -> Vec<(Room, usize)> {
        self.lock().rooms.iter().map(|(_, entry)| (entry.name.clone(), entry.seats().len())).collect()
    }

    /// How many rooms have local members.
    pub(crate) fn total_rooms(&self) -> usize {
        self.lock().rooms.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note_hole(&mut self, member: usize, room: &Room, until: Position) -> bool {
        let Some(after) = self.missing(member, room, until) else { return false };
        self.members[member].note_hole(Hole { room: room.clone(), after, until });
        true
    }

    /// Where the member has come to in the room, if that lies before the position.
    fn missing(&self, member: usize, room: &Room, until: Position) -> Option<Position> {
        let (index, seat) = self.seat_of(MemberKey(member), room)?;
        self.rooms[index].seats()[seat].short_of(until)
    }

    /// Goes on behind the position in a room, if that is further on.
    fn skip_to(&mut self, key: MemberKey, room: &Room, position: Position) -> bool {
        let Some((index, seat)) = self.seat_of(key, room) else { return false };
        let seat = &mut self.rooms[index].seats_mut()[seat];
        let is_further = seat.short_of(position).is_some();
        if is_further {
            seat.advance(position);
        }
        is_further
    }

    fn rooms_of(&self, key: MemberKey) -> Vec<Room> {
        self.members[key.0].seats.iter().map(|place| self.rooms[place.room()].name.clone()).collect()
    }

    fn seat_of(&self, key: MemberKey, room: &Room) -> Option<(usize, usize)> {
        self.seat_in(key.0, *self.by_name.get(room)?)
    }

    fn seat_in(&self, member: usize, index: usize) -> Option<(usize, usize)> {
        // A connection is in few rooms: a short list is found in faster than a map.
        let place = self.members[member].seats.iter().find(|place| place.room() == index)?;
        Some((index, place.seat()))
    }

    fn room_index(&mut self, room: &Room) -> usize {
        if let Some(index) = self.by_name.get(room) {
            return *index;
        }
        let index = self.rooms.insert(RoomEntry::new(room.clone()));
        self.by_name.insert(room.clone(), index);
        index
    }

    fn unseat(&mut self, key: MemberKey, room: &Room) -> bool {
        let Some((index, seat)) = self.seat_of(key, room) else { return false };
        self.members[key.0].stand_up(index);
        if let Some(moved) = self.rooms[index].remove(seat) {
            self.members[moved].reseat(index, seat);
        }
        if self.rooms[index].seats().is_empty() {
            self.rooms.remove(index);
            self.by_name.remove(room);
        }
        true
    }
}
