//! The streams of rooms: positions, and the events that are kept.
//!
//! Owns that one event has its place in all its rooms at once, and what somebody has missed. Bounded in rooms, in events,
//! and in the ids that are remembered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::server::GapReason;
use roomcast_protocol::{Epoch, EventFrame, EventId, Position, Published, Room};
use tokio::time::Instant;

use super::session::SessionId;

/// Rooms with a stream. One more, and the stream of a room in which nobody is goes.
const MOST_STREAMS: usize = 10_000;

/// Events of all rooms together.
const MOST_KEPT: usize = 100_000;

/// How long an event's own id is remembered, and how many of them in a room.
const GIVEN_FOR: Duration = Duration::from_secs(300);
const MOST_GIVEN: usize = 10_000;

/// An event with its place in each of its rooms.
#[derive(Debug)]
pub(super) struct Placed {
    /// Without its positions.
    pub(super) frame: EventFrame,
    /// `None`: the event is not kept.
    pub(super) places: BTreeMap<Room, Option<Position>>,
    /// The connection that gets no echo.
    pub(super) except: Option<SessionId>,
}

/// What somebody has missed in a room.
#[derive(Debug)]
pub(super) struct Missed {
    pub(super) latest: Position,
    /// Why it cannot be had.
    pub(super) reason: Option<GapReason>,
    pub(super) events: VecDeque<Arc<Placed>>,
}

#[derive(Debug)]
struct Stream {
    latest: Position,
    kept: VecDeque<Arc<Placed>>,
    /// What was published under an id that its publisher gave, oldest first.
    given: VecDeque<(Instant, Published)>,
}

#[derive(Debug)]
pub(super) struct Streams {
    streams: BTreeMap<Room, Stream>,
    history_size: usize,
    /// Events of all rooms.
    kept: usize,
}

impl Stream {
    fn new() -> Self {
        let latest = Position { epoch: Epoch(rand::random()), offset: 0 };
        Self { latest, kept: VecDeque::new(), given: VecDeque::new() }
    }
}

impl Streams {
    pub(super) fn new(history_size: usize) -> Self {
        Self { streams: BTreeMap::new(), history_size, kept: 0 }
    }

    /// Where the room's stream is, which begins here at the latest.
    pub(super) fn position(&mut self, room: &Room) -> Position {
        self.streams.entry(room.clone()).or_insert_with(Stream::new).latest
    }

    /// The same, without a beginning.
    pub(super) fn peek(&self, room: &Room) -> Option<Position> {
        self.streams.get(room).map(|stream| stream.latest)
    }

    /// Makes place for another room, if there are too many.
    pub(super) fn make_place(&mut self, is_used: impl Fn(&Room) -> bool) {
        if self.streams.len() < MOST_STREAMS {
            return;
        }
        let unused = self.streams.keys().find(|room| !is_used(room)).cloned();
        if let Some(stream) = unused.and_then(|room| self.streams.remove(&room)) {
            self.kept -= stream.kept.len();
        }
    }

    /// What was published under the id before, in one of the rooms.
    pub(super) fn given(&mut self, rooms: &[Room], id: &EventId, now: Instant) -> Option<Published> {
        rooms.iter().find_map(|room| {
            let given = &mut self.streams.get_mut(room)?.given;
            while given.len() > MOST_GIVEN || given.front().is_some_and(|(at, _)| *at + GIVEN_FOR <= now) {
                given.pop_front();
            }
            given.iter().find(|(_, published)| published.event_id == *id).map(|(_, published)| published.clone())
        })
    }

    pub(super) fn remember(&mut self, rooms: &[Room], published: &Published, now: Instant) {
        for room in rooms {
            if let Some(stream) = self.streams.get_mut(room) {
                stream.given.push_back((now, published.clone()));
            }
        }
    }

