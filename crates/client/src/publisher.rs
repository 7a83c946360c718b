//! Publishing over HTTP: what a back end uses.
//!
//! Owns the calls of the service layer as HTTP requests, and their repetition. An event has its id before the first try, so
//! the gateway knows a repeat for what it is and a retry never publishes twice.

mod exchange;

use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::http::{Batch, BatchAnswer, BatchResult, EventBody};
use roomcast_protocol::{NewEvent, Published, Service, UserId};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::connector::Tls;
use crate::options::{
    CONNECT_TIMEOUT, FIRST_RETRY, PUBLISH_ATTEMPTS, PUBLISH_TIMEOUT, REQUEST_TIMEOUT, check_duration, parse_url,
    required_token,
};
use crate::token::{TokenError, TokenSource};
use crate::{Error, ErrorKind, new_event_id};
use exchange::{Exchange, Limits};

/// As many events as a gateway takes in one batch.
const MAX_BATCH: usize = 1000;

/// Publishes events over HTTP. Cheap to clone; all clones share their connections.
///
/// The typed calls stand in [`Service`]: `publisher.issue_created(payload, Some(&user)).await`.
///
/// A call is repeated, with full jitter and the gateway's `Retry-After`, when no connection can be made or it breaks, and on
/// HTTP 429, 502, 503 and 504, within the bounds of [`PublisherBuilder`]. To repeat one yourself, later, give the event its
/// id by [`NewEvent::with_id`].
#[derive(Debug, Clone)]
pub struct Publisher {
    exchange: Arc<Exchange>,
}

/// Makes a [`Publisher`].
#[derive(Debug)]
#[must_use]
pub struct PublisherBuilder {
    url: String,
    token: Option<TokenSource>,
    tls: Tls,
    limits: Limits,
}

impl Publisher {
    /// A publisher for the gateway at this `http://` or `https://` URL, such as `http://127.0.0.1:3001`.
    pub fn builder(url: &str) -> PublisherBuilder {
        let limits = Limits {
            request_timeout: REQUEST_TIMEOUT,
            attempts: PUBLISH_ATTEMPTS,
            total_timeout: PUBLISH_TIMEOUT,
            first_retry: FIRST_RETRY,
        };
        PublisherBuilder { url: url.into(), token: None, tls: Tls::default(), limits }
    }

    /// Publishes up to 1000 events by one call, in their order. Each has its own outcome; a failed one does not stop those
    /// behind it.
    ///
    /// # Errors
    /// When the call as a whole failed: as [`Service::publish`] here; [`Invalid`](ErrorKind::Invalid) with too many events.
    pub async fn publish_batch(&self, events: Vec<NewEvent>) -> Result<Vec<Result<Published, Error>>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let count = events.len();
        if count > MAX_BATCH {
            return Err(Error::new(ErrorKind::Invalid, format!("publish a batch: {count} events, over {MAX_BATCH}")));
        }
        let events = events.iter().map(body).collect::<Result<Vec<_>, _>>()?;
        let answer: BatchAnswer = self.exchange.post("/api/v1/events", &Batch { events }).await?;
        if answer.results.len() != count {
            let results = answer.results.len();
            let message = format!("publish a batch: {results} results for {count} events");
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        let outcomes = answer.results.into_iter().map(|result| match result {
            BatchResult::Published(published) => Ok(published),
            BatchResult::Refused(refusal) => Err(Error::refused("publish", &refusal)),
        });
        Ok(outcomes.collect())
    }
}

/// Errors of these calls are of kind [`Denied`](ErrorKind::Denied) when the gateway refuses the event, and after the last
/// attempt; [`Connect`](ErrorKind::Connect), [`Disconnected`](ErrorKind::Disconnected) or [`Timeout`](ErrorKind::Timeout) when no
/// attempt was answered; [`Token`](ErrorKind::Token) when the provider failed; [`Protocol`](ErrorKind::Protocol) when something
/// else than a gateway answered.
impl Service for Publisher {
    type Error = Error;

    async fn publish(&self, event: impl Into<NewEvent> + Send) -> Result<Published, Error> {
        self.exchange.post("/api/v1/events", &body(&event.into())?).await
    }

    async fn send_to_user(&self, user: &UserId, event: impl Into<NewEvent> + Send) -> Result<Published, Error> {
        // Of all that a user id may hold, only this cannot stand in a path (RFC 3986 section 3.3).
        let path = format!("/api/v1/users/{}/events", user.as_str().replace('|', "%7C"));
        // The room is in the path.
        self.exchange.post(&path, &EventBody { rooms: None, ..body(&event.into())? }).await
    }
}

impl PublisherBuilder {
    /// One token for the publisher's whole life.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(TokenSource::Fixed(token.into()));
        self
    }

    /// Asks for a token before the first call, and again whenever the gateway refuses the last one.
    pub fn token_provider<F, T, E>(mut self, provider: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<TokenError>,
    {
        self.token = Some(TokenSource::provider(provider));
        self
    }

    /// Trusts this certificate authority too, beside those of the web.
    pub fn root_certificate(mut self, certificate: CertificateDer<'static>) -> Self {
        self.tls.roots.push(certificate);
        self
    }

    /// Does TLS by this configuration, roots included, instead of the SDK's own.
    pub fn tls_config(mut self, config: ClientConfig) -> Self {
        self.tls.config = Some(config);
        self
    }

    /// How long one attempt may take; [`REQUEST_TIMEOUT`].
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.limits.request_timeout = timeout;
        self
    }

    /// How often to try in all, at least once; [`PUBLISH_ATTEMPTS`].
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.limits.attempts = attempts.max(1);
        self
    }

    /// How long to try in all; [`PUBLISH_TIMEOUT`]. A wait that would end later is not begun.
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.limits.total_timeout = timeout;
        self
    }

    /// The window of the first wait between two attempts; [`FIRST_RETRY`].
    pub fn first_retry(mut self, first: Duration) -> Self {
        self.limits.first_retry = first;
        self
    }

    /// Makes the publisher. It connects at its first call, which needs a tokio runtime.
    ///
    /// # Errors
    /// Kind [`Options`](ErrorKind::Options) when the URL is no `http://` or `https://` URL, no token or provider was given, or
    /// a value cannot be used.
    pub fn build(self) -> Result<Publisher, Error> {
        let url = parse_url(&self.url, ["http", "https"])?;
        check_duration("request_timeout", self.limits.request_timeout)?;
        check_duration("total_timeout", self.limits.total_timeout)?;
        check_duration("first_retry", self.limits.first_retry)?;
        let connector = self.tls.connector(CONNECT_TIMEOUT.min(self.limits.request_timeout))?;
        let exchange = Exchange::new(&url, required_token(self.token)?, connector, self.limits)?;
        Ok(Publisher { exchange: Arc::new(exchange) })
    }
}

/// The event as it is posted, under an id from here on.
fn body(event: &NewEvent) -> Result<EventBody, Error> {
    let mut body = EventBody::try_from(event)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("write the event: {error}")))?;
    body.event_id.get_or_insert_with(new_event_id);
    Ok(body)
}
