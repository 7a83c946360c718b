//! How long to wait before trying again.
//!
//! Owns the arithmetic and nothing else: there is no clock here, and randomness is passed in. Full jitter (a wait drawn
//! evenly from nothing up to a window that doubles) is what spreads the clients of a restarted gateway.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use rand::{Rng, RngExt};

/// The longest hint that is obeyed. A longer one is a mistake, and would look like a dead client.
const LONGEST_HINT: Duration = Duration::from_secs(10 * 60);

/// A series of attempts.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    /// The window of the first wait.
    first: Duration,
    /// Where the window stops growing.
    longest: Duration,
    /// Failures in a row.
    attempt: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, attempt: 0 }
    }

    /// Failures in a row.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Something worked.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }

    /// The wait after one more failure: the server's `hint`, and behind it full jitter.
    pub(crate) fn next(&mut self, hint: Option<Duration>, rng: &mut impl Rng) -> Duration {
        self.next_at(hint, rng.random())
    }

    /// The same, at this place in the window, from 0 up to 1: for several that are to wait together.
    pub(crate) fn next_at(&mut self, hint: Option<Duration>, place: f64) -> Duration {
        let window = self.window();
        self.attempt = self.attempt.saturating_add(1);
        hint.unwrap_or_default().min(LONGEST_HINT) + window.mul_f64(place)
    }

    fn window(&self) -> Duration {
        // 2^31 exceeds every window that makes sense, and stays inside the factor's type.
        self.first.saturating_mul(1 << self.attempt.min(31)).min(self.longest)
    }
}

/// The server's hint in a response: `Retry-After` in seconds. Its other form, a date, is not used by gateways.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(500), Duration::from_secs(30))
    }

    #[test]
    fn the_window_doubles_up_to_its_limit() {
        let (mut backoff, mut rng) = (backoff(), StdRng::seed_from_u64(1));
        let mut windows = Vec::new();
        for _ in 0..8 {
            windows.push(backoff.window().as_millis());
            backoff.next(None, &mut rng);
        }
        assert_eq!(windows, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    }

    #[test]
    fn waits_fill_the_whole_window() {
        let mut rng = StdRng::seed_from_u64(2);
        let waits: Vec<_> = (0..1000).map(|_| backoff().next(None, &mut rng).as_millis()).collect();
        assert!(waits.iter().all(|wait| *wait < 500));
        assert!(waits.iter().any(|wait| *wait < 50) && waits.iter().any(|wait| *wait > 450));
    }

    #[test]
    fn a_hint_is_the_least_wait_and_jitter_comes_on_top() {
        let mut rng = StdRng::seed_from_u64(3);
        let hint = Duration::from_secs(5);
        let waits: Vec<_> = (0..100).map(|_| backoff().next(Some(hint), &mut rng)).collect();
        assert!(waits.iter().all(|wait| *wait >= hint && *wait < hint + Duration::from_millis(500)));
        assert!(waits.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn an_absurd_hint_is_cut() {
        let mut rng = StdRng::seed_from_u64(4);
        assert!(backoff().next(Some(Duration::MAX), &mut rng) < LONGEST_HINT + Duration::from_secs(1));
    }

    #[test]
    fn a_success_starts_the_series_anew() {
        let (mut backoff, mut rng) = (backoff(), StdRng::seed_from_u64(5));
        for _ in 0..100 {
            backoff.next(None, &mut rng);
        }
        assert_eq!(backoff.attempt(), 100);
        backoff.reset();
        assert_eq!(backoff.window(), Duration::from_millis(500));
    }

    #[test]
    fn retry_after_is_read_in_seconds() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        headers.insert(RETRY_AFTER, "Mon, 23 Nov 2026 10:00:00 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
    }
}
