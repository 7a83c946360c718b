//! Replays: the missed events of several rooms, brought into one order.
//!
//! Owns the merge. Each room's list is whole and in order, and an event of several rooms stands in the lists of all that
//! missed it; it comes once, when it is the next one in each of them. So a frame names a room only when everything before it
//! in that room was sent.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use roomcast_protocol::{Position, Room};

use crate::frame::Frame;
use crate::publication::{Publication, RoomSet};

/// Missed events on their way to one connection.
#[derive(Debug, Default)]
pub(super) struct Replay {
    missed: BTreeMap<Room, VecDeque<Arc<Publication>>>,
}

/// Where an event stands in a room's list.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// The room has missed it, and it is the next.
    Next,
    /// The room has missed it, and others before it.
    Later,
    /// The room has not missed it, or had it already.
    Absent,
}

impl Replay {
    /// Adds what a room has missed, oldest first.
    pub(super) fn add(&mut self, room: Room, missed: Vec<Arc<Publication>>) {
        if !missed.is_empty() {
            self.missed.insert(room, missed.into());
        }
    }

    /// The next frame.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let mut room = self.missed.keys().next()?.clone();
        // One order holds in all rooms, so following what comes earlier ends at an event that nothing precedes. Should a
        // broker have broken that promise, every room is looked at once and the event goes out all the same.
        for _ in 0..self.missed.len() {
            match self.predecessor(&room) {
                Some(earlier) => room = earlier,
                None => break,
            }
        }
        let publication = self.missed.get(&room)?.front()?.clone();
        Some(publication.frame(self.take(&publication)))
    }

    /// Another room in which something comes before this room's next event.
    fn predecessor(&self, room: &Room) -> Option<Room> {
        let next = self.missed.get(room)?.front()?;
        let later = next.places.iter().find(|(other, position)| self.standing(other, *position) == Standing::Later);
        later.map(|(other, _)| other.clone())
    }

    /// Takes the event out of every list that it leads; answers their set.
    fn take(&mut self, publication: &Publication) -> RoomSet {
        let mut rooms = 0;
        for (place, (room, position)) in publication.places.iter().enumerate() {
            if self.standing(room, *position) == Standing::Next
                && let Some(missed) = self.missed.get_mut(room)
            {
                rooms |= 1 << place;
                missed.pop_front();
                if missed.is_empty() {
                    self.missed.remove(room);
                }
            }
        }
        rooms
    }

    fn standing(&self, room: &Room, position: Option<Position>) -> Standing {
        let next = self.missed.get(room).and_then(|missed| missed.front()).and_then(|next| next.position(room));
        match (next, position) {
            (Some(next), Some(position)) if next == position => Standing::Next,
            (Some(next), Some(position)) if next.is_before(&position) == Some(true) => Standing::Later,
            _ => Standing::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publication::Draft;
    use roomcast_protocol::Epoch;
    use serde_json::Value;

    /// An event with its offset in each of its rooms.
    fn event(id: &str, places: &[(&str, u64)]) -> Arc<Publication> {
        let rooms: Vec<Room> = places.iter().map(|(room, _)| room.parse().unwrap()).collect();
        let offsets = places.iter().map(|(_, offset)| Some(Position { epoch: Epoch(7), offset: *offset }));
        let head = format!("{{\"eventId\":\"{id}\"").into();
        let places = rooms.iter().cloned().zip(offsets).collect();
        let draft = Draft {
            event_id: id.parse().unwrap(),
            is_repeatable: false,
            rooms,
            head,
            is_ephemeral: false,
            except: None,
        };
        Publication::new(draft, places)
    }

    /// Each event with the rooms that its frame names.
    fn replayed(missed: &[(&str, &[&Arc<Publication>])]) -> Vec<String> {
        let mut replay = Replay::default();
        for (room, missed) in missed {
            replay.add(room.parse().unwrap(), missed.iter().map(|event| Arc::clone(event)).collect());
        }
        std::iter::from_fn(|| replay.next())
            .map(|frame| {
                let frame: Value = serde_json::from_str(frame.as_str()).unwrap();
                let rooms: Vec<_> = frame["positions"].as_object().unwrap().keys().cloned().collect();
                format!("{} {}", frame["eventId"].as_str().unwrap(), rooms.join(","))
            })
            .collect()
    }

    #[test]
    fn an_event_of_two_rooms_comes_once_and_behind_what_precedes_it_in_both() {
        let (a1, b1) = (event("a1", &[("team:a", 1)]), event("b1", &[("team:b", 1)]));
        let both = event("both", &[("team:a", 2), ("team:b", 2)]);
        let a3 = event("a3", &[("team:a", 3)]);
        let order = replayed(&[("team:a", &[&a1, &both, &a3]), ("team:b", &[&b1, &both])]);
        assert_eq!(order, ["a1 team:a", "b1 team:b", "both team:a,team:b", "a3 team:a"]);
    }

    #[test]
    fn a_room_that_had_the_event_already_is_not_named() {
        let both = event("both", &[("team:a", 5), ("team:b", 5)]);
        let b6 = event("b6", &[("team:b", 6)]);
        assert_eq!(replayed(&[("team:a", &[&both]), ("team:b", &[&b6])]), ["both team:a", "b6 team:b"]);
        assert_eq!(replayed(&[("team:a", &[&both])]), ["both team:a"]);
    }

    #[test]
    fn lists_that_contradict_each_other_come_out_whole_all_the_same() {
        let (x, y) = (event("x", &[("team:a", 1), ("team:b", 2)]), event("y", &[("team:a", 2), ("team:b", 1)]));
        assert_eq!(replayed(&[("team:a", &[&x, &y]), ("team:b", &[&y, &x])]).len(), 3);
    }
}
