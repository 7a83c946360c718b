//! Repairs: what the broker lost on its way to one connection.
//!
//! Owns the end of a hole: the missing events, in order, before any later one, or else the word that they are missing. The hub
//! has put the connection on hold when it saw the hole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::server::{GapReason, Reply, RoomOutcome, SubscriptionAck};
use roomcast_protocol::{Position, Room};

use super::Session;
use super::replay::Replay;
use crate::broker::{Page, Unavailable};
use crate::hub::Hole;
use crate::publication::Publication;

/// How often the history is asked for. With the pauses between and the broker's own time-outs this stays below the ten
/// seconds after which silence is broken.
const ATTEMPTS: u32 = 3;

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

impl Session {
    /// Fills the connection's holes from history, or tells of them, and ends the hold.
    pub(crate) async fn repair(&mut self) {
        loop {
            let holes = self.hub().take_holes(self.key());
            let mut replay = Replay::default();
            let mut gaps = BTreeMap::new();
            for (hole, end) in self.fill(holes).await {
                self.admission.node.metrics.hole(end.missed.is_ok());
                self.hub().start_at(self.key(), &hole.room, end.position);
                let other = [hole.until.epoch, hole.after.epoch].into_iter().find(|epoch| *epoch != end.position.epoch);
                if let Some(former) = other.filter(|_| end.is_known) {
                    self.hub().bury(self.key(), &hole.room, former);
                }
                match end.missed {
                    Ok(missed) => replay.add(hole.room.clone(), missed),
                    Err(reason) => {
                        let gap = RoomOutcome::Gap { position: end.position, reason, presence: None };
                        gaps.insert(hole.room.to_string(), gap);
                    }
                }
            }
            if !gaps.is_empty() {
                self.reply(None, Reply::SubscriptionAck(SubscriptionAck { rooms: gaps }));
            }
            self.replay(replay).await;
            let lost = self.hub().release(self.key());
            self.tell_lost(lost);
            // What waited may have shown another hole.
            if !self.hub().has_holes(self.key()) {
                return;
            }
        }
    }

    /// The holes, and how each ends. An event of several rooms fills a hole in all of them at once: filled room by room it would
    /// come once for each.
    async fn fill(&self, mut holes: Vec<Hole>) -> Vec<(Hole, End)> {
        let mut filled: Vec<(Hole, End)> = Vec::new();
        // Ends: whatever a further hole is filled with is older than the event that has shown it.
        while !holes.is_empty() {
            let read = self.read_holes(holes).await;
            filled.retain(|(known, _)| read.iter().all(|(hole, _)| hole.room != known.room));
            filled.extend(read);
            holes = self.further_holes(&filled);
        }
        filled
    }

    /// What the events that fill holes show to be missing in other rooms of the connection, or further on in these.
    fn further_holes(&self, filled: &[(Hole, End)]) -> Vec<Hole> {
        let reach = |(hole, end): &(Hole, End)| Hole { until: end.position, ..hole.clone() };
        let mut reached: BTreeMap<&Room, Hole> = filled.iter().map(|known| (&known.0.room, reach(known))).collect();
        let mut further = BTreeSet::new();
        let publications = filled.iter().filter_map(|(_, end)| end.missed.as_ref().ok()).flatten();
        for (room, position) in publications.flat_map(|publication| &publication.places) {
            let Some(until) = *position else { continue };
            let at = reached.get(room).map(|hole| hole.until).or_else(|| self.hub().position(self.key(), room));
            // Of another life of the stream nothing is known here.
            if let Some(after) = at.filter(|at| at.is_before(&until) == Some(true)) {
                reached.entry(room).or_insert_with(|| Hole { room: room.clone(), after, until }).until = until;
                further.insert(room);
            }
        }
        further.into_iter().filter_map(|room| reached.get(room).cloned()).collect()
    }

