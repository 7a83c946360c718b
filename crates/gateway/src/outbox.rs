//! The outbox: what waits to be written to one connection.
//!
//! Owns a queue that is bounded in bytes, and the wish to close. Anybody may put frames in, nobody waits: a full outbox ends
//! its connection with [`CloseCode::SlowConsumer`] and costs the others nothing. Only the connection's task takes out, when
//! [`Outbox::flush`] has woken it, so that everything put in during a turn is written together.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use roomcast_protocol::CloseCode;
use tokio::sync::Notify;

use crate::frame::Frame;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It will be written at the next flush.
    Queued,
    /// It did not fit: the connection will be closed, its queue is dropped.
    Full,
    /// The connection is closing.
    Closed,
}

/// How a connection shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closing {
    /// Why.
    pub code: CloseCode,
    /// What the client is told to wait before it comes back.
    pub retry_after_ms: Option<u64>,
}

/// What the connection's task finds when it was woken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The wish to close, once; what was queued before it has been handed out with it.
    pub closing: Option<Closing>,
    /// Whether events are missing, which the hub holds the connection for.
    pub has_hole: bool,
    /// Whether a deadline may have passed.
    pub is_time: bool,
}

/// The queue of one connection. Held by its connection, the hub, the wheel and the registry.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    wake: Notify,
    /// Wakes whoever waits in [`Outbox::drained`].
    room: Notify,
    limit: usize,
}

/// A replay goes on when less than this waits: enough to keep the socket busy, far from any limit.
const REPLAY_BYTES: usize = 64 << 10;

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Frame>,
    /// Bytes queued, and taken but not yet written.
    bytes: usize,
    closing: Option<Closing>,
    is_closed: bool,
    is_time: bool,
    has_hole: bool,
}

impl Outbox {
    /// An outbox of at most `limit` bytes.
    #[must_use]
    pub(crate) fn new(limit: usize) -> Self {
        Self { queue: Mutex::default(), wake: Notify::new(), room: Notify::new(), limit }
    }

    /// Queues a frame, to be written at the next flush.
    pub(crate) fn push(&self, frame: Frame) -> Pushed {
        let mut queue = self.lock();
        if queue.is_closed {
            return Pushed::Closed;
        }
        if queue.bytes + frame.len() > self.limit {
            queue.frames = VecDeque::new();
            queue.close(Closing { code: CloseCode::SlowConsumer, retry_after_ms: Some(0) });
            return Pushed::Full;
        }
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        Pushed::Queued
    }

    /// Ends the turn: the connection's task writes what was queued.
    pub(crate) fn flush(&self) {
        self.wake.notify_one();
    }

    /// Queues a frame and ends the turn.
    pub(crate) fn send(&self, frame: Frame) -> Pushed {
        let pushed = self.push(frame);
        self.flush();
        pushed
    }

    /// Ends the connection, behind what is queued already. Only the first wish counts.
    pub(crate) fn close(&self, closing: Closing) {
        self.lock().close(closing);
        self.flush();
    }

    /// Tells the connection's task that a deadline may have passed.
    pub(crate) fn ring(&self) {
        self.lock().is_time = true;
        self.flush();
    }

    /// Tells the connection's task that events are missing.
    pub(crate) fn report_hole(&self) {
        self.lock().has_hole = true;
        self.flush();
    }

    /// Waits for a flush.
    pub(crate) async fn flushed(&self) {
        self.wake.notified().await;
    }

    /// Hands everything queued to the connection's task.
    pub(crate) fn take(&self, into: &mut VecDeque<Frame>) -> Taken {
        let mut queue = self.lock();
        if into.is_empty() {
            std::mem::swap(into, &mut queue.frames);
        } else {
            into.append(&mut queue.frames);
        }
        Taken {
            closing: queue.closing.take(),
            has_hole: std::mem::take(&mut queue.has_hole),
            is_time: std::mem::take(&mut queue.is_time),
        }
    }

    /// Frees the room that written frames took.
    pub(crate) fn written(&self, bytes: usize) {
        let mut queue = self.lock();
        let was_above = queue.bytes >= REPLAY_BYTES;
        queue.bytes = queue.bytes.saturating_sub(bytes);
        if was_above && queue.bytes < REPLAY_BYTES {
            self.room.notify_one();
        }
    }

    /// Waits until little is left to write: the pace of a replay is the socket's. Answers false when nothing is written any
    /// more. Only the connection's own request waits here, so one waiter is all there is.
    pub(crate) async fn drained(&self) -> bool {
        loop {
            {
                let queue = self.lock();
                if queue.is_closed || queue.bytes < REPLAY_BYTES {
                    return !queue.is_closed;
                }
            }
            self.room.notified().await;
        }
    }

    /// Drops what is queued and takes nothing more: the connection is gone.
    pub(crate) fn abandon(&self) {
        let mut queue = self.lock();
        *queue = Queue { is_closed: true, ..Queue::default() };
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code panics with the lock held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn close(&mut self, closing: Closing) {
        if !self.is_closed {
            self.is_closed = true;
            self.closing = Some(closing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> Frame {
        Frame::of_json(vec![b'x'; bytes])
    }

    #[test]
    fn a_full_outbox_drops_its_queue_and_asks_for_a_close() {
        let outbox = Outbox::new(100);
        assert_eq!(outbox.push(frame(60)), Pushed::Queued);
        assert_eq!(outbox.push(frame(41)), Pushed::Full);
        assert_eq!(outbox.push(frame(1)), Pushed::Closed);
        let mut frames = VecDeque::new();
        let taken = outbox.take(&mut frames);
        assert!(frames.is_empty());
        assert_eq!(taken.closing.map(|closing| closing.code), Some(CloseCode::SlowConsumer));
    }

    #[test]
    fn bytes_count_until_they_are_written() {
        let outbox = Outbox::new(100);
        outbox.push(frame(60));
        outbox.take(&mut VecDeque::new());
        assert_eq!(outbox.push(frame(60)), Pushed::Full);

        let outbox = Outbox::new(100);
        outbox.push(frame(60));
        outbox.take(&mut VecDeque::new());
        outbox.written(60);
        assert_eq!(outbox.push(frame(60)), Pushed::Queued);
    }

    #[test]
    fn a_close_comes_behind_what_was_queued_and_only_the_first_counts() {
        let outbox = Outbox::new(100);
        outbox.push(frame(10));
        outbox.close(Closing { code: CloseCode::ServiceRestart, retry_after_ms: Some(5) });
        outbox.close(Closing { code: CloseCode::Disconnected, retry_after_ms: None });
        let mut frames = VecDeque::new();
        let taken = outbox.take(&mut frames);
        assert_eq!(frames.len(), 1);
        assert_eq!(taken.closing, Some(Closing { code: CloseCode::ServiceRestart, retry_after_ms: Some(5) }));
    }
}
