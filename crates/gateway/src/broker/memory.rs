//! The embedded broker: streams in this process's memory.
//!
//! One lock makes publishing atomic over all rooms. Everything is bounded: events by number, age and bytes per room and by
//! bytes in all, streams by number and by the time since their last event or member, remembered ids by time and number.

mod remembered;
mod stream;
mod streams;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use roomcast_protocol::{Position, Published, Room};
use tokio::time::Instant;

use crate::broker::{Broker, Deliver, Page, RoomBounds, Unavailable};
use crate::config::Config;
use crate::publication::{Draft, Publication};
use remembered::Remembered;
use streams::{Bounds, Streams};

/// The embedded broker.
#[derive(Debug)]
pub struct MemoryBroker {
    deliver: Deliver,
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
struct State {
    streams: Streams,
    remembered: Remembered,
}

impl MemoryBroker {
    /// A broker with the configuration's bounds that delivers there.
    #[must_use]
    pub fn new(config: &Config, deliver: Deliver) -> Self {
        let bounds =
            Bounds { total_bytes: config.history_total_bytes, streams: config.max_streams, idle: config.position_ttl };
        let state = State { streams: Streams::new(&RoomBounds::of(config), bounds), remembered: Remembered::default() };
        Self { deliver, state: Mutex::new(state) }
    }

    /// The same state once more, apart from this one.
    #[cfg(test)]
    pub(crate) fn copy(&self) -> Self {
        Self { deliver: self.deliver.clone(), state: Mutex::new(self.lock().clone()) }
    }

    /// Begins every stream anew.
    #[cfg(test)]
    pub(crate) fn begin_anew(&self) {
        self.lock().streams.begin_anew();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Everything in one step: what is known already, the positions, the history, and the publication to deliver.
    fn publish(&mut self, draft: Draft, now: Instant) -> Result<(Published, Option<Arc<Publication>>), Unavailable> {
        let (event_id, is_repeatable) = (draft.event_id.clone(), draft.is_repeatable);
        if draft.is_ephemeral {
            let places = draft.rooms.iter().map(|room| (room.clone(), None)).collect();
            let published = Published { event_id, positions: BTreeMap::new(), duplicate: false };
            return Ok((published, Some(Publication::new(draft, places))));
        }
        let mut positions = BTreeMap::new();
        let mut fresh = Vec::new();
        for room in &draft.rooms {
            match is_repeatable.then(|| self.remembered.position(room, &event_id)).flatten() {
                Some(position) => drop(positions.insert(room.clone(), position)),
                None => fresh.push(room.clone()),
            }
        }
        if fresh.is_empty() {
            return Ok((Published { event_id, positions, duplicate: true }, None));
        }
        // Held for the moment, so that making place for one of the rooms cannot evict another.
        self.streams.open(&fresh, now)?;
        let places: Vec<_> = fresh.iter().map(|room| (room.clone(), self.streams.advance(room))).collect();
        let publication = Publication::new(draft, places);
        for (room, position) in publication.places.iter().filter_map(|(room, position)| Some((room, (*position)?))) {
            self.streams.keep(room, &publication, now);
            self.streams.release(room, now);
            if is_repeatable {
                self.remembered.remember(room, &event_id, position, now);
            }
            positions.insert(room.clone(), position);
        }
        Ok((Published { event_id, positions, duplicate: false }, Some(publication)))
    }
}

impl Broker for MemoryBroker {
    fn publish(&self, draft: Draft) -> BoxFuture<'_, Result<Published, Unavailable>> {
        Box::pin(async move {
            // The place in the queue first: under the lock nothing waits, so the queue's order is that of the positions.
            let place = self.deliver.reserve().await.map_err(|_| Unavailable)?;
            let mut state = self.lock();
            let (published, publication) = state.publish(draft, Instant::now())?;
            if let Some(publication) = publication {
                place.send(publication);
            }
            Ok(published)
        })
    }

    fn open(&self, rooms: Vec<Room>) -> BoxFuture<'_, Result<Vec<Position>, Unavailable>> {
        Box::pin(async move { self.lock().streams.open(&rooms, Instant::now()) })
    }

    fn history(
        &self,
        rooms: Vec<(Room, Option<Position>)>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Page>, Unavailable>> {
        Box::pin(async move {
            let mut state = self.lock();
            rooms.iter().map(|(room, since)| state.streams.page(room, *since, limit, Instant::now())).collect()
        })
    }

    fn positions(&self, rooms: Vec<Room>) -> BoxFuture<'_, Result<Vec<Position>, Unavailable>> {
        Box::pin(async move {
            let (now, mut state) = (Instant::now(), self.lock());
            let positions = state.streams.open(&rooms, now)?;
            rooms.iter().for_each(|room| state.streams.release(room, now));
            Ok(positions)
        })
    }

    fn release(&self, rooms: &[Room]) {
        let now = Instant::now();
        let mut state = self.lock();
        for room in rooms {
            state.streams.release(room, now);
        }
    }

    fn sweep(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        state.streams.sweep(now);
        state.remembered.sweep(now);
    }

