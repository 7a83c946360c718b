//! Connections one by one: which there are, and what can be done to one of them.
//!
//! Owns the calls. Closing reaches every node; the list, and what only `dev` has to try an application with, are of this one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{ErrorCode, Room, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::events::{object, read_body};
use super::page::{self, DEFAULT_LIMIT};
use super::problem::Problem;
use super::{Caller, name_in, respond};
use crate::hub::ConnectionId;
use crate::node::{Handle, Node, TooManySlowed};
use crate::outbox::Closing;

/// Rooms in one page of connections: a page with more ends early.
const MAX_ROOMS: usize = 10_000;

/// The longest delay of a write, in milliseconds.
const MAX_DELAY_MS: u64 = 60_000;

#[derive(Serialize)]
struct ListAnswer {
    connections: Vec<Listed>,
    more: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    connection_id: String,
    /// `None` as long as it has not said who it is.
    user_id: Option<UserId>,
    rooms: Vec<Room>,
    /// Bytes that wait for it.
    queue_bytes: usize,
    connected_at: Option<Timestamp>,
    /// Where its client is, as far as the gateway believes it.
    address: String,
    /// What each write to it waits, in milliseconds, where a developer has slowed it down.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u128>,
}

/// Which connections are wanted.
struct Wanted {
    after: Option<ConnectionId>,
    user: Option<UserId>,
    limit: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slowness {
    delay_ms: u64,
}

/// `GET /api/v1/connections`.
pub(super) async fn list(State(node): State<Arc<Node>>, request: Request) -> Response {
    let outcome = page_of(&node, Caller::of(&node, &request), wanted(&request)).await;
    respond(&node, outcome)
}

async fn page_of(
    node: &Node,
    caller: Result<Caller, Problem>,
    wanted: Result<Wanted, Problem>,
) -> Result<Response, Problem> {
    caller?.check_admin(node).await?;
    let Wanted { after, user, limit } = wanted?;
    let is_wanted = |handle: &Handle| user.as_ref().is_none_or(|user| handle.is_of(user));
    let found = node.connections_after(after, limit + 1, is_wanted).await;
    let (mut connections, mut rooms) = (Vec::new(), 0);
    for handle in found.iter().take(limit) {
        let listed = Listed::of(node, handle);
        rooms += listed.rooms.len();
        if rooms > MAX_ROOMS && !connections.is_empty() {
            break;
        }
        connections.push(listed);
    }
    let more = connections.len() < found.len();
    Ok(Json(ListAnswer { connections, more }).into_response())
}

fn wanted(request: &Request) -> Result<Wanted, Problem> {
    let mut wanted = Wanted { after: None, user: None, limit: DEFAULT_LIMIT };
    for (name, value) in page::pairs(request)? {
        match name.as_str() {
            "after" => wanted.after = Some(value.parse().map_err(|_| page::invalid("after is not a connection's id"))?),
            "user" => wanted.user = Some(value.parse().map_err(|_| page::invalid("user is not a user's id"))?),
            "limit" => wanted.limit = page::limit(&value)?,
            _ => {}
        }
    }
    Ok(wanted)
}

impl Listed {
    fn of(node: &Node, handle: &Handle) -> Self {
        Self {
            connection_id: handle.id.to_string(),
            user_id: handle.identity().map(|identity| identity.user.clone()),
            rooms: node.hub.rooms_of_any(handle.key, handle.id, MAX_ROOMS),
            queue_bytes: handle.outbox.bytes(),
            connected_at: handle.id.began_at().and_then(|at| Timestamp::from_millis(at).ok()),
            address: handle.address.to_string(),
            delay_ms: node.slowed.delay(&handle.outbox).map(|delay| delay.as_millis()),
        }
    }
}

/// `POST /api/v1/connections/{connectionId}/disconnect`.
pub(super) async fn disconnect(
    State(node): State<Arc<Node>>,
    connection: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let outcome = close(&node, &name_in(connection), Caller::of(&node, &request)).await;
    respond(&node, outcome)
}

async fn close(node: &Node, connection: &str, caller: Result<Caller, Problem>) -> Result<Response, Problem> {
    caller?.check_admin_token(node).await?;
    let connection = connection.parse().map_err(|_| unknown())?;
    match node.disconnect(connection).await.map_err(Problem::of)? {
        0 => Err(unknown()),
        disconnected => Ok(Json(json!({"disconnected": disconnected})).into_response()),
    }
}

/// `POST /dev/connections/{connectionId}/drop`: ends the TCP connection without a word, as if the network had gone.
pub(super) async fn cut(
    State(node): State<Arc<Node>>,
    connection: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let outcome = break_off(&node, &name_in(connection), Caller::of(&node, &request)).await;
    respond(&node, outcome)
}

async fn break_off(node: &Node, connection: &str, caller: Result<Caller, Problem>) -> Result<Response, Problem> {
    caller?.check_admin_token(node).await?;
    local(node, connection)?.outbox.close(Closing::CUT);
    Ok(Json(json!({"dropped": true})).into_response())
}

/// `POST /dev/connections/{connectionId}/slow`: has each write to the connection wait.
pub(super) async fn slow(
    State(node): State<Arc<Node>>,
    connection: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let outcome = slow_down(&node, &name_in(connection), request).await;
    respond(&node, outcome)
}

async fn slow_down(node: &Node, connection: &str, request: Request) -> Result<Response, Problem> {
    Caller::of(node, &request)?.check_admin_token(node).await?;
    let body = read_body(request).await?;
    let Slowness { delay_ms } = object(&body)?;
    if delay_ms > MAX_DELAY_MS {
        let problem = format!("delayMs is a number from 0 to {MAX_DELAY_MS}");
        return Err(Problem::of(ErrorPayload::new(ErrorCode::InvalidMessage, problem)));
    }
    let handle = local(node, connection)?;
    node.slowed.set(&handle.outbox, Duration::from_millis(delay_ms)).map_err(|TooManySlowed| {
        Problem::of(ErrorPayload::new(ErrorCode::LimitExceeded, "too many connections are slow already"))
    })?;
    Ok(Json(json!({"delayMs": delay_ms})).into_response())
}

/// A connection of this node.
fn local(node: &Node, connection: &str) -> Result<Arc<Handle>, Problem> {
    let id = connection.parse().map_err(|_| unknown())?;
    node.connection(id).ok_or_else(unknown)
}

fn unknown() -> Problem {
    Problem::bare(StatusCode::NOT_FOUND)
}
