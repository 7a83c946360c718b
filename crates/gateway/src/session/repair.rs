//! Repairs: what the broker lost on its way to one connection.
//!
//! Owns the end of a hole: the missing events, in order, before any later one, or else the word that they are missing. The hub
//! has put the connection on hold when it saw the hole.

use std::collections::BTreeMap;
use std::time::Duration;

use roomcast_protocol::Position;
use roomcast_protocol::server::{GapReason, Reply, RoomOutcome, SubscriptionAck};

use super::Session;
use super::replay::Replay;
use crate::broker::{Page, Unavailable};
use crate::hub::Hole;

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
            for (hole, page) in self.read_holes(&holes).await {
                self.node.metrics.hole(page.is_ok());
                self.hub().start_at(self.key(), &hole.room, hole.until);
                match page {
                    Ok(page) => replay.add(hole.room.clone(), page.publications),
                    Err(reason) => {
                        let gap = RoomOutcome::Gap { position: hole.until, reason, presence: None };
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

    /// For each hole the events that fill it, or why they cannot.
    async fn read_holes<'a>(&self, holes: &'a [Hole]) -> Vec<(&'a Hole, Result<Page, GapReason>)> {
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
            Ok(pages) => holes.iter().zip(pages).map(|(hole, page)| (hole, filling(page, hole.until))).collect(),
            // Whether anything is kept is unknown as long as the broker is away.
            Err(Unavailable) => holes.iter().map(|hole| (hole, Err(GapReason::HistoryTruncated))).collect(),
        }
    }
}

/// The page up to the end of the hole; what follows comes from the hold.
fn filling(mut page: Page, until: Position) -> Result<Page, GapReason> {
    if let Some(reason) = page.gap {
        return Err(reason);
    }
    let is_whole = page.position.is_before(&until) == Some(false);
    if !is_whole {
        return Err(if page.more { GapReason::TooManyMissed } else { GapReason::EpochChanged });
    }
    let behind = usize::try_from(page.position.offset - until.offset).unwrap_or(usize::MAX);
    page.publications.truncate(page.publications.len().saturating_sub(behind));
    Ok(page)
}