    /// Gives the event its places, and keeps it where `is_kept`.
    pub(super) fn append(
        &mut self,
        rooms: &[Room],
        frame: EventFrame,
        is_kept: bool,
        except: Option<SessionId>,
    ) -> Arc<Placed> {
        let mut places = BTreeMap::new();
        for room in rooms {
            let stream = self.streams.entry(room.clone()).or_insert_with(Stream::new);
            stream.latest.offset += u64::from(is_kept);
            places.insert(room.clone(), is_kept.then_some(stream.latest));
        }
        let placed = Arc::new(Placed { frame, places, except });
        if is_kept {
            rooms.iter().for_each(|room| self.keep(room, placed.clone()));
        }
        placed
    }

    fn keep(&mut self, room: &Room, placed: Arc<Placed>) {
        let Some(stream) = self.streams.get_mut(room) else { return };
        stream.kept.push_back(placed);
        self.kept += 1;
        while stream.kept.len() > self.history_size || (self.kept > MOST_KEPT && stream.kept.len() > 1) {
            stream.kept.pop_front();
            self.kept -= 1;
        }
    }

    /// The stream is lost: it is made anew, with another epoch.
    pub(super) fn lose(&mut self, room: &Room) -> Position {
        if let Some(lost) = self.streams.insert(room.clone(), Stream::new()) {
            self.kept -= lost.kept.len();
        }
        self.position(room)
    }

    /// What is kept is gone, and the stream goes on.
    pub(super) fn forget(&mut self, room: &Room) {
        if let Some(stream) = self.streams.get_mut(room) {
            self.kept -= stream.kept.len();
            stream.kept.clear();
        }
    }

    /// What has happened in the room behind the position.
    pub(super) fn missed(&mut self, room: &Room, since: Position) -> Missed {
        let stream = self.streams.entry(room.clone()).or_insert_with(Stream::new);
        let latest = stream.latest;
        let oldest = latest.offset - stream.kept.len() as u64;
        let reason = if since.epoch != latest.epoch || since.offset > latest.offset {
            Some(GapReason::EpochChanged)
        } else {
            (since.offset < oldest).then_some(GapReason::HistoryTruncated)
        };
        let passed = usize::try_from(since.offset.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let events =
            if reason.is_none() { stream.kept.iter().skip(passed).cloned().collect() } else { VecDeque::new() };
        Missed { latest, reason, events }
    }
}

/// The missed events of several rooms, in one order: an event of several rooms comes once, when it is the next one in each
/// of those that missed it. Each with the rooms where it is.
pub(super) fn merge(mut missed: BTreeMap<Room, VecDeque<Arc<Placed>>>) -> Vec<(Arc<Placed>, Vec<Room>)> {
    let mut order = Vec::new();
    loop {
        missed.retain(|_, events| !events.is_empty());
        let heads: Vec<&Arc<Placed>> = missed.values().filter_map(VecDeque::front).collect();
        let Some(next) = heads.iter().find(|next| !has_predecessor(next, &missed)).or(heads.first()) else {
            return order;
        };
        let next = Arc::clone(next);
        let mut rooms = Vec::new();
        for (room, events) in &mut missed {
            if events.front().is_some_and(|front| Arc::ptr_eq(front, &next)) {
                events.pop_front();
                rooms.push(room.clone());
            }
        }
        order.push((next, rooms));
    }
}

/// Whether something comes before the event in another of its rooms.
fn has_predecessor(next: &Placed, missed: &BTreeMap<Room, VecDeque<Arc<Placed>>>) -> bool {
    next.places.iter().any(|(room, position)| {
        let front = missed.get(room).and_then(VecDeque::front).and_then(|front| *front.places.get(room)?);
        matches!((front, position), (Some(front), Some(position)) if front.is_before(position) == Some(true))
    })
}

#[cfg(test)]
mod tests {
    use roomcast_protocol::Event;
    use serde_json::json;

    use super::*;
    use crate::testing::clock::timestamp;

