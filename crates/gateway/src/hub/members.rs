//! What the hub keeps of members and rooms.

use std::collections::VecDeque;
use std::sync::Arc;

use roomcast_protocol::{Position, Room};

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
    /// Room index and place among its seats, so that leaving takes no search of the room.
    pub(super) seats: Vec<(usize, usize)>,
    pub(super) hold: Option<Hold>,
}

impl Member {
    pub(super) fn new(connection: ConnectionId, outbox: Arc<Outbox>) -> Self {
        Self { connection, outbox, seats: Vec::new(), hold: None }
    }

    /// The seat in the room has moved.
    pub(super) fn reseat(&mut self, room: usize, seat: usize) {
        if let Some(known) = self.seats.iter_mut().find(|(known, _)| *known == room) {
            known.1 = seat;
        }
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
}

impl Seat {
    /// Whether an event at the position is still to be delivered here.
    pub(super) fn is_before(&self, position: Option<Position>) -> bool {
        match (self.after, position) {
            // Ephemeral: has no place, is delivered to whoever is there.
            (_, None) => true,
            (Some(after), Some(position)) => after.is_before(&position).unwrap_or(true),
            (None, Some(_)) => false,
        }
    }
}
