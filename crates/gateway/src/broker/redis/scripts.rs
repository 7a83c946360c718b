//! What the broker asks of Redis: scripts, each one atomic step, and the names of keys and channels.
//!
//! Owns how a call is written and its answer read. The scripts themselves stand beside this file.

use std::sync::LazyLock;

use redis::{FromRedisValue, ParsingError, Script, ScriptInvocation, Value};
use roomcast_protocol::server::GapReason;
use roomcast_protocol::{Epoch, Position, Room};

use super::message;
use crate::broker::{Page, REMEMBERED, RoomBounds};
use crate::config::Config;
use crate::per_kind::PerKind;
use crate::publication::Draft;

/// After so many bytes of events a call reads no further room: an answer should not keep others waiting.
const HISTORY_BUDGET: usize = 4 << 20;

static LIFE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("life.lua")));
static POSITIONS: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("streams.lua"), include_str!("positions.lua"))));
static PUBLISH: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("streams.lua"), include_str!("publish.lua"))));
static HISTORY: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("streams.lua"), include_str!("history.lua"))));

/// Names and bounds, the same for every call.
#[derive(Debug)]
pub(crate) struct Scripts {
    prefix: String,
    /// Channels belong to no database, so their names tell which it is.
    channels: String,
    /// Counters live this long without being touched, in milliseconds.
    counter_ttl: u128,
    bounds: PerKind<RoomBounds>,
}

/// Which data a script is for: refused when they are no longer those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Names the process and so, without durability, the data.
    pub(super) run: String,
    /// Names the history of changes.
    pub(super) replication: String,
    /// The one before, if this process has been a replica.
    pub(super) former_replication: String,
}

/// An answer to a publication.
pub(super) struct Placed {
    pub(super) is_duplicate: bool,
    /// In the order of the rooms.
    pub(super) positions: Vec<Position>,
}

/// One room's page as Redis answers it.
pub(super) struct RawPage {
    latest: Position,
    gap: Option<GapReason>,
    end: u64,
    more: bool,
    texts: Vec<Vec<u8>>,
}

impl Scripts {
    /// Counters are kept for `slack` longer than configured, which is how often those of held rooms are touched.
    pub(super) fn new(config: &Config, database: i64, slack: std::time::Duration) -> Self {
        let prefix = config.redis_prefix.clone();
        Self {
            channels: format!("{prefix}{database}:room:"),
            prefix,
            counter_ttl: (config.position_ttl + slack).as_millis().max(1),
            bounds: RoomBounds::of(config),
        }
    }

    /// The channel of a room.
    pub(crate) fn channel(&self, room: &Room) -> String {
        format!("{}{room}", self.channels)
    }

    /// A channel of one node's own.
    pub(super) fn node_channel(&self, node: &str) -> String {
        format!("{}node:{node}", self.base())
    }

    /// The channel of all nodes.
    pub(super) fn nodes_channel(&self) -> String {
        format!("{}nodes", self.base())
    }

    fn base(&self) -> &str {
        self.channels.trim_end_matches("room:")
    }

    /// The beginning of the names of rooms' channels.
    pub(crate) fn channels(&self) -> &str {
        &self.channels
    }

