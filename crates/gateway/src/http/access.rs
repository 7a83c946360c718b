//! Explaining access: which grant decides, and why not.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Json, Response};
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{ErrorCode, Operation, Room};
use serde::{Deserialize, Serialize};

use super::events::{object, read_body};
use super::problem::Problem;
use super::{Caller, respond};
use crate::access::{self, Decision};
use crate::auth::Identity;
use crate::callback::{Asking, Ruling};
use crate::node::Node;
use crate::publish::parse_room;

/// What is asked: whether this token may do that there.
#[derive(Deserialize)]
struct Question {
    token: String,
    room: String,
    operation: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    allowed: bool,
    /// The rule that decides.
    rule: &'static str,
    /// The pattern of the grant that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// The token's grants that speak of the room.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grants: Vec<Grant>,
}

#[derive(Serialize)]
struct Grant {
    pattern: String,
    operations: Vec<String>,
}

/// `POST /api/v1/access/explain`.
pub(super) async fn explain(State(node): State<Arc<Node>>, request: Request) -> Response {
    let outcome = answer(&node, request).await;
    respond(&node, outcome)
}

async fn answer(node: &Node, request: Request) -> Result<Response, Problem> {
    Caller::of(node, &request)?.check_admin_token(node).await?;
    let body = read_body(request).await?;
    let question: Question = object(&body)?;
    let room = parse_room(&node.config, &question.room).map_err(Problem::of)?;
    let operation: Operation = question.operation.parse().map_err(|error: roomcast_protocol::InvalidOperation| {
        let payload = ErrorPayload::new(ErrorCode::InvalidPayload, error.to_string());
        Problem::of(ErrorPayload { pointer: Some("/operation".into()), ..payload })
    })?;
    // Not counted as an attempt: the admin asks, and not the token's holder.
    let identity = match node.check_token(&question.token).await {
        Ok(identity) => identity,
        Err(refusal) => {
            let reason = refusal.to_string();
            let none =
                Explanation { allowed: false, rule: "token", pattern: None, reason, user_id: None, grants: vec![] };
            return Ok(Json(none).into_response());
        }
    };
    let decision = access::decide(node.config.room_access, &identity, &room, &operation);
    let (allowed, rule, reason) = match said_by_back_end(node, &identity, &room, &operation, decision).await {
        Some(ruling) => (ruling == Ruling::Allowed, "callback", in_words(ruling).to_owned()),
        None => (decision.is_allowed(), decision.rule(), decision.to_string()),
    };
    let about = identity.grants.as_ref().map(|grants| grants.about(&room)).unwrap_or_default();
    let explanation = Explanation {
        allowed,
        rule,
        pattern: decision.pattern().map(ToString::to_string),
        reason,
        user_id: Some(identity.user.to_string()),
        grants: about.into_iter().map(|(pattern, operations)| Grant { pattern, operations }).collect(),
    };
    Ok(Json(explanation).into_response())
}

/// What the back end says, if it decides.
async fn said_by_back_end(
    node: &Node,
    identity: &Identity,
    room: &Room,
    operation: &Operation,
    decision: Decision<'_>,
) -> Option<Ruling> {
    let is_asked = node.callback.is_some() && !decision.is_allowed() && access::question(room, operation).is_some();
    let rulings = if is_asked {
        node.rule(identity, std::slice::from_ref(room), operation, Asking::Kept).await
    } else {
        Vec::new()
    };
    rulings.into_iter().next()
}

fn in_words(ruling: Ruling) -> &'static str {
    match ruling {
        Ruling::Allowed => "the token does not decide, and the back end (ACCESS_URL) allows it",
        Ruling::Forbidden => "the token does not decide, and the back end (ACCESS_URL) denies it",
        Ruling::Unavailable => "the token does not decide, and the back end (ACCESS_URL) has not answered",
    }
}
