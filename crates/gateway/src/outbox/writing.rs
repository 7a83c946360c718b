//! Writing what is queued: one at a time, without a lock, as much as the socket takes.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::MutexGuard;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::Instant;

use super::frames::Frames;
use super::{Outbox, Queue, REPLAY_BYTES};
use crate::frame::Frame;
use crate::metrics::Metrics;

/// Frames that one system call writes, at most.
const FRAMES: usize = 64;

/// Times that a writer looks for what was queued while it wrote, before it leaves that to the connection's task.
const ROUNDS: usize = 8;

/// Frames for which an empty queue keeps its memory.
const KEPT: usize = 32;

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Writer {
    /// Whoever comes first.
    #[default]
    Nobody,
    /// Somebody writes now, and looks again when it is done.
    Somebody,
    /// The socket took less than it was given: only the connection's task goes on.
    Task,
    /// Nobody, since the connection is [slowed down](super::slowing) and its task does not know yet that something waits.
    Held,
    /// Nobody, until the task lets it through.
    Waiting,
}

impl Writer {
    /// Whether what is queued stays there for a while.
    pub(super) fn is_behind(self) -> bool {
        matches!(self, Self::Task | Self::Held | Self::Waiting)
    }
}

/// What became of an attempt to write.
#[derive(Debug)]
pub(crate) enum Written {
    /// Nothing is left.
    All,
    /// The socket takes no more at the moment.
    Blocked,
    /// Somebody else writes, and will wake the task if something is left to do.
    Elsewhere,
    /// The socket takes nothing any more.
    Broken,
}

/// What a writer has in its hands.
#[derive(Default)]
struct Batch {
    frames: Frames,
    /// How much of the first is written.
    offset: usize,
    /// Text of the frames that were written as a whole.
    done: usize,
    has_progressed: bool,
}

thread_local! {
    /// The memory of a batch of several, so that none is taken for each.
    static SPARE: Cell<VecDeque<Frame>> = const { Cell::new(VecDeque::new()) };
}

impl Outbox {
    /// Makes the bare socket known, before anything is queued.
    pub(crate) fn connect(&self, wire: OwnedWriteHalf) {
        // There is one socket, and one who brings it.
        let _ = self.wire.set(wire);
    }

    /// Ends the turn for this connection: writes what is queued if that can be done from here, or has its task do it.
    pub(crate) fn write(&self, metrics: &Metrics) {
        let Some(wire) = self.wire.get() else { return self.flush() };
        let written = self.write_as(Writer::Nobody, metrics, |slices| try_write(wire, slices));
        if matches!(written, Written::Blocked | Written::Broken) {
            self.flush();
        }
    }

