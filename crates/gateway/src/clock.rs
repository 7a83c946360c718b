//! The wall clock, passed in, so that tests choose the time. Elapsed time is tokio's.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use roomcast_protocol::Timestamp;

/// Tells what time it is.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_millis(millis).unwrap_or_else(|_| epoch())
        })
    }

    /// A clock that shows what the function says.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

/// What a clock beyond the year 9999 shows: an expired token stays refused, since it has no later `exp` either.
fn epoch() -> Timestamp {
    Timestamp::from_millis(0).unwrap_or_else(|_| unreachable!("1970 can be written"))
}

impl fmt::Debug for Clock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Clock")
    }
}
