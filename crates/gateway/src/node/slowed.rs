//! Slowed: connections that a developer has slowed down, to see what a slow reader does.
//!
//! Owns how long each of their writes waits. Only the task of such a connection looks here, and whoever lists connections; the
//! list is empty in `serve`, and whoever delivers never sees it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::moment::Moment;
use crate::outbox::Outbox;
use crate::wheel::Wheel;

/// Connections that may be slow at a time: a developer looks at a few.
const MOST: usize = 100;

/// So many are slow already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManySlowed;

/// The slow connections, and their delays.
#[derive(Debug, Default)]
pub(crate) struct Slowed(Mutex<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    /// Whose it is; one that is gone makes room for the next.
    outbox: Weak<Outbox>,
    delay: Duration,
    /// When the next write may be; `None` while nothing waits.
    due: Option<Moment>,
}

impl Slowed {
    /// Has each write of the connection wait so long from now on; without a delay it is at full speed again.
    ///
    /// # Errors
    /// When [`MOST`] others are slow.
    pub(crate) fn set(&self, outbox: &Arc<Outbox>, delay: Duration) -> Result<(), TooManySlowed> {
        let mut entries = self.lock();
        entries.retain(|entry| entry.outbox.strong_count() > 0 && !entry.is_of(outbox));
        if delay.is_zero() {
            outbox.speed_up();
            return Ok(());
        }
        if entries.len() >= MOST {
            return Err(TooManySlowed);
        }
        entries.push(Entry { outbox: Arc::downgrade(outbox), delay, due: None });
        outbox.slow_down();
        Ok(())
    }

    /// How long each write of the connection waits; `None` at full speed.
    pub(crate) fn delay(&self, outbox: &Arc<Outbox>) -> Option<Duration> {
        self.lock().iter().find(|entry| entry.is_of(outbox)).map(|entry| entry.delay)
    }

    /// For the task of a connection whose write waits: has it woken when it is time, or lets it through.
    pub(crate) fn pace(&self, outbox: &Arc<Outbox>, wheel: &Wheel) {
        let (mut entries, now) = (self.lock(), wheel.now());
        let Some(entry) = entries.iter_mut().find(|entry| entry.is_of(outbox)) else { return };
        match entry.due {
            None => {
                let due = now.plus(entry.delay);
                entry.due = Some(due);
                wheel.ring(due, outbox);
            }
            Some(due) if due <= now => {
                entry.due = None;
                outbox.let_through();
            }
            // Woken by something else.
            Some(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_of(&self, outbox: &Arc<Outbox>) -> bool {
        self.outbox.as_ptr() == Arc::as_ptr(outbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_may_be_slow_at_a_time_and_those_that_are_gone_do_not_count() {
        let slowed = Slowed::default();
        let mut outboxes: Vec<_> = (0..=MOST).map(|_| Arc::new(Outbox::new(100))).collect();
        let delay = Duration::from_millis(1);
        for outbox in &outboxes[..MOST] {
            assert_eq!(slowed.set(outbox, delay), Ok(()));
        }
        assert_eq!(slowed.set(&outboxes[MOST], delay), Err(TooManySlowed));
        // One that is slow already is no further one.
        assert_eq!(slowed.set(&outboxes[0], delay), Ok(()));
        outboxes.remove(0);
        assert_eq!(slowed.set(&outboxes[MOST - 1], delay), Ok(()));
        assert_eq!(slowed.delay(&outboxes[0]), Some(delay));
        assert_eq!(slowed.set(&outboxes[0], Duration::ZERO), Ok(()));
        assert_eq!(slowed.delay(&outboxes[0]), None);
        assert_eq!(slowed.lock().len(), MOST - 1);
    }
}