    /// The same to a socket that only counts.
    #[cfg(any(test, feature = "probe"))]
    pub(crate) fn write_in_turn(
        &self,
        metrics: &Metrics,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Written {
        self.write_as(Writer::Nobody, metrics, write)
    }

    /// The task's part over a bare socket: writes what is queued until nothing is left, and waits for the socket.
    pub(crate) fn poll_write_wire(&self, cx: &mut Context<'_>, metrics: &Metrics) -> Poll<Written> {
        let Some(wire) = self.wire.get() else { return Poll::Ready(Written::All) };
        loop {
            let written = self.write_as(Writer::Task, metrics, |slices| try_write(wire, slices));
            let Written::Blocked = written else { return Poll::Ready(written) };
            if ready!(wire.as_ref().poll_write_ready(cx)).is_err() {
                return Poll::Ready(Written::Broken);
            }
        }
    }

    /// The task's part over anything else: `write` writes, or answers `WouldBlock` and wakes the task.
    pub(crate) fn write_by(
        &self,
        metrics: &Metrics,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Written {
        self.write_as(Writer::Task, metrics, write)
    }

    /// Says over the bare socket that nothing more will be written.
    pub(crate) fn shut_down(&self) {
        if let Some(wire) = self.wire.get() {
            // A socket that is gone needs no farewell.
            let _ = SockRef::from(wire.as_ref()).shutdown(std::net::Shutdown::Write);
        }
    }

    /// Ends the bare socket both ways, whatever waits for it.
    pub(crate) fn cut(&self) {
        if let Some(wire) = self.wire.get() {
            // One that is gone is as it shall be.
            let _ = SockRef::from(wire.as_ref()).shutdown(std::net::Shutdown::Both);
        }
    }

    fn write_as(
        &self,
        writer: Writer,
        metrics: &Metrics,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Written {
        let mut batch = Batch::default();
        let written = match self.begin(writer, &mut batch) {
            Some(written) => written,
            None => self.write_batch(writer, &mut batch, metrics, &mut write),
        };
        if batch.frames.capacity() > 0 {
            SPARE.set(batch.frames.into_memory());
        }
        written
    }

    fn write_batch(
        &self,
        writer: Writer,
        batch: &mut Batch,
        metrics: &Metrics,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Written {
        let mut rounds = 0;
        loop {
            let result = batch.write(metrics, write);
            let mut queue = self.lock();
            if std::mem::take(&mut batch.has_progressed) {
                queue.has_progressed = true;
                if let Some(since) = &mut queue.stalled_since {
                    *since = Instant::now();
                }
            }
            self.free(&mut queue, std::mem::take(&mut batch.done));
            queue.bring_back(batch);
            rounds += 1;
            if result.is_ok() && !queue.frames.is_empty() && rounds < ROUNDS {
                queue.hand_out(batch);
                continue;
            }
            return self.end(writer, queue, result);
        }
    }

    /// Takes what is queued into the batch. Answers what became of it if there is nothing to write, or not by this writer.
    fn begin(&self, writer: Writer, batch: &mut Batch) -> Option<Written> {
        let mut queue = self.lock();
        match queue.writer {
            Writer::Somebody | Writer::Waiting => return Some(Written::Elsewhere),
            Writer::Held => return Some(self.hold_back(&queue)),
            Writer::Task if writer != Writer::Task => return Some(Written::Elsewhere),
            Writer::Task | Writer::Nobody => {}
        }
        if queue.frames.is_empty() {
            queue.writer = Writer::Nobody;
            return Some(Written::All);
        }
        queue.writer = Writer::Somebody;
        queue.hand_out(batch);
        None
    }

    fn end(&self, writer: Writer, mut queue: MutexGuard<'_, Queue>, result: io::Result<()>) -> Written {
        let is_left = !queue.frames.is_empty();
        queue.note_stall(is_left);
        queue.writer = queue.next_writer(is_left);
        if !is_left {
            queue.is_pinging = false;
            queue.is_ponging = false;
            if writer == Writer::Task {
                // Answers come now and then. Only who gets events, which others write, keeps memory for the next.
                queue.frames = Frames::default();
            }
        }
        if queue.is_closed || queue.has_stalled {
            // The connection's task may wait for the end of this, or has to look at it later.
            self.wake.give();
        }
        match result {
            Ok(()) if is_left => {
                // More was queued again and again while this wrote.
                self.wake.give();
                Written::Elsewhere
            }
            Ok(()) => Written::All,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Written::Blocked,
            Err(_) => {
                queue.is_broken = true;
                queue.is_closed = true;
                queue.offset = 0;
                queue.forget();
                Written::Broken
            }
        }
    }

    /// Frees the room that written frames took.
    pub(super) fn free(&self, queue: &mut Queue, bytes: usize) {
        let was_above = queue.bytes >= REPLAY_BYTES;
        queue.bytes = queue.bytes.saturating_sub(bytes);
        if was_above && queue.bytes < REPLAY_BYTES {
            self.wake.give();
        }
    }
}

/// One write of several frames.
fn write_several(
    first: IoSlice<'_>,
    rest: &VecDeque<Frame>,
    write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut slices = [first; FRAMES];
    for (slice, frame) in slices.iter_mut().skip(1).zip(rest) {
        *slice = IoSlice::new(frame.bytes());
    }
    write(&slices[..(1 + rest.len()).min(FRAMES)])
}

/// One system call. For a single frame, which is what a small room has, the plain one is cheaper; and so it is not to ask first
/// whether the socket is ready: what asks is somewhere else in memory for each connection, and nearly always says yes.
fn try_write(wire: &OwnedWriteHalf, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match slices {
        [one] => match send(wire.as_ref(), one, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            // Once more by the runtime, which has to know that it is to wait for this socket.
            Err(Errno::WOULDBLOCK) => wire.try_write(one),
            sent => Ok(sent?),
        },
        many => wire.try_write_vectored(many),
    }
}

impl Queue {
    /// Who may write behind a write.
    fn next_writer(&self, is_left: bool) -> Writer {
        match is_left {
            _ if self.is_slow => Writer::Held,
            true => Writer::Task,
            false => Writer::Nobody,
        }
    }

    fn hand_out(&mut self, batch: &mut Batch) {
        self.is_promised = false;
        if self.frames.len() > 1 && batch.frames.capacity() == 0 {
            batch.frames = Frames::in_memory(SPARE.take());
        }
        batch.frames.append(&mut self.frames);
        batch.offset = std::mem::take(&mut self.offset) as usize;
        if self.frames.capacity() > KEPT {
            self.frames = Frames::default();
        }
    }

    /// The connection's task is told when the peer begins not to take what waits, and not each time it took a part.
    fn note_stall(&mut self, is_left: bool) {
        self.has_stalled |= is_left && self.stalled_since.is_none();
        self.stalled_since = if is_left { self.stalled_since.or_else(|| Some(Instant::now())) } else { None };
    }

    /// Puts what was not written before what was queued since.
    fn bring_back(&mut self, batch: &mut Batch) {
        let is_forgotten = std::mem::take(&mut self.is_forgotten);
        self.offset = std::mem::take(&mut batch.offset) as u32;
        if is_forgotten {
            // The end of a frame that has begun is still sent.
            let dropped = batch.frames.truncate(usize::from(self.offset > 0));
            self.bytes = self.bytes.saturating_sub(dropped);
        }
        self.frames.prepend(&mut batch.frames);
    }
}

impl Batch {
    /// Writes until nothing is left, or the socket takes no more.
    fn write(
        &mut self,
        metrics: &Metrics,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        while let Some(first) = self.frames.first() {
            let first = IoSlice::new(first.bytes().get(self.offset..).unwrap_or_default());
            let rest = self.frames.rest();
            let result = if rest.is_empty() { write(&[first]) } else { write_several(first, rest, write) };
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written, metrics),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn advance(&mut self, written: usize, metrics: &Metrics) {
        self.has_progressed = true;
        self.offset += written;
        while self.frames.first().is_some_and(|frame| frame.bytes().len() <= self.offset)
            && let Some(frame) = self.frames.pop_front()
        {
            self.offset -= frame.bytes().len();
            self.done += frame.len();
            if frame.is_text() {
                metrics.sent(frame.len());
            }
        }
    }
}

#[cfg(test)]
mod tests;
