//! Limits: how much a connection, a user and an address may do in a time.
//!
//! Owns the setting `LIMITS` (`user.publishes=600/1m,address.bytes=10485760/1m`) and what a token may raise of it, read from its
//! claim and written into one. Counting is in `meters`. Nothing is limited that an operator has not named; a connection's
//! messages have a setting of their own.

pub(crate) mod meters;

use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// Whose doings are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One connection's.
    Connection,
    /// All of one user, over sockets and HTTP.
    User,
    /// All that come from one address, over sockets and HTTP; an IPv6 network of /64 is one address.
    Address,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Text and binary messages on sockets.
    Messages,
    /// Events that a publisher sent, accepted or not.
    Publishes,
    /// Rooms in requests to subscribe.
    Subscriptions,
    /// Rooms in which a request to subscribe takes part in presence, or changes what others see.
    Presence,
    /// Bytes of messages on sockets, and of bodies that publish over HTTP.
    Bytes,
}

/// So much in a window, which begins with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How much.
    pub count: u32,
    /// In how long.
    pub window: Duration,
}

/// The limits of an operator. Empty: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits([[Option<Rate>; Kind::ALL.len()]; Scope::ALL.len()]);

/// What a token raises: how much in the operator's window.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Raised(Box<[(Scope, Kind, u32)]>);

impl Scope {
    pub(crate) const ALL: [Self; 3] = [Self::Connection, Self::User, Self::Address];

    /// Its name in settings, tokens and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::User => "user",
            Self::Address => "address",
        }
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Messages, Self::Publishes, Self::Subscriptions, Self::Presence, Self::Bytes];

    /// Its name in settings, tokens and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Publishes => "publishes",
            Self::Subscriptions => "subscriptions",
            Self::Presence => "presence",
            Self::Bytes => "bytes",
        }
    }
}

impl Limits {
    /// The limit of the scope and kind.
    #[must_use]
    pub fn of(&self, scope: Scope, kind: Kind) -> Option<Rate> {
        self.0[scope as usize][kind as usize]
    }

    /// Every limit that is set.
    pub fn iter(&self) -> impl Iterator<Item = (Scope, Kind, Rate)> {
        let pairs = Scope::ALL.into_iter().flat_map(|scope| Kind::ALL.map(|kind| (scope, kind)));
        pairs.filter_map(|(scope, kind)| Some((scope, kind, self.of(scope, kind)?)))
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn has(&self, scope: Scope) -> bool {
        Kind::ALL.iter().any(|kind| self.of(scope, *kind).is_some())
    }
}

/// What a single item of the setting looks like.
const EXPECTED: &str = "limits such as user.publishes=600/1m, of connection, user or address; messages, publishes, \
                        subscriptions, presence or bytes; and a count in a time";

/// What a single item of what a token raises looks like.
const RAISED: &str = "a limit that a token raises, such as user.publishes=6000, of connection or user; messages, publishes, \
                      subscriptions, presence or bytes; and a count";

impl Limits {
    /// Reads the setting; `window` reads a time.
    ///
    /// # Errors
    /// What is expected.
    pub(crate) fn parse(text: &str, window: impl Fn(&str) -> Result<Duration, String>) -> Result<Self, String> {
        let mut limits = Self::default();
        for item in text.split(',').map(str::trim) {
            let (name, rate) = item.split_once('=').ok_or(EXPECTED)?;
            let (scope, kind) = pair(name.trim()).ok_or(EXPECTED)?;
            if (scope, kind) == (Scope::Connection, Kind::Messages) {
                return Err("MESSAGES_PER_MINUTE for the messages of a connection".into());
            }
            let (count, time) = rate.split_once('/').ok_or(EXPECTED)?;
            let count = positive(count).map_err(|expected| format!("{expected} before the / in {item}"))?;
            let window = window(time.trim()).map_err(|expected| format!("{expected}, behind the / in {item}"))?;
            let place = &mut limits.0[scope as usize][kind as usize];
            if place.replace(Rate { count, window }).is_some() {
                return Err(format!("each limit once, and {} is there twice", name.trim()));
            }
        }
        Ok(limits)
    }
}

impl Raised {
    /// What of a `limits` claim means something here; other names, and an address's limits, are ignored. `None` when it is no
    /// object of whole numbers above zero.
    pub(crate) fn read(claim: &Value) -> Option<Self> {
        let mut raised = Vec::new();
        for (name, count) in claim.as_object()? {
            let count = count.as_u64().filter(|count| *count > 0)?;
            if let Some((scope @ (Scope::Connection | Scope::User), kind)) = pair(name) {
                raised.push((scope, kind, u32::try_from(count).unwrap_or(u32::MAX)));
            }
        }
        Some(Self(raised.into()))
    }

    /// Reads what a token shall raise, from items such as `user.publishes=6000`. Stricter than `read`: what would be ignored
    /// in a claim is misspelt here.
    ///
    /// # Errors
    /// What is expected.
    pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut raised: Vec<(Scope, Kind, u32)> = Vec::new();
        for item in items {
            let (name, count) = item.split_once('=').ok_or(RAISED)?;
            let (scope, kind) = pair(name.trim()).filter(|(scope, _)| *scope != Scope::Address).ok_or(RAISED)?;
            if count.contains('/') {
                return Err(format!(
                    "a count alone behind the = in {item}: the gateway's own limit says in which time"
                ));
            }
            let count = positive(count).map_err(|expected| format!("{expected} behind the = in {item}"))?;
            if raised.iter().any(|(of, what, _)| (*of, *what) == (scope, kind)) {
                return Err(format!("each limit once, and {} is there twice", name.trim()));
            }
            raised.push((scope, kind, count));
        }
        Ok(Self(raised.into()))
    }

