//! Grants: what a token allows, room pattern by room pattern.
//!
//! Owns the meaning of the `grants` claim and nothing more: rules that need no grant (a user's own room, typing, an open
//! gateway) are the gateway's.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::EventType;
use crate::room::{self, Room};

/// Something that a token may allow on a room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Receive the room's events, and those that it retains.
    Subscribe,
    /// Read the retained events over HTTP.
    History,
    /// See who is in the room.
    Presence,
    /// Publish events of any type.
    Publish,
    /// Publish events of this type.
    PublishType(EventType),
    /// Run the gateway: statistics, limits, disconnects. Counts only under the pattern `*`.
    Admin,
}

/// The rooms that a grant speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// `*`: every room.
    All,
    /// `kind:*`: every room of a kind.
    Kind(String),
    /// One room by its name.
    Room(Room),
}

/// What one pattern allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Allowed {
    /// `*`: every operation, `admin` only under the pattern `*`.
    Everything,
    Only(Operation),
}

/// The `grants` claim: a union, so that each entry only ever adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(
    /// Sorted, each pattern once. Shared, for each of many connections keeps its own and hands out copies.
    Arc<[(Pattern, Box<[Allowed]>)]>,
);

/// The claim is not an object of patterns to lists of operations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a pattern of rooms: a room, kind:* or *")]
pub struct InvalidGrants(String);

impl Grants {
    /// Every operation on every room, `admin` included.
    #[must_use]
    pub fn everything() -> Self {
        Self(Arc::from([(Pattern::All, Box::from([Allowed::Everything]))]))
    }

    /// Grants from pairs of a pattern and its operations. Operations that this version does not know are ignored.
    ///
    /// # Errors
    /// [`InvalidGrants`] when a pattern is none.
    pub fn parse<P: AsRef<str>, O: AsRef<str>>(
        entries: impl IntoIterator<Item = (P, impl IntoIterator<Item = O>)>,
    ) -> Result<Self, InvalidGrants> {
        let mut grants = BTreeMap::new();
        for (pattern, operations) in entries {
            let allowed: &mut Vec<Allowed> = grants.entry(Pattern::parse(pattern.as_ref())?).or_default();
            allowed.extend(operations.into_iter().filter_map(|operation| Allowed::parse(operation.as_ref())));
        }
        Ok(Self(grants.into_iter().map(|(pattern, allowed)| (pattern, allowed.into())).collect()))
    }

    /// Whether the operation is allowed on the room.
    #[must_use]
    pub fn allows(&self, room: &Room, operation: &Operation) -> bool {
        self.deciding(room, operation).is_some()
    }

    /// The pattern that allows the operation on the room: the widest one, if several do.
    #[must_use]
    pub fn deciding(&self, room: &Room, operation: &Operation) -> Option<&Pattern> {
        self.0
            .iter()
            .find(|(pattern, allowed)| {
                pattern.matches(room) && allowed.iter().any(|allowed| allowed.covers(pattern, operation))
            })
            .map(|(pattern, _)| pattern)
    }

    /// The entries that speak of the room: pattern and operations, as the claim has them.
    #[must_use]
    pub fn about(&self, room: &Room) -> Vec<(String, Vec<String>)> {
        let entries = self.0.iter().filter(|(pattern, _)| pattern.matches(room));
        entries
            .map(|(pattern, allowed)| (pattern.to_string(), allowed.iter().map(Allowed::to_string).collect()))
            .collect()
    }

    /// Whether the token may run the gateway.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        let of_all = self.0.iter().filter(|(pattern, _)| *pattern == Pattern::All);
        of_all.flat_map(|(_, allowed)| allowed).any(|allowed| allowed.covers(&Pattern::All, &Operation::Admin))
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, InvalidGrants> {
        if text == "*" {
            return Ok(Self::All);
        }
        match text.split_once(':') {
            Some((kind, "*")) if room::is_kind(kind) => Ok(Self::Kind(kind.into())),
            _ => text.parse().map(Self::Room).map_err(|_| InvalidGrants(text.into())),
        }
    }

    /// Whether the pattern speaks of the room.
    #[must_use]
    pub fn matches(&self, room: &Room) -> bool {
        match self {
            Self::All => true,
            Self::Kind(kind) => kind == room.kind(),
            Self::Room(name) => name == room,
        }
    }
}

impl Allowed {
    /// `None` for an operation that this version does not know: it allows nothing.
    fn parse(text: &str) -> Option<Self> {
        Some(Self::Only(match text {
            "*" => return Some(Self::Everything),
            "subscribe" => Operation::Subscribe,
            "history" => Operation::History,
            "presence" => Operation::Presence,
            "publish" => Operation::Publish,
            "admin" => Operation::Admin,
            other => Operation::PublishType(other.strip_prefix("publish:")?.parse().ok()?),
        }))
    }

    fn covers(&self, pattern: &Pattern, wanted: &Operation) -> bool {
        match (self, wanted) {
            (_, Operation::Admin) if *pattern != Pattern::All => false,
            (Self::Everything, _) | (Self::Only(Operation::Publish), Operation::PublishType(_)) => true,
            (Self::Only(operation), _) => operation == wanted,
        }
    }
}

/// It is no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an operation: subscribe, history, presence, publish, publish:<type> or admin")]
pub struct InvalidOperation(String);

impl FromStr for Operation {
    type Err = InvalidOperation;

    fn from_str(text: &str) -> Result<Self, InvalidOperation> {
        match Allowed::parse(text) {
            Some(Allowed::Only(operation)) => Ok(operation),
            _ => Err(InvalidOperation(text.into())),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscribe => out.write_str("subscribe"),
            Self::History => out.write_str("history"),
            Self::Presence => out.write_str("presence"),
            Self::Publish => out.write_str("publish"),
            Self::PublishType(name) => write!(out, "publish:{name}"),
            Self::Admin => out.write_str("admin"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("*"),
            Self::Kind(kind) => write!(out, "{kind}:*"),
            Self::Room(room) => fmt::Display::fmt(room, out),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => out.write_str("*"),
            Self::Only(operation) => fmt::Display::fmt(operation, out),
        }
    }
}

impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(pattern, allowed)| {
            (pattern.to_string(), allowed.iter().map(Allowed::to_string).collect::<Vec<_>>())
        }))
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = BTreeMap::<String, Vec<String>>::deserialize(deserializer)?;
        Self::parse(entries).map_err(serde::de::Error::custom)
    }
}
