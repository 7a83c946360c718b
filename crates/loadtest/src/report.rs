//! What a run has found, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::ser::SerializeMap as _;

use crate::histogram::Histogram;
use crate::ledger::Verdict;
use crate::process::Cost;
use crate::protocol::Protocol;

/// What a run has found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The scenario.
    pub scenario: &'static str,
    /// What the server speaks.
    pub protocol: Protocol,
    /// What was measured.
    pub figures: Figures,
    /// What was lost, doubled or out of order.
    pub verdict: Verdict,
    /// Connections that ended before the run did: why, and how many.
    pub ended: BTreeMap<String, u64>,
    /// Statuses of publishes that were refused, and how many; 0: the connection was lost.
    pub refused: BTreeMap<u16, u64>,
}

/// What was measured, in the order of a table. Names end in their unit.
#[derive(Debug, Default)]
pub struct Figures(Vec<(String, f64)>);

impl Figures {
    /// Adds one.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64) {
        self.0.push((name.into(), value));
    }

    /// Adds the cost of one of so many things, with its parts.
    pub(crate) fn add_cost(&mut self, name: &str, cost: Cost, count: f64) {
        if count > 0.0 {
            let Cost { total, user, system } = cost.per(count);
            self.add(format!("{name}_us"), total);
            self.add(format!("{name}_user_us"), user);
            self.add(format!("{name}_system_us"), system);
        }
    }

    /// Adds percentiles of latencies.
    pub(crate) fn add_latency(&mut self, name: &str, latency: &Histogram) {
        if latency.count() == 0 {
            return;
        }
        for (suffix, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            self.add(format!("{name}_{suffix}_us"), latency.quantile(share) as f64 / 1000.0);
        }
        self.add(format!("{name}_max_us"), latency.largest() as f64 / 1000.0);
    }

    /// A figure by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

impl Serialize for Figures {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Report {
    /// Whether everybody got everything, once, in one order, and nobody was turned away.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.verdict.is_clean() && self.ended.is_empty() && self.refused.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} ({:?})", self.scenario, self.protocol)?;
        for (name, value) in &self.figures.0 {
            writeln!(out, "  {name:<44} {:>16}", number(*value))?;
        }
        let Verdict { losses, duplicates, order_violations, strangers } = self.verdict;
        for (name, count) in [
            ("losses", losses),
            ("duplicates", duplicates),
            ("order_violations", order_violations),
            ("events_of_other_rooms", strangers),
        ] {
            writeln!(out, "  {name:<44} {count:>16}")?;
        }
        for (reason, count) in &self.ended {
            writeln!(out, "  connections ended, {reason}: {count}")?;
        }
        for (status, count) in &self.refused {
            writeln!(out, "  publishes refused with {status}: {count}")?;
        }
        Ok(())
    }
}

/// With as many places behind the point as say something.
fn number(value: f64) -> String {
    let places = if value.abs() >= 1000.0 || value == value.trunc() { 0 } else { 3 };
    format!("{value:.places$}")
}
