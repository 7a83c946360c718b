//! Rate limits: so many in a window, which starts with the first.
//!
//! Owns counting. What is counted, and what happens over the limit, is the caller's: a connection counts its frames with a
//! [`FixedWindow`] of its own, addresses and users share a [`RateLimiter`].

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// What became of one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within the limit.
    Allowed,
    /// Over the limit; the window ends after this long, and `refused` were refused in it, this one included.
    Limited {
        /// Until the window ends.
        retry_after: Duration,
        /// Refusals in this window so far.
        refused: u32,
    },
}

/// One counter of one window. 24 bytes, so that every connection can own one.
#[derive(Debug, Clone, Copy, Default)]
pub struct FixedWindow {
    /// When the window began; `None` before the first.
    start: Option<Instant>,
    used: u32,
    refused: u32,
}

impl FixedWindow {
    /// Counts one more.
    pub fn hit(&mut self, limit: u32, window: Duration, now: Instant) -> Verdict {
        let start = self.roll(window, now);
        if self.used < limit {
            self.used += 1;
            return Verdict::Allowed;
        }
        self.refused = self.refused.saturating_add(1);
        Verdict::Limited { retry_after: window.saturating_sub(now - start), refused: self.refused }
    }

    /// Counts so many more, whatever the limit.
    pub(crate) fn add(&mut self, count: u32, window: Duration, now: Instant) {
        self.roll(window, now);
        self.used = self.used.saturating_add(count);
    }

    /// Until the window ends, when nothing of it is left.
    pub(crate) fn exceeded(&self, limit: u32, window: Duration, now: Instant) -> Option<Duration> {
        (self.used(window, now) >= limit).then(|| self.reset_after(window, now))
    }

    /// How many of the window are used.
    #[must_use]
    pub fn used(&self, window: Duration, now: Instant) -> u32 {
        if self.is_over(window, now) { 0 } else { self.used }
    }

    /// Until the window ends; zero when none runs.
    #[must_use]
    pub fn reset_after(&self, window: Duration, now: Instant) -> Duration {
        self.start.map_or(Duration::ZERO, |start| window.saturating_sub(now - start))
    }

    pub(crate) fn is_over(&self, window: Duration, now: Instant) -> bool {
        self.start.is_none_or(|start| now - start >= window)
    }

    fn roll(&mut self, window: Duration, now: Instant) -> Instant {
        match self.start {
            Some(start) if now - start < window => start,
            _ => {
                *self = Self { start: Some(now), used: 0, refused: 0 };
                now
            }
        }
    }
}

/// A token bucket: so many a second, and as many at once after a quiet second.
#[derive(Debug)]
pub struct Bucket {
    per_second: f64,
    /// What is left, and when that was so.
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, level: Mutex::new((per_second, Instant::now())) }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long it takes until there is one, when there is none.
    pub fn take(&self) -> Result<(), Duration> {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = *level;
        let now = Instant::now();
        let left = (left + (now - at).as_secs_f64() * self.per_second).min(self.per_second);
        let missing = (1.0 - left).max(0.0);
        *level = (if missing == 0.0 { left - 1.0 } else { left }, now);
        if missing == 0.0 { Ok(()) } else { Err(Duration::from_secs_f64(missing / self.per_second)) }
    }
}

/// How much of their limit the counted use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// How many are counted.
    pub total_clients: usize,
    /// The share of the limit in use, on average: 0 to 100.
    pub average_usage: f64,
}

impl Usage {
    /// From the counters of all.
    pub fn of(used: impl Iterator<Item = u32>, limit: u32) -> Self {
        let (count, sum) = used.fold((0usize, 0u64), |(count, sum), used| (count + 1, sum + u64::from(used)));
        let whole = count as f64 * f64::from(limit.max(1));
        Self { total_clients: count, average_usage: if count == 0 { 0.0 } else { sum as f64 * 100.0 / whole } }
    }
}

impl Usage {
    /// Of all together.
    pub(crate) fn sum(parts: impl IntoIterator<Item = Self>) -> Self {
        let add = |(clients, weighed): (usize, f64), part: Self| {
            (clients + part.total_clients, weighed + part.average_usage * part.total_clients as f64)
        };
        let (total_clients, weighed) = parts.into_iter().fold((0, 0.0), add);
        Self { total_clients, average_usage: if total_clients == 0 { 0.0 } else { weighed / total_clients as f64 } }
    }
}

/// A limit for each of many keys, such as addresses.
#[derive(Debug)]
pub struct RateLimiter<K> {
    limit: u32,
    window: Duration,
    /// Windows that are over are swept when the map has doubled, so that it is bounded by the keys of two windows.
    windows: Mutex<Windows<K>>,
}

#[derive(Debug)]
struct Windows<K> {
    by_key: HashMap<K, FixedWindow>,
    sweep_at: usize,
}

