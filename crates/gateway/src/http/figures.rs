//! Figures: what this node counts and holds, for a page that shows it live.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Json, Response};
use roomcast_protocol::Timestamp;
use serde::Serialize;

use super::problem::Problem;
use super::{Caller, respond};
use crate::metrics::Figures;
use crate::node::Node;

#[derive(Serialize)]
struct Answer {
    data: Data,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    /// Whose figures these are; those of other nodes are theirs.
    scope: &'static str,
    timestamp: Timestamp,
    #[serde(flatten)]
    figures: Figures,
    /// Rooms with members, now.
    rooms: usize,
    /// Bytes that wait for all connections together, now.
    queue_bytes: usize,
}

/// `GET /api/v1/figures`.
pub(super) async fn figures(State(node): State<Arc<Node>>, request: Request) -> Response {
    let outcome = of_node(&node, Caller::of(&node, &request)).await;
    respond(&node, outcome)
}

async fn of_node(node: &Node, caller: Result<Caller, Problem>) -> Result<Response, Problem> {
    caller?.check_admin(node).await?;
    let data = Data {
        scope: "node",
        timestamp: node.clock.now(),
        figures: node.metrics.figures(),
        rooms: node.hub.total_rooms(),
        queue_bytes: node.queue_bytes().await,
    };
    Ok(Json(Answer { data }).into_response())
}
