//! Problems: errors of the HTTP API, `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use roomcast_protocol::ErrorCode;
use roomcast_protocol::server::ErrorPayload;
use serde::Serialize;

use crate::node::Refused;
use crate::session::millis;

/// An error answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    /// No page explains more than the code does.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    code: ErrorCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Problem {
    /// The problem of an error code.
    pub(crate) fn of(error: ErrorPayload) -> Self {
        let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            detail: Some(error.message),
            code: error.code,
            pointer: error.pointer,
            retry_after_ms: error.retry_after_ms,
            ..Self::bare(status)
        }
    }

    /// A problem of HTTP itself: no call of this API is at that path, or not by that method.
    pub(crate) fn bare(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            detail: None,
            code: ErrorCode::InvalidMessage,
            pointer: None,
            retry_after_ms: None,
        }
    }

    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::of(ErrorPayload::new(ErrorCode::Unauthorized, detail))
    }

    pub(crate) fn forbidden(detail: &str) -> Self {
        Self::of(ErrorPayload::new(ErrorCode::Forbidden, detail))
    }

    pub(crate) fn internal(detail: &str) -> Self {
        Self::of(ErrorPayload::new(ErrorCode::UnknownError, detail))
    }

    /// The handshake is of another version of WebSocket.
    pub(crate) fn upgrade_required() -> Self {
        let detail = Some("the WebSocket version is 13".into());
        Self { detail, ..Self::bare(StatusCode::UPGRADE_REQUIRED) }
    }

    /// Not at the moment; a second later may be another moment.
    pub(crate) fn unavailable(detail: &str) -> Self {
        Self::of(ErrorPayload { retry_after_ms: Some(1000), ..ErrorPayload::new(ErrorCode::Unavailable, detail) })
    }

    pub(crate) fn too_many_authentications(retry_after: Duration) -> Self {
        let detail = "too many failed authentications from this address";
        let retry_after_ms = Some(millis(retry_after));
        Self::of(ErrorPayload { retry_after_ms, ..ErrorPayload::new(ErrorCode::RateLimitExceeded, detail) })
    }

    pub(crate) fn too_many_connections(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::unavailable("too many connections"),
            Refused::Unauthenticated => Self::unavailable("too many connections that have not said who they are"),
            Refused::Address => Self::of(ErrorPayload {
                retry_after_ms: Some(1000),
                ..ErrorPayload::new(ErrorCode::RateLimitExceeded, "too many connections from this address")
            }),
        }
    }

    pub(crate) fn too_many_upgrades(retry_after: Duration) -> Self {
        // Not all at once again.
        let jitter = Duration::from_millis(rand::random_range(0..1000));
        let refusal = ErrorPayload::new(ErrorCode::Unavailable, "too many upgrades in this second");
        Self::of(ErrorPayload { retry_after_ms: Some(millis(retry_after + jitter)), ..refusal })
    }

    pub(crate) fn code(&self) -> ErrorCode {
        self.code
    }

    /// The word under which a refused upgrade is counted.
    pub(crate) fn reason(&self) -> &'static str {
        match self.status {
            400 | 405 | 426 => "malformed upgrade",
            403 => "origin refused",
            429 => "too many authentications",
            503 => "unavailable",
            _ => "error",
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(retry_after_ms) = self.retry_after_ms {
            // Whole seconds (RFC 9110 section 10.2.3), rounded up.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_ms.div_ceil(1000)));
        }
        match status {
            StatusCode::UNAUTHORIZED => {
                drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
        response
    }
}
