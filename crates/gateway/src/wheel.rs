//! The timer wheel: one task and one ring of slots for the deadlines of all connections.
//!
//! Owns when a connection's task is woken by time. Which deadline it was, and what follows, is the connection's to find out:
//! it puts in only its next one.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::moment::{Moment, Stopwatch};
use crate::outbox::Outbox;

/// How far apart the slots are: deadlines are late by at most this. Promised deadlines are of seconds.
const TICK: Duration = Duration::from_millis(20);

/// Slots of the ring. A deadline further away than the ring is long is put in again when its slot comes by.
const SLOTS: usize = 1024;

/// Deadlines of connections.
#[derive(Debug)]
pub(crate) struct Wheel {
    watch: Stopwatch,
    slots: Mutex<Vec<Vec<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    tick: u64,
    outbox: Weak<Outbox>,
}

impl Wheel {
    /// An empty wheel, to be run by [`Wheel::run`].
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { watch: Stopwatch::start(), slots: Mutex::new((0..SLOTS).map(|_| Vec::new()).collect()) }
    }

    /// The time by which the wheel turns.
    pub(crate) fn now(&self) -> Moment {
        self.watch.now()
    }

    /// An instant, in that time.
    pub(crate) fn moment(&self, at: Instant) -> Moment {
        self.watch.moment(at)
    }

    /// Rings the outbox at that time, or within a tick after it.
    pub(crate) fn schedule(&self, at: Moment, outbox: &Arc<Outbox>) {
        let now = self.tick_of(self.now());
        let tick = (self.tick_of(at) + 1).max(now + 1);
        self.insert(Entry { tick, outbox: Arc::downgrade(outbox) });
    }

    /// Turns the wheel for ever.
    pub(crate) async fn run(&self) {
        let mut interval = tokio::time::interval_at(self.watch.started() + TICK, TICK);
        // After a stall every slot that was passed over comes by at once.
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut done = 0;
        loop {
            interval.tick().await;
            let now = self.tick_of(self.now());
            // More than one round is the same slots again.
            for tick in done.max(now.saturating_sub(SLOTS as u64)) + 1..=now {
                self.turn(tick, now);
            }
            done = now;
        }
    }

    fn turn(&self, tick: u64, now: u64) {
        let due = std::mem::take(&mut self.lock()[slot(tick)]);
        for entry in due {
            if entry.tick > now {
                self.insert(entry);
            } else if let Some(outbox) = entry.outbox.upgrade() {
                outbox.ring();
            }
        }
    }

    fn insert(&self, entry: Entry) {
        let slot = slot(entry.tick);
        self.lock()[slot].push(entry);
    }

    fn tick_of(&self, at: Moment) -> u64 {
        let ticks = self.watch.until(at).as_millis() / TICK.as_millis();
        u64::try_from(ticks).unwrap_or(u64::MAX - 1)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Entry>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

fn slot(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    async fn rings_after(delay: Duration) -> Duration {
        let wheel = Arc::new(Wheel::new());
        let task = tokio::spawn({
            let wheel = wheel.clone();
            async move { wheel.run().await }
        });
        let outbox = Arc::new(Outbox::new(10));
        let start = Instant::now();
        wheel.schedule(wheel.now().plus(delay), &outbox);
        outbox.flushed().await;
        assert!(outbox.take(&mut VecDeque::new()).is_time);
        task.abort();
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_rings_within_a_tick_and_never_early() {
        for millis in [0, 1, 20, 49, 1000, 30_000, 100_000] {
            let delay = Duration::from_millis(millis);
            let elapsed = rings_after(delay).await;
            assert!(elapsed >= delay && elapsed <= delay + 2 * TICK, "{delay:?} rang after {elapsed:?}");
        }
    }
}
