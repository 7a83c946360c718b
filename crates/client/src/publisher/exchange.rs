//! One attempt at a request, and its answer.
//!
//! Owns the HTTP client, the token that is in use, and the decision which failures are worth another attempt. Refuses to
//! make that attempt, and to know what a request is about.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use roomcast_protocol::http::Problem;
use roomcast_protocol::server::ErrorPayload;
use tokio::time::timeout;

use crate::backoff::retry_after;
use crate::token::{Token, TokenSource};
use crate::transport::Dial;
use crate::{Error, ErrorKind};

/// The answer to the largest batch, with the longest ids and many rooms, stays below.
const MAX_ANSWER: usize = 4 << 20;

/// Shorter than the time after which servers and balancers usually close an idle connection.
const KEEP_IDLE: Duration = Duration::from_secs(20);

/// Where events are posted, one or several.
const PATH: &str = "/api/v1/events";

/// The HTTP half of a publisher.
pub(super) struct Exchange {
    http: Client<Dial, Full<Bytes>>,
    url: String,
    tokens: TokenSource,
    /// The last token that the provider gave, until it is refused.
    token: Mutex<Option<Token>>,
}

/// An attempt that failed.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) next: Next,
}

/// What an attempt that failed is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another one, after this time at least.
    Retry(Option<Duration>),
    /// Another one with another token.
    FreshToken,
    /// Nothing.
    GiveUp,
}

impl Exchange {
    pub(super) fn new(url: &Uri, tokens: TokenSource, dial: Dial) -> Result<Self, Error> {
        if url.query().is_some() {
            return Err(Error::options("use the url: a query has no meaning here"));
        }
        let http = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(KEEP_IDLE)
            .pool_timer(TokioTimer::new())
            .build(dial);
        let url = format!("{}{PATH}", url.to_string().trim_end_matches('/'));
        Ok(Self { http, url, tokens, token: Mutex::default() })
    }

    /// Posts a body, once, and waits so long for the answer.
    pub(super) async fn post(&self, body: Bytes, patience: Duration) -> Result<Bytes, Failed> {
        timeout(patience, self.attempt(body)).await.unwrap_or_else(|_| Err(Failed::timeout()))
    }

    /// Whether asking again can bring another token.
    pub(super) fn can_renew(&self) -> bool {
        self.tokens.can_renew()
    }

    /// Asks for another token before the next attempt.
    pub(super) fn forget_token(&self) {
        self.set_token(None);
    }

    async fn attempt(&self, body: Bytes) -> Result<Bytes, Failed> {
        // A login service that is away for a moment is a failure of the network like any other.
        let token = self.token().await.map_err(|error| Failed { error, next: Next::Retry(None) })?;
        let request = Request::post(&self.url)
            .header(AUTHORIZATION, token.bearer().map_err(Failed::for_good)?)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, concat!("roomcast-client/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|error| Failed::for_good(Error::new(ErrorKind::Invalid, format!("make the request: {error}"))))?;
        let response = self.http.request(request).await.map_err(|error| unreached(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| broken(error.as_ref()))?.to_bytes();
        if head.status.is_success() {
            return Ok(body);
        }
        Err(refused(head.status, retry_after(&head.headers), &body))
    }

    async fn token(&self) -> Result<Token, Error> {
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(token) => Ok(token),
            None => {
                let token = self.tokens.get().await?;
                self.set_token(Some(token.clone()));
                Ok(token)
            }
        }
    }

    fn set_token(&self, token: Option<Token>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

impl Failed {
    /// Another attempt would fail too.
    pub(super) fn for_good(error: Error) -> Self {
        Self { error, next: Next::GiveUp }
    }

    /// One event of several was refused; what that is worth is as if it had been alone.
    pub(super) fn event(refusal: &ErrorPayload) -> Self {
        let error = Error::refused("publish", refusal);
        let next = Next::after(refusal.code.http_status(), error.retry_after());
        Self { error, next }
    }

    fn timeout() -> Self {
        Self { error: Error::new(ErrorKind::Timeout, "publish: no answer in time"), next: Next::Retry(None) }
    }

    /// Whether it may go better a little later.
    pub(super) fn is_for_the_moment(&self) -> bool {
        matches!(self.next, Next::Retry(_))
    }
}

impl Next {
    fn after(status: u16, hint: Option<Duration>) -> Self {
        match status {
            401 => Self::FreshToken,
            429 | 502..=504 => Self::Retry(hint),
            _ => Self::GiveUp,
        }
    }
}

/// With the causes: the outermost words say "client error".
fn unreached(error: &hyper_util::client::legacy::Error) -> Failed {
    let kind = if error.is_connect() { ErrorKind::Connect } else { ErrorKind::Disconnected };
    let mut text = String::from("reach the gateway");
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    Failed { error: Error::new(kind, text), next: Next::Retry(None) }
}

/// The answer's head came, its body did not.
fn broken(error: &(dyn std::error::Error + Send + Sync)) -> Failed {
    let error = Error::disconnected(format!("read the gateway's answer: {error}"));
    Failed { error, next: Next::Retry(None) }
}

fn refused(status: StatusCode, hint: Option<Duration>, body: &[u8]) -> Failed {
    let error = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => problem_error(problem),
        Err(_) => Error::new(ErrorKind::Protocol, format!("publish: the answer is http status {status}")),
    };
    // The problem's milliseconds are finer than the header's seconds.
    let hint = error.retry_after().or(hint);
    Failed { error: error.after(hint), next: Next::after(status.as_u16(), hint) }
}

fn problem_error(problem: Problem) -> Error {
    let words = problem.detail.or(problem.title).unwrap_or_else(|| "refused".into());
    let refusal = ErrorPayload::new(problem.code, words);
    let retry_after_ms = problem.retry_after_ms;
    Error::refused("publish", &ErrorPayload { retry_after_ms, pointer: problem.pointer, ..refusal })
}

impl fmt::Debug for Exchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Exchange").field("url", &self.url).finish_non_exhaustive()
    }
}
