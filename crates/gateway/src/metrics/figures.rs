//! Figures: the metrics that a page shows, as numbers.
//!
//! Owns which they are. Counters since this node began; whoever wants a rate asks twice.

use std::collections::BTreeMap;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use roomcast_protocol::{CloseCode, ErrorCode};
use serde::Serialize;

use super::{ByCloseCode, ByCode, ByEnd, Metrics};

/// What this node has counted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    /// Seconds for which it has counted.
    uptime_seconds: u64,
    /// Open connections, now.
    connections: i64,
    /// Events published through this node.
    published: u64,
    /// Events queued for connections.
    delivered: u64,
    /// Messages from clients.
    received: u64,
    /// Ended connections, by close code.
    closed: BTreeMap<u16, u64>,
    /// Rooms whose missed events could be had, at a subscription or for a hole.
    recovered: u64,
    /// Rooms in which a gap was told.
    gaps: u64,
    /// Refusals over a limit.
    rate_limited: u64,
    /// Error answers.
    errors: u64,
}

impl Metrics {
    /// The figures as of now. Nothing is counted for having been looked at.
    pub(crate) fn figures(&self) -> Figures {
        let ended = |family: &Family<ByEnd, Counter>, end| family.get(&ByEnd { end }).map_or(0, |count| count.get());
        let by_code =
            |code: &ErrorCode| self.errors.get(&ByCode { code: code.as_str() }).map_or(0, |count| count.get());
        Figures {
            uptime_seconds: self.since.elapsed().as_secs(),
            connections: self.connections.get(),
            published: self.published.get(),
            delivered: self.delivered.get(),
            received: self.received.messages(),
            closed: self.closed_by_code(),
            recovered: ended(&self.recoveries, "recovered") + ended(&self.holes, "filled"),
            gaps: ended(&self.recoveries, "gap") + ended(&self.holes, "gap"),
            rate_limited: self.refused.get(),
            errors: ErrorCode::ALL.iter().map(by_code).sum(),
        }
    }

    fn closed_by_code(&self) -> BTreeMap<u16, u64> {
        let codes = CloseCode::ALL.iter().map(|code| code.code()).chain([0, 1001, 1005, 1006]);
        let counted = |code| Some((code, self.closed.get(&ByCloseCode { code })?.get()));
        codes.filter_map(counted).collect()
    }
}