    /// Whether nothing is raised.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The limit for whoever has the token: never lower than without.
    #[must_use]
    pub fn over(&self, count: u32, scope: Scope, kind: Kind) -> u32 {
        let raised = self.0.iter().filter(|(of, what, _)| (*of, *what) == (scope, kind)).map(|(.., count)| *count);
        raised.fold(count, u32::max)
    }
}

impl Serialize for Raised {
    /// The claim.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = |(scope, kind, count): &(Scope, Kind, u32)| (format!("{}.{}", scope.name(), kind.name()), *count);
        serializer.collect_map(self.0.iter().map(named))
    }
}

fn positive(text: &str) -> Result<u32, String> {
    let count = text.trim().parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| format!("a number from 1 to {}", u32::MAX))
}

fn pair(name: &str) -> Option<(Scope, Kind)> {
    let (scope, kind) = name.split_once('.')?;
    Some((scope.parse().ok()?, kind.parse().ok()?))
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|scope| scope.name() == name).ok_or(())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seconds(text: &str) -> Result<Duration, String> {
        let count = text.strip_suffix('s').and_then(|count| count.parse().ok()).filter(|count| *count > 0);
        count.map(Duration::from_secs).ok_or_else(|| "seconds".into())
    }

    #[test]
    fn limits_are_read_as_they_are_written() {
        let limits = Limits::parse("user.messages=600/60s, address.bytes = 1000/10s", seconds).unwrap();
        let rate = |count, seconds| Rate { count, window: Duration::from_secs(seconds) };
        let found: Vec<_> = limits.iter().collect();
        let expected = [(Scope::User, Kind::Messages, rate(600, 60)), (Scope::Address, Kind::Bytes, rate(1000, 10))];
        assert_eq!(found, expected);
        assert_eq!(limits.of(Scope::Connection, Kind::Bytes), None);
        assert!(Limits::default().is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_is_expected() {
        for wrong in ["", "user", "user.messages", "user.messages=5", "room.messages=5/1s", "user.rooms=5/1s"] {
            assert_eq!(Limits::parse(wrong, seconds), Err(EXPECTED.into()), "{wrong}");
        }
        for (wrong, expected) in [
            ("user.bytes=0/1s", "a number from 1 to 4294967295 before the / in user.bytes=0/1s"),
            ("user.bytes=-1/1s", "a number from 1 to 4294967295 before the / in user.bytes=-1/1s"),
            ("user.bytes=4294967296/1s", "a number from 1 to 4294967295 before the / in user.bytes=4294967296/1s"),
            ("user.bytes=1/0s", "seconds, behind the / in user.bytes=1/0s"),
            ("user.bytes=1/1s,user.bytes=2/1s", "each limit once, and user.bytes is there twice"),
            ("connection.messages=9/1s", "MESSAGES_PER_MINUTE for the messages of a connection"),
        ] {
            assert_eq!(Limits::parse(wrong, seconds), Err(expected.into()), "{wrong}");
        }
    }

    #[test]
    fn what_a_token_shall_raise_is_read_strictly_and_written_as_its_claim() {
        let raised = Raised::parse([" connection.messages = 900", "user.publishes=6000"]).unwrap();
        let claim = serde_json::to_value(&raised).unwrap();
        assert_eq!(claim, json!({"connection.messages": 900, "user.publishes": 6000}));
        assert_eq!(Raised::read(&claim), Some(raised));
        assert!(Raised::parse([]).unwrap().is_empty());
        for wrong in ["", "user", "user.publishes", "user.flights=5", "room.bytes=5", "address.bytes=5"] {
            assert_eq!(Raised::parse([wrong]), Err(RAISED.into()), "{wrong}");
        }
        let (time, count) =
            ("a count alone behind the = in user.bytes=5/1m", "a number from 1 to 4294967295 behind the =");
        for (wrong, expected) in [
            (&["user.bytes=5/1m"][..], time),
            (&["user.bytes=0"], count),
            (&["user.bytes=many"], count),
            (&["user.bytes=1", "user.bytes=2"], "each limit once, and user.bytes is there twice"),
        ] {
            let error = Raised::parse(wrong.iter().copied()).unwrap_err();
            assert!(error.starts_with(expected), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn a_claim_raises_and_never_lowers() {
        let claim = json!({"user.messages": 900, "connection.messages": 5, "address.bytes": 9, "user.flights": 1});
        let raised = Raised::read(&claim).unwrap();
        assert_eq!(raised.over(600, Scope::User, Kind::Messages), 900);
        assert_eq!(raised.over(100, Scope::Connection, Kind::Messages), 100);
        assert_eq!(raised.over(7, Scope::Address, Kind::Bytes), 7, "an address is not the token's");
        for wrong in [
            json!([]),
            json!("x"),
            json!(5),
            json!({"user.messages": "9"}),
            json!({"user.messages": 0}),
            json!({"user.messages": 1.5}),
            json!({"user.messages": -1}),
            json!({"user.flights": {}}),
        ] {
            assert_eq!(Raised::read(&wrong), None, "{wrong}");
        }
    }
}
