//! Publishing over HTTP: what a back end uses.
//!
//! Owns the calls of the service layer as events to post. An event has its id before the first try, so the gateway knows a
//! repeat for what it is and a retry never publishes twice. Who waits stands in the `line`, what is sent together and what
//! becomes of it is the `sender`'s, and one attempt the `exchange`'s.

mod call;
mod exchange;
mod line;
mod sender;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomcast_protocol::http::{Batch, BatchResult, EventBody};
use roomcast_protocol::{NewEvent, Published, Service, UserId};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::connector::Tls;
use crate::options::{
    CONNECT_TIMEOUT, FIRST_RETRY, PUBLISH_ATTEMPTS, PUBLISH_TIMEOUT, REQUEST_TIMEOUT, check_duration, parse_url,
    required_token,
};
use crate::token::{TokenError, TokenSource};
use crate::transport::{ByteStream, Dial};
use crate::{Error, ErrorKind, new_event_id};
use call::{Answer, Call, Content, Limits};
use exchange::Exchange;
use line::Line;
use sender::Sender;

/// As many events as a gateway takes in one batch.
const MAX_BATCH: usize = 1000;

/// Publishes events over HTTP. Cheap to clone.
///
/// The typed calls stand in [`Service`]: `publisher.issue_created(payload, Some(&user)).await`.
///
/// **One request at a time, with all that wait.** A call that finds no request under way is sent at once and alone. Calls
/// that come meanwhile go out together in the next request: up to 1000 events, or 512 KiB of them. So the more is said at
/// once, the less each event costs. A publisher and its clones share this. Several publishers, each made by a builder, send
/// beside each other and know no common order.
///
/// **Order.** Events reach the gateway in the order of the calls, which is the order in which their futures are polled for
/// the first time, and in the same order again when a request is repeated. There is one exception: of a request, the gateway
/// may refuse an event for the moment (`RATE_LIMIT_EXCEEDED`, `UNAVAILABLE`) and publish one behind it. The refused one is
/// then repeated by itself, later, while others go on. To be sure of the order even so, await one call before the next.
///
/// **Repeats.** A call is repeated, with full jitter and the gateway's `Retry-After`, when no connection can be made or it
/// breaks, and on HTTP 429, 502, 503 and 504, or such a refusal of its event, within the bounds of [`PublisherBuilder`],
/// which count for each call by itself. As long as nothing gets through, calls behind it wait too: they would fare no better,
/// and would overtake it. The first one that gets through ends that. An event that is refused for good stops nobody. To
/// repeat a call yourself, later, give the event its id by [`NewEvent::with_id`].
///
/// **Bounds.** 4096 events ([`PUBLISH_QUEUE`](crate::options::PUBLISH_QUEUE)) wait or are under way; a call beyond them waits
/// for a place, keeping its turn. Each call ends within its total time, whatever the others do.
///
/// **Cancelling.** A call whose future is dropped is taken back if it waits, and not repeated. If it is under way its event
/// may still be published. Other calls are not touched.
///
/// **Tasks.** Requests are made by a task, which a call starts where there is none. It ends when nothing waits, and when the
/// last clone is dropped.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

/// What the clones of a publisher share.
struct Shared {
    line: Arc<Line>,
    exchange: Arc<Exchange>,
    limits: Limits,
    /// Dropped with the last clone, which ends the sending task.
    handles: watch::Sender<()>,
}

/// Makes a [`Publisher`].
#[derive(Debug)]
#[must_use]
pub struct PublisherBuilder {
    url: String,
    token: Option<TokenSource>,
    dial: Option<Dial>,
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
        PublisherBuilder { url: url.into(), token: None, dial: None, tls: Tls::default(), limits }
    }

    /// Publishes up to 1000 events by one request of their own, in their order. Each has its own outcome; a failed one does not
    /// stop those behind it, and is not repeated.
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
        let content = Content::Batch(json(&Batch { events })?, u32::try_from(count).unwrap_or(u32::MAX));
        let results = match self.shared.call(content).await? {
            Answer::Batch(answer) => answer.results,
            Answer::Event(published) => vec![BatchResult::Published(published)],
        };
        if results.len() != count {
            let message = format!("publish a batch: {} results for {count} events", results.len());
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        let outcomes = results.into_iter().map(|result| match result {
            BatchResult::Published(published) => Ok(published),
            BatchResult::Refused(refusal) => Err(Error::refused("publish", &refusal)),
        });
        Ok(outcomes.collect())
    }

    async fn post(&self, event: &EventBody) -> Result<Published, Error> {
        match self.shared.call(Content::Event(json(event)?)).await? {
            Answer::Event(published) => Ok(published),
            Answer::Batch(_) => Err(Error::new(ErrorKind::Protocol, "publish: the answer is that to a batch")),
        }
    }
}

