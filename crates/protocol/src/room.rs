//! Rooms: the names that events are sent to.
//!
//! Owns the grammar of a room name. Which kinds a gateway accepts is its configuration; see [`Room::KINDS`] for those that
//! every gateway has.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

/// A room: `kind:id`, such as `team:team_456`. Cheap to clone.
///
/// The kind is a lower-case word of at most 32 characters, the id 1 to 128 of `A-Z a-z 0-9 _ . @ | ~ -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Room(Arc<str>);

/// The text is not a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a room is kind:id, with an id of 1 to 128 letters, digits or _ . @ | ~ -")]
pub struct InvalidRoom;

impl Room {
    /// The kinds of room that every gateway has.
    pub const KINDS: [&'static str; 6] = ["workspace", "team", "issue", "project", "cycle", "user"];

    /// The longest id, in characters.
    pub const MAX_ID: usize = 128;

    /// The longest kind, in characters.
    pub const MAX_KIND: usize = 32;

    /// A room from its two halves.
    ///
    /// # Errors
    /// [`InvalidRoom`] when either half is outside the grammar.
    pub fn new(kind: &str, id: &str) -> Result<Self, InvalidRoom> {
        if is_kind(kind) && is_id(id) { Ok(Self(format!("{kind}:{id}").into())) } else { Err(InvalidRoom) }
    }

    /// The room of a workspace: everything that happens in it.
    ///
    /// # Panics
    /// When the id is outside the grammar, as in the other constructors by kind; use [`Room::new`] for an id from outside.
    #[must_use]
    pub fn workspace(id: &str) -> Self {
        Self::known("workspace", id)
    }

    /// The room of a team: its issues, projects and cycles.
    #[must_use]
    pub fn team(id: &str) -> Self {
        Self::known("team", id)
    }

    /// The room of one issue: its changes, comments and typing.
    #[must_use]
    pub fn issue(id: &str) -> Self {
        Self::known("issue", id)
    }

    /// The room of one project.
    #[must_use]
    pub fn project(id: &str) -> Self {
        Self::known("project", id)
    }

    /// The room of one cycle.
    #[must_use]
    pub fn cycle(id: &str) -> Self {
        Self::known("cycle", id)
    }

    /// The room of one user: what is addressed to them alone.
    #[must_use]
    pub fn user(id: &str) -> Self {
        Self::known("user", id)
    }

    fn known(kind: &str, id: &str) -> Self {
        match Self::new(kind, id) {
            Ok(room) => room,
            Err(error) => panic!("{kind}:{id}: {error}"),
        }
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the colon.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.halves().0
    }

    /// What stands behind the colon.
    #[must_use]
    pub fn id(&self) -> &str {
        self.halves().1
    }

    fn halves(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((&self.0, ""))
    }
}

/// Whether the text can be the kind of a room: a lower-case word that starts with a letter.
pub(crate) fn is_kind(text: &str) -> bool {
    text.len() <= Room::MAX_KIND
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Whether the text can be the id of a room, which is also the grammar of a user id.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=Room::MAX_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.@|~-".contains(&byte))
}

impl FromStr for Room {
    type Err = InvalidRoom;

    fn from_str(text: &str) -> Result<Self, InvalidRoom> {
        let (kind, id) = text.split_once(':').ok_or(InvalidRoom)?;
        if is_kind(kind) && is_id(id) { Ok(Self(text.into())) } else { Err(InvalidRoom) }
    }
}

impl TryFrom<String> for Room {
    type Error = InvalidRoom;

    fn try_from(text: String) -> Result<Self, InvalidRoom> {
        text.parse()
    }
}

impl From<Room> for String {
    fn from(room: Room) -> Self {
        room.0.as_ref().into()
    }
}

impl Borrow<str> for Room {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Room {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}
