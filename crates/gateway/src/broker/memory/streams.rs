//! All streams of the embedded broker, and the bounds on them together.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::{Position, Room};
use tokio::time::Instant;

use super::stream::{Kept, Stream};
use crate::broker::{Page, RoomBounds, Unavailable};
use crate::per_kind::PerKind;
use crate::publication::Publication;

/// How much is kept in all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes in all rooms.
    pub(super) total_bytes: usize,
    /// Streams, held or not.
    pub(super) streams: usize,
    /// How long a stream outlives its last event or member.
    pub(super) idle: Duration,
}

/// The streams by room.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    bounds: Bounds,
    by_room: HashMap<Room, Stream>,
    classes: PerKind<Class>,
    /// Streams that nobody holds, by the time since when.
    idle: BTreeMap<NonZeroU64, (Room, Instant)>,
    bytes: usize,
    /// The last place given in `ages` or `idle`.
    sequence: u64,
}

/// The rooms that have the same bounds.
#[derive(Debug, Clone)]
struct Class {
    bounds: RoomBounds,
    /// Kept events of all their streams by age: whose they are, and since when. Who is older goes first, since all may
    /// become equally old.
    ages: BTreeMap<u64, (Room, Instant)>,
}

impl Streams {
    pub(super) fn new(per_room: &PerKind<RoomBounds>, bounds: Bounds) -> Self {
        let classes = per_room.map(|bounds| Class { bounds: *bounds, ages: BTreeMap::new() });
        Self { bounds, by_room: HashMap::new(), classes, idle: BTreeMap::new(), bytes: 0, sequence: 0 }
    }

    /// Holds each room once more; all of them or none.
    pub(super) fn open(&mut self, rooms: &[Room], now: Instant) -> Result<Vec<Position>, Unavailable> {
        let mut positions = Vec::with_capacity(rooms.len());
        for (index, room) in rooms.iter().enumerate() {
            let Ok(position) = self.hold(room) else {
                rooms[..index].iter().for_each(|held| self.release(held, now));
                return Err(Unavailable);
            };
            positions.push(position);
        }
        Ok(positions)
    }

    /// Holds the room once more. Answers the position of its last event.
    fn hold(&mut self, room: &Room) -> Result<Position, Unavailable> {
        if let Some(stream) = self.by_room.get_mut(room) {
            stream.holds += 1;
            if let Some(idle) = stream.idle.take() {
                self.idle.remove(&idle);
            }
            return Ok(stream.position());
        }
        self.make_place()?;
        let mut stream = Stream::new();
        stream.holds = 1;
        let position = stream.position();
        self.by_room.insert(room.clone(), stream);
        Ok(position)
    }

    /// Gives up one hold; the stream's time starts with the last.
    pub(super) fn release(&mut self, room: &Room, now: Instant) {
        let Some(stream) = self.by_room.get_mut(room) else { return };
        stream.holds = stream.holds.saturating_sub(1);
        if stream.holds == 0 && stream.idle.is_none() {
            self.sequence += 1;
            stream.idle = NonZeroU64::new(self.sequence);
            self.idle.extend(stream.idle.map(|place| (place, (room.clone(), now))));
        }
    }

    /// Makes sure that one more stream fits. Only streams that nobody holds may go; theirs ends, and a later one under the
    /// same name has a new epoch.
    fn make_place(&mut self) -> Result<(), Unavailable> {
        if self.by_room.len() < self.bounds.streams {
            return Ok(());
        }
        let oldest = self.idle.values().next().map(|(room, _)| room.clone()).ok_or(Unavailable)?;
        self.drop_stream(&oldest);
        Ok(())
    }

    /// The next position of a room that is held.
    pub(super) fn advance(&mut self, room: &Room) -> Option<Position> {
        self.by_room.get_mut(room).map(Stream::advance)
    }