    /// For each hole how it ends.
    async fn read_holes(&self, holes: Vec<Hole>) -> Vec<(Hole, End)> {
        let limit = self.admission.node.config.most_recovered();
        let since: Vec<_> = holes.iter().map(|hole| (hole.room.clone(), Some(hole.after))).collect();
        let mut pages = Err(Unavailable);
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            pages = self.admission.node.broker.history(since.clone(), limit).await;
            if pages.is_ok() {
                break;
            }
        }
        let mut pages = pages.map(Vec::into_iter).ok();
        let ended = |hole: Hole| {
            let page = pages.as_mut().and_then(Iterator::next);
            let end = page.map_or_else(|| End::unknown(hole.until), |page| End::of(page, hole.until));
            (hole, end)
        };
        holes.into_iter().map(ended).collect()
    }
}

/// The end of a hole.
struct End {
    /// Where delivery goes on.
    position: Position,
    /// The events that fill it, or why they cannot.
    missed: Result<Vec<Arc<Publication>>, GapReason>,
    /// Whether the broker has said so.
    is_known: bool,
}

impl End {
    /// By the events behind the hole's beginning. The page was read after the hole was seen, so a stream that is in another
    /// life than the hole's end has begun anew since: what has shown the hole was late, and nothing of that life counts.
    fn of(page: Page, until: Position) -> Self {
        let (position, missed) = match page.gap_reason() {
            _ if page.latest.epoch == until.epoch => (until, filling(page, until)),
            Some(reason) => (page.latest, Err(reason)),
            None => (page.latest, Ok(page.publications)),
        };
        Self { position, missed, is_known: true }
    }

    /// Whether anything is kept is unknown as long as the broker is away.
    fn unknown(until: Position) -> Self {
        Self { position: until, missed: Err(GapReason::HistoryTruncated), is_known: false }
    }
}

