//! What can be set about a client, and what it is when nothing is set.
//!
//! Owns every default of the SDK, each with its reason, and the checks of what an application gives. A client that was
//! built has usable options.

use std::io;
use std::time::Duration;

use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::connector::Tls;
use crate::token::{TokenError, TokenSource};
use crate::transport::{ByteStream, Dial};
use crate::{Client, Error};

/// From the first packet to the upgraded WebSocket. Longer than two lost SYN packets, shorter than a person waits.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// From the upgrade to the gateway's acknowledgement, which needs no more than a look at the token.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// From a call to its answer, the wait for a connection included.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two pings: less than half of the gateway's patience (60 s), and under the 30 s after which many routers forget
/// a silent connection. A gateway that announces less patience is pinged more often.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);

/// How long the answer to a ping may take. Behind [`PING_INTERVAL`] this bounds how long a dead connection goes unseen.
pub const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// The window of the first wait before reconnecting: short, since most losses are a restart of one gateway of several.
pub const FIRST_RETRY: Duration = Duration::from_millis(500);

/// Where the window stops growing: what a person accepts after a long outage.
pub const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Deliveries that one subscription holds for its reader: the whole history of four rooms, which a gateway may replay at
/// once after a long absence.
pub const BUFFER: usize = 4096;

/// How often a publisher tries in all.
pub const PUBLISH_ATTEMPTS: u32 = 5;

/// How long a publisher tries in all: well inside the five minutes for which a gateway knows a repeated event.
pub const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);

/// Events that wait at a publisher or are under way: four of the largest requests. What is beyond waits for a place.
pub const PUBLISH_QUEUE: usize = 4096;

/// The longest duration that any option takes.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What a driver needs to know.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) url: Uri,
    pub(crate) token: TokenSource,
    pub(crate) dial: Dial,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) pong_timeout: Duration,
    pub(crate) first_retry: Duration,
    pub(crate) longest_retry: Duration,
    pub(crate) buffer: usize,
}

/// Makes a [`Client`].
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder {
    url: String,
    token: Option<TokenSource>,
    dial: Option<Dial>,
    tls: Tls,
    connect_timeout: Duration,
    handshake_timeout: Duration,
    request_timeout: Duration,
    ping_interval: Duration,
    pong_timeout: Duration,
    first_retry: Duration,
    longest_retry: Duration,
    buffer: usize,
}

impl ClientBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.into(),
            token: None,
            dial: None,
            tls: Tls::default(),
            connect_timeout: CONNECT_TIMEOUT,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            ping_interval: PING_INTERVAL,
            pong_timeout: PONG_TIMEOUT,
            first_retry: FIRST_RETRY,
            longest_retry: LONGEST_RETRY,
            buffer: BUFFER,
        }
    }

    /// One token for the client's whole life. When the gateway takes it no longer, the client ends.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(TokenSource::Fixed(token.into()));
        self
    }

    /// Asks for a token before each connect, when the gateway says that the current one is about to run out, and once more
    /// when it refuses one. A provider that fails is asked again at the next attempt.
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

    /// Opens the connection's byte stream by this function instead of TCP (and TLS): a proxy, a tunnel, a pipe in a test.
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

    /// From the first packet to the upgraded WebSocket; [`CONNECT_TIMEOUT`].
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// From the upgrade to the gateway's acknowledgement; [`HANDSHAKE_TIMEOUT`].
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// From a call to its answer, the wait for a connection included; [`REQUEST_TIMEOUT`].
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Between two pings, at most; [`PING_INTERVAL`].
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// How long the answer to a ping may take; [`PONG_TIMEOUT`].
    pub fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.pong_timeout = timeout;
        self
    }

    /// The windows of the waits before reconnecting: the first, and the longest. A wait is drawn evenly from its window.
    /// [`FIRST_RETRY`] and [`LONGEST_RETRY`].
    pub fn retry(mut self, first: Duration, longest: Duration) -> Self {
        self.first_retry = first;
        self.longest_retry = longest;
        self
    }

    /// How many deliveries a subscription holds for its reader, at least 1; [`BUFFER`]. A reader that falls further behind is
    /// told by [`Delivery::Lagged`](crate::Delivery::Lagged).
    pub fn buffer(mut self, deliveries: usize) -> Self {
        self.buffer = deliveries;
        self
    }

    /// Starts the client. It connects at once and by itself; [`Client::state`] tells how that goes.
    ///
    /// # Errors
    /// Kind [`Options`](crate::ErrorKind::Options) when the URL is no `ws://` or `wss://` URL, no token or provider was
    /// given, a value cannot be used, or there is no tokio runtime to run on.
    pub fn build(self) -> Result<Client, Error> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Error::options("start a client: it runs on tokio, and there is no runtime here"))?;
        Ok(Client::start(self.check()?, &runtime))
    }

    fn check(self) -> Result<Options, Error> {
        let url = parse_url(&self.url, ["ws", "wss"])?;
        let durations = [
            ("connect_timeout", self.connect_timeout),
            ("handshake_timeout", self.handshake_timeout),
            ("request_timeout", self.request_timeout),
            ("ping_interval", self.ping_interval),
            ("pong_timeout", self.pong_timeout),
            ("retry", self.first_retry),
            ("retry", self.longest_retry),
        ];
        durations.into_iter().try_for_each(|(name, duration)| check_duration(name, duration))?;
        if self.buffer == 0 {
            return Err(Error::options("use buffer: it is zero"));
        }
        let dial = match self.dial {
            Some(dial) => dial,
            None => Dial::network(self.tls.connector(self.connect_timeout)?, &url)?,
        };
        Ok(Options {
            url,
            token: required_token(self.token)?,
            dial,
            connect_timeout: self.connect_timeout,
            handshake_timeout: self.handshake_timeout,
            request_timeout: self.request_timeout,
            ping_interval: self.ping_interval,
            pong_timeout: self.pong_timeout,
            first_retry: self.first_retry,
            longest_retry: self.longest_retry.max(self.first_retry),
            buffer: self.buffer,
        })
    }
}

