//! The HTTP API of a fake gateway: publishing, alone and in batches.
//!
//! Owns how an answer and a refusal are put into HTTP. Refuses all other calls of the real one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use roomcast_protocol::http::{BatchAnswer, BatchResult, EventBody, Problem};
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{ErrorCode, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Refusal;
use super::identity::Claims;
use super::record::Source;
use super::serve::bearer;
use super::submission::{Author, refusal};
use super::world::{Shared, World};

/// As much as one call may bring.
const MAX_BODY: usize = 1 << 20;
const MAX_BATCH: usize = 1000;

type Answer = Response<Full<Bytes>>;

/// Whether events are published there; and into whose room, where the path says that.
pub(super) fn publish_path(path: &str) -> Option<Option<&str>> {
    if path == "/api/v1/events" {
        return Some(None);
    }
    let user = path.strip_prefix("/api/v1/users/")?.strip_suffix("/events")?;
    Some(Some(user))
}

/// Publishes one event or several.
pub(super) async fn publish(shared: &Arc<Shared>, user: Option<String>, request: Request<Incoming>) -> Answer {
    let claims = shared.with(|world| match bearer(request.headers()) {
        Some(token) => world.check(token),
        None => Err(ErrorPayload::new(ErrorCode::Unauthorized, "a token is required")),
    });
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    hold_up(shared).await;
    let answer = claims.and_then(|claims| {
        let body = body.map_err(|error| unread(error.is::<LengthLimitError>()))?.to_bytes();
        shared.with(|world| match user {
            Some(user) => world.publish_to(&claims, &user, &body),
            None => world.publish_body(&claims, &body),
        })
    });
    answer.map_or_else(problem, |json| respond(StatusCode::OK, "application/json", json))
}

fn unread(is_too_large: bool) -> ErrorPayload {
    if is_too_large {
        ErrorPayload::new(ErrorCode::LimitExceeded, "the body has more than 1 MiB")
    } else {
        ErrorPayload::new(ErrorCode::InvalidMessage, "the body could not be read")
    }
}

/// Waits as long as the test wants answers to wait.
async fn hold_up(shared: &Shared) {
    tokio::time::sleep(shared.look(|world| world.delay)).await;
    let mut news = shared.news.subscribe();
    while shared.look(|world| world.is_stalled) {
        if news.changed().await.is_err() {
            return;
        }
    }
}

impl World {
    fn publish_body(&mut self, claims: &Claims, body: &[u8]) -> Result<Vec<u8>, ErrorPayload> {
        // Which of the two it is shows in the names of the fields alone.
        #[derive(Deserialize)]
        struct Batch<'a> {
            #[serde(borrow)]
            events: Option<Vec<&'a RawValue>>,
        }
        match object::<Batch<'_>>(body)?.events {
            Some(events) if events.len() > MAX_BATCH => {
                let message = format!("at most {MAX_BATCH} events in one call");
                Err(ErrorPayload::new(ErrorCode::LimitExceeded, message))
            }
            Some(events) => {
                let mut one = |event: &RawValue| {
                    let event: EventBody = object(event.get().as_bytes())?;
                    self.publish(Author::Http(claims), event, Some(Source::Http))
                };
                let results = events.into_iter().map(|event| match one(event) {
                    Ok(published) => BatchResult::Published(published),
                    Err(refusal) => BatchResult::Refused(refusal),
                });
                json(&BatchAnswer { results: results.collect() })
            }
            None => json(&self.publish(Author::Http(claims), object(body)?, Some(Source::Http))?),
        }
    }

    fn publish_to(&mut self, claims: &Claims, user: &str, body: &[u8]) -> Result<Vec<u8>, ErrorPayload> {
        let user: UserId = user.parse().map_err(|error: roomcast_protocol::InvalidId| {
            ErrorPayload::new(ErrorCode::InvalidRoom, error.to_string())
        })?;
        let event: EventBody = object(body)?;
        if event.rooms.is_some() {
            return Err(refusal(ErrorCode::InvalidPayload, "/rooms", "the room is the user's own"));
        }
        let event = EventBody { rooms: Some(vec![user.room().to_string()]), ..event };
        json(&self.publish(Author::Http(claims), event, Some(Source::Http))?)
    }
}

/// A derived struct would also take an array, field by field.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ErrorPayload> {
    let invalid = |message: String| ErrorPayload::new(ErrorCode::InvalidMessage, message);
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(invalid("expected a JSON object".into()));
    }
    serde_json::from_slice(json).map_err(|error| invalid(format!("not as expected: {error}")))
}

fn json(answer: &impl Serialize) -> Result<Vec<u8>, ErrorPayload> {
    serde_json::to_vec(answer).map_err(|error| ErrorPayload::new(ErrorCode::UnknownError, error.to_string()))
}

/// The answer to an upgrade that the test wants refused.
pub(super) fn refused_upgrade(refusal: Refusal) -> Answer {
    let (code, message, retry_after) = match refusal {
        Refusal::Forbidden => (ErrorCode::Forbidden, "this origin may not connect", None),
        Refusal::TooManyRequests { retry_after } => {
            (ErrorCode::RateLimitExceeded, "too many failed authentications from this address", Some(retry_after))
        }
        Refusal::Unavailable { retry_after } => (ErrorCode::Unavailable, "too many connections", Some(retry_after)),
    };
    let millis = |retry_after: Duration| u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
    problem(ErrorPayload { retry_after_ms: retry_after.map(millis), ..ErrorPayload::new(code, message) })
}

pub(super) fn malformed(detail: &str) -> Answer {
    problem(ErrorPayload::new(ErrorCode::InvalidMessage, detail))
}

/// The answer to what is no call here.
pub(super) fn no_call() -> Answer {
    let refusal = ErrorPayload::new(ErrorCode::InvalidMessage, "the fake gateway has no such call");
    problem_of(StatusCode::NOT_FOUND, refusal)
}

fn problem(refusal: ErrorPayload) -> Answer {
    problem_of(StatusCode::from_u16(refusal.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), refusal)
}

fn problem_of(status: StatusCode, refusal: ErrorPayload) -> Answer {
    let ErrorPayload { code, message, retry_after_ms, pointer } = refusal;
    let problem = Problem {
        problem_type: Some("about:blank".into()),
        title: status.canonical_reason().map(Into::into),
        status: Some(status.as_u16()),
        detail: Some(message),
        code,
        pointer,
        retry_after_ms,
    };
    let mut answer = respond(status, "application/problem+json", serde_json::to_vec(&problem).unwrap_or_default());
    if let Some(retry_after_ms) = retry_after_ms {
        // Whole seconds, rounded up.
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_ms.div_ceil(1000)));
    }
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
