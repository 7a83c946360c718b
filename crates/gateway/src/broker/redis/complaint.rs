//! A complaint that is made once and not with every try.
//!
//! Owns what was said last, and when.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::address::Failure;

/// The same words are not said again within this.
const QUIET: Duration = Duration::from_secs(60);

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Complaint(Mutex<Option<(Failure, Instant)>>);

impl Complaint {
    /// Says it, unless it was just said.
    pub(super) fn say(&self, failure: &Failure, say: impl FnOnce(&Failure)) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = last.as_ref().is_none_or(|(said, at)| said != failure || at.elapsed() > QUIET);
        if is_news {
            say(failure);
            *last = Some((failure.clone(), Instant::now()));
        }
    }

    /// The next one is news.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