/// The page up to the end of the hole; what follows comes from the hold.
fn filling(mut page: Page, until: Position) -> Result<Vec<Arc<Publication>>, GapReason> {
    if let Some(reason) = page.gap {
        return Err(reason);
    }
    let is_whole = page.position.is_before(&until) == Some(false);
    if !is_whole {
        return Err(if page.more { GapReason::TooManyMissed } else { GapReason::EpochChanged });
    }
    let behind = usize::try_from(page.position.offset - until.offset).unwrap_or(usize::MAX);
    page.publications.truncate(page.publications.len().saturating_sub(behind));
    Ok(page.publications)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use roomcast_protocol::{Epoch, EventFrame, ServerMessage};
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;
    use crate::auth::Identity;
    use crate::broker::Deliver;
    use crate::broker::memory::MemoryBroker;
    use crate::clock::Clock;
    use crate::config::{Config, Secret};
    use crate::node::Node;
    use crate::outbox::Outbox;
    use crate::publication::{Draft, Publication};
    use crate::session::Incoming;

    /// A node whose way from the broker to the hub is this test's.
    struct Stage {
        node: Arc<Node>,
        published: mpsc::Receiver<Arc<Publication>>,
        deliver: Deliver,
    }

    impl Stage {
        fn start() -> Self {
            let (to_test, published) = mpsc::channel(16);
            let mut way = None;
            let config = Config { jwt_secret: Some(Secret::new([b'x'; 32])), ..Config::serve() };
            let node = Node::start_with(config, Clock::system(), 10, |config, deliver| {
                way = Some(deliver);
                Arc::new(MemoryBroker::new(config, to_test))
            });
            Self { node, published, deliver: way.unwrap() }
        }

        async fn publish(&mut self, id: &str, rooms: &[&str], is_lost: bool) {
            let rooms = rooms.iter().map(|room| room.parse().unwrap()).collect();
            let head = format!(
                "{{\"eventId\":\"{id}\",\"type\":\"a.b\",\"timestamp\":\"2024-01-15T10:30:00.000Z\",\"payload\":1"
            );
            let (event_id, head) = (id.parse().unwrap(), head.into());
            let draft = Draft { event_id, is_repeatable: false, rooms, head, is_ephemeral: false, except: None };
            self.node.broker.publish(draft).await.unwrap();
            let publication = self.published.recv().await.unwrap();
            if !is_lost {
                self.deliver.send(publication).await.unwrap();
            }
        }

        async fn join(&self, rooms: &[&str]) -> (Session, Arc<Outbox>) {
            let admission = self.node.admit([127, 0, 0, 1].into()).ok().unwrap();
            let outbox = admission.handle.outbox.clone();
            let mut session = Session::new(admission, true);
            let grants = serde_json::from_value(json!({"*": ["subscribe"]})).unwrap();
            session.assume(Identity::of("user_1".parse().unwrap(), Some(grants)));
            let request = json!({"action": "subscribe", "rooms": rooms}).to_string();
            assert_eq!(session.handle(Incoming::Text(request)).await, None);
            (session, outbox)
        }
    }

    /// The events that have come, and whether the hub has seen a hole.
    fn take(outbox: &Outbox) -> (Vec<EventFrame>, bool) {
        let mut frames = VecDeque::new();
        let taken = outbox.take(&mut frames);
        let events = frames.iter().filter_map(|frame| match ServerMessage::parse(frame.as_str()).unwrap() {
            ServerMessage::Event(event) => Some(*event),
            _ => None,
        });
        (events.collect(), taken.has_hole)
    }

    /// Repairs what the next delivery shows, and answers everything that has come: ids, and in how many rooms.
    async fn repaired(session: &mut Session, outbox: &Outbox) -> Vec<(String, usize)> {
        let (mut events, mut has_hole) = (Vec::new(), false);
        while !has_hole {
            tokio::task::yield_now().await;
            let taken = take(outbox);
            events.extend(taken.0);
            has_hole = taken.1;
        }
        session.repair().await;
        events.extend(take(outbox).0);
        events.into_iter().map(|event| (event.event_id.unwrap().to_string(), event.positions.len())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_event_of_two_rooms_comes_once_though_one_room_shows_it_first() {
        let mut stage = Stage::start();
        let (mut session, outbox) = stage.join(&["team:a", "issue:b"]).await;
        stage.publish("of_b", &["issue:b"], true).await;
        stage.publish("of_both", &["team:a", "issue:b"], true).await;
        stage.publish("of_a", &["team:a"], false).await;
        let came = repaired(&mut session, &outbox).await;
        assert_eq!(came, [("of_b".into(), 1), ("of_both".into(), 2), ("of_a".into(), 1)]);
        stage.publish("also_of_b", &["issue:b"], false).await;
        let mut later = Vec::new();
        while later.is_empty() {
            tokio::task::yield_now().await;
            let (events, has_hole) = take(&outbox);
            assert!(!has_hole, "nothing is missing any more");
            later.extend(events);
        }
        assert_eq!(later[0].event_id.as_ref().unwrap().as_str(), "also_of_b");
    }

    fn at(epoch: u64, offset: u64) -> Position {
        Position { epoch: Epoch(epoch), offset }
    }

    fn page(latest: Position, gap: Option<GapReason>) -> Page {
        Page { publications: Vec::new(), position: latest, latest, more: false, gap }
    }

    #[test]
    fn a_late_message_of_a_former_life_moves_nobody_back_into_it() {
        let end = End::of(page(at(2, 3), None), at(1, 10));
        assert_eq!((end.position, end.missed.unwrap().len()), (at(2, 3), 0));
        let end = End::of(page(at(3, 5), Some(GapReason::EpochChanged)), at(2, 10));
        assert_eq!((end.position, end.missed.unwrap_err()), (at(3, 5), GapReason::EpochChanged));
    }

    #[test]
    fn the_first_message_of_a_new_life_is_a_gap_before_it() {
        let end = End::of(page(at(2, 7), Some(GapReason::EpochChanged)), at(2, 0));
        assert_eq!((end.position, end.missed.unwrap_err()), (at(2, 0), GapReason::EpochChanged));
    }
}
