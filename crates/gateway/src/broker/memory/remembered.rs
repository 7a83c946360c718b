//! Event ids that their publishers chose, and the positions that they were given.

use std::collections::{HashMap, VecDeque};

use roomcast_protocol::{EventId, Position, Room};
use tokio::time::Instant;

use crate::broker::REMEMBERED;

/// Ids kept at most; 500,000 of them in five minutes are 1,600 events a second, about 100 MB.
const MOST: usize = 500_000;

/// Ids by room, for [`REMEMBERED`].
#[derive(Debug, Default, Clone)]
pub(super) struct Remembered {
    positions: HashMap<(Room, EventId), Position>,
    /// The same ids by age.
    ages: VecDeque<(Instant, (Room, EventId))>,
}

impl Remembered {
    /// The position that the event was given in the room, if it was published there within the time.
    pub(super) fn position(&self, room: &Room, id: &EventId) -> Option<Position> {
        self.positions.get(&(room.clone(), id.clone())).copied()
    }

    /// Remembers an event's position in a room.
    pub(super) fn remember(&mut self, room: &Room, id: &EventId, position: Position, now: Instant) {
        let key = (room.clone(), id.clone());
        if self.positions.insert(key.clone(), position).is_none() {
            self.ages.push_back((now, key));
        }
        while self.ages.len() > MOST {
            self.forget_oldest();
        }
    }

    /// Forgets what was published longer ago.
    pub(super) fn sweep(&mut self, now: Instant) {
        while self.ages.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= REMEMBERED) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.ages.pop_front() {
            self.positions.remove(&key);
        }
    }
}
