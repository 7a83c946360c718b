//! The outbox: what waits to be written to one connection, and the writing.
//!
//! Owns a queue that is bounded in bytes, and the wish to close. Anybody may put frames in, nobody waits: a full outbox ends
//! its connection with [`CloseCode::SlowConsumer`] and costs the others nothing. At any time at most one writes what is
//! queued: whoever ends a turn, if the connection has a bare socket that took everything so far, or else the connection's
//! task. No lock is held meanwhile.

mod frames;
mod signal;
mod slowing;
mod writing;

#[cfg(test)]
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use roomcast_protocol::CloseCode;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::Instant;

use crate::frame::{Frame, Subject};
use crate::wheel::Deadline;
use frames::Frames;
use signal::Signal;
use writing::Writer;
pub(crate) use writing::Written;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It will be written at the next flush.
    Queued,
    /// The same, and somebody has promised that flush already.
    Joined,
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

impl Closing {
    /// The end without a word, as if the network had gone: 1006 is a code that nobody sends.
    pub(crate) const CUT: Self = Self { code: CloseCode::Other(1006), retry_after_ms: None };
}

/// What the connection's task finds when it was woken.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The wish to close, once.
    pub closing: Option<Closing>,
    /// Whether events are missing, which the hub holds the connection for.
    pub has_hole: bool,
    /// Whether a deadline may have passed.
    pub is_time: bool,
    /// Whether the peer has begun not to take what waits.
    pub has_stalled: bool,
    /// Whether somebody else found the socket broken.
    pub is_broken: bool,
    /// Whether something waits for the task to let it through, when it is time.
    pub is_slowed: bool,
}

/// The queue of one connection. Held by its connection, the hub, the wheel and the registry.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    /// Wakes the connection's task.
    wake: Signal,
    limit: u32,
    /// When the wheel rings.
    pub(crate) deadline: Deadline,
    /// The writing half of a bare socket, which may be written to from anywhere. What is no bare socket is the connection's
    /// task's alone.
    wire: OnceLock<OwnedWriteHalf>,
}

/// A replay goes on when less than this waits: enough to keep the socket busy, far from any limit.
const REPLAY_BYTES: usize = 64 << 10;

/// Frames among which an ephemeral event looks for the one that it makes worthless.
const SEARCHED: usize = 256;

#[derive(Debug, Default)]
struct Queue {
    frames: Frames,
    /// How much of the first frame is written. No frame has four thousand million bytes.
    offset: u32,
    /// Text that is not written as a whole, that in a writer's hands too.
    bytes: usize,
    writer: Writer,
    /// Whether each write waits until the task lets it through.
    is_slow: bool,
    /// Whether what the writer brings back is not sent any more, but for the end of a frame that has begun.
    is_forgotten: bool,
    /// Whether a ping is unwritten: a peer that does not read is not pinged again and again.
    is_pinging: bool,
    /// Whether a pong is unwritten: while nothing can be written, its bytes are the next ping's, so that a flood of pings is
    /// not kept.
    is_ponging: bool,
    /// Whether the peer took something since this was last asked.
    has_progressed: bool,
    is_broken: bool,
    /// Whether somebody has promised to write what is queued when its turn ends.
    is_promised: bool,
    /// Boxed, for it comes once.
    closing: Option<Box<Closing>>,
    is_closed: bool,
    is_time: bool,
    has_hole: bool,
    /// When the peer, which takes less than it gets, began to take nothing at all.
    stalled_since: Option<Instant>,
    /// Whether the connection's task does not know of it yet, and so would not look in time.
    has_stalled: bool,
}

impl Outbox {
    /// An outbox of at most `limit` bytes.
    #[must_use]
    pub(crate) fn new(limit: usize) -> Self {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        Self {
            queue: Mutex::default(),
            wake: Signal::default(),
            limit,
            deadline: Deadline::default(),
            wire: OnceLock::new(),
        }
    }

    /// Queues a frame, to be written at the next flush.
    pub(crate) fn push(&self, frame: Frame) -> Pushed {
        self.push_to(&mut self.lock(), frame)
    }

    /// The same, for one who promises to [write](Outbox::write) at the end of a turn if the frame is [`Pushed::Queued`].
    pub(crate) fn push_in_turn(&self, frame: Frame) -> Pushed {
        let mut queue = self.lock();
        match self.push_to(&mut queue, frame) {
            Pushed::Queued if std::mem::replace(&mut queue.is_promised, true) => Pushed::Joined,
            pushed => pushed,
        }
    }

    fn push_to(&self, queue: &mut Queue, frame: Frame) -> Pushed {
        if queue.is_closed {
            return Pushed::Closed;
        }
        if let Some(subject) = frame.subject() {
            queue.supersede(subject);
        }
        if queue.bytes + frame.len() > self.limit as usize {
            queue.forget();
            queue.close(Closing { code: CloseCode::SlowConsumer, retry_after_ms: Some(0) });
            self.wake.give();
            return Pushed::Full;
        }
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
        Pushed::Queued
    }

    /// Has the connection's task write what was queued.
    pub(crate) fn flush(&self) {
        self.wake.give();
    }

    /// Queues a frame, and has the connection's task write it.
    pub(crate) fn send(&self, frame: Frame) -> Pushed {
        let pushed = self.push(frame);
        self.flush();
        pushed
    }

