//! Moments: points of time as a node's connections keep them.
//!
//! Owns that one takes 8 bytes, also where there may be none: an [`Instant`] takes 16, and each connection has several.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::Instant;

/// How long before the start the first moment is, so that what was over then has one too.
const LEAD: Duration = Duration::from_secs(3600);

/// A point of time, to the microsecond, of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    /// So much later; no later than the last moment.
    #[must_use]
    pub(crate) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// So much earlier; no earlier than the first moment.
    #[must_use]
    pub(crate) fn minus(self, span: Duration) -> Self {
        Self::at(self.0.get().saturating_sub(micros(span)))
    }

    fn at(micros: u64) -> Self {
        Self(NonZeroU64::new(micros).unwrap_or(NonZeroU64::MIN))
    }
}

/// What moments are read from.
#[derive(Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// One that runs from now on.
    #[must_use]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// This moment.
    #[must_use]
    pub(crate) fn now(&self) -> Moment {
        self.moment(Instant::now())
    }

    /// When it was started.
    #[must_use]
    pub(crate) fn started(&self) -> Instant {
        self.0
    }

    /// The moment of an instant that is not before its start.
    #[must_use]
    pub(crate) fn moment(&self, at: Instant) -> Moment {
        Moment::at(micros(LEAD + at.saturating_duration_since(self.0)))
    }

    /// How long after its start the moment is.
    #[must_use]
    pub(crate) fn until(&self, moment: Moment) -> Duration {
        Duration::from_micros(moment.0.get()).saturating_sub(LEAD)
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn moments_are_as_far_apart_as_their_instants_and_end_where_numbers_do() {
        let watch = Stopwatch::start();
        let (first, span) = (watch.now(), Duration::from_millis(1500));
        tokio::time::advance(span).await;
        assert_eq!(watch.now(), first.plus(span));
        assert_eq!(watch.now().minus(span), first);
        assert_eq!(watch.until(first.plus(span)), span);
        assert!(first.minus(LEAD / 2) < first && first.minus(2 * LEAD) < first);
        assert_eq!(watch.until(first.minus(2 * LEAD)), Duration::ZERO);
        assert_eq!(first.plus(Duration::MAX), first.plus(Duration::MAX).plus(span));
        assert_eq!(size_of::<Option<Moment>>(), 8);
    }
}
