//! What this node's own connections have said: the truth about them that Redis is made to follow.
//!
//! Owns the order of what this node asks: each request has a number, and what Redis is told late does not undo what was asked
//! later. Knows nothing of other nodes.

use super::{ConnectionId, Guest, HashMap, Room, UserId};
use crate::presence::Data;

/// What a connection has said in a room.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) user: UserId,
    /// The number of the request.
    pub(super) seq: u64,
    pub(super) data: Option<Data>,
}

/// This node's seats.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    rooms: HashMap<Room, HashMap<ConnectionId, Said>>,
    seats: usize,
    seq: u64,
}

impl Mirror {
    /// Takes a seat in each room, before Redis is asked. Answers the request's number, and what was there before.
    pub(super) fn enter(&mut self, rooms: &[Room], guest: &Guest) -> (u64, Vec<Option<Said>>) {
        self.seq += 1;
        let said = Said { user: guest.user.clone(), seq: self.seq, data: guest.data.clone() };
        let before = rooms.iter().map(|room| self.put(room, guest.connection, Some(said.clone()))).collect();
        (self.seq, before)
    }

    /// Takes back what was entered by the request of that number, where nothing else was asked since.
    pub(super) fn restore<'a>(
        &mut self,
        rooms: impl Iterator<Item = (&'a Room, Option<Said>)>,
        connection: ConnectionId,
        seq: u64,
    ) {
        for (room, before) in rooms {
            let said = self.rooms.get(room).and_then(|seats| seats.get(&connection));
            if said.is_some_and(|said| said.seq == seq) {
                self.put(room, connection, before);
            }
        }
    }

    /// Gives the seats up. Answers the request's number.
    pub(super) fn leave(&mut self, rooms: &[Room], connection: ConnectionId) -> u64 {
        self.seq += 1;
        for room in rooms {
            self.put(room, connection, None);
        }
        self.seq
    }

    /// How many seats there are.
    pub(super) fn seats(&self) -> usize {
        self.seats
    }

    /// The rooms with seats.
    pub(super) fn rooms(&self) -> Vec<Room> {
        self.rooms.keys().cloned().collect()
    }

    /// What is said in a room, as of the request of that number.
    pub(super) fn said_in(&self, room: &Room) -> (u64, Vec<(ConnectionId, Said)>) {
        let seats = self.rooms.get(room).into_iter().flatten();
        (self.seq, seats.map(|(connection, said)| (*connection, said.clone())).collect())
    }

    fn put(&mut self, room: &Room, connection: ConnectionId, said: Option<Said>) -> Option<Said> {
        let seats = self.rooms.entry(room.clone()).or_default();
        let is_seated = said.is_some();
        let before = match said {
            Some(said) => seats.insert(connection, said),
            None => seats.remove(&connection),
        };
        self.seats = self.seats + usize::from(is_seated) - usize::from(before.is_some());
        if seats.is_empty() {
            self.rooms.remove(room);
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> Room {
        name.parse().unwrap()
    }

    fn guest() -> Guest {
        Guest { user: "anna".parse().unwrap(), connection: ConnectionId::new(), data: None }
    }

    #[test]
    fn what_was_refused_is_taken_back_unless_something_was_asked_since() {
        let (mut mirror, guest, rooms) = (Mirror::default(), guest(), [room("team:a"), room("team:b")]);
        let (first, before) = mirror.enter(&rooms, &guest);
        mirror.restore(rooms.iter().zip(before), guest.connection, first);
        assert_eq!((mirror.seats(), mirror.rooms().len()), (0, 0));
        let (first, before) = mirror.enter(&rooms, &guest);
        let (second, _) = mirror.enter(&rooms[..1], &guest);
        mirror.restore(rooms.iter().zip(before), guest.connection, first);
        assert_eq!(mirror.seats(), 1);
        assert_eq!(mirror.said_in(&rooms[0]).1[0].1.seq, second);
    }

    #[test]
    fn seats_are_counted_through_entering_twice_and_leaving_twice() {
        let (mut mirror, guest, rooms) = (Mirror::default(), guest(), [room("team:a"), room("team:b")]);
        mirror.enter(&rooms, &guest);
        mirror.enter(&rooms, &guest);
        assert_eq!(mirror.seats(), 2);
        mirror.leave(&rooms, guest.connection);
        let last = mirror.leave(&rooms, guest.connection);
        assert_eq!((mirror.seats(), mirror.said_in(&rooms[0]).0), (0, last));
    }
}
