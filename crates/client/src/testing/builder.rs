//! What can be set about a fake gateway.
//!
//! Owns every default, which is the real gateway's where it has one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roomcast_protocol::Room;
use roomcast_protocol::server::Limits;

use super::FakeGateway;

/// What a fake gateway needs to know.
#[derive(Debug)]
pub(super) struct Settings {
    /// A token without grants may do everything but publish.
    pub(super) is_open: bool,
    pub(super) history_size: usize,
    pub(super) presence_grace: Duration,
    pub(super) limits: Limits,
    kinds: BTreeSet<String>,
}

impl Settings {
    /// The room of this name; `None` when it is none, or of a kind that does not exist here.
    pub(super) fn room(&self, name: &str) -> Option<Room> {
        name.parse().ok().filter(|room: &Room| self.kinds.contains(room.kind()))
    }
}

/// Makes a [`FakeGateway`].
#[derive(Debug)]
#[must_use]
pub struct FakeGatewayBuilder {
    settings: Settings,
}

impl FakeGatewayBuilder {
    pub(super) fn new() -> Self {
        let limits = Limits {
            messages_per_minute: 100,
            max_message_bytes: 65_536,
            max_rooms: 128,
            max_rooms_per_message: 128,
            rates: BTreeMap::new(),
        };
        let kinds = Room::KINDS.iter().map(ToString::to_string).collect();
        let presence_grace = Duration::from_secs(15);
        Self { settings: Settings { is_open: true, history_size: 1000, presence_grace, limits, kinds } }
    }

    /// A token without grants may do nothing but be in its own user room, as with `roomcast serve`. Without this it may do
    /// everything but publish, as with `roomcast dev`.
    pub fn deny_without_grants(mut self) -> Self {
        self.settings.is_open = false;
        self
    }

    /// How many events are kept for each room; 1000. Who missed more is told of a gap.
    pub fn history_size(mut self, events: usize) -> Self {
        self.settings.history_size = events;
        self
    }

    /// How long a user whose connection is lost is still present; 15 s.
    pub fn presence_grace(mut self, grace: Duration) -> Self {
        self.settings.presence_grace = grace;
        self
    }

    /// A kind of room beside those of the protocol.
    pub fn room_kind(mut self, kind: &str) -> Self {
        self.settings.kinds.insert(kind.into());
        self
    }

    /// How many rooms a connection may be in; 128.
    pub fn max_rooms(mut self, rooms: usize) -> Self {
        self.settings.limits.max_rooms = rooms as u64;
        self
    }

    /// How many rooms one request may name; 128.
    pub fn max_rooms_per_message(mut self, rooms: usize) -> Self {
        self.settings.limits.max_rooms_per_message = rooms as u64;
        self
    }

    /// How many bytes a message and a payload may have; 65,536.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.max_message_bytes = bytes as u64;
        self
    }

    /// How many messages a connection may send in a minute; 100.
    pub fn messages_per_minute(mut self, messages: u32) -> Self {
        self.settings.limits.messages_per_minute = messages.into();
        self
    }

    /// Makes the gateway, with no one connected. It needs no runtime until something connects.
    #[must_use]
    pub fn build(self) -> FakeGateway {
        FakeGateway::with(self.settings)
    }
}
