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
    /// What its connection has to fill before anything else is delivered.
    pub(super) holes: Vec<Hole>,
}

impl Member {
    pub(super) fn new(connection: ConnectionId, outbox: Arc<Outbox>) -> Self {
        Self { connection, outbox, seats: Vec::new(), hold: None, holes: Vec::new() }
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
    pub(super) seats: Vec<Seat>,
}

/// A member's place in a room.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) member: usize,
    /// Where delivery has come to; `None` until the start is known, while the member is on hold.
    pub(super) after: Option<Position>,
    /// A former life of the stream: what still comes of it is late. Boxed, for few have one.
    pub(super) former: Option<Box<Epoch>>,
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
    pub(super) fn fit(&self, position: Option<Position>) -> Fit {
        let (after, position) = match (self.after, position) {
            // Ephemeral: is delivered to whoever is there.
            (_, None) => return Fit::Next,
            (None, Some(_)) => return Fit::Behind,
            (Some(after), Some(position)) => (after, position),
        };
        match after.is_before(&position) {
            None if self.former.as_deref() == Some(&position.epoch) => Fit::Behind,
            Some(false) if fault::is_built_in(Fault::Redelivery) => Fit::Next,
            Some(true) if position.offset == after.offset + 1 => Fit::Next,
            Some(false) => Fit::Behind,
            Some(true) | None => Fit::Ahead,
        }
    }

    /// Where delivery has come to, unless that is the position or lies behind it. Of two lives of a stream nobody here knows
    /// which is the later one.
    pub(super) fn short_of(&self, position: Position) -> Option<Position> {
        self.after.filter(|after| after.is_before(&position) != Some(false))
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
