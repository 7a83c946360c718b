//! Metrics: what is counted, under which names.
//!
//! Owns the registry of one gateway. Labels come from small fixed sets; no room, user or address is one.

mod figures;
mod traffic;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use roomcast_protocol::{CloseCode, ErrorCode};
use tokio::time::Instant;

pub(crate) use figures::Figures;
use traffic::{Messages, Sizes, Traffic};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCloseCode {
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLimit {
    scope: &'static str,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByAnswer {
    answer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEnd {
    end: &'static str,
}

/// Calls of the back end, for who makes them.
#[derive(Debug, Clone, Default)]
pub(crate) struct AccessCalls(Family<ByAnswer, Counter>);

impl AccessCalls {
    /// One was answered so.
    pub(crate) fn count(&self, answer: &'static str) {
        self.0.get_or_create(&ByAnswer { answer }).inc();
    }
}

/// The counters of one gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Since when it is counted.
    since: Instant,
    /// Open connections.
    pub connections: Gauge,
    /// Rooms with local members; set when the metrics are read.
    pub rooms: Gauge,
    /// Connections accepted so far.
    pub accepted: Counter,
    /// Events published through this node.
    pub published: Counter,
    /// Frames of events put into outboxes.
    pub delivered: Counter,
    /// Connections closed since nothing came from them.
    pub heartbeat_timeouts: Counter,
    /// Authentications that failed.
    pub auth_failures: Counter,
    received: Traffic,
    sent: Traffic,
    closed: Family<ByCloseCode, Counter>,
    errors: Family<ByCode, Counter>,
    connection_errors: Family<ByReason, Counter>,
    rate_limited: Family<ByLimit, Counter>,
    /// All of these together.
    refused: Counter,
    holes: Family<ByEnd, Counter>,
    recoveries: Family<ByEnd, Counter>,
    /// Calls of `ACCESS_URL`.
    pub access_calls: AccessCalls,
    /// Messages on the bus between nodes that were none of this version.
    pub bus_messages_ignored: Counter,
}

impl Metrics {
    /// Counters at zero, in a registry of their own.
    #[must_use]
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("roomcast");
        let metrics = Self {
            since: Instant::now(),
            connections: Gauge::default(),
            rooms: Gauge::default(),
            accepted: Counter::default(),
            published: Counter::default(),
            delivered: Counter::default(),
            heartbeat_timeouts: Counter::default(),
            auth_failures: Counter::default(),
            received: Traffic::default(),
            sent: Traffic::default(),
            closed: Family::default(),
            errors: Family::default(),
            connection_errors: Family::default(),
            rate_limited: Family::default(),
            refused: Counter::default(),
            holes: Family::default(),
            recoveries: Family::default(),
            access_calls: AccessCalls::default(),
            bus_messages_ignored: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("connections", "Open WebSocket connections", metrics.connections.clone());
        registry.register("rooms", "Rooms with members on this node", metrics.rooms.clone());
        registry.register("connections_accepted", "WebSocket connections accepted", metrics.accepted.clone());
        registry.register("connections_closed", "WebSocket connections ended, by close code", metrics.closed.clone());
        registry.register(
            "connection_errors",
            "Connections refused or broken, by reason",
            metrics.connection_errors.clone(),
        );
        let traffic = || [("received", metrics.received.clone()), ("sent", metrics.sent.clone())];
        registry.register("messages", "WebSocket messages, by direction", Messages(traffic()));
        let sizes = Sizes(traffic());
        registry.register_with_unit("message_size", "Size of WebSocket messages, by direction", Unit::Bytes, sizes);
        registry.register("errors", "Error answers, by code", metrics.errors.clone());
        registry.register(
            "rate_limited",
            "Refusals over a limit, by whose limit it is and of what",
            metrics.rate_limited.clone(),
        );
        registry.register("auth_failures", "Failed authentications", metrics.auth_failures.clone());
        registry.register(
            "heartbeat_timeouts",
            "Connections closed since nothing came from them",
            metrics.heartbeat_timeouts.clone(),
        );
        registry.register(
            "holes",
            "Holes in a connection's events, by how they ended: filled from history, or told as a gap",
            metrics.holes.clone(),
        );
        registry.register(
            "recoveries",
            "Rooms subscribed with a position, by how that ended: recovered, or told as a gap",
            metrics.recoveries.clone(),
        );
        registry.register("access_calls", "Calls of ACCESS_URL, by their answer", metrics.access_calls.0.clone());
        registry.register(
            "bus_messages_ignored",
            "Messages from other nodes that were not understood",
            metrics.bus_messages_ignored.clone(),
        );
        registry.register("events_published", "Events published through this node", metrics.published.clone());
        registry.register("events_delivered", "Events queued for connections", metrics.delivered.clone());
        Self { registry, ..metrics }
    }

    /// A message from a client.
    pub(crate) fn received(&self, bytes: usize) {
        self.received.add(bytes);
    }

    /// A message to a client.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.add(bytes);
    }

    /// A connection ended.
    pub(crate) fn closed(&self, code: CloseCode) {
        // Clients may send any code; only those of the protocol, and of peers that go by
        // themselves, are counted by name.
        let by_itself = [CloseCode::Other(1001), CloseCode::Other(1005), CloseCode::Other(1006)];
        let is_named = CloseCode::ALL.contains(&code) || by_itself.contains(&code);
        let code = if is_named { code.code() } else { 0 };
        self.closed.get_or_create(&ByCloseCode { code }).inc();
        if code == CloseCode::HeartbeatTimeout.code() {
            self.heartbeat_timeouts.inc();
        }
    }

    /// A frame or call was answered with an error.
    pub(crate) fn error(&self, code: ErrorCode) {
        self.errors.get_or_create(&ByCode { code: code.as_str() }).inc();
    }

    /// A connection was refused, or broke. The reason is one of the gateway's own words.
    pub(crate) fn connection_error(&self, reason: &'static str) {
        self.connection_errors.get_or_create(&ByReason { reason }).inc();
    }

    /// Something of that kind was refused over a limit of a connection, a user, an address or the node.
    pub(crate) fn rate_limited(&self, scope: &'static str, kind: &'static str) {
        self.rate_limited.get_or_create(&ByLimit { scope, kind }).inc();
        self.refused.inc();
    }

    /// Events were lost between broker and connection, and were filled in or told as a gap.
    pub(crate) fn hole(&self, was_filled: bool) {
        let end = if was_filled { "filled" } else { "gap" };
        self.holes.get_or_create(&ByEnd { end }).inc();
    }

    /// A room was asked for with a position, and what was missed could be had or not.
    pub(crate) fn recovery(&self, is_recovered: bool) {
        let end = if is_recovered { "recovered" } else { "gap" };
        self.recoveries.get_or_create(&ByEnd { end }).inc();
    }

    /// All of them, in the text format of OpenMetrics.
    #[must_use]
    pub(crate) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