    /// Queues a ping, unless one waits already.
    pub(crate) fn ping(&self) {
        let mut queue = self.lock();
        if !queue.is_closed && !std::mem::replace(&mut queue.is_pinging, true) {
            queue.frames.push_back(Frame::ping());
        }
    }

    /// Queues the answer to a ping; in the place of one that waits already, if the peer does not take it.
    pub(crate) fn pong(&self, payload: &[u8]) {
        let mut queue = self.lock();
        if queue.is_closed {
            return;
        }
        let pong = Frame::pong(payload);
        let begun = usize::from(queue.offset > 0);
        let is_flooded = std::mem::replace(&mut queue.is_ponging, true) && queue.writer != Writer::Nobody;
        let untouched = queue.frames.len().saturating_sub(begun);
        queue.bytes += pong.len();
        match queue.frames.find_last(untouched, Frame::is_pong).filter(|_| is_flooded) {
            Some(waiting) => {
                let went = queue.frames.replace(waiting, pong);
                queue.bytes -= went.map_or(0, |went| went.len());
            }
            None => queue.frames.push_back(pong),
        }
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
        poll_fn(|cx| self.poll_flushed(cx)).await;
    }

    /// The same, for the connection's task alone.
    pub(crate) fn poll_flushed(&self, cx: &Context<'_>) -> Poll<()> {
        self.wake.poll_take(cx)
    }

    /// Hands the news to the connection's task.
    pub(crate) fn news(&self) -> Taken {
        let mut queue = self.lock();
        Taken {
            closing: queue.closing.take().map(|closing| *closing),
            has_hole: std::mem::take(&mut queue.has_hole),
            is_time: std::mem::take(&mut queue.is_time),
            has_stalled: std::mem::take(&mut queue.has_stalled),
            is_broken: queue.is_broken,
            is_slowed: queue.begin_waiting(),
        }
    }

    /// Gives back the memory of a queue that is empty.
    pub(crate) fn rest(&self) {
        let mut queue = self.lock();
        if queue.frames.is_empty() {
            queue.frames = Frames::default();
        }
    }

    /// Whether the peer took something since this was last asked: it lives, even if nothing of it is read at the moment.
    pub(crate) fn take_progress(&self) -> bool {
        std::mem::take(&mut self.lock().has_progressed)
    }

    /// Since when the peer has taken nothing of what waits for it.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.lock().stalled_since
    }

    /// Bytes that wait to be written.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Waits until little is left to write: the pace of a replay is the socket's. Answers false when nothing is written any
    /// more. A request of the connection's own task waits here, beside that task's own waiting: one waker does for both.
    pub(crate) async fn drained(&self) -> bool {
        poll_fn(|cx| {
            self.wake.listen(cx);
            let queue = self.lock();
            if queue.is_closed || queue.bytes < REPLAY_BYTES { Poll::Ready(!queue.is_closed) } else { Poll::Pending }
        })
        .await
    }

    /// Takes nothing more from anybody; what waits is still written, at full speed.
    pub(crate) fn seal(&self) {
        let mut queue = self.lock();
        queue.is_closed = true;
        queue.end_slowness();
    }

    /// Drops what waits, but for the end of a frame that is written in part.
    pub(crate) fn forget(&self) {
        self.lock().forget();
    }

    /// Queues a last frame, whatever waits, and though the outbox takes nothing more.
    pub(crate) fn push_last(&self, frame: Frame) {
        let mut queue = self.lock();
        queue.bytes += frame.len();
        queue.frames.push_back(frame);
    }

    /// Drops what is queued and takes nothing more: the connection is gone.
    pub(crate) fn abandon(&self) {
        let mut queue = self.lock();
        queue.is_closed = true;
        queue.forget();
        self.wake.give();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code panics with the lock held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a test does in the place of a connection's task.
#[cfg(test)]
impl Outbox {
    /// Takes everything that is queued, and the news.
    pub(crate) fn take(&self, into: &mut VecDeque<Frame>) -> Taken {
        let mut queue = self.lock();
        queue.is_promised = false;
        into.extend(std::iter::from_fn(|| queue.frames.pop_front()));
        drop(queue);
        self.news()
    }

    /// Frees the room that taken frames took.
    pub(crate) fn written(&self, bytes: usize) {
        self.free(&mut self.lock(), bytes);
    }
}

impl Queue {
    fn close(&mut self, closing: Closing) {
        if !self.is_closed {
            self.is_closed = true;
            self.closing = Some(Box::new(closing));
        }
    }

    /// Drops what is queued on a subject on which there is something later now, for a peer that takes less than it gets. The
    /// search has an end: what is further back than that is sent.
    fn supersede(&mut self, subject: Subject) {
        if !self.writer.is_behind() {
            return;
        }
        let begun = usize::from(self.offset > 0);
        let searched = SEARCHED.min(self.frames.len().saturating_sub(begun));
        let found = self.frames.find_last(searched, |frame| frame.subject() == Some(subject));
        if let Some(dropped) = found.and_then(|place| self.frames.remove(place)) {
            self.bytes = self.bytes.saturating_sub(dropped.len());
        }
    }

    fn forget(&mut self) {
        self.is_forgotten |= self.writer == Writer::Somebody;
        let begun = usize::from(self.offset > 0);
        let dropped = self.frames.truncate(begun);
        self.bytes = self.bytes.saturating_sub(dropped);
        self.frames.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> Frame {
        Frame::of_json(&vec![b'x'; bytes])
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
