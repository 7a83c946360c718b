//! What is kept of a room, and who is in it.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Json, Response};
use roomcast_protocol::server::GapReason;
use roomcast_protocol::{Operation, Position, Room};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::yield_now;

use super::page::{self, DEFAULT_LIMIT};
use super::problem::Problem;
use super::{Caller, name_in, respond};
use crate::hub::RoomPage;
use crate::node::{Node, unavailable};
use crate::presence::StateView;
use crate::publish::parse_room;

#[derive(Serialize)]
struct HistoryAnswer {
    events: Vec<Box<RawValue>>,
    position: Position,
    more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<GapReason>,
}

#[derive(Serialize)]
struct ListAnswer {
    rooms: Vec<Listed>,
    more: bool,
}

#[derive(Serialize)]
struct Listed {
    room: Room,
    /// Connections of this node.
    members: usize,
    /// Where the room has come to; `None` while the broker is away.
    position: Option<Position>,
}

/// What of a room's history is wanted.
struct Wanted {
    since: Option<Position>,
    limit: usize,
}

/// `GET /api/v1/rooms`: those with members on this node.
pub(super) async fn list(State(node): State<Arc<Node>>, request: Request) -> Response {
    let outcome = page_of_rooms(&node, Caller::of(&node, &request), rooms_wanted(&request)).await;
    respond(&node, outcome)
}

async fn page_of_rooms(
    node: &Node,
    caller: Result<Caller, Problem>,
    wanted: Result<(Option<String>, usize), Problem>,
) -> Result<Response, Problem> {
    caller?.check_admin(node).await?;
    let (after, limit) = wanted?;
    let mut page = RoomPage::new(after, limit + 1);
    while node.hub.look(&mut page) {
        yield_now().await;
    }
    let more = page.rooms.len() > limit;
    let names: Vec<Room> = page.rooms.keys().take(limit).cloned().collect();
    // Without the broker the list is still worth having.
    let positions = node.broker.positions(names).await.unwrap_or_default();
    let positions = positions.into_iter().map(Some).chain(std::iter::repeat(None));
    let rooms = page.rooms.into_iter().take(limit).zip(positions);
    let rooms = rooms.map(|((room, members), position)| Listed { room, members, position }).collect();
    Ok(Json(ListAnswer { rooms, more }).into_response())
}

/// Behind which room, and how many.
fn rooms_wanted(request: &Request) -> Result<(Option<String>, usize), Problem> {
    let (mut after, mut limit) = (None, DEFAULT_LIMIT);
    for (name, value) in page::pairs(request)? {
        match name.as_str() {
            "after" => after = Some(value),
            "limit" => limit = page::limit(&value)?,
            _ => {}
        }
    }
    Ok((after, limit))
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
    let mut wanted = Wanted { since: None, limit: DEFAULT_LIMIT };
    for (name, value) in page::pairs(request)? {
        match name.as_str() {
            "since" => wanted.since = Some(value.parse().map_err(|_| page::invalid("since is not a position"))?),
            "limit" => wanted.limit = page::limit(&value)?,
            _ => {}
        }
    }
    Ok(wanted)
}
