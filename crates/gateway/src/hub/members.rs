//! What the hub keeps of members and rooms.

use std::collections::VecDeque;
use std::sync::Arc;

use roomcast_protocol::{Epoch, Position, Room};

use crate::fault::{self, Fault};
use crate::hub::ConnectionId;
use crate::outbox::Outbox;
use crate::publication::Publication;

/// Publications that may wait for one connection: a few seconds of a busy room while a replay is under way.
const MAX_WAITING: usize = 4096;

/// A connection, as the hub sees it.
#[derive(Debug)]
pub(super) struct Member {
    /// To leave out the sender of what gets no echo.
    pub(super) connection: ConnectionId,
    pub(super) outbox: Arc<Outbox>,
    /// So that leaving takes no search of the room.
    pub(super) seats: Vec<Place>,
    /// Boxed, for hardly anybody is on hold, and there are many members.
    pub(super) hold: Option<Box<Hold>>,
    /// Boxed, for hardly anybody has any.
    trouble: Option<Box<Trouble>>,
}

/// What a member has met with in its rooms.
#[derive(Debug, Default)]
struct Trouble {
    /// What its connection has to fill before anything else is delivered.
    holes: Vec<Hole>,
    /// By room, a former life of its stream: what still comes of it is late.
    buried: Vec<(usize, Epoch)>,
}

impl Member {
    pub(super) fn new(connection: ConnectionId, outbox: Arc<Outbox>) -> Self {
        Self { connection, outbox, seats: Vec::new(), hold: None, trouble: None }
    }

    /// Takes a place.
    pub(super) fn sit(&mut self, place: Place) {
        self.seats.push(place);
    }

    /// Leaves the room, and what was of it.
    pub(super) fn stand_up(&mut self, room: usize) {
        self.seats.retain(|place| place.room() != room);
        if let Some(trouble) = &mut self.trouble {
            trouble.buried.retain(|(buried, _)| *buried != room);
        }
    }

    /// Whether its connection has anything to fill.
    pub(super) fn has_holes(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| !trouble.holes.is_empty())
    }

    /// Takes what its connection has to fill.
    pub(super) fn take_holes(&mut self) -> Vec<Hole> {
        self.trouble.as_mut().map(|trouble| std::mem::take(&mut trouble.holes)).unwrap_or_default()
    }

    /// Notes a hole, in the place of an earlier one in its room.
    pub(super) fn note_hole(&mut self, hole: Hole) {
        let holes = &mut self.trouble.get_or_insert_default().holes;
        holes.retain(|known| known.room != hole.room);
        holes.push(hole);
    }

    /// Notes that a life of the room's stream is over; only the last one is remembered.
    pub(super) fn bury(&mut self, room: usize, former: Epoch) {
        let buried = &mut self.trouble.get_or_insert_default().buried;
        buried.retain(|(known, _)| *known != room);
        buried.push((room, former));
    }

    fn has_buried(&self, room: usize, epoch: Epoch) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.buried.contains(&(room, epoch)))
    }

    /// How an event at the position fits the member's seat in the room.
    pub(super) fn fit(&self, room: usize, seat: &Seat, position: Option<Position>) -> Fit {
        match seat.fit(position) {
            Ok(fit) => fit,
            Err(epoch) if self.has_buried(room, epoch) => Fit::Behind,
            Err(_) => Fit::Ahead,
        }
    }

    /// The seat in the room has moved.
    pub(super) fn reseat(&mut self, room: usize, seat: usize) {
        if let Some(place) = self.seats.iter_mut().find(|place| place.room() == room) {
            *place = Place::new(room, seat);
        }
    }
}

/// A room and a place among its seats, by index. There is no memory for four thousand million of either.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    room: u32,
    seat: u32,
}

impl Place {
    pub(super) fn new(room: usize, seat: usize) -> Self {
        Self { room: room as u32, seat: seat as u32 }
    }

    pub(super) fn room(self) -> usize {
        self.room as usize
    }

    pub(super) fn seat(self) -> usize {
        self.seat as usize
    }
}

/// What waits for the end of a request.
#[derive(Debug, Default)]
pub(super) struct Hold {
    pub(super) waiting: VecDeque<Arc<Publication>>,
    /// The last positions of what came when too much waited already.
    pub(super) lost: Vec<(Room, Position)>,
}

impl Hold {
    /// Keeps a publication once, however many of the connection's rooms it comes through.
    pub(super) fn keep(&mut self, publication: &Arc<Publication>) {
        if self.waiting.back().is_some_and(|last| Arc::ptr_eq(last, publication)) {
            return;
        }
        // Once something is lost, nothing behind it may come before the client is told.
        if self.waiting.len() < MAX_WAITING && self.lost.is_empty() {
            self.waiting.push_back(publication.clone());
            return;
        }
        for (room, position) in &publication.places {
            let Some(position) = position else { continue };
            match self.lost.iter_mut().find(|(known, _)| known == room) {
                Some(known) => known.1 = *position,
                None => self.lost.push((room.clone(), *position)),
            }
        }
    }
}

/// A room with local members; it vanishes with the last of them.
#[derive(Debug)]
pub(super) struct RoomEntry {
    pub(super) name: Room,
    seats: Vec<Seat>,
}

/// Seats for which a room keeps memory that it does not need.
const SPARE_SEATS: usize = 16;

impl RoomEntry {
    pub(super) fn new(name: Room) -> Self {
        Self { name, seats: Vec::new() }
    }

    pub(super) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    pub(super) fn seats_mut(&mut self) -> &mut [Seat] {
        &mut self.seats
    }

