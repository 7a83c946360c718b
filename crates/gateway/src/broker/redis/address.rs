//! Where Redis is, and how to get there: by its address, or by asking sentinels for the primary.
//!
//! Owns everything that is secret about the connection. No error of this module shows a part of the URL that could be a
//! password.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    PushInfo, RedisError,
};

use super::trust::{self, Authorities};
use crate::config::{Config, InvalidConfig};

/// How long connecting may take, with the handshake: another continent answers within it.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a sentinel may take to answer: there are others.
const SENTINEL_TIMEOUT: Duration = Duration::from_secs(1);

/// Where pushed messages go.
pub(super) type Pushed = Box<dyn Fn(PushInfo) + Send + Sync>;

/// Where Redis is.
pub(super) struct Address {
    /// The server itself; behind sentinels its host and port are those of the moment.
    server: ConnectionInfo,
    sentinels: Vec<ConnectionInfo>,
    /// The name under which the sentinels know the primary.
    primary: String,
}

/// Redis could not be reached, or refused. Shows no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// Another try may succeed.
    #[error("{0}")]
    Passing(String),
    /// Only another configuration can.
    #[error("{0}")]
    Lasting(String),
}

impl Address {
    /// The address in the configuration.
    pub(super) fn of(config: &Config) -> Result<Self, InvalidConfig> {
        let invalid = |key, problem: &str| InvalidConfig { key, problem: problem.into() };
        let url = config.redis_url.as_ref().ok_or_else(|| invalid("REDIS_URL", "not set"))?;
        let url = std::str::from_utf8(url.as_bytes()).unwrap_or_default();
        let server = parse(url).ok_or_else(|| {
            invalid(
                "REDIS_URL",
                "found a value that is not shown; expected redis://user:password@host:port/db, or rediss:// for TLS",
            )
        })?;
        let authorities = match &config.redis_ca {
            Some(_) if !matches!(server.addr(), ConnectionAddr::TcpTls { .. }) => {
                return Err(invalid("REDIS_CA", "expected a REDIS_URL with rediss:// beside it"));
            }
            Some(path) => Some(Authorities::read(path).map_err(|problem| invalid("REDIS_CA", &problem))?),
            None => None,
        };
        let trusted = |server: ConnectionInfo| match &authorities {
            Some(authorities) => authorities.trusted(server).map_err(|error| invalid("REDIS_CA", &error.to_string())),
            None => Ok(server),
        };
        let sentinels = config.redis_sentinels.0.iter().map(|address| {
            let url = if address.contains("://") { address.clone() } else { format!("redis://{address}") };
            let sentinel = parse(&url).ok_or_else(|| invalid("REDIS_SENTINELS", "expected addresses as host:port"))?;
            // Sentinels speak the older protocol in every version.
            let settings = sentinel.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
            trusted(sentinel.set_redis_settings(settings))
        });
        Ok(Self {
            server: trusted(server)?,
            sentinels: sentinels.collect::<Result<_, _>>()?,
            primary: config.redis_master.clone().unwrap_or_default(),
        })
    }

    /// The number of the database, in which keys live but channels do not.
    pub(super) fn database(&self) -> i64 {
        self.server.redis_settings().db()
    }

    /// Connects, and hands pushed messages to `pushed`. Commands have no time-out of their own: callers set it.
    pub(super) async fn connect(&self, pushed: Option<Pushed>) -> Result<MultiplexedConnection, Failure> {
        let server = match self.sentinels.is_empty() {
            true => self.server.clone(),
            false => self.ask_sentinels().await?,
        };
        let mut config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        if let Some(pushed) = pushed {
            config = config.set_push_sender(move |info| {
                pushed(info);
                Ok::<(), ()>(())
            });
        }
        connect(server, &config, CONNECT_TIMEOUT).await
    }

