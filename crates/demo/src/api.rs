//! What the page calls: snapshots, changes, tokens, and a connection broken off for show.
//!
//! Owns who is asking, by the same token that the gateway knows the person by, and the one step of a change: room in the
//! announcer's queue, the board changed, the event behind those of all changes before. A snapshot is as of its revision, and
//! everything up to it was announced before or is about to be.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, patch, post};
use roomcast_client::protocol::event::Event;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::announcer::{Announcer, Full};
use crate::board::{Board, Change, Draft, Refused, Remark, TEAM};
use crate::gateway::{Cut, Gateway};
use crate::page::Page;
use crate::person::{Person, Tokens};

/// Bytes of a request's body: a comment of four-byte letters, each written as two escapes, and something around it.
const MAX_BODY: usize = 16 << 10;

/// Changes of a busy day: more than the demo's gateway keeps of a room, so that whoever missed them has a gap.
pub(crate) const BUSY: usize = 100;

/// All that an answer may need.
pub(crate) struct Application {
    pub(crate) board: Mutex<Board>,
    pub(crate) announcer: Announcer,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) gateway: Gateway,
    pub(crate) page: Page,
}

type Shared = State<Arc<Application>>;

/// A body, or why it is none.
type Body<T> = Result<Json<T>, JsonRejection>;

/// Every route; what is no call is a file of the page.
pub(crate) fn routes(application: Arc<Application>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/api/config", get(config))
        .route("/api/token", post(token))
        .route("/api/issues", get(issues).post(create))
        .route("/api/issues/{id}", patch(change).delete(delete))
        .route("/api/issues/{id}/comments", get(comments).post(comment))
        .route("/api/busy", post(busy))
        .route("/api/connections/{id}/cut", post(cut))
        .fallback(get(async |State(application): Shared, uri: Uri| application.page.file(uri.path())))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(application)
}

/// Why a call is not served.
#[derive(Debug)]
pub(crate) struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::Unknown => StatusCode::NOT_FOUND,
            Refused::Text(..) => StatusCode::UNPROCESSABLE_ENTITY,
            Refused::TooManyIssues | Refused::TooManyComments | Refused::Nothing => StatusCode::CONFLICT,
        };
        Self(status, refused.to_string())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

impl From<Full> for Problem {
    fn from(_: Full) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, "too many changes wait for the gateway".into())
    }
}

impl FromRequestParts<Arc<Application>> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, application: &Arc<Application>) -> Result<Self, Problem> {
        let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let nobody = || Problem(StatusCode::UNAUTHORIZED, "the token is missing or not good".into());
        application.tokens.check(token).ok_or_else(nobody)
    }
}

impl Application {
    fn board(&self) -> MutexGuard<'_, Board> {
        // What is behind the lock is changed by functions that do not panic half-way.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change and has it announced, in one step: changes are announced in their order.
    fn announce<T>(
        &self,
        by: Person,
        change: impl FnOnce(&mut Board) -> Result<(T, Event), Refused>,
    ) -> Result<T, Problem> {
        let mut room = self.announcer.reserve(1)?;
        let mut board = self.board();
        let (changed, event) = change(&mut board)?;
        room.tell(event, by);
        Ok(changed)
    }

    /// Makes the changes of a busy day, and gives the revision of the last.
    fn bustle(&self, by: Person) -> Result<u64, Problem> {
        let mut room = self.announcer.reserve(BUSY)?;
        let mut board = self.board();
        for event in board.bustle(BUSY)? {
            room.tell(event, by);
        }
        Ok(board.revision())
    }
}

/// What the page has to know beforehand.
async fn config(State(application): Shared) -> Json<Value> {
    let people = [Person::Ann, Person::Ben, Person::Cleo];
    let (socket, gateway) = (application.gateway.socket_origin(), application.gateway.url());
    Json(json!({
        "webSocket": format!("{socket}/ws"), "console": format!("{gateway}/console/"),
        "team": TEAM, "people": people, "busy": BUSY,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    person: Person,
}

/// Lets anybody in as anybody. An application would ask for a password here.
async fn token(State(application): Shared, body: Body<Entry>) -> Result<Json<Value>, Problem> {
    let Json(Entry { person }) = body?;
    let failed = |_| Problem(StatusCode::INTERNAL_SERVER_ERROR, "the token could not be signed".into());
    Ok(Json(json!({"token": application.tokens.of(person).map_err(failed)?})))
}

async fn issues(State(application): Shared, _: Person) -> Json<Value> {
    let board = application.board();
    Json(json!({"revision": board.revision(), "issues": board.issues().collect::<Vec<_>>()}))
}

async fn create(State(application): Shared, by: Person, body: Body<Draft>) -> Result<Response, Problem> {
    let Json(draft) = body?;
    let issue = application.announce(by, |board| board.create(draft))?;
    Ok((StatusCode::CREATED, Json(issue)).into_response())
}

async fn change(
    State(application): Shared,
    by: Person,
    Path(id): Path<String>,
    body: Body<Change>,
) -> Result<Response, Problem> {
    let Json(change) = body?;
    Ok(Json(application.announce(by, |board| board.change(&id, change))?).into_response())
}

async fn delete(State(application): Shared, by: Person, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    application.announce(by, |board| Ok(((), board.delete(&id)?)))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn comments(State(application): Shared, _: Person, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let board = application.board();
    Ok(Json(json!({"revision": board.revision(), "comments": board.comments(&id)?})))
}

async fn comment(
    State(application): Shared,
    by: Person,
    Path(id): Path<String>,
    body: Body<Remark>,
) -> Result<Response, Problem> {
    let Json(remark) = body?;
    let comment = application.announce(by, |board| board.comment(&id, remark, by))?;
    Ok((StatusCode::CREATED, Json(comment)).into_response())
}

/// Answers when all of it was published.
async fn busy(State(application): Shared, by: Person) -> Result<StatusCode, Problem> {
    let revision = application.bustle(by)?;
    // They will be, however long it takes.
    Ok(if application.announcer.has_left(revision).await { StatusCode::NO_CONTENT } else { StatusCode::ACCEPTED })
}

/// Whoever knows the id may do it: the gateway tells it to the connection's own client alone.
async fn cut(State(application): Shared, _: Person, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let failed = |what: &str| Problem(StatusCode::BAD_GATEWAY, what.into());
    let token = application.tokens.of_the_back_end().map_err(|_| failed("the token could not be signed"))?;
    match application.gateway.cut(&id, &token).await {
        Cut::Done => Ok(StatusCode::NO_CONTENT),
        Cut::Unknown => Err(Problem(StatusCode::NOT_FOUND, "there is no such connection".into())),
        Cut::Failed => Err(failed("the gateway could not be asked")),
    }
}

#[cfg(test)]
mod tests;
