//! The stream of one room: its life, its counter and the events that are kept.

use std::collections::VecDeque;
use std::sync::Arc;

use roomcast_protocol::server::GapReason;
use roomcast_protocol::{Epoch, Position};

use crate::broker::{Page, RoomBounds};
use crate::fault::{self, Fault};
use crate::publication::Publication;

/// One room's stream.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    epoch: Epoch,
    /// The last offset given.
    offset: u64,
    /// Kept events, oldest first; their offsets are consecutive and end with the last given.
    pub(super) kept: VecDeque<Kept>,
    /// Bytes of the kept events.
    pub(super) bytes: usize,
    /// Members of this node, and publications under way.
    pub(super) holds: usize,
    /// Its place among the streams that nobody holds.
    pub(super) idle: Option<u64>,
}

/// A kept event.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// Its place among the kept events of all streams, oldest first.
    pub(super) sequence: u64,
    pub(super) publication: Arc<Publication>,
    pub(super) bytes: usize,
}

impl Stream {
    /// A stream with a life of its own: no position of an earlier one is valid in it.
    pub(super) fn new() -> Self {
        Self { epoch: Epoch(rand::random()), offset: 0, kept: VecDeque::new(), bytes: 0, holds: 0, idle: None }
    }

    /// The position of the last event.
    pub(super) fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.offset }
    }

    /// The position of the next event.
    pub(super) fn advance(&mut self) -> Position {
        self.offset += 1;
        self.position()
    }

    pub(super) fn keep(&mut self, kept: Kept) {
        self.bytes += kept.bytes;
        self.kept.push_back(kept);
    }

    /// The kept events behind a position, or the newest.
    pub(super) fn page(&self, since: Option<Position>, limit: usize) -> Page {
        let behind = match since {
            Some(since) => self.count_behind(since),
            None => Ok(self.kept.len().min(limit)),
        };
        let (behind, gap) = match behind {
            Ok(behind) => (behind, None),
            Err(reason) => (0, Some(reason)),
        };
        let taken = behind.min(limit);
        let kept = self.kept.iter().skip(self.kept.len() - behind).take(taken);
        let publications = kept.map(|kept| kept.publication.clone()).collect();
        let position = Position { offset: self.offset - (behind - taken) as u64, ..self.position() };
        Page { publications, position, latest: self.position(), more: taken < behind, gap }
    }

    /// How many events lie behind the position, if all of them are kept.
    fn count_behind(&self, since: Position) -> Result<usize, GapReason> {
        let is_of_this_epoch = since.epoch == self.epoch || fault::is_built_in(Fault::AnyEpoch);
        if !is_of_this_epoch || since.offset > self.offset {
            return Err(GapReason::EpochChanged);
        }
        let behind = usize::try_from(self.offset - since.offset).unwrap_or(usize::MAX);
        if behind > self.kept.len() { Err(GapReason::HistoryTruncated) } else { Ok(behind) }
    }

    /// Whether more is kept than may be.
    pub(super) fn exceeds(&self, bounds: RoomBounds) -> bool {
        self.kept.len() > bounds.events || self.bytes > bounds.bytes
    }

    /// Forgets the oldest kept event.
    pub(super) fn forget_oldest(&mut self) -> Option<Kept> {
        let oldest = self.kept.pop_front()?;
        self.bytes -= oldest.bytes;
        // A burst should not be paid for until the end of the room.
        if self.kept.capacity() > 64 && self.kept.len() < self.kept.capacity() / 4 {
            self.kept.shrink_to(self.kept.len() * 2);
        }
        Some(oldest)
    }
}
