//! Slowing down: a connection whose writes wait, so that a developer sees what a slow reader does.
//!
//! Owns who may write meanwhile: nobody, until the connection's task lets it through. How long that takes is the
//! [node's](crate::node) to say; an outbox knows only that it is slow, and a connection at full speed has nothing to do with it.

use super::writing::Writer;
use super::{Outbox, Queue, Written};

impl Outbox {
    /// Has each write wait from now on until it is [let through](Self::let_through); what waits already waits anew.
    pub(crate) fn slow_down(&self) {
        let mut queue = self.lock();
        // A connection that closes has its own time to do so.
        if queue.is_closed {
            return;
        }
        queue.is_slow = true;
        // Somebody who writes notices at the end.
        if queue.writer != Writer::Somebody {
            queue.writer = Writer::Held;
        }
        self.wake.give();
    }

    /// Writes at full speed again.
    pub(crate) fn speed_up(&self) {
        self.lock().end_slowness();
        self.wake.give();
    }

    /// Lets the connection's task write once.
    pub(crate) fn let_through(&self) {
        let mut queue = self.lock();
        if queue.writer == Writer::Waiting {
            queue.writer = Writer::Task;
        }
    }

    /// What becomes of an attempt to write while nobody may: the task is told, once something waits.
    pub(super) fn hold_back(&self, queue: &Queue) -> Written {
        if queue.frames.is_empty() {
            return Written::All;
        }
        self.wake.give();
        Written::Elsewhere
    }
}

impl Queue {
    /// Whether something waits to be let through, which the task knows from now on.
    pub(super) fn begin_waiting(&mut self) -> bool {
        if self.writer == Writer::Held && !self.frames.is_empty() {
            self.writer = Writer::Waiting;
        }
        self.writer == Writer::Waiting
    }

    /// What was held back is the task's, which is the one to be woken.
    pub(super) fn end_slowness(&mut self) {
        self.is_slow = false;
        if matches!(self.writer, Writer::Held | Writer::Waiting) {
            self.writer = Writer::Task;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::frame::Frame;
    use crate::metrics::Metrics;

    /// How many bytes the task would write now.
    fn by_task(outbox: &Outbox) -> usize {
        let mut bytes = 0;
        outbox.write_by(&Metrics::new(), |slices| {
            let written = slices.iter().map(|slice| slice.len()).sum();
            bytes += written;
            io::Result::Ok(written)
        });
        bytes
    }

    fn in_turn(outbox: &Outbox) -> usize {
        let mut bytes = 0;
        outbox.write_in_turn(&Metrics::new(), |slices| {
            let written = slices.iter().map(|slice| slice.len()).sum();
            bytes += written;
            io::Result::Ok(written)
        });
        bytes
    }

    #[test]
    fn nothing_is_written_before_the_task_lets_it_through_and_then_once() {
        let outbox = Outbox::new(1000);
        outbox.slow_down();
        assert!(!outbox.news().is_slowed, "nothing waits yet");
        outbox.push(Frame::of_json(b"[1]"));
        assert_eq!((in_turn(&outbox), by_task(&outbox)), (0, 0));
        assert!(outbox.news().is_slowed);
        assert_eq!((in_turn(&outbox), by_task(&outbox)), (0, 0));
        outbox.push(Frame::of_json(b"[2]"));
        outbox.let_through();
        assert_eq!(in_turn(&outbox), 0);
        assert!(by_task(&outbox) > 2 * 3);
        outbox.push(Frame::of_json(b"[3]"));
        assert_eq!((in_turn(&outbox), by_task(&outbox)), (0, 0));
    }

    #[test]
    fn at_full_speed_again_the_task_writes_what_waits_and_then_whoever_comes() {
        let outbox = Outbox::new(1000);
        outbox.slow_down();
        outbox.push(Frame::of_json(b"[1]"));
        assert!(outbox.news().is_slowed);
        outbox.speed_up();
        assert!(!outbox.news().is_slowed);
        assert!(by_task(&outbox) > 0);
        outbox.push(Frame::of_json(b"[2]"));
        assert!(in_turn(&outbox) > 0);
    }

    #[test]
    fn a_closing_connection_is_not_slow() {
        let outbox = Outbox::new(1000);
        outbox.slow_down();
        outbox.push(Frame::of_json(b"[1]"));
        assert!(outbox.news().is_slowed);
        outbox.seal();
        outbox.slow_down();
        assert!(by_task(&outbox) > 0);
    }
}