impl Shared {
    /// Gets a content to the gateway, behind all that were called before.
    async fn call(&self, content: Content) -> Result<Answer, Error> {
        let (ticket, end) = (self.line.ticket(), Instant::now() + self.limits.total_timeout);
        let _place = self.line.place(content.events(), end).await?;
        let (call, outcome) = Call::new(ticket, content, end, &self.limits);
        let waiting = self.line.wait(ticket, outcome);
        if self.line.enter(call) {
            let (line, exchange) = (self.line.clone(), self.exchange.clone());
            let sender = Sender { line, exchange, limits: self.limits, is_done: false };
            tokio::spawn(sender.run(self.handles.subscribe()));
        }
        waiting.until(end).await
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { exchange, limits, .. } = &*self.shared;
        out.debug_struct("Publisher").field("exchange", exchange).field("limits", limits).finish_non_exhaustive()
    }
}

/// Errors of these calls are of kind [`Denied`](ErrorKind::Denied) when the gateway refuses the event, and after the last
/// attempt; [`Connect`](ErrorKind::Connect), [`Disconnected`](ErrorKind::Disconnected) or [`Timeout`](ErrorKind::Timeout) when no
/// attempt was answered; [`Token`](ErrorKind::Token) when the provider failed; [`Protocol`](ErrorKind::Protocol) when something
/// else than a gateway answered. A call that has waited behind others until its time was over has their last error if
/// nothing got through, and else `Timeout`.
impl Service for Publisher {
    type Error = Error;

    async fn publish(&self, event: impl Into<NewEvent> + Send) -> Result<Published, Error> {
        self.post(&body(&event.into())?).await
    }

    async fn send_to_user(&self, user: &UserId, event: impl Into<NewEvent> + Send) -> Result<Published, Error> {
        // What the gateway makes of its own path for this, with the same rights and answers; so it may go with others.
        self.post(&EventBody { rooms: Some(vec![user.room().to_string()]), ..body(&event.into())? }).await
    }
}

impl PublisherBuilder {
    /// One token for the publisher's whole life.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(TokenSource::Fixed(token.into()));
        self
    }

    /// Asks for a token before the first request, and again whenever the gateway refuses the last one; from the publisher's
    /// own task.
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

    /// Opens the byte streams of requests by this function instead of TCP (and TLS): a proxy, a tunnel, a pipe in a test.
    /// The URL then only names the host and the path.
    pub fn dial<F, T, S>(mut self, dial: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = io::Result<S>> + Send + 'static,
        S: ByteStream + 'static,
    {
        self.dial = Some(Dial::custom(dial));
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

    /// How long a call may take in all, from its beginning; [`PUBLISH_TIMEOUT`]. A wait that would end later is not begun.
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
        let dial = match self.dial {
            Some(dial) => dial,
            None => Dial::network(self.tls.connector(CONNECT_TIMEOUT.min(self.limits.request_timeout))?, &url)?,
        };
        let exchange = Arc::new(Exchange::new(&url, required_token(self.token)?, dial)?);
        let (line, handles) = (Arc::new(Line::new()), watch::Sender::new(()));
        Ok(Publisher { shared: Arc::new(Shared { line, exchange, limits: self.limits, handles }) })
    }
}

/// The event as it is posted, under an id from here on.
fn body(event: &NewEvent) -> Result<EventBody, Error> {
    let mut body = EventBody::try_from(event)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("write the event: {error}")))?;
    body.event_id.get_or_insert_with(new_event_id);
    Ok(body)
}

fn json(body: &impl Serialize) -> Result<Bytes, Error> {
    let body = serde_json::to_vec(body)
        .map_err(|error| Error::new(ErrorKind::Invalid, format!("write the request: {error}")))?;
    Ok(body.into())
}