    fn append(streams: &mut Streams, id: &str, rooms: &[&str]) -> Arc<Placed> {
        let rooms: Vec<Room> = rooms.iter().map(|room| room.parse().unwrap()).collect();
        let frame = EventFrame {
            event: Event::custom("note.added", json!(id)),
            timestamp: timestamp(0),
            user_id: None,
            event_id: id.parse().ok(),
            positions: BTreeMap::new(),
        };
        streams.append(&rooms, frame, true, None)
    }

    fn missed(streams: &mut Streams, room: &str, since: Position) -> Result<Vec<String>, GapReason> {
        let missed = streams.missed(&room.parse().unwrap(), since);
        let id = |placed: &Arc<Placed>| placed.frame.event_id.as_ref().unwrap().to_string();
        missed.reason.map_or_else(|| Ok(missed.events.iter().map(id).collect()), Err)
    }

    #[test]
    fn what_is_kept_is_had_again_and_what_is_not_is_a_gap() {
        let mut streams = Streams::new(2);
        let start = streams.position(&Room::team("a"));
        for id in ["1", "2", "3"] {
            append(&mut streams, id, &["team:a"]);
        }
        let at = |offset| Position { offset, ..start };
        assert_eq!(missed(&mut streams, "team:a", at(1)), Ok(vec!["2".into(), "3".into()]));
        assert_eq!(missed(&mut streams, "team:a", at(3)), Ok(Vec::new()));
        assert_eq!(missed(&mut streams, "team:a", start), Err(GapReason::HistoryTruncated));
        assert_eq!(missed(&mut streams, "team:a", at(4)), Err(GapReason::EpochChanged));
        streams.forget(&Room::team("a"));
        assert_eq!(missed(&mut streams, "team:a", at(2)), Err(GapReason::HistoryTruncated));
        assert_eq!(missed(&mut streams, "team:a", at(3)), Ok(Vec::new()));
        streams.lose(&Room::team("a"));
        assert_eq!(missed(&mut streams, "team:a", at(3)), Err(GapReason::EpochChanged));
        assert_eq!(streams.kept, 0);
    }

    #[test]
    fn an_event_of_two_rooms_is_replayed_once_and_behind_what_precedes_it_in_both() {
        let mut streams = Streams::new(9);
        append(&mut streams, "b1", &["team:b"]);
        append(&mut streams, "a1", &["team:a"]);
        append(&mut streams, "both", &["team:a", "team:b"]);
        append(&mut streams, "a3", &["team:a"]);
        let lists = ["team:a", "team:b"].map(|room| {
            let room: Room = room.parse().unwrap();
            let start = Position { offset: 0, ..streams.position(&room) };
            (room.clone(), streams.missed(&room, start).events)
        });
        let order = merge(BTreeMap::from(lists));
        let told = |(placed, rooms): &(Arc<Placed>, Vec<Room>)| {
            format!("{} {}", placed.frame.event_id.as_ref().unwrap(), rooms.len())
        };
        assert_eq!(order.iter().map(told).collect::<Vec<_>>(), ["a1 1", "b1 1", "both 2", "a3 1"]);
    }

    #[test]
    fn rooms_and_ids_are_bounded() {
        let (mut streams, now) = (Streams::new(1), Instant::now());
        for number in 0..=MOST_STREAMS {
            streams.make_place(|room| room.id() == "0");
            append(&mut streams, "e", &[&format!("team:{number}")]);
        }
        assert_eq!((streams.streams.len(), streams.kept), (MOST_STREAMS, MOST_STREAMS));
        assert!(streams.peek(&Room::team("0")).is_some() && streams.peek(&Room::team("1")).is_none());
        let rooms = [Room::team("0")];
        let published =
            |id: &str| Published { event_id: id.parse().unwrap(), positions: BTreeMap::new(), duplicate: false };
        streams.remember(&rooms, &published("x"), now);
        let given = |streams: &mut Streams, after| streams.given(&rooms, &"x".parse().unwrap(), now + after).is_some();
        assert!(given(&mut streams, Duration::from_secs(299)) && !given(&mut streams, GIVEN_FOR));
    }
}
