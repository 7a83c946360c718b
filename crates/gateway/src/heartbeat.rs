//! The heartbeat and the other deadlines of one connection.
//!
//! Owns when each is due and which has passed. The wheel wakes the connection for the next one only; a frame from the client
//! merely moves a number here.

use std::time::Duration;

use rand::RngExt;
use roomcast_protocol::Timestamp;
use tokio::time::Instant;

use crate::config::Config;

/// How long before its end a token's owner is told.
const EXPIRY_NOTICE: Duration = Duration::from_secs(60);

/// How long a connection outlives its token.
const EXPIRY_GRACE: Duration = Duration::from_secs(10);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// The client has not said who it is in time.
    Authentication,
    /// A message was begun and not completed.
    Message,
    /// The client takes nothing of what waits for it.
    Stalled,
    /// Nothing came for too long.
    Idle,
    /// The token is over, and the grace behind it.
    Expired,
    /// The connection has lasted long enough.
    Aged,
    /// The token is over soon, then.
    Expiring(Timestamp),
    /// Time for a ping.
    Ping,
}

/// What has begun and must come to an end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Open {
    /// Since when a message of the client is incomplete.
    pub incomplete_since: Option<Instant>,
    /// Since when the client takes nothing of what waits for it.
    pub stalled_since: Option<Instant>,
}

/// The deadlines of one connection. The spans are the configuration's, which whoever asks brings: there are many connections.
#[derive(Debug)]
pub(crate) struct Deadlines {
    last_seen: Instant,
    ping_at: Instant,
    authenticate_by: Option<Instant>,
    /// When the client is sent to whichever node has room for it.
    ends_at: Option<Instant>,
    expiry: Option<Expiry>,
}

/// The end of the token in force.
#[derive(Debug, Clone, Copy)]
struct Expiry {
    at: Instant,
    /// The same as the token says it.
    expires_at: Timestamp,
    /// Whether its owner was told.
    is_told: bool,
}

impl Deadlines {
    /// Those of a connection that was accepted now.
    #[must_use]
    pub(crate) fn new(config: &Config) -> Self {
        let now = Instant::now();
        Self {
            last_seen: now,
            ping_at: now + jittered(config.ping_interval),
            authenticate_by: Some(now + config.auth_timeout),
            ends_at: config.max_connection_age.map(|age| now + jittered(age)),
            expiry: None,
        }
    }

    /// A frame came.
    pub(crate) fn seen(&mut self) {
        self.last_seen = Instant::now();
    }

    /// The client has said who it is, or brought another token. One with the same end changes nothing.
    pub(crate) fn authenticated(&mut self, expires_at: Timestamp, now: Timestamp) {
        self.authenticate_by = None;
        if self.expiry.is_some_and(|known| known.expires_at == expires_at) {
            return;
        }
        let left = expires_at.as_millis() - now.as_millis();
        // Further away than a year is never: the sum must stay within what an instant can hold.
        let span = Duration::from_millis(left.unsigned_abs()).min(Duration::from_secs(366 * 24 * 3600));
        let instant = Instant::now();
        // A token that came within the leeway for clocks has used up a part of its grace.
        let at = if left < 0 { instant.checked_sub(span).unwrap_or(instant) } else { instant + span };
        self.expiry = Some(Expiry { at, expires_at, is_told: false });
    }

    /// What is due, the gravest first. A ping and a notice are due once.
    pub(crate) fn due(&mut self, config: &Config, Open { incomplete_since, stalled_since }: Open) -> Option<Due> {
        let now = Instant::now();
        if self.expiry.is_some_and(|expiry| expiry.at + EXPIRY_GRACE <= now) {
            return Some(Due::Expired);
        }
        if self.authenticate_by.is_some_and(|at| at <= now) {
            return Some(Due::Authentication);
        }
        if stalled_since.is_some_and(|since| since + config.stall_timeout <= now) {
            return Some(Due::Stalled);
        }
        if self.last_seen + config.idle_timeout <= now {
            return Some(Due::Idle);
        }
        if incomplete_since.is_some_and(|since| since + config.message_timeout <= now) {
            return Some(Due::Message);
        }
        if self.ends_at.is_some_and(|at| at <= now) {
            return Some(Due::Aged);
        }
        if let Some(Expiry { at, expires_at, is_told: is_told @ false }) = &mut self.expiry
            && at.checked_sub(EXPIRY_NOTICE).is_none_or(|notice| notice <= now)
        {
            *is_told = true;
            return Some(Due::Expiring(*expires_at));
        }
        if self.ping_at <= now {
            self.ping_at = now + jittered(config.ping_interval);
            return Some(Due::Ping);
        }
        None
    }