/// The fewest keys that are worth a sweep.
const SWEEP_FROM: usize = 1024;

impl<K: Hash + Eq> RateLimiter<K> {
    /// A limiter of any number in any window.
    #[must_use]
    pub fn new(limit: u32, window: Duration) -> Self {
        Self { limit, window, windows: Mutex::new(Windows { by_key: HashMap::new(), sweep_at: SWEEP_FROM }) }
    }

    /// Counts one more.
    pub fn hit(&self, key: K) -> Verdict {
        let now = Instant::now();
        let mut windows = self.lock();
        if windows.by_key.len() >= windows.sweep_at {
            windows.by_key.retain(|_, window| !window.is_over(self.window, now));
            windows.sweep_at = SWEEP_FROM.max(2 * windows.by_key.len());
        }
        windows.by_key.entry(key).or_default().hit(self.limit, self.window, now)
    }

    /// Whether the next one would be refused. Counts nothing.
    pub fn is_limited(&self, key: &K) -> bool {
        self.remaining(key) == 0
    }

    /// How many are left in the window.
    pub fn remaining(&self, key: &K) -> u32 {
        let used = self.lock().by_key.get(key).map_or(0, |window| window.used(self.window, Instant::now()));
        self.limit.saturating_sub(used)
    }

    /// Until the key's window ends; zero when none runs.
    pub fn reset_after(&self, key: &K) -> Duration {
        self.lock().by_key.get(key).map_or(Duration::ZERO, |window| window.reset_after(self.window, Instant::now()))
    }

    /// Forgets what the key has used.
    pub fn reset(&self, key: &K) -> bool {
        self.lock().by_key.remove(key).is_some()
    }

    /// How much of their limit the keys use.
    pub fn stats(&self) -> Usage {
        let now = Instant::now();
        let windows = self.lock();
        let running = windows.by_key.values().filter(|window| !window.is_over(self.window, now));
        Usage::of(running.map(|window| window.used), self.limit)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Windows<K>> {
        // Counting cannot panic half-way, so a poisoned lock still guards a whole value.
        self.windows.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_as_many_a_second_and_says_when_there_is_another() {
        let bucket = Bucket::new(4);
        assert!((0..4).all(|_| bucket.take().is_ok()));
        assert_eq!(bucket.take(), Err(Duration::from_millis(250)));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(bucket.take(), Err(Duration::from_millis(150)), "asking costs nothing");
        tokio::time::sleep(Duration::from_millis(151)).await;
        assert_eq!(bucket.take(), Ok(()));
        assert!(bucket.take().is_err());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!((0..10).filter(|_| bucket.take().is_ok()).count(), 4);
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn the_one_over_the_limit_is_refused_with_the_time_that_is_left() {
        let limiter = RateLimiter::new(2, MINUTE);
        assert_eq!(limiter.hit("a"), Verdict::Allowed);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(limiter.hit("a"), Verdict::Allowed);
        assert_eq!(limiter.hit("a"), Verdict::Limited { retry_after: Duration::from_secs(40), refused: 1 });
        assert_eq!(limiter.hit("b"), Verdict::Allowed, "another key has its own window");
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_starts_with_its_first_and_ends_as_a_whole() {
        let limiter = RateLimiter::new(1, MINUTE);
        limiter.hit("a");
        tokio::time::advance(MINUTE).await;
        assert_eq!(limiter.remaining(&"a"), 1);
        assert_eq!(limiter.hit("a"), Verdict::Allowed);
        assert!(limiter.is_limited(&"a"));
        assert_eq!(limiter.reset_after(&"a"), MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_admin_can_reset_a_key() {
        let limiter = RateLimiter::new(1, MINUTE);
        limiter.hit("a");
        assert!(limiter.reset(&"a"));
        assert!(!limiter.reset(&"a"));
        assert_eq!(limiter.hit("a"), Verdict::Allowed);
    }

    #[tokio::test(start_paused = true)]
    async fn statistics_are_the_average_share_in_use() {
        let limiter = RateLimiter::new(10, MINUTE);
        for _ in 0..10 {
            limiter.hit("a");
        }
        for _ in 0..5 {
            limiter.hit("b");
        }
        assert_eq!(limiter.stats(), Usage { total_clients: 2, average_usage: 75.0 });
        tokio::time::advance(MINUTE).await;
        assert_eq!(limiter.stats(), Usage { total_clients: 0, average_usage: 0.0 });
    }

    #[tokio::test(start_paused = true)]
    async fn keys_of_the_past_are_forgotten() {
        let limiter = RateLimiter::new(1, MINUTE);
        for key in 0..SWEEP_FROM {
            limiter.hit(key);
        }
        tokio::time::advance(MINUTE).await;
        limiter.hit(usize::MAX);
        assert_eq!(limiter.lock().by_key.len(), 1);
    }
}
