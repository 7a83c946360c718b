//! Grants: what a token allows, room pattern by room pattern.
//!
//! Owns the meaning of the `grants` claim and nothing more: rules that need no grant (a user's own room, typing, an open
//! gateway) are the gateway's.

use std::collections::{BTreeMap, BTreeSet};
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

/// What one pattern allows. Small, for each of many connections has some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Allowed {
    /// The places in [`NAMES`] of operations that have no type, as bits.
    names: u8,
    /// Types of events that may be published, sorted.
    types: Box<[EventType]>,
}

/// Operations without a type, as the claim writes them; the first is all of them, `admin` only under the pattern `*`.
static NAMES: [(&str, Option<Operation>); 6] = [
    ("*", None),
    ("subscribe", Some(Operation::Subscribe)),
    ("history", Some(Operation::History)),
    ("presence", Some(Operation::Presence)),
    ("publish", Some(Operation::Publish)),
    ("admin", Some(Operation::Admin)),
];

/// The `grants` claim: a union, so that each entry only ever adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(
    /// Sorted, each pattern once. Shared, for each of many connections keeps its own and hands out copies.
    Arc<[(Pattern, Allowed)]>,
);

/// The claim is not an object of patterns to lists of operations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a pattern of rooms: a room, kind:* or *")]
pub struct InvalidGrants(String);

impl Grants {
    /// Every operation on every room, `admin` included.
    #[must_use]
    pub fn everything() -> Self {
        Self(Arc::from([(Pattern::All, Allowed::of(["*"]))]))
    }

    /// Grants from pairs of a pattern and its operations. Operations that this version does not know are ignored.
    ///
    /// # Errors
    /// [`InvalidGrants`] when a pattern is none.
    pub fn parse<P: AsRef<str>, O: AsRef<str>>(
        entries: impl IntoIterator<Item = (P, impl IntoIterator<Item = O>)>,
    ) -> Result<Self, InvalidGrants> {
        let mut grants = BTreeMap::<_, Vec<O>>::new();
        for (pattern, operations) in entries {
            grants.entry(Pattern::parse(pattern.as_ref())?).or_default().extend(operations);
        }
        Ok(Self(grants.into_iter().map(|(pattern, operations)| (pattern, Allowed::of(operations))).collect()))
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
            .find(|(pattern, allowed)| pattern.matches(room) && allowed.covers(pattern, operation))
            .map(|(pattern, _)| pattern)
    }

    /// The entries that speak of the room: pattern and operations, as the claim writes them.
    #[must_use]
    pub fn about(&self, room: &Room) -> Vec<(String, Vec<String>)> {
        let entries = self.0.iter().filter(|(pattern, _)| pattern.matches(room));
        entries.map(|(pattern, allowed)| (pattern.to_string(), allowed.texts())).collect()
    }

    /// Whether the token may run the gateway.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        let mut of_all = self.0.iter().filter(|(pattern, _)| *pattern == Pattern::All);
        of_all.any(|(pattern, allowed)| allowed.covers(pattern, &Operation::Admin))
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
    /// What these operations allow together. One that this version does not know allows nothing.
    fn of<O: AsRef<str>>(operations: impl IntoIterator<Item = O>) -> Self {
        let (mut names, mut types) = (0, BTreeSet::new());
        for operation in operations {
            match NAMES.iter().position(|(name, _)| *name == operation.as_ref()) {
                Some(place) => names |= 1 << place,
                None => types.extend(event_type(operation.as_ref())),
            }
        }
        Self { names, types: types.into_iter().collect() }
    }

    fn has(&self, wanted: Option<&Operation>) -> bool {
        let place = NAMES.iter().position(|(_, operation)| operation.as_ref() == wanted);
        place.is_some_and(|place| self.names & (1 << place) != 0)
    }

    fn covers(&self, pattern: &Pattern, wanted: &Operation) -> bool {
        match wanted {
            Operation::Admin if *pattern != Pattern::All => false,
            _ if self.has(None) || self.has(Some(wanted)) => true,
            Operation::PublishType(name) => self.has(Some(&Operation::Publish)) || self.types.contains(name),
            _ => false,
        }
    }

    /// As the claim writes them, in an order of their own.
    fn texts(&self) -> Vec<String> {
        let names = NAMES.iter().enumerate().filter(|(place, _)| self.names & (1 << place) != 0);
        let types = self.types.iter().map(|name| Operation::PublishType(name.clone()).to_string());
        names.map(|(_, (name, _))| (*name).into()).chain(types).collect()
    }
}

/// The type in `publish:<type>`.
fn event_type(text: &str) -> Option<EventType> {
    text.strip_prefix("publish:")?.parse().ok()
}

/// It is no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an operation: subscribe, history, presence, publish, publish:<type> or admin")]
pub struct InvalidOperation(String);

impl FromStr for Operation {
    type Err = InvalidOperation;

    fn from_str(text: &str) -> Result<Self, InvalidOperation> {
        let known = NAMES.iter().find(|(name, _)| *name == text).and_then(|(_, operation)| operation.clone());
        let operation = known.or_else(|| event_type(text).map(Operation::PublishType));
        operation.ok_or_else(|| InvalidOperation(text.into()))
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

impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(pattern, allowed)| (pattern.to_string(), allowed.texts())))
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = BTreeMap::<String, Vec<String>>::deserialize(deserializer)?;
        Self::parse(entries).map_err(serde::de::Error::custom)
    }
}