    fn is_ready(&self) -> bool {
        !self.deliver.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use roomcast_protocol::EventId;
    use tokio::sync::mpsc;

    fn broker(config: Config) -> (MemoryBroker, mpsc::Receiver<Arc<Publication>>) {
        let (deliver, delivered) = mpsc::channel(1024);
        (MemoryBroker::new(&config, deliver), delivered)
    }

    fn draft(id: &str, rooms: &[&str]) -> Draft {
        let rooms = rooms.iter().map(|room| room.parse().unwrap()).collect();
        let event_id: EventId = id.parse().unwrap();
        Draft {
            event_id,
            is_repeatable: true,
            rooms,
            head: "{\"type\":\"a.b\"".into(),
            is_ephemeral: false,
            except: None,
        }
    }

    async fn publish(broker: &MemoryBroker, id: &str, rooms: &[&str]) -> Published {
        broker.publish(draft(id, rooms)).await.unwrap()
    }

    fn offsets(published: &Published) -> Vec<u64> {
        published.positions.values().map(|position| position.offset).collect()
    }

    #[tokio::test]
    async fn every_room_counts_for_itself_and_one_publication_carries_all() {
        let (broker, mut delivered) = broker(Config::serve());
        assert_eq!(offsets(&publish(&broker, "1", &["team:a"]).await), [1]);
        let second = publish(&broker, "2", &["team:a", "team:b"]).await;
        assert_eq!(offsets(&second), [2, 1]);
        delivered.recv().await.unwrap();
        assert_eq!(delivered.recv().await.unwrap().places.len(), 2);
        assert_eq!(broker.lock().streams.kept(&"team:a".parse().unwrap()).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeat_publishes_nothing_and_answers_the_first_positions_for_five_minutes() {
        let (broker, mut delivered) = broker(Config::serve());
        let first = publish(&broker, "1", &["team:a"]).await;
        let again = publish(&broker, "1", &["team:a"]).await;
        assert!(again.duplicate);
        assert_eq!(again.positions, first.positions);
        delivered.recv().await.unwrap();
        assert!(delivered.try_recv().is_err());
        tokio::time::advance(Duration::from_secs(300)).await;
        broker.sweep();
        assert!(!publish(&broker, "1", &["team:a"]).await.duplicate);
    }

    #[tokio::test]
    async fn a_repeat_completes_the_rooms_that_it_did_not_reach() {
        let (broker, mut delivered) = broker(Config::serve());
        publish(&broker, "1", &["team:a"]).await;
        let more = publish(&broker, "1", &["team:a", "team:b"]).await;
        assert!(!more.duplicate);
        assert_eq!(offsets(&more), [1, 1]);
        delivered.recv().await.unwrap();
        let places: Vec<_> = delivered.recv().await.unwrap().places.iter().map(|(room, _)| room.to_string()).collect();
        assert_eq!(places, ["team:b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn kept_events_are_bounded_by_number_age_and_bytes() {
        let (broker, _delivered) =
            broker(Config { history_size: 3.into(), history_total_bytes: 1200, ..Config::serve() });
        let kept = |room: &str| broker.lock().streams.kept(&room.parse().unwrap()).len();
        for id in ["1", "2", "3", "4"] {
            publish(&broker, id, &["team:a"]).await;
        }
        assert_eq!(kept("team:a"), 3);
        for id in ["5", "6", "7"] {
            publish(&broker, id, &["team:b"]).await;
        }
        assert_eq!(kept("team:b"), 3);
        assert!(kept("team:a") < 3, "the oldest of all go when all are too many");
        let (_, events, _, bytes) = broker.lock().streams.totals();
        assert!(bytes <= 1200 && events == kept("team:a") + kept("team:b"));
        tokio::time::advance(Duration::from_secs(600)).await;
        broker.sweep();
        assert_eq!(kept("team:b"), 0);
        assert_eq!(broker.lock().streams.totals().3, 0);
        assert_eq!(offsets(&publish(&broker, "8", &["team:a"]).await), [5], "the counter outlives its events");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_lives_while_it_is_held_and_a_day_longer() {
        let (broker, _delivered) = broker(Config::serve());
        let room: Room = "team:a".parse().unwrap();
        let day = Duration::from_secs(24 * 3600);
        let first = broker.open(vec![room.clone()]).await.unwrap()[0];
        tokio::time::advance(2 * day).await;
        broker.sweep();
        assert_eq!(broker.open(vec![room.clone()]).await.unwrap()[0], first);
        broker.release(&[room.clone(), room.clone()]);
        tokio::time::advance(day - Duration::from_secs(1)).await;
        broker.sweep();
        assert_eq!(broker.open(vec![room.clone()]).await.unwrap()[0], first);
        broker.release(std::slice::from_ref(&room));
        tokio::time::advance(day).await;
        broker.sweep();
        assert_eq!(broker.lock().streams.totals(), (0, 0, 0, 0));
        assert_ne!(broker.open(vec![room]).await.unwrap()[0].epoch, first.epoch);
    }

    #[tokio::test]
    async fn streams_are_capped_and_an_evicted_one_never_gives_a_position_again() {
        let (broker, _delivered) = broker(Config { max_streams: 2, ..Config::serve() });
        let first = publish(&broker, "1", &["team:a"]).await;
        publish(&broker, "2", &["team:b"]).await;
        publish(&broker, "3", &["team:c"]).await;
        let again = publish(&broker, "4", &["team:a"]).await;
        assert_ne!(first.positions.values().next(), again.positions.values().next());
        broker.open(vec!["team:a".parse().unwrap(), "team:c".parse().unwrap()]).await.unwrap();
        assert_eq!(broker.publish(draft("5", &["team:d"])).await, Err(Unavailable), "rooms with members stay");
        assert_eq!(broker.lock().streams.totals().0, 2);
    }
}
