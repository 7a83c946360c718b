//! The stream of one room: its life, its counter and the events that are kept.

use std::collections::VecDeque;
use std::num::NonZeroU64;
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
    /// Members of this node, and publications under way.
    pub(super) holds: usize,
    /// Its place among the streams that nobody holds.
    pub(super) idle: Option<NonZeroU64>,
    /// Boxed, for there are many rooms of one member in which nothing ever happens. `None` before the first event.
    history: Option<Box<History>>,
}

/// The events that are kept of one room.
#[derive(Debug, Clone, Default)]
struct History {
    /// Oldest first; their offsets are consecutive and end with the last given.
    kept: VecDeque<Kept>,
    bytes: usize,
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
        Self { epoch: Epoch(rand::random()), offset: 0, holds: 0, idle: None, history: None }
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
        let history = self.history.get_or_insert_default();
        history.bytes += kept.bytes;
        history.kept.push_back(kept);
    }

    /// Kept events, oldest first.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.history.iter().flat_map(|history| &history.kept)
    }

    /// Bytes of the kept events.
    pub(super) fn bytes(&self) -> usize {
        self.history.as_ref().map_or(0, |history| history.bytes)
    }

    /// How many events are kept.
    fn length(&self) -> usize {
        self.history.as_ref().map_or(0, |history| history.kept.len())
    }

    /// The kept events behind a position, or the newest.
    pub(super) fn page(&self, since: Option<Position>, limit: usize) -> Page {
        let behind = match since {
            Some(since) => self.count_behind(since),
            None => Ok(self.length().min(limit)),
        };
        let (behind, gap) = match behind {
            Ok(behind) => (behind, None),
            Err(reason) => (0, Some(reason)),
        };
        let taken = behind.min(limit);
        let kept = self.kept().skip(self.length() - behind).take(taken);
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
        if behind > self.length() { Err(GapReason::HistoryTruncated) } else { Ok(behind) }
    }

    /// Whether more is kept than may be.
    pub(super) fn exceeds(&self, bounds: RoomBounds) -> bool {
        self.length() > bounds.events || self.bytes() > bounds.bytes
    }

    /// Forgets the oldest kept event.
    pub(super) fn forget_oldest(&mut self) -> Option<Kept> {
        let History { kept, bytes } = &mut **self.history.as_mut()?;
        let oldest = kept.pop_front()?;
        *bytes -= oldest.bytes;
        // A burst should not be paid for until the end of the room.
        if kept.capacity() > 64 && kept.len() < kept.capacity() / 4 {
            kept.shrink_to(kept.len() * 2);
        }
        Some(oldest)
    }
}