    /// When to look again.
    #[must_use]
    pub(crate) fn next(&self, config: &Config, Open { incomplete_since, stalled_since }: Open) -> Instant {
        let expiry =
            self.expiry.map(
                |Expiry { at, is_told, .. }| {
                    if is_told { at + EXPIRY_GRACE } else { at.checked_sub(EXPIRY_NOTICE).unwrap_or(at) }
                },
            );
        let message = incomplete_since.map(|since| since + config.message_timeout);
        let stall = stalled_since.map(|since| since + config.stall_timeout);
        [
            Some(self.last_seen + config.idle_timeout),
            Some(self.ping_at),
            self.authenticate_by,
            self.ends_at,
            expiry,
            message,
            stall,
        ]
        .into_iter()
        .flatten()
        .fold(self.ping_at, Instant::min)
    }
}

/// Up to a seventh earlier, so that connections that came together do not stay together. Never later: the time-out is
/// measured against the interval.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.85..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000).unwrap()
    }

    async fn due_after(deadlines: &mut Deadlines, config: &Config, seconds: u64) -> Vec<Due> {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        std::iter::from_fn(|| deadlines.due(config, Open::default())).take(4).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_unauthenticated_connection_has_ten_seconds() {
        let config = Config::serve();
        let mut deadlines = Deadlines::new(&config);
        assert_eq!(due_after(&mut deadlines, &config, 9).await, []);
        assert_eq!(due_after(&mut deadlines, &config, 1).await[0], Due::Authentication);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_connection_is_pinged_and_given_up_after_a_minute() {
        let config = Config::serve();
        let mut deadlines = Deadlines::new(&config);
        deadlines.authenticated(timestamp(100_000), timestamp(0));
        assert_eq!(due_after(&mut deadlines, &config, 34).await, [Due::Ping]);
        assert_eq!(due_after(&mut deadlines, &config, 25).await, []);
        assert_eq!(due_after(&mut deadlines, &config, 1).await[0], Due::Idle);
        deadlines.seen();
        assert_ne!(deadlines.due(&config, Open::default()), Some(Due::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_announced_a_minute_before_its_end_and_over_ten_seconds_behind_it() {
        let config = Config {
            idle_timeout: Duration::from_secs(9000),
            ping_interval: Duration::from_secs(8000),
            ..Config::serve()
        };
        let mut deadlines = Deadlines::new(&config);
        deadlines.authenticated(timestamp(1100), timestamp(1000));
        assert_eq!(due_after(&mut deadlines, &config, 39).await, []);
        assert_eq!(due_after(&mut deadlines, &config, 1).await, [Due::Expiring(timestamp(1100))]);
        assert_eq!(due_after(&mut deadlines, &config, 69).await, []);
        assert_eq!(due_after(&mut deadlines, &config, 1).await[0], Due::Expired);
        deadlines.authenticated(timestamp(1300), timestamp(1110));
        assert_eq!(deadlines.due(&config, Open::default()), None, "another token is another time");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_came_late_has_what_is_left_of_the_grace() {
        let config = Config::serve();
        let mut deadlines = Deadlines::new(&config);
        deadlines.authenticated(timestamp(1000), timestamp(1004));
        assert_eq!(due_after(&mut deadlines, &config, 5).await, [Due::Expiring(timestamp(1000))]);
        assert_eq!(due_after(&mut deadlines, &config, 1).await[0], Due::Expired);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_for_eight_seconds_is_too_slow() {
        let config = Config::serve();
        let mut deadlines = Deadlines::new(&config);
        deadlines.authenticated(timestamp(100_000), timestamp(0));
        let stalled = Open { incomplete_since: None, stalled_since: Some(Instant::now()) };
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(deadlines.due(&config, stalled), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(deadlines.due(&config, stalled), Some(Due::Stalled));
        assert!(deadlines.next(&config, stalled) <= Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_must_be_complete_in_ten_seconds() {
        let config = Config::serve();
        let mut deadlines = Deadlines::new(&config);
        deadlines.authenticated(timestamp(100_000), timestamp(0));
        let begun = Open { incomplete_since: Some(Instant::now()), stalled_since: None };
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(deadlines.due(&config, begun), Some(Due::Message));
        assert!(deadlines.next(&config, begun) <= Instant::now());
    }
}
