//! What waits for one connection of the fake.
//!
//! Owns the order of frames, their delay, and the bound: who reads too slowly is cut off, as by the real gateway.

use std::collections::VecDeque;
use std::sync::Arc;

use roomcast_protocol::CloseCode;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Bytes that may wait for one connection, replays aside, which are bounded by what is kept.
const MOST_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Waiting>,
    /// Of those that count.
    bytes: usize,
    closing: Option<CloseCode>,
    is_cut: bool,
    /// Wakes the connection's task.
    wake: Arc<Notify>,
}

#[derive(Debug)]
struct Waiting {
    text: String,
    ready: Instant,
    counts: bool,
}

/// What the connection's task has to do.
#[derive(Debug)]
pub(super) enum Turn {
    /// The connection is gone, without a word.
    Cut,
    Send(String),
    /// The last one.
    Close(CloseCode),
    /// Nothing until then.
    Wait {
        until: Option<Instant>,
        /// What comes from the client is taken.
        reads: bool,
    },
}

impl Outbox {
    pub(super) fn waker(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    /// Has the connection's task look again.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Queues a frame that is sent from `ready` on; a part of a replay does not count.
    pub(super) fn push(&mut self, text: String, ready: Instant, counts: bool) {
        self.bytes += if counts { text.len() } else { 0 };
        self.frames.push_back(Waiting { text, ready, counts });
        self.wake();
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes > MOST_BYTES
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
    }

    /// Closes the connection behind what waits.
    pub(super) fn close(&mut self, code: CloseCode) {
        self.closing = Some(code);
        self.wake();
    }

    pub(super) fn cut(&mut self) {
        self.is_cut = true;
        self.clear();
        self.wake();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub(super) fn turn(&mut self, is_stalled: bool, now: Instant) -> Turn {
        if self.is_cut {
            return Turn::Cut;
        }
        if is_stalled {
            return Turn::Wait { until: None, reads: false };
        }
        match (self.frames.pop_front_if(|first| first.ready <= now), self.closing) {
            (Some(Waiting { text, counts, .. }), _) => {
                self.bytes -= if counts { text.len() } else { 0 };
                Turn::Send(text)
            }
            (None, Some(code)) if self.frames.is_empty() => Turn::Close(code),
            (None, closing) => {
                Turn::Wait { until: self.frames.front().map(|first| first.ready), reads: closing.is_none() }
            }
        }
    }
}
