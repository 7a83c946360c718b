//! Shutdown, in one sentence: not ready at once, upgrades accepted for `DRAIN_DELAY`, then refused, every connection closed
//! with 1012 one after the other, whatever is left when the time is over is dropped, and the other nodes are told at last.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::seq::SliceRandom;
use roomcast_protocol::CloseCode;
use tokio::time::Instant;

use crate::node::Node;
use crate::outbox::Closing;
use crate::session::millis;

/// Time between two closes, at most: few connections are done quickly.
const MOST_PACE: Duration = Duration::from_millis(2);

/// The part of the drain that closing takes; the rest is for clients to read their close frame.
const CLOSING_PART: f64 = 0.8;

/// How long connections may take to end when the drain has no time of its own.
const LEAST_GRACE: Duration = Duration::from_millis(700);

/// Drains the node. Bounded by the configured drain, or by a moment if that is zero.
pub(crate) async fn drain(node: &Arc<Node>) {
    let start = Instant::now();
    let drain = node.config.drain;
    node.begin_drain();
    tracing::info!(connections = node.connections().len(), ?drain, "draining");
    tokio::time::sleep(node.config.drain_delay).await;
    node.refuse_upgrades();
    close_all(node, start).await;
    node.stop.cancel();
    node.tasks.close();
    let deadline = start + drain.max(LEAST_GRACE);
    if tokio::time::timeout_at(deadline, node.tasks.wait()).await.is_err() {
        tracing::warn!(connections = node.connections().len(), "time is over, connections dropped");
    }
    node.presence.retire().await;
}

/// Closes every connection, in an order of chance and at an even pace.
async fn close_all(node: &Arc<Node>, start: Instant) {
    let drain = node.config.drain;
    let mut connections = node.connections();
    connections.shuffle(&mut rand::rng());
    let left = drain.saturating_sub(start.elapsed()).mul_f64(CLOSING_PART);
    let pace = (left / u32::try_from(connections.len().max(1)).unwrap_or(u32::MAX)).min(MOST_PACE);
    let mut next = Instant::now();
    for connection in connections {
        // Spread over the same time again, so that the wave does not arrive elsewhere as one.
        let retry_after = rand::rng().random_range(Duration::ZERO..=drain);
        connection.outbox.close(Closing { code: CloseCode::ServiceRestart, retry_after_ms: Some(millis(retry_after)) });
        next += pace;
        // The timer is no finer than a millisecond: closes that are due together go together.
        if next > Instant::now() + Duration::from_millis(1) {
            tokio::time::sleep_until(next).await;
        }
    }
}