    /// Keeps an event in a room, and forgets what no longer fits.
    pub(super) fn keep(&mut self, room: &Room, publication: &Arc<Publication>, now: Instant) {
        let Some(stream) = self.by_room.get_mut(room) else { return };
        let bytes = publication.cost();
        self.sequence += 1;
        stream.keep(Kept { sequence: self.sequence, publication: publication.clone(), bytes });
        self.bytes += bytes;
        let class = self.classes.of_mut(room.kind());
        class.ages.insert(self.sequence, (room.clone(), now));
        while stream.exceeds(class.bounds)
            && let Some(forgotten) = stream.forget_oldest()
        {
            self.bytes -= forgotten.bytes;
            class.ages.remove(&forgotten.sequence);
        }
        while self.bytes > self.bounds.total_bytes {
            let Some(room) = self.oldest() else { break };
            self.forget_oldest(&room);
        }
    }

    /// The room of the oldest event of all.
    fn oldest(&self) -> Option<Room> {
        let oldest = self.classes.values().filter_map(|class| class.ages.first_key_value());
        oldest.min_by_key(|(sequence, _)| **sequence).map(|(_, (room, _))| room.clone())
    }

    fn forget_oldest(&mut self, room: &Room) {
        if let Some(kept) = self.by_room.get_mut(room).and_then(Stream::forget_oldest) {
            self.bytes -= kept.bytes;
            self.classes.of_mut(room.kind()).ages.remove(&kept.sequence);
        }
    }

    fn drop_stream(&mut self, room: &Room) {
        let Some(stream) = self.by_room.remove(room) else { return };
        self.bytes -= stream.bytes();
        for kept in stream.kept() {
            self.classes.of_mut(room.kind()).ages.remove(&kept.sequence);
        }
        if let Some(idle) = stream.idle {
            self.idle.remove(&idle);
        }
    }

    /// Forgets events and streams whose time is over.
    pub(super) fn sweep(&mut self, now: Instant) {
        let too_old: Vec<Room> = self.classes.values().flat_map(|class| class.too_old(now)).cloned().collect();
        too_old.iter().for_each(|room| self.forget_oldest(room));
        while let Some((room, since)) = self.idle.values().next().cloned() {
            if now.saturating_duration_since(since) < self.bounds.idle {
                break;
            }
            self.drop_stream(&room);
        }
    }

    /// A room's kept events behind a position, or its newest. A room that nobody knows yet begins here: the position that is
    /// answered must be one to come back to.
    pub(super) fn page(
        &mut self,
        room: &Room,
        since: Option<Position>,
        limit: usize,
        now: Instant,
    ) -> Result<Page, Unavailable> {
        self.open(std::slice::from_ref(room), now)?;
        let page = self.by_room.get(room).map(|stream| stream.page(since, limit)).ok_or(Unavailable);
        self.release(room, now);
        page
    }

    #[cfg(test)]
    pub(super) fn begin_anew(&mut self) {
        let rooms: Vec<Room> = self.by_room.keys().cloned().collect();
        rooms.iter().for_each(|room| self.drop_stream(room));
    }

    #[cfg(test)]
    pub(super) fn kept(&self, room: &Room) -> Vec<Arc<Publication>> {
        self.by_room
            .get(room)
            .map_or_else(Vec::new, |stream| stream.kept().map(|kept| kept.publication.clone()).collect())
    }

    #[cfg(test)]
    pub(super) fn totals(&self) -> (usize, usize, usize, usize) {
        let events = self.classes.values().map(|class| class.ages.len()).sum();
        (self.by_room.len(), events, self.idle.len(), self.bytes)
    }
}

impl Class {
    /// For each event whose time is over its room.
    fn too_old(&self, now: Instant) -> impl Iterator<Item = &Room> {
        let is_over = move |since: Instant| now.saturating_duration_since(since) >= self.bounds.age;
        self.ages.values().take_while(move |(_, since)| is_over(*since)).map(|(room, _)| room)
    }
}
