//! What the record of presence asks of Redis: scripts, each one atomic step, and the names of keys.
//!
//! Owns how a call is written and its answer read. The scripts themselves stand beside this file.

use std::sync::LazyLock;

use redis::{Cmd, FromRedisValue, ParsingError, Script, ScriptInvocation, Value};

use super::mirror::Said;
use super::{BEAT, ConnectionId, DEAD_AFTER, Guest, Room, SILENCE, UserId};
use crate::broker::redis::{Connections, PRESENCE, data};
use crate::config::Config;
use crate::presence::{Data, Member, Roster};

/// Seats and users that one call looks after: an answer should not keep others waiting.
const MOST_AT_ONCE: usize = 200;

macro_rules! script {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!(include_str!("attendance.lua"), include_str!($file))));
    };
}

script!(ENTER, "enter.lua");
script!(LEAVE, "leave.lua");
script!(ROSTER, "roster.lua");
script!(BEATING, "beat.lua");
script!(SYNC, "sync.lua");
script!(RETIRE, "retire.lua");

/// Names and bounds, the same for every call.
#[derive(Debug)]
pub(super) struct Scripts {
    base: String,
    channels: String,
    node: String,
    grace: u128,
    room_bytes: usize,
}

/// A connection that has left rooms, or was lost in them.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) rooms: Vec<Room>,
    pub(super) user: UserId,
    pub(super) connection: ConnectionId,
    /// The number of the request.
    pub(super) seq: u64,
    /// Whether the user may come back.
    pub(super) is_lost: bool,
}

/// What a beat has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beat {
    /// Whether Redis did not know this node.
    pub(super) is_new: bool,
    /// The seats that Redis thinks this node has.
    pub(super) seats: i64,
    /// Whether more is due than one call does.
    pub(super) is_more_left: bool,
}

impl Scripts {
    pub(super) fn new(config: &Config, connections: &Connections) -> Self {
        Self {
            base: connections.scripts.key("presence:"),
            channels: connections.scripts.channels().to_owned(),
            node: connections.node().to_owned(),
            grace: config.presence_grace.as_millis(),
            // A state must find room in an outbox that is not empty.
            room_bytes: config.max_queue_bytes / 2,
        }
    }

    /// Answers for each room 1, or 0 where it is full.
    pub(super) fn enter(&self, rooms: &[Room], guest: &Guest, seq: u64) -> ScriptInvocation<'static> {
        let mut call = self.begin(&ENTER);
        call.arg(&self.node).arg(guest.user.as_str()).arg(guest.connection.to_string()).arg(seq);
        call.arg(text(guest.data.as_ref())).arg(self.room_bytes);
        for room in rooms {
            call.arg(room.as_str());
        }
        call
    }

    pub(super) fn leave(&self, departure: &Departure) -> ScriptInvocation<'static> {
        let mut call = self.begin(&LEAVE);
        call.arg(departure.user.as_str()).arg(departure.connection.to_string()).arg(departure.seq);
        call.arg(u8::from(departure.is_lost));
        for room in &departure.rooms {
            call.arg(room.as_str());
        }
        call
    }

    /// Answers a [`Roster`].
    pub(super) fn roster(&self, room: &Room) -> ScriptInvocation<'static> {
        let mut call = self.begin(&ROSTER);
        call.arg(room.as_str());
        call
    }

    /// Answers a [`Beat`].
    pub(super) fn beat(&self) -> ScriptInvocation<'static> {
        let mut call = self.begin(&BEATING);
        call.arg(&self.node).arg(DEAD_AFTER.max(2 * BEAT).as_millis().to_string());
        call.arg(SILENCE.as_millis().to_string()).arg(MOST_AT_ONCE);
        call
    }

    pub(super) fn sync(&self, room: &Room, seq: u64, seats: &[(ConnectionId, Said)]) -> ScriptInvocation<'static> {
        let mut call = self.begin(&SYNC);
        call.arg(&self.node).arg(room.as_str()).arg(seq);
        for (connection, said) in seats {
            call.arg(said.user.as_str()).arg(connection.to_string()).arg(said.seq).arg(text(said.data.as_ref()));
        }
        call
    }

    /// Answers whether more is left.
    pub(super) fn retire(&self) -> ScriptInvocation<'static> {
        let mut call = self.begin(&RETIRE);
        call.arg(&self.node).arg(MOST_AT_ONCE);
        call
    }

    /// Answers a cursor, and some of this node's seats, each as room, user and connection.
    pub(super) fn scan_seats(&self, cursor: &str) -> Cmd {
        let key = format!("{}of:{}", self.base, self.node);
        redis::cmd("SSCAN").arg(key).arg(cursor).arg("COUNT").arg(2000).to_owned()
    }

    fn begin(&self, script: &'static Script) -> ScriptInvocation<'static> {
        let mut call = script.prepare_invoke();
        call.arg(&self.base).arg(&self.channels).arg(self.grace.to_string()).arg(PRESENCE);
        call
    }
}

fn text(data: Option<&Data>) -> &str {
    data.map_or("", |data| data.get())
}

impl FromRedisValue for Roster {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (version, rows) = <(u64, Vec<(String, u32, String)>)>::from_redis_value(value)?;
        let unreadable = || ParsingError::from("the answer holds something that is no member");
        let member = |(user, connections, text): (String, u32, String)| {
            let data = data((!text.is_empty()).then_some(text)).ok_or_else(unreadable)?;
            Ok(Member { user: user.parse().map_err(|_| unreadable())?, data, connections })
        };
        let mut members = rows.into_iter().map(member).collect::<Result<Vec<_>, ParsingError>>()?;
        members.sort_by(|one, other| one.user.cmp(&other.user));
        Ok(Self { members, version })
    }
}

impl FromRedisValue for Beat {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (is_new, seats, is_more_left) = <(bool, i64, bool)>::from_redis_value(value)?;
        Ok(Self { is_new, seats, is_more_left })
    }
}
