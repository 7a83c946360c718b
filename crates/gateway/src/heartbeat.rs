//! The deadlines of one connection, silence among them. Its pings are the wheel's.
//!
//! Owns when each is due and which has passed. The wheel wakes the connection for the next one only; a frame from the client
//! merely moves a number here.

use std::time::Duration;

use rand::RngExt;
use roomcast_protocol::Timestamp;

use crate::config::Config;
use crate::moment::Moment;

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
}

/// What has begun and must come to an end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Open {
    /// Since when a message of the client is incomplete.
    pub incomplete_since: Option<Moment>,
    /// Since when the client takes nothing of what waits for it.
    pub stalled_since: Option<Moment>,
}

/// The deadlines of one connection. The spans are the configuration's, which whoever asks brings: there are many connections.
#[derive(Debug)]
pub(crate) struct Deadlines {
    last_seen: Moment,
    /// When the client is sent to whichever node has room for it.
    ends_at: Option<Moment>,
    standing: Standing,
}

/// Whether the client has said who it is.
#[derive(Debug)]
enum Standing {
    /// It has until then.
    Unknown(Moment),
    /// It has, until then.
    Known(Expiry),
}

/// The end of the token in force.
#[derive(Debug, Clone, Copy)]
struct Expiry {
    at: Moment,
    /// The same as the token says it.
    expires_at: Timestamp,
    /// Whether its owner was told.
    is_told: bool,
}

impl Deadlines {
    /// Those of a connection that was accepted now.
    #[must_use]
    pub(crate) fn new(config: &Config, now: Moment) -> Self {
        Self {
            last_seen: now,
            ends_at: config.max_connection_age.map(|age| now.plus(jittered(age))),
            standing: Standing::Unknown(now.plus(config.auth_timeout)),
        }
    }

    /// A frame came.
    pub(crate) fn seen(&mut self, now: Moment) {
        self.last_seen = now;
    }

    /// The client has said who it is, or brought another token. One with the same end changes nothing.
    pub(crate) fn authenticated(&mut self, expires_at: Timestamp, clock: Timestamp, now: Moment) {
        if let Standing::Known(known) = &self.standing
            && known.expires_at == expires_at
        {
            return;
        }
        let left = expires_at.as_millis() - clock.as_millis();
        let span = Duration::from_millis(left.unsigned_abs());
        // A token that came within the leeway for clocks has used up a part of its grace.
        let at = if left < 0 { now.minus(span) } else { now.plus(span) };
        self.standing = Standing::Known(Expiry { at, expires_at, is_told: false });
    }

    /// What is due, the gravest first. A notice is due once.
    pub(crate) fn due(
        &mut self,
        config: &Config,
        now: Moment,
        Open { incomplete_since, stalled_since }: Open,
    ) -> Option<Due> {
        match &self.standing {
            Standing::Known(expiry) if expiry.at.plus(EXPIRY_GRACE) <= now => return Some(Due::Expired),
            Standing::Unknown(until) if *until <= now => return Some(Due::Authentication),
            _ => {}
        }
        if stalled_since.is_some_and(|since| since.plus(config.stall_timeout) <= now) {
            return Some(Due::Stalled);
        }
        if self.last_seen.plus(config.idle_timeout) <= now {
            return Some(Due::Idle);
        }
        if incomplete_since.is_some_and(|since| since.plus(config.message_timeout) <= now) {
            return Some(Due::Message);
        }
        if self.ends_at.is_some_and(|at| at <= now) {
            return Some(Due::Aged);
        }
        if let Standing::Known(Expiry { at, expires_at, is_told: is_told @ false }) = &mut self.standing
            && at.minus(EXPIRY_NOTICE) <= now
        {
            *is_told = true;
            return Some(Due::Expiring(*expires_at));
        }
        None
    }

    /// When to look again.
    #[must_use]
    pub(crate) fn next(&self, config: &Config, Open { incomplete_since, stalled_since }: Open) -> Moment {
        let standing = match self.standing {
            Standing::Unknown(until) => until,
            Standing::Known(Expiry { at, is_told: true, .. }) => at.plus(EXPIRY_GRACE),
            Standing::Known(Expiry { at, is_told: false, .. }) => at.minus(EXPIRY_NOTICE),
        };
        let message = incomplete_since.map(|since| since.plus(config.message_timeout));
        let stall = stalled_since.map(|since| since.plus(config.stall_timeout));
        let silence = self.last_seen.plus(config.idle_timeout);
        [self.ends_at, message, stall].into_iter().flatten().fold(silence.min(standing), Moment::min)
    }
}

