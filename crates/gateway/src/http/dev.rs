//! What only a developer's own machine has: tokens for the asking.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Json, Response};
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{ErrorCode, Grants, UserId};
use serde::{Deserialize, Serialize};

use super::events::{object, read_body};
use super::problem::Problem;
use super::{origin_of, respond};
use crate::limits::Raised;
use crate::node::Node;
use crate::origin;

/// A working day: long enough to forget, short enough to see renewal work.
const TTL: Duration = Duration::from_secs(12 * 3600);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    user_id: UserId,
    email: Option<String>,
    grants: Option<Grants>,
    /// Seconds.
    expires_in: Option<u64>,
}

#[derive(Serialize)]
struct Token {
    token: String,
}

/// `POST /dev/token`.
pub(super) async fn token(State(node): State<Arc<Node>>, request: Request) -> Response {
    let outcome = mint(&node, request).await;
    respond(&node, outcome)
}

async fn mint(node: &Node, request: Request) -> Result<Response, Problem> {
    // A foreign page in the developer's browser must not get a token, even if it cannot read the answer of a plain POST.
    let host = origin::requested_host(request.uri(), request.headers());
    if origin_of(request.headers()).is_some_and(|origin| !origin::is_allowed(&node.config, &origin, host)) {
        return Err(Problem::forbidden("this origin gets no tokens; see FRONTEND_URL"));
    }
    let body = read_body(request).await?;
    let wanted: Wanted = object(&body)?;
    let ttl = wanted.expires_in.map_or(TTL, Duration::from_secs);
    let (email, grants) = (wanted.email.as_deref(), wanted.grants.as_ref());
    let minted = node.authenticator().mint(&wanted.user_id, email, grants, &Raised::default(), ttl);
    let token =
        minted.map_err(|_| Problem::of(ErrorPayload::new(ErrorCode::UnknownError, "the token could not be signed")))?;
    Ok(Json(Token { token }).into_response())
}