    /// Gives the member a seat. Answers which.
    pub(super) fn add(&mut self, member: usize) -> usize {
        let seat = self.seats.len();
        if seat == self.seats.capacity() {
            // A quarter more, and not twice as much: seats are a good part of what an idle connection holds.
            self.seats.reserve_exact((seat / 4).max(1));
        }
        self.seats.push(Seat::new(member));
        seat
    }

    /// Takes a seat away. Answers the member that sits there now, if there is another.
    pub(super) fn remove(&mut self, seat: usize) -> Option<usize> {
        self.seats.swap_remove(seat);
        if self.seats.capacity() > SPARE_SEATS && self.seats.len() < self.seats.capacity() / 4 {
            self.seats.shrink_to(self.seats.len() * 2);
        }
        self.seats.get(seat).map(Seat::member)
    }
}

/// A member's place in a room. 24 bytes, for there are several for each connection, and a delivery goes through them.
#[derive(Debug)]
pub(super) struct Seat {
    member: u32,
    /// Whether the start is known; while it is not, the member is on hold.
    has_started: bool,
    /// Where delivery has come to.
    after: Position,
}

/// How an event at a position fits a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It was delivered already, or lies before the seat's start.
    Behind,
    /// It is the next one, or has no place at all.
    Next,
    /// Events are missing between the seat's last one and this one, or its stream is another.
    Ahead,
}

impl Seat {
    fn new(member: usize) -> Self {
        // There is no memory for four thousand million members.
        Self { member: member as u32, has_started: false, after: Position { epoch: Epoch(0), offset: 0 } }
    }

    /// Who sits there.
    pub(super) fn member(&self) -> usize {
        self.member as usize
    }

    /// Where delivery has come to; `None` until the start is known.
    pub(super) fn after(&self) -> Option<Position> {
        self.has_started.then_some(self.after)
    }

    /// Delivery has come to the position.
    pub(super) fn advance(&mut self, position: Position) {
        (self.has_started, self.after) = (true, position);
    }

    /// How an event fits; the epoch of one that belongs to another life of the stream.
    fn fit(&self, position: Option<Position>) -> Result<Fit, Epoch> {
        let (after, position) = match (self.after(), position) {
            // Ephemeral: is delivered to whoever is there.
            (_, None) => return Ok(Fit::Next),
            (None, Some(_)) => return Ok(Fit::Behind),
            (Some(after), Some(position)) => (after, position),
        };
        Ok(match after.is_before(&position).ok_or(position.epoch)? {
            false if fault::is_built_in(Fault::Redelivery) => Fit::Next,
            true if position.offset == after.offset + 1 => Fit::Next,
            false => Fit::Behind,
            true => Fit::Ahead,
        })
    }

    /// Where delivery has come to, unless that is the position or lies behind it. Of two lives of a stream nobody here knows
    /// which is the later one.
    pub(super) fn short_of(&self, position: Position) -> Option<Position> {
        self.after().filter(|after| after.is_before(&position) != Some(false))
    }
}

/// Events that a connection should have got and has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    /// The room.
    pub(crate) room: Room,
    /// The last event that the connection got there.
    pub(crate) after: Position,
    /// The last one that is missing.
    pub(crate) until: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(epoch: u64, offset: u64) -> Position {
        Position { epoch: Epoch(epoch), offset }
    }

    /// There are tens of thousands of members, and a few seats for each.
    #[test]
    fn members_and_seats_take_no_more_memory_than_they_did() {
        assert!(size_of::<Seat>() <= 24, "{}", size_of::<Seat>());
        assert!(size_of::<Member>() <= 64, "{}", size_of::<Member>());
    }

    #[test]
    fn a_room_has_memory_for_a_quarter_more_seats_than_it_needs_and_gives_it_back() {
        let mut room = RoomEntry::new("team:a".parse().unwrap());
        for member in 0..1000 {
            assert_eq!(room.add(member), member);
            assert!(room.seats.capacity() <= (member + 1).max(1) * 5 / 4, "{} for {member}", room.seats.capacity());
        }
        assert_eq!(room.remove(0), Some(999), "the last one sits there now");
        assert_eq!(room.remove(998), None, "nobody does");
        while room.seats().len() > 1 {
            room.remove(0);
        }
        assert!(room.seats.capacity() <= SPARE_SEATS, "{}", room.seats.capacity());
    }

    #[test]
    fn what_is_late_in_a_room_is_late_there_alone_and_until_the_member_leaves() {
        let mut member = Member::new(ConnectionId::new(), Arc::new(Outbox::new(100)));
        let mut seat = Seat::new(0);
        assert_eq!(member.fit(1, &seat, Some(position(7, 1))), Fit::Behind, "the start is not known yet");
        seat.advance(position(7, 1));
        assert_eq!(member.fit(1, &seat, Some(position(7, 2))), Fit::Next);
        assert_eq!(member.fit(1, &seat, Some(position(6, 2))), Fit::Ahead, "another life");
        member.bury(1, Epoch(5));
        member.bury(1, Epoch(6));
        assert_eq!(member.fit(1, &seat, Some(position(6, 2))), Fit::Behind);
        assert_eq!(member.fit(1, &seat, Some(position(5, 2))), Fit::Ahead, "only the last one is remembered");
        assert_eq!(member.fit(2, &seat, Some(position(6, 2))), Fit::Ahead);
        member.stand_up(1);
        assert_eq!(member.fit(1, &seat, Some(position(6, 2))), Fit::Ahead, "the room's place may be another's by now");
    }
}