/// Up to a seventh earlier, so that connections that came together do not stay together. Never later: the time-out is
/// measured against the interval.
pub(crate) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(6.0 / 7.0..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Stopwatch;

    fn timestamp(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000).unwrap()
    }

    /// Deadlines, and a time that passes as it is told to.
    struct Scene {
        config: Config,
        now: Moment,
        deadlines: Deadlines,
    }

    impl Scene {
        fn new(config: Config) -> Self {
            let now = Stopwatch::start().now();
            Self { deadlines: Deadlines::new(&config, now), config, now }
        }

        fn authenticated(&mut self, expires_at: i64, clock: i64) {
            self.deadlines.authenticated(timestamp(expires_at), timestamp(clock), self.now);
        }

        fn pass(&mut self, seconds: u64) {
            self.now = self.now.plus(Duration::from_secs(seconds));
        }

        fn due(&mut self, open: Open) -> Option<Due> {
            self.deadlines.due(&self.config, self.now, open)
        }

        fn due_after(&mut self, seconds: u64) -> Vec<Due> {
            self.pass(seconds);
            std::iter::from_fn(|| self.due(Open::default())).take(4).collect()
        }

        /// What is due after so long, and whether the connection would be woken for it.
        fn due_for(&mut self, open: Open, seconds: u64) -> (Option<Due>, bool) {
            self.pass(seconds);
            (self.due(open), self.deadlines.next(&self.config, open) <= self.now)
        }
    }

    #[test]
    fn an_unauthenticated_connection_has_ten_seconds() {
        let mut scene = Scene::new(Config::serve());
        assert_eq!(scene.due_after(9), []);
        assert_eq!(scene.due_after(1)[0], Due::Authentication);
    }

    #[test]
    fn a_silent_connection_is_given_up_after_a_minute() {
        let mut scene = Scene::new(Config::serve());
        scene.authenticated(100_000, 0);
        assert_eq!(scene.due_after(59), []);
        assert_eq!(scene.due_after(1)[0], Due::Idle);
        scene.deadlines.seen(scene.now);
        assert_ne!(scene.due(Open::default()), Some(Due::Idle));
    }

    #[test]
    fn a_token_is_announced_a_minute_before_its_end_and_over_ten_seconds_behind_it() {
        let config = Config { idle_timeout: Duration::from_secs(9000), ..Config::serve() };
        let mut scene = Scene::new(config);
        scene.authenticated(1100, 1000);
        assert_eq!(scene.due_after(39), []);
        assert_eq!(scene.due_after(1), [Due::Expiring(timestamp(1100))]);
        assert_eq!(scene.due_after(69), []);
        assert_eq!(scene.due_after(1)[0], Due::Expired);
        scene.authenticated(1300, 1110);
        assert_eq!(scene.due(Open::default()), None, "another token is another time");
    }

    #[test]
    fn a_token_that_came_late_has_what_is_left_of_the_grace() {
        let mut scene = Scene::new(Config::serve());
        scene.authenticated(1000, 1004);
        assert_eq!(scene.due_after(5), [Due::Expiring(timestamp(1000))]);
        assert_eq!(scene.due_after(1)[0], Due::Expired);
    }

    #[test]
    fn who_takes_nothing_for_eight_seconds_is_too_slow() {
        let mut scene = Scene::new(Config::serve());
        scene.authenticated(100_000, 0);
        let stalled = Open { incomplete_since: None, stalled_since: Some(scene.now) };
        assert_eq!(scene.due_for(stalled, 7), (None, false));
        assert_eq!(scene.due_for(stalled, 1), (Some(Due::Stalled), true));
    }

    #[test]
    fn a_message_must_be_complete_in_ten_seconds() {
        let mut scene = Scene::new(Config::serve());
        scene.authenticated(100_000, 0);
        let begun = Open { incomplete_since: Some(scene.now), stalled_since: None };
        assert_eq!(scene.due_for(begun, 10), (Some(Due::Message), true));
    }
}
