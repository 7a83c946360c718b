//! What operators call: health, metrics, statistics, limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{ErrorCode, InvalidId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::{Caller, name_in, respond};
use crate::hub::ConnectionId;
use crate::node::Node;
use crate::revocation::{MAX_TOKEN_ID, Revoked};

/// Connections and rooms, as the original counted them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Authenticated connections.
    pub total_clients: usize,
    /// Rooms with members.
    pub total_rooms: usize,
    /// Members of each of them.
    pub clients_per_room: BTreeMap<String, usize>,
}

/// How many connections were closed.
#[derive(Serialize)]
struct DisconnectAnswer {
    disconnected: usize,
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

impl Stats {
    /// Of all together.
    pub(crate) fn sum(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut sum = Self::default();
        for part in parts {
            sum.total_clients += part.total_clients;
            for (room, members) in part.clients_per_room {
                *sum.clients_per_room.entry(room).or_default() += members;
            }
        }
        sum.total_rooms = sum.clients_per_room.len();
        sum
    }
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
    let outcome = stats_of_all(&node, Caller::of(&node, &request)).await;
    respond(&node, outcome)
}

async fn stats_of_all(node: &Node, caller: Result<Caller, Problem>) -> Result<Response, Problem> {
    caller?.check_admin(node).await?;
    let stats = node.all_stats().await.map_err(Problem::of)?;
    Ok(Json(StatsAnswer { data: StatsData { stats, timestamp: node.clock.now() } }).into_response())
}

/// `GET /api/v1/ws/rate-limits`.
pub(super) async fn rate_limits(State(node): State<Arc<Node>>, request: Request) -> Response {
    let outcome = usage_of_all(&node, Caller::of(&node, &request)).await;
    respond(&node, outcome)
}

async fn usage_of_all(node: &Node, caller: Result<Caller, Problem>) -> Result<Response, Problem> {
    caller?.check_admin(node).await?;
    Ok(Json(node.all_message_usage().await.map_err(Problem::of)?).into_response())
}

/// `DELETE /api/v1/ws/rate-limits/{connectionId}`.
pub(super) async fn reset_rate_limit(
    State(node): State<Arc<Node>>,
    connection: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let outcome = reset(&node, &name_in(connection), Caller::of(&node, &request)).await;
    respond(&node, outcome)
}

async fn reset(node: &Node, connection: &str, caller: Result<Caller, Problem>) -> Result<Response, Problem> {
    caller?.check_admin(node).await?;
    let unknown = || Problem::bare(StatusCode::NOT_FOUND);
    let connection: ConnectionId = connection.parse().map_err(|_| unknown())?;
    let found = node.reset_messages_anywhere(connection).await.map_err(Problem::of)?;
    if found > 0 { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(unknown()) }
}

/// `POST /api/v1/users/{userId}/disconnect`.
pub(super) async fn disconnect(
    State(node): State<Arc<Node>>,
    user: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let outcome = disconnect_user(&node, &name_in(user), Caller::of(&node, &request)).await;
    respond(&node, outcome)
}

async fn disconnect_user(node: &Node, user: &str, caller: Result<Caller, Problem>) -> Result<Response, Problem> {
    caller?.check_admin_token(node).await?;
    let user: UserId = user
        .parse()
        .map_err(|error: InvalidId| Problem::of(ErrorPayload::new(ErrorCode::InvalidRoom, error.to_string())))?;
    revoke(node, Revoked::User { user, second: node.clock.now().as_millis() / 1000 }).await
}

/// `POST /api/v1/tokens/{jti}/revoke`.
pub(super) async fn revoke_token(
    State(node): State<Arc<Node>>,
    token: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let outcome = revoke_by_id(&node, name_in(token), Caller::of(&node, &request)).await;
    respond(&node, outcome)
}

async fn revoke_by_id(node: &Node, id: String, caller: Result<Caller, Problem>) -> Result<Response, Problem> {
    caller?.check_admin_token(node).await?;
    if !(1..=MAX_TOKEN_ID).contains(&id.len()) {
        let problem = format!("a token's id has 1 to {MAX_TOKEN_ID} bytes");
        return Err(Problem::of(ErrorPayload::new(ErrorCode::InvalidMessage, problem)));
    }
    revoke(node, Revoked::Token(id)).await
}

async fn revoke(node: &Node, revoked: Revoked) -> Result<Response, Problem> {
    let disconnected = node.revoke(revoked).await.map_err(Problem::of)?;
    Ok(Json(DisconnectAnswer { disconnected }).into_response())
}
