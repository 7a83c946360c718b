//! A request and its answer, tried until there is one.
//!
//! Owns the HTTP client, the token that is in use, and the decision which failures are worth another attempt. Refuses to
//! know what a request is about; that repeating it does no harm is its caller's promise.

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
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use crate::backoff::{Backoff, retry_after};
use crate::connector::Connector;
use crate::options::LONGEST_RETRY;
use crate::token::{Token, TokenSource};
use crate::{Error, ErrorKind};

/// The answer to the largest batch, with the longest ids and many rooms, stays below.
const MAX_ANSWER: usize = 4 << 20;

/// Shorter than the time after which servers and balancers usually close an idle connection.
const KEEP_IDLE: Duration = Duration::from_secs(20);

/// The bounds of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) request_timeout: Duration,
    pub(super) attempts: u32,
    pub(super) total_timeout: Duration,
    pub(super) first_retry: Duration,
}

/// The HTTP half of a publisher.
pub(super) struct Exchange {
    http: Client<Connector, Full<Bytes>>,
    /// Scheme, host and path in front of every call, without a slash at its end.
    base: String,
    tokens: TokenSource,
    /// The last token that the provider gave, until it is refused.
    token: Mutex<Option<Token>>,
    limits: Limits,
}

/// An attempt that failed.
struct Failed {
    error: Error,
    next: Next,
}

/// What an attempt that failed is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Another one, after this time at least.
    Retry(Option<Duration>),
    /// Another one with another token.
    FreshToken,
    /// Nothing.
    GiveUp,
}

impl Exchange {
    pub(super) fn new(url: &Uri, tokens: TokenSource, connector: Connector, limits: Limits) -> Result<Self, Error> {
        if url.query().is_some() {
            return Err(Error::options("use the url: a query has no meaning here"));
        }
        let http = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(KEEP_IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let base = url.to_string().trim_end_matches('/').to_owned();
        Ok(Self { http, base, tokens, token: Mutex::default(), limits })
    }

    /// Posts a body that may be posted again, until it is answered or a bound is reached.
    pub(super) async fn post<A: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<A, Error> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::new(ErrorKind::Invalid, format!("write the request: {error}")))?;
        let (body, end) = (Bytes::from(body), Instant::now() + self.limits.total_timeout);
        let mut backoff = Backoff::new(self.limits.first_retry, LONGEST_RETRY);
        let mut asked_for_fresh_token = false;
        loop {
            let left = end.saturating_duration_since(Instant::now()).min(self.limits.request_timeout);
            let attempt = timeout(left, self.attempt(path, body.clone())).await.unwrap_or_else(|_| Err(timed_out()));
            let failed = match attempt {
                Ok(answer) => return parse(&answer),
                Err(failed) => failed,
            };
            let wait = match failed.next {
                Next::FreshToken if self.tokens.can_renew() && !asked_for_fresh_token => {
                    asked_for_fresh_token = true;
                    self.set_token(None);
                    continue;
                }
                Next::FreshToken | Next::GiveUp => return Err(failed.error),
                Next::Retry(hint) => backoff.next(hint, &mut rand::rng()),
            };
            if backoff.attempt() >= self.limits.attempts || Instant::now() + wait >= end {
                return Err(failed.error);
            }
            tracing::debug!(error = %failed.error, ?wait, "trying again");
            sleep(wait).await;
        }
    }

    async fn attempt(&self, path: &str, body: Bytes) -> Result<Bytes, Failed> {
        let fatal = |error| Failed { error, next: Next::GiveUp };
        // A login service that is away for a moment is a failure of the network like any other.
        let token = self.token().await.map_err(|error| Failed { error, next: Next::Retry(None) })?;
        let request = Request::post(format!("{}{path}", self.base))
            .header(AUTHORIZATION, token.bearer().map_err(fatal)?)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, concat!("roomcast-client/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|error| fatal(Error::new(ErrorKind::Invalid, format!("make the request: {error}"))))?;
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

fn parse<A: DeserializeOwned>(answer: &[u8]) -> Result<A, Error> {
    serde_json::from_slice(answer)
        .map_err(|error| Error::new(ErrorKind::Protocol, format!("understand the gateway's answer: {error}")))
}

fn timed_out() -> Failed {
    Failed { error: Error::new(ErrorKind::Timeout, "publish: no answer in time"), next: Next::Retry(None) }
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
    let next = match status.as_u16() {
        401 => Next::FreshToken,
        429 | 502..=504 => Next::Retry(hint),
        _ => Next::GiveUp,
    };
    Failed { error: error.after(hint), next }
}

fn problem_error(problem: Problem) -> Error {
    let words = problem.detail.or(problem.title).unwrap_or_else(|| "refused".into());
    let refusal = ErrorPayload::new(problem.code, words);
    let retry_after_ms = problem.retry_after_ms;
    Error::refused("publish", &ErrorPayload { retry_after_ms, pointer: problem.pointer, ..refusal })
}

impl fmt::Debug for Exchange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Exchange").field("base", &self.base).field("limits", &self.limits).finish_non_exhaustive()
    }
}