    /// The primary's address: from the first sentinel that knows one.
    async fn ask_sentinels(&self) -> Result<ConnectionInfo, Failure> {
        let mut last = Failure::Passing("no sentinel has answered".into());
        for sentinel in &self.sentinels {
            match self.ask(sentinel).await {
                Ok(Some((host, port))) => return Ok(self.server.clone().set_addr(self.at(host, port))),
                Ok(None) => last = Failure::Passing(format!("no sentinel knows a primary named {:?}", self.primary)),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    async fn ask(&self, sentinel: &ConnectionInfo) -> Result<Option<(String, u16)>, Failure> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = connect(sentinel.clone(), &config, SENTINEL_TIMEOUT).await?;
        let question = redis::cmd("SENTINEL").arg("get-master-addr-by-name").arg(&self.primary).to_owned();
        within(SENTINEL_TIMEOUT, question.query_async(&mut connection)).await
    }

    fn at(&self, host: String, port: u16) -> ConnectionAddr {
        match self.server.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        }
    }
}

/// Host and port, or path, only.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sentinels.as_slice() {
            [] => fmt::Display::fmt(self.server.addr(), out),
            sentinels => write!(out, "{:?} by {} sentinels", self.primary, sentinels.len()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

fn parse(url: &str) -> Option<ConnectionInfo> {
    let info = url.into_connection_info().ok()?;
    if let ConnectionAddr::TcpTls { .. } = info.addr() {
        // An application that mounts the gateway may have chosen another; then this one is not installed.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    // Messages on the bus are pushed: that needs the newer protocol.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let tcp = TcpSettings::default().set_nodelay(true);
    Some(info.set_redis_settings(settings).set_tcp_settings(tcp))
}

async fn connect(
    server: ConnectionInfo,
    config: &AsyncConnectionConfig,
    timeout: Duration,
) -> Result<MultiplexedConnection, Failure> {
    let client = Client::open(server).map_err(|error| failure(&error))?;
    within(timeout, client.get_multiplexed_async_connection_with_config(config)).await
}

/// Gives up after the time.
pub(super) async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, call).await {
        Ok(outcome) => outcome.map_err(|error| failure(&error)),
        Err(_) => Err(Failure::Passing(format!("no answer within {} ms", timeout.as_millis()))),
    }
}

/// What an error means, in words that hold nothing of the configuration.
fn failure(error: &RedisError) -> Failure {
    if let Some(refusal) = trust::refusal(error) {
        return refusal;
    }
    // A server that closes while it greets may be starting.
    let code = error.code().unwrap_or_default();
    match (error.kind(), code) {
        (ErrorKind::AuthenticationFailed, _) | (_, "WRONGPASS" | "NOAUTH") => {
            Failure::Lasting("it refuses the user or the password".into())
        }
        (_, "NOPERM") => Failure::Lasting("the user may not use the commands that the broker needs (NOPERM)".into()),
        (_, "NOPROTO") => Failure::Lasting("it is too old: version 7 or later is needed (NOPROTO)".into()),
        (ErrorKind::Io, _) => Failure::Passing(format!("{error}")),
        (_, "") => Failure::Passing(error.category().into()),
        (_, code) => Failure::Passing(format!("it answered {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn address(url: &str) -> Result<Address, InvalidConfig> {
        Address::of(&Config { redis_url: Some(Secret::new(url)), ..Config::serve() })
    }

    #[test]
    fn an_address_shows_no_password_whether_it_is_good_or_not() {
        for url in ["redis://user:hush@redis.test:6380/2", "rediss://:hush@redis.test"] {
            let address = address(url).unwrap();
            assert!(!format!("{address} {address:?}").contains("hush"), "{address}");
        }
        for url in ["http://:hush@redis.test", "hush", "redis://:hush@", "redis://:hush@host/not-a-number"] {
            let error = address(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
        }
    }

    #[test]
    fn database_and_scheme_come_from_the_url() {
        assert_eq!(address("redis://redis.test:6380/2").unwrap().database(), 2);
        assert_eq!(address("redis://redis.test:6380").unwrap().to_string(), "redis.test:6380");
        let secure = address("rediss://redis.test").unwrap();
        assert!(matches!(secure.server.addr(), ConnectionAddr::TcpTls { insecure: false, .. }));
    }
}
