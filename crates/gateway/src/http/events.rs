//! Publishing over HTTP.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Json, Response};
use futures_util::future::join_all;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use roomcast_protocol::http::{BatchAnswer, BatchResult, EventBody};
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{ErrorCode, Published, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::problem::Problem;
use super::{Caller, MAX_BODY, name_in, respond};
use crate::auth::Identity;
use crate::limits::Kind;
use crate::limits::meters::Accounts;
use crate::node::Node;
use crate::publication::Draft;
use crate::publish::Author;
use crate::session::rate_limit_exceeded;

/// Events in one batch.
const MAX_BATCH: usize = 1000;

/// Events of a batch that are published without waiting for each other's outcomes. `join_all` begins so many in their order.
const AT_ONCE: usize = 30;

/// How long a body may take; what comes more slowly holds a task and a buffer for nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// `POST /api/v1/events`.
pub(super) async fn publish(State(node): State<Arc<Node>>, request: Request) -> Response {
    let outcome = publish_body(&node, request).await;
    respond(&node, outcome)
}

/// `POST /api/v1/users/{userId}/events`.
pub(super) async fn publish_to_user(
    State(node): State<Arc<Node>>,
    user: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let outcome = publish_user_body(&node, &name_in(user), request).await;
    respond(&node, outcome)
}

async fn publish_body(node: &Node, request: Request) -> Result<Response, Problem> {
    let (publisher, body) = publisher(node, request).await?;
    let body = text(&body).map_err(Problem::of)?;
    match batch(body).map_err(Problem::of)? {
        Some(events) if events.len() > MAX_BATCH => Err(Problem::of(ErrorPayload::new(
            ErrorCode::LimitExceeded,
            format!("at most {MAX_BATCH} events in one call"),
        ))),
        Some(events) => Ok(Json(publish_batch(node, &publisher, events).await).into_response()),
        None => Ok(Json(publish_one(node, &publisher, body).await.map_err(Problem::of)?).into_response()),
    }
}

/// The events of a body that has several. Which of the two it is shows in the names of the fields alone.
fn batch(body: &str) -> Result<Option<Vec<&RawValue>>, ErrorPayload> {
    #[derive(Deserialize)]
    struct Batch<'a> {
        #[serde(borrow)]
        events: Option<Vec<&'a RawValue>>,
    }
    // Most bodies are one event, and have the name nowhere, nor what could be the name when it is written with escapes.
    if body.contains("\"events\"") || body.contains('\\') { Ok(parse::<Batch<'_>>(body)?.events) } else { Ok(None) }
}

async fn publish_user_body(node: &Node, user: &str, request: Request) -> Result<Response, Problem> {
    let (publisher, body) = publisher(node, request).await?;
    let user: UserId = user.parse().map_err(|error: roomcast_protocol::InvalidId| {
        Problem::of(ErrorPayload::new(ErrorCode::InvalidRoom, error.to_string()))
    })?;
    let event: EventBody = object(&body)?;
    if event.rooms.is_some() {
        let error = ErrorPayload::new(ErrorCode::InvalidPayload, "the room is the user's own");
        return Err(Problem::of(ErrorPayload { pointer: Some("/rooms".into()), ..error }));
    }
    let event = EventBody { rooms: Some(vec![user.room().to_string()]), ..event };
    publisher.charge(node, Kind::Publishes, 1).map_err(Problem::of)?;
    let published = node.publish(Author::Http(&publisher.identity), event.into()).await.map_err(Problem::of)?;
    Ok(Json(published).into_response())
}

/// Publishes events in their order, each with its own outcome.
async fn publish_batch(node: &Node, publisher: &Publisher, events: Vec<&RawValue>) -> BatchAnswer {
    let mut results = Vec::with_capacity(events.len());
    let mut events = events.into_iter();
    // The first one by itself: where Redis has to be taught its scripts, nothing overtakes it meanwhile.
    let mut at_once = 1;
    while events.len() > 0 {
        let mut publishing = Vec::with_capacity(at_once);
        for event in events.by_ref().take(at_once) {
            let draft = draft_one(node, publisher, event.get()).await;
            publishing.push(async move { node.publish_draft(draft?).await });
        }
        // Begun in their order, and so placed in it.
        let outcomes = join_all(publishing).await;
        results.extend(outcomes.into_iter().map(|outcome| match outcome {
            Ok(published) => BatchResult::Published(published),
            Err(refusal) => BatchResult::Refused(refusal),
        }));
        at_once = AT_ONCE;
    }
    BatchAnswer { results }
}

async fn publish_one(node: &Node, publisher: &Publisher, event: &str) -> Result<Published, ErrorPayload> {
    node.publish_draft(draft_one(node, publisher, event).await?).await
}

async fn draft_one(node: &Node, publisher: &Publisher, event: &str) -> Result<Draft, ErrorPayload> {
    publisher.charge(node, Kind::Publishes, 1)?;
    let event: EventBody = parse(event)?;
    node.draft(Author::Http(&publisher.identity), event.into()).await
}

/// Who publishes, and what it is counted against.
struct Publisher {
    identity: Arc<Identity>,
    accounts: Accounts,
}

impl Publisher {
    fn charge(&self, node: &Node, kind: Kind, count: usize) -> Result<(), ErrorPayload> {
        let charged = node.meters.charge(&self.accounts, &self.identity.raised, &[(kind, count)]);
        charged.map_err(|exceeded| {
            node.metrics.rate_limited(exceeded.scope.name(), exceeded.kind.name());
            rate_limit_exceeded(exceeded.retry_after)
        })
    }
}

/// Who calls, and the body, which is counted.
async fn publisher(node: &Node, request: Request) -> Result<(Publisher, Bytes), Problem> {
    let caller = Caller::of(node, &request)?;
    let address = caller.address;
    let identity = caller.authenticate(node).await?;
    let accounts = node.meters.of_call(&identity.user, address);
    let publisher = Publisher { identity, accounts };
    let body = read_body(request).await?;
    publisher.charge(node, Kind::Bytes, body.len()).map_err(Problem::of)?;
    Ok((publisher, body))
}

/// The whole body, if it is not too large and does not take too long.
pub(super) async fn read_body(request: Request) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::of(ErrorPayload::new(ErrorCode::LimitExceeded, "the body has more than 1 MiB")))
        }
        Ok(Err(_)) => Err(Problem::of(ErrorPayload::new(ErrorCode::InvalidMessage, "the body could not be read"))),
        Err(_) => Err(Problem::of(ErrorPayload::new(ErrorCode::InvalidMessage, "the body did not come in time"))),
    }
}

/// A JSON object of the body.
pub(super) fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    text(body).and_then(parse).map_err(Problem::of)
}

/// JSON is UTF-8 (RFC 8259 section 8.1). What is known to be is read faster.
fn text(body: &[u8]) -> Result<&str, ErrorPayload> {
    std::str::from_utf8(body).map_err(unexpected)
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, ErrorPayload> {
    // A derived struct would also take an array, field by field.
    if !json.trim_ascii_start().starts_with('{') {
        return Err(ErrorPayload::new(ErrorCode::InvalidMessage, "expected a JSON object"));
    }
    serde_json::from_str(json).map_err(unexpected)
}

fn unexpected(error: impl Display) -> ErrorPayload {
    ErrorPayload::new(ErrorCode::InvalidMessage, format!("not as expected: {error}"))
}
