//! Presence: who is in which room, per user and not per connection.
//!
//! Owns the contract of the record ([`Presence`]) and its words. [`memory`] keeps the record of one node, [`redis`] that of
//! several. [`audience`] is the part of every node: who of its connections is told, when, and in which frames. Presence
//! has nothing to do with the rooms' streams: it has no positions and no history, and opens no stream.
//!
//! What a large room costs is bounded by two rules. Changes of a room are told in turns, and after a turn the room rests,
//! two milliseconds for each connection that was told: what happens meanwhile is told together, each user once with what is
//! true by then. And a turn of more than [`audience::MOST_CHANGES`] users is told as one `presence.state`, which replaces
//! what was known. So a thousand members that come at once are a few frames for each and not a thousand.

pub(crate) mod audience;
#[cfg(test)]
mod contract;
mod frames;
pub(crate) mod memory;
pub(crate) mod redis;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod world;

pub(crate) use frames::StateView;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use roomcast_protocol::{Room, UserId};
use serde_json::value::RawValue;

use crate::broker::Unavailable;
use crate::hub::ConnectionId;

/// What a client says of itself, as it came. Shared by all rooms of its request.
pub(crate) type Data = Arc<RawValue>;

/// A connection that takes part in presence.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) user: UserId,
    pub(crate) connection: ConnectionId,
    pub(crate) data: Option<Data>,
}

/// A user in a room.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) user: UserId,
    /// Of the user's connections with data, that of the one that entered last.
    pub(crate) data: Option<Data>,
    /// Open ones: zero while the user may come back.
    pub(crate) connections: u32,
}

/// Everybody in a room.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roster {
    /// In the order of their ids.
    pub(crate) members: Vec<Member>,
    /// Every change up to this version is in the list, none behind it.
    pub(crate) version: u64,
}

/// A user came, left or has other data.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) room: Room,
    /// Before; `None`: was not there.
    pub(crate) before: Option<Member>,
    /// Now; `None`: is not there any more.
    pub(crate) after: Option<Member>,
    /// Grows with each change of the room.
    pub(crate) version: u64,
}

/// What became of the wish to enter a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The user is in the room.
    Entered,
    /// There are too many already.
    Full,
}

/// What every record of presence promises:
///
/// - A user is in a room from the first [`enter`](Presence::enter) of one of its connections there until the last has left,
///   or until [`Config::presence_grace`](crate::Config::presence_grace) has passed since the last was lost. A connection of
///   the user that enters takes the place of those that were lost.
/// - Each change of a room in which a connection of this node is goes to the [`Audience`](audience::Audience) once, in the
///   order of its versions, whichever node it happened on. A change is another user list or other data, not another number
///   of connections.
/// - Where several nodes share the record, the entries of a dead one are lost, as if its connections were; and while the
///   record cannot be reached, nobody is said to have left.
/// - Rooms are bounded: a [`roster`](Presence::roster) fits one frame.
pub(crate) trait Presence: Send + Sync + 'static {
    /// Enters each room, or replaces what the connection said there before. Answers in the order of the rooms. Where it is
    /// refused, what the connection said before stays until it leaves.
    fn enter<'a>(&'a self, rooms: &'a [Room], guest: &'a Guest) -> BoxFuture<'a, Result<Vec<Entry>, Unavailable>>;

    /// The connection leaves the rooms at once. Harmless where it is not.
    fn leave(&self, rooms: &[Room], user: &UserId, connection: ConnectionId);

    /// The connection is gone, and the user may come back. Harmless where it is not.
    fn lose(&self, rooms: &[Room], user: &UserId, connection: ConnectionId);

    /// Who is in the room.
    fn roster<'a>(&'a self, room: &'a Room) -> BoxFuture<'a, Result<Roster, Unavailable>>;

    /// What is to be done by time, for as long as it is polled.
    fn run(&self) -> BoxFuture<'_, ()>;

    /// The node goes: whatever connections it still has in the record are lost. The last call.
    fn retire(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl Member {
    /// Whether others would see a difference.
    fn looks_like(&self, other: &Self) -> bool {
        let (data, others) = (self.data.as_deref(), other.data.as_deref());
        self.user == other.user && data.map(RawValue::get) == others.map(RawValue::get)
    }
}

/// Whether others would see no difference.
fn is_same(before: Option<&Member>, after: Option<&Member>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => before.looks_like(after),
        (before, after) => before.is_none() && after.is_none(),
    }
}
