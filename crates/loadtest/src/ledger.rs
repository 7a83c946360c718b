//! What each connection has had of each room: losses, duplicates, and order.
//!
//! Owns the verdict of a run. A seat is one connection in one room. For every seat and publisher it knows up to which event
//! all came, and which are missing; for every seat it folds the order in which events came into one number, so that seats
//! of a room can be compared without keeping what they saw.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::mark::Mark;

/// Missing events that are remembered one by one. Beyond it what comes late is a duplicate too; the run is lost anyway.
const MOST_MISSING: usize = 1_000_000;

/// What one event was to the connection that it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The next of its publisher in this room.
    Next,
    /// Behind some that did not come yet.
    Early,
    /// One that was missed when a later one came.
    Late,
    /// One that had come before.
    Again,
    /// Of a room that the connection is not in, or of a publisher that there is not.
    Stranger,
}

/// Where the events of all seats stand.
pub(crate) struct Ledger {
    seats: Seats,
    publishers: u32,
    /// For each seat and publisher: the latest event, by its sequence.
    latest: Vec<u32>,
    /// For each seat: how many events, and their order in one number.
    order: Vec<(u32, u64)>,
    missing: HashSet<(usize, u32)>,
    duplicates: u64,
    late: u64,
    strangers: u64,
}

/// Which connections are in which rooms: connection `c` is in room `c`, and on in even steps around all rooms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seats {
    pub(crate) connections: u32,
    pub(crate) rooms: u32,
    pub(crate) per_connection: u32,
}

impl Seats {
    fn step(self) -> u32 {
        (self.rooms / self.per_connection.max(1)).max(1)
    }

    /// The rooms of a connection.
    pub(crate) fn rooms_of(self, connection: u32) -> impl Iterator<Item = u32> {
        let step = self.step();
        (0..self.per_connection).map(move |nth| (connection + nth * step) % self.rooms)
    }

    /// The seat of a connection in a room, if it has one.
    fn seat(self, connection: u32, room: u32) -> Option<usize> {
        if room >= self.rooms || connection >= self.connections {
            return None;
        }
        let distance = (room + self.rooms - connection % self.rooms) % self.rooms;
        let nth = distance / self.step();
        (distance.is_multiple_of(self.step()) && nth < self.per_connection)
            .then(|| (connection * self.per_connection + nth) as usize)
    }

    /// How many connections are in each room.
    pub(crate) fn members(self) -> Vec<u32> {
        let mut members = vec![0; self.rooms as usize];
        for connection in 0..self.connections {
            for room in self.rooms_of(connection) {
                members[room as usize] += 1;
            }
        }
        members
    }
}

/// What was lost, doubled, or out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Events that a connection never got, although they were published.
    pub losses: u64,
    /// Events that a connection got more than once.
    pub duplicates: u64,
    /// Events that came behind a later one of the same publisher, and seats that saw another order than the rest of
    /// their room.
    pub order_violations: u64,
    /// Events of rooms that the connection is not in.
    pub strangers: u64,
}

impl Verdict {
    /// Whether nothing is to be said against the server.
    #[must_use]
    pub fn is_clean(self) -> bool {
        self.losses + self.duplicates + self.order_violations + self.strangers == 0
    }
}

impl Ledger {
    pub(crate) fn new(seats: Seats, publishers: u32) -> Self {
        let count = (seats.connections * seats.per_connection) as usize;
        Self {
            seats,
            publishers,
            latest: vec![0; count * publishers as usize],
            order: vec![(0, 0); count],
            missing: HashSet::new(),
            duplicates: 0,
            late: 0,
            strangers: 0,
        }
    }

    /// Counts an event that came to a connection.
    pub(crate) fn record(&mut self, connection: u32, mark: &Mark) -> Seen {
        let Some(seat) = self.seats.seat(connection, mark.room).filter(|_| mark.publisher < self.publishers) else {
            self.strangers += 1;
            return Seen::Stranger;
        };
        let place = seat * self.publishers as usize + mark.publisher as usize;
        let latest = self.latest[place];
        let seen = if mark.sequence == latest + 1 {
            Seen::Next
        } else if mark.sequence > latest {
            let room_left = MOST_MISSING.saturating_sub(self.missing.len());
            self.missing.extend((latest + 1..mark.sequence).take(room_left).map(|sequence| (place, sequence)));
            Seen::Early
        } else if self.missing.remove(&(place, mark.sequence)) {
            self.late += 1;
            Seen::Late
        } else {
            self.duplicates += 1;
            return Seen::Again;
        };
        self.latest[place] = latest.max(mark.sequence);
        let (count, order) = &mut self.order[seat];
        *count += 1;
        *order = order.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number(mark));
        seen
    }

    /// Judges, when everything has come that will: `published` has for each room and publisher how many there were.
    pub(crate) fn verdict(&self, published: &[u32]) -> Verdict {
        let (publishers, per) = (self.publishers as usize, self.seats.per_connection);
        let (mut wanted, mut had) = (0_u64, 0_u64);
        // The orders that were seen in a room by those who got everything, and by how many.
        let mut orders: BTreeMap<u32, BTreeMap<u64, u64>> = BTreeMap::new();
        for connection in 0..self.seats.connections {
            for (nth, room) in self.seats.rooms_of(connection).enumerate() {
                let (count, order) = self.order[(connection * per) as usize + nth];
                let of_room = &published[room as usize * publishers..][..publishers];
                let all: u64 = of_room.iter().map(|count| u64::from(*count)).sum();
                wanted += all;
                had += u64::from(count);
                if u64::from(count) == all {
                    *orders.entry(room).or_default().entry(order).or_default() += 1;
                }
            }
        }
        let dissenters: u64 =
            orders.values().map(|seen| seen.values().sum::<u64>() - seen.values().max().copied().unwrap_or(0)).sum();
        Verdict {
            losses: wanted.saturating_sub(had),
            duplicates: self.duplicates,
            order_violations: self.late + dissenters,
            strangers: self.strangers,
        }
    }
}

/// A number for an event within its room, spread over all bits.
fn number(mark: &Mark) -> u64 {
    let mixed = (u64::from(mark.publisher) << 32 | u64::from(mark.sequence)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
