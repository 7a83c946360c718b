//! The fake's clock: real at first, and tokio's from then on.
//!
//! Owns that the time in frames and tokens goes as the timers do, so that a test that pauses time can wait for the end of a
//! token.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roomcast_protocol::Timestamp;
use tokio::time::Instant;

/// A year, after which nothing in a test is waited for.
const LONGEST: u64 = 366 * 24 * 60 * 60 * 1000;

#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    /// Of the start, since 1970.
    start_millis: i64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_millis: i64::try_from(since.as_millis()).unwrap_or_default() }
    }

    /// Milliseconds since 1970.
    pub(super) fn millis(&self) -> i64 {
        let elapsed = Instant::now().saturating_duration_since(self.start).as_millis();
        self.start_millis.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }

    pub(super) fn now(&self) -> Timestamp {
        timestamp(self.millis())
    }

    /// The moment of a time: at once for what is past, `None` for what no test lives to see.
    pub(super) fn instant(&self, millis: i64) -> Option<Instant> {
        let left = u64::try_from(millis.saturating_sub(self.start_millis)).unwrap_or(0);
        (left < LONGEST).then(|| self.start + Duration::from_millis(left))
    }
}

/// The nearest time that can be written.
pub(super) fn timestamp(millis: i64) -> Timestamp {
    let last = 253_402_207_200_999;
    Timestamp::from_millis(millis.clamp(0, last)).unwrap_or_else(|_| unreachable!("it lies between 1970 and 9999"))
}
