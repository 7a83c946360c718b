//! What operators call: health, metrics, statistics, limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use roomcast_protocol::Timestamp;
use serde::Serialize;

use super::problem::Problem;
use super::{authenticate_admin, name_in, respond};
use crate::hub::ConnectionId;
use crate::node::Node;

/// Connections and rooms, as the original counted them.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Authenticated connections.
    pub total_clients: usize,
    /// Rooms with members.
    pub total_rooms: usize,
    /// Members of each of them.
    pub clients_per_room: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct StatsAnswer {
    data: StatsData,
}

#[derive(Serialize)]
struct StatsData {
    stats: Stats,
    timestamp: Timestamp,
}

impl Node {
    /// Connections and rooms of this node.
    pub(crate) fn stats(&self) -> Stats {
        let clients_per_room: BTreeMap<String, usize> =
            self.hub.rooms().into_iter().map(|(room, members)| (room.to_string(), members)).collect();
        Stats { total_clients: self.total_clients(), total_rooms: clients_per_room.len(), clients_per_room }
    }
}

/// `GET /livez`: the process runs.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: new connections are welcome.
pub(super) async fn ready(State(node): State<Arc<Node>>) -> Response {
    if node.is_ready() {
        "ready\n".into_response()
    } else {
        Problem::unavailable("the node drains, or its broker is away").into_response()
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(node): State<Arc<Node>>) -> Response {
    node.metrics.rooms.set(i64::try_from(node.hub.total_rooms()).unwrap_or(i64::MAX));
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], node.metrics.encode()).into_response()
}

/// `GET /schema/schema.json`: the JSON Schema of every frame.
pub(super) async fn schema() -> Response {
    const SCHEMA: &str = include_str!("../../../../protocol-schema/schema.json");
    ([(header::CONTENT_TYPE, "application/schema+json")], SCHEMA).into_response()
}

/// `GET /api/v1/ws/stats`.
pub(super) async fn stats(State(node): State<Arc<Node>>, request: Request) -> Response {
    let answer =
        || Json(StatsAnswer { data: StatsData { stats: node.stats(), timestamp: node.clock.now() } }).into_response();
    respond(&node, authenticate_admin(&node, &request).map(|()| answer()))
}

/// `GET /api/v1/ws/rate-limits`.
pub(super) async fn rate_limits(State(node): State<Arc<Node>>, request: Request) -> Response {
    respond(&node, authenticate_admin(&node, &request).map(|()| Json(node.message_usage()).into_response()))
}

/// `DELETE /api/v1/ws/rate-limits/{connectionId}`.
pub(super) async fn reset_rate_limit(
    State(node): State<Arc<Node>>,
    connection: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let reset = || {
        let is_known = name_in(connection).parse::<ConnectionId>().is_ok_and(|id| node.reset_messages(id));
        if is_known { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(Problem::bare(StatusCode::NOT_FOUND)) }
    };
    respond(&node, authenticate_admin(&node, &request).and_then(|()| reset()))
}