/// Refuses what would never or always be over: deadlines are sums with a clock, which ends somewhere.
pub(crate) fn check_duration(name: &str, duration: Duration) -> Result<(), Error> {
    if duration.is_zero() || duration > LONGEST {
        return Err(Error::options(format!("use {name}: it is zero or longer than a day")));
    }
    Ok(())
}

pub(crate) fn required_token(token: Option<TokenSource>) -> Result<TokenSource, Error> {
    token.ok_or_else(|| Error::options("use the options: a token or a token provider is missing"))?.check()
}

/// A URL of one of the two schemes, with a host. The text of the error leaves out the URL, whose query may hold a secret.
pub(crate) fn parse_url(url: &str, schemes: [&str; 2]) -> Result<Uri, Error> {
    let uri: Uri = url.parse().map_err(|error| Error::options(format!("parse the url: {error}")))?;
    let known = uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme));
    if !known || uri.host().is_none_or(str::is_empty) {
        let [plain, secure] = schemes;
        return Err(Error::options(format!("use the url: it starts with {plain}:// or {secure}:// and a host")));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Error::options("use the url: a user or password in it is not supported"));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn refused(builder: ClientBuilder) -> String {
        let error = builder.check().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Options);
        error.to_string()
    }

    #[test]
    fn both_schemes_are_taken_and_others_refused() {
        for url in ["ws://127.0.0.1:3001/ws", "wss://example.com/ws", "ws://[::1]:3001/ws"] {
            assert!(ClientBuilder::new(url).token("t").check().is_ok(), "{url}");
        }
        for url in ["http://example.com/ws", "example.com", "/ws", "", "ws://", "wss:///ws", "ws://u:p@example.com/"] {
            refused(ClientBuilder::new(url).token("t"));
        }
    }

    #[test]
    fn a_client_without_any_token_is_refused() {
        assert!(refused(ClientBuilder::new("ws://localhost/ws")).contains("token"));
    }

    #[test]
    fn values_that_cannot_work_are_refused_by_name() {
        let builder = || ClientBuilder::new("ws://localhost/ws").token("t");
        assert!(refused(builder().buffer(0)).contains("buffer"));
        assert!(refused(builder().ping_interval(Duration::ZERO)).contains("ping_interval"));
        assert!(refused(builder().retry(Duration::ZERO, Duration::ZERO)).contains("retry"));
        assert!(refused(builder().pong_timeout(Duration::MAX)).contains("pong_timeout"));
    }

    #[test]
    fn a_refused_url_is_not_repeated() {
        assert!(!refused(ClientBuilder::new("http://localhost/ws?token=secret").token("t")).contains("secret"));
    }

    #[test]
    fn building_without_a_runtime_is_an_error_and_no_panic() {
        let error = ClientBuilder::new("ws://localhost/ws").token("t").build().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Options);
    }
}
