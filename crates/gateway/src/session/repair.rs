//! Repairs: what the broker lost on its way to one connection.
//!
//! Owns the end of a hole: the missing events, in order, before any later one, or else the word that they are missing. The hub
//! has put the connection on hold when it saw the hole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::Position;
use roomcast_protocol::server::{GapReason, Reply, RoomOutcome, SubscriptionAck};

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
            for (hole, end) in self.read_holes(&holes).await {
                self.node.metrics.hole(end.missed.is_ok());
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

    /// For each hole how it ends.
    async fn read_holes<'a>(&self, holes: &'a [Hole]) -> Vec<(&'a Hole, End)> {
        let limit = self.node.config.most_recovered();
        let since: Vec<_> = holes.iter().map(|hole| (hole.room.clone(), Some(hole.after))).collect();
        let mut pages = Err(Unavailable);
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            pages = self.node.broker.history(since.clone(), limit).await;
            if pages.is_ok() {
                break;
            }
        }
        match pages {
            Ok(pages) => holes.iter().zip(pages).map(|(hole, page)| (hole, End::of(page, hole.until))).collect(),
            Err(Unavailable) => holes.iter().map(|hole| (hole, End::unknown(hole.until))).collect(),
        }
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
    use super::*;
    use roomcast_protocol::Epoch;

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