    /// A key of another part of the gateway.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Makes the data this server's.
    pub(super) fn claim(&self, server: &Server) -> ScriptInvocation<'static> {
        let mut call = LIFE.key(self.life());
        call.arg(&server.run).arg(&server.replication).arg(&server.former_replication);
        call.arg(new_epoch());
        call
    }

    /// Answers `Vec<String>`: positions.
    pub(super) fn positions(&self, server: &Server, rooms: &[Room]) -> ScriptInvocation<'static> {
        let mut call = self.begin(&POSITIONS, server);
        for room in rooms {
            call.key(self.counter(room)).key(self.history_key(room));
        }
        call
    }

    /// Answers [`Placed`].
    pub(super) fn publish(&self, server: &Server, draft: &Draft) -> ScriptInvocation<'static> {
        let mut call = self.begin(&PUBLISH, server);
        let except = draft.except.map(|connection| connection.to_string()).unwrap_or_default();
        let remembered = if draft.is_repeatable { REMEMBERED.as_millis() } else { 0 };
        call.arg(remembered.to_string());
        call.arg(format!("{}\n{}\n{except}\n", message::VERSION, draft.event_id));
        call.arg(draft.head.as_ref()).arg(&self.channels);
        for room in &draft.rooms {
            call.key(self.counter(room)).key(self.history_key(room));
            call.key(format!("{}id:{room}:{}", self.prefix, draft.event_id)).arg(room.as_str());
            self.add_bounds(&mut call, room);
        }
        call
    }

    /// Answers a [`RawPage`] for each of the first rooms, at least one.
    pub(super) fn history(
        &self,
        server: &Server,
        rooms: &[(Room, Option<Position>)],
        limit: usize,
    ) -> ScriptInvocation<'static> {
        let mut call = self.begin(&HISTORY, server);
        call.arg(limit).arg(HISTORY_BUDGET);
        for (room, since) in rooms {
            call.key(self.counter(room)).key(self.history_key(room));
            match since {
                Some(since) => call.arg(since.epoch.to_string()).arg(since.offset),
                None => call.arg("").arg(""),
            };
            self.add_bounds(&mut call, room);
        }
        call
    }

    fn begin(&self, script: &'static Script, server: &Server) -> ScriptInvocation<'static> {
        let mut call = script.key(self.life());
        call.arg(&server.run).arg(new_epoch()).arg(self.counter_ttl.to_string());
        call
    }

    /// How much may be kept of a room: time to live in milliseconds, events, bytes.
    fn add_bounds(&self, call: &mut ScriptInvocation<'static>, room: &Room) {
        let RoomBounds { age, events, bytes } = self.bounds.of(room.kind());
        call.arg(age.as_millis().max(1).to_string()).arg(*events).arg(*bytes);
    }

    fn life(&self) -> String {
        format!("{}life", self.prefix)
    }

    fn counter(&self, room: &Room) -> String {
        format!("{}counter:{room}", self.prefix)
    }

    fn history_key(&self, room: &Room) -> String {
        format!("{}history:{room}", self.prefix)
    }
}

fn new_epoch() -> String {
    Epoch(rand::random()).to_string()
}

impl RawPage {
    /// The page, its events read. A text that cannot be read is a hole, as if it had been taken out.
    pub(super) fn read(self) -> Page {
        let texts = self.texts.len();
        let publications: Vec<_> = self.texts.into_iter().filter_map(message::publication).collect();
        let position = Position { offset: self.end, ..self.latest };
        if publications.len() == texts {
            return Page { publications, position, latest: self.latest, more: self.more, gap: self.gap };
        }
        let gap = Some(GapReason::HistoryTruncated);
        Page { publications: Vec::new(), position: self.latest, latest: self.latest, more: false, gap }
    }
}

impl FromRedisValue for Placed {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (is_duplicate, positions) = <(i64, Vec<String>)>::from_redis_value(value)?;
        Ok(Self { is_duplicate: is_duplicate == 1, positions: read_positions(positions)? })
    }
}

impl FromRedisValue for RawPage {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (latest, gap, end, more, texts) = <(String, String, u64, i64, Vec<Vec<u8>>)>::from_redis_value(value)?;
        let gap = match gap.as_str() {
            "" => None,
            "epoch" => Some(GapReason::EpochChanged),
            _ => Some(GapReason::HistoryTruncated),
        };
        Ok(Self { latest: read_position(&latest)?, gap, end, more: more == 1, texts })
    }
}

/// Positions as the scripts write them.
pub(super) fn read_positions(texts: Vec<String>) -> Result<Vec<Position>, ParsingError> {
    texts.iter().map(|text| read_position(text)).collect()
}

fn read_position(text: &str) -> Result<Position, ParsingError> {
    text.parse().map_err(|_| ParsingError::from("the answer holds something that is no position"))
}
