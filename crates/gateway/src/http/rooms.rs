//! What is kept of a room, and who is in it.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Json, Response};
use roomcast_protocol::server::{ErrorPayload, GapReason};
use roomcast_protocol::{ErrorCode, Operation, Position, Room};
use serde::Serialize;
use serde_json::value::RawValue;

use super::problem::Problem;
use super::{Caller, name_in, respond};
use crate::node::{Node, unavailable};
use crate::presence::StateView;
use crate::publish::parse_room;

/// Events in one page when the caller does not say.
const DEFAULT_LIMIT: usize = 100;

/// Events in one page at most.
const MAX_LIMIT: usize = 1000;

#[derive(Serialize)]
struct HistoryAnswer {
    events: Vec<Box<RawValue>>,
    position: Position,
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<GapReason>,
}

/// What of a room's history is wanted.
struct Wanted {
    since: Option<Position>,
    limit: usize,
}

/// `GET /api/v1/rooms/{room}/history`.
pub(super) async fn history(
    State(node): State<Arc<Node>>,
    room: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let outcome = history_of(&node, &name_in(room), Caller::of(&node, &request), wanted(&request)).await;
    respond(&node, outcome)
}

/// `GET /api/v1/rooms/{room}/presence`.
pub(super) async fn presence(
    State(node): State<Arc<Node>>,
    room: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let outcome = members(&node, &name_in(room), Caller::of(&node, &request)).await;
    respond(&node, outcome)
}

async fn members(node: &Node, room: &str, caller: Result<Caller, Problem>) -> Result<Response, Problem> {
    let room = granted(node, room, caller?, &Operation::Presence).await?;
    let roster = node.presence.roster(&room).await.map_err(unavailable).map_err(Problem::of)?;
    Ok(Json(StateView::new(&room, &roster)).into_response())
}

async fn history_of(
    node: &Node,
    room: &str,
    caller: Result<Caller, Problem>,
    wanted: Result<Wanted, Problem>,
) -> Result<Response, Problem> {
    let room = granted(node, room, caller?, &Operation::History).await?;
    read(node, room, wanted?).await
}

/// The room, when the caller may do that there.
async fn granted(node: &Node, room: &str, caller: Caller, operation: &Operation) -> Result<Room, Problem> {
    let identity = caller.authenticate(node).await?;
    let room = parse_room(&node.config, room).map_err(Problem::of)?;
    node.check_right(&identity, &room, operation).await.map_err(Problem::of)?;
    Ok(room)
}

async fn read(node: &Node, room: Room, Wanted { since, limit }: Wanted) -> Result<Response, Problem> {
    let pages = node.broker.history(vec![(room.clone(), since)], limit).await;
    let page = pages.map_err(unavailable).map_err(Problem::of)?.into_iter().next();
    let page = page.ok_or_else(|| Problem::internal("the broker has answered nothing"))?;
    let frames = page.publications.iter().map(|event| event.frame(event.only(&room)).as_str().to_owned());
    let events = frames.filter_map(|frame| RawValue::from_string(frame).ok()).collect();
    Ok(Json(HistoryAnswer { events, position: page.position, more: page.more, gap: page.gap }).into_response())
}

fn wanted(request: &Request) -> Result<Wanted, Problem> {
    let invalid = |detail: &str| Problem::of(ErrorPayload::new(ErrorCode::InvalidMessage, detail));
    let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let Query(pairs) = query.map_err(|_| invalid("the query is malformed"))?;
    let mut wanted = Wanted { since: None, limit: DEFAULT_LIMIT };
    for (name, value) in pairs {
        match name.as_str() {
            "since" => wanted.since = Some(value.parse().map_err(|_| invalid("since is not a position"))?),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                wanted.limit = limit.ok_or_else(|| invalid("limit is a number from 1 to 1000"))?;
            }
            _ => {}
        }
    }
    Ok(wanted)
}
