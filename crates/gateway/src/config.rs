//! Configuration: every number and choice that an operator may set, with its default and the reason for it.
//!
//! Owns the values once they are valid. Where they come from (flags, environment, a TOML file) is [`settings`](crate::settings).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::auth::Authenticator;
use crate::broker::redis as shared;
use crate::callback;
use crate::clock::Clock;
use crate::limits::Limits;
use crate::origin::Origin;
use crate::per_kind::PerKind;
pub use crate::secret::{RedisSentinels, Secret};

/// Whether the gateway serves a developer's own machine or the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything embedded and open, on loopback.
    Dev,
    /// Deny by default.
    Serve,
}

/// What a token without a `grants` claim may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomAccess {
    /// Nothing but its own user room.
    Grants,
    /// Subscribe, presence, history and typing in every room but other users' own; never publish or admin.
    Open,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything that can be configured. [`Config::dev`] and [`Config::serve`] are the two starting points.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which of the two starting points this is; decides what is open.
    pub mode: Mode,
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Signs the tokens (HS256); `None` where only keys do.
    pub jwt_secret: Option<Secret>,
    /// Signed the tokens until lately: they are still accepted.
    pub jwt_secret_previous: Option<Secret>,
    /// A PEM file of public keys that sign tokens (RS, PS, ES, EdDSA).
    pub jwt_public_key_file: Option<PathBuf>,
    /// Where the public keys that sign tokens are fetched, as a JSON Web Key Set.
    pub jwks_url: Option<String>,
    /// The `iss` that tokens must have, when set.
    pub jwt_issuer: Option<String>,
    /// The `aud` that tokens must have, when set.
    pub jwt_audience: Option<String>,
    /// Whether `?token=` is read.
    pub query_token: bool,
    /// Origins of browsers that may connect; `None`: the mode's own rule.
    pub frontend_url: Option<Vec<Origin>>,
    /// What a token without grants may do.
    pub room_access: RoomAccess,
    /// Who is asked about rooms that a token does not decide; `None`: nobody.
    pub access_url: Option<String>,
    /// What the gateway says to prove itself there.
    pub access_token: Option<Secret>,
    /// How long an answer may take.
    pub access_timeout: Duration,
    /// How long an answer counts.
    pub access_ttl: Duration,
    /// Kinds of room beside the built-in ones.
    pub room_kinds: Vec<String>,
    /// Address of Redis, for several nodes: `redis://user:password@host:port/db`, or `rediss://`. It may hold a password.
    pub redis_url: Option<Secret>,
    /// A PEM file of the authorities that certify Redis and its sentinels over TLS; `None`: the web's.
    pub redis_ca: Option<PathBuf>,
    /// What every key and channel in Redis begins with.
    pub redis_prefix: String,
    /// Whether Redis never comes back with older data than it had: then epochs outlive its restarts.
    pub redis_durable: bool,
    /// Sentinels, as `host:port` or as URLs, that name the primary in place of the host of `redis_url`.
    pub redis_sentinels: RedisSentinels,
    /// The name under which the sentinels know the primary.
    pub redis_master: Option<String>,
    /// Events kept per room.
    pub history_size: PerKind<usize>,
    /// How long events are kept.
    pub history_ttl: PerKind<Duration>,
    /// Missed events that are replayed per room; `None`: all that are kept.
    pub recovery_limit: Option<usize>,
    /// Bytes of events kept per room.
    pub history_bytes: PerKind<usize>,
    /// Bytes of events kept in all.
    pub history_total_bytes: usize,
    /// How long a room's counter outlives its last event or member.
    pub position_ttl: Duration,
    /// Rooms whose counters are kept at most.
    pub max_streams: usize,
    /// How long a user whose connection is lost is still said to be present.
    pub presence_grace: Duration,
    /// How long a revocation is kept: no token should live longer.
    pub revocation_ttl: Duration,
    /// Data frames that a connection may send in a window.
    pub messages_per_minute: u32,
    /// That window.
    pub message_window: Duration,
    /// What else a connection, a user and an address may do in a time.
    pub limits: Limits,
    /// Failed authentications of an address in a minute.
    pub auth_attempts_per_minute: u32,
    /// How long a connection may stay unauthenticated.
    pub auth_timeout: Duration,
    /// Bytes in a client's message, and in an event's payload.
    pub max_message_bytes: usize,
    /// How long a message may take from its first byte to its last.
    pub message_timeout: Duration,
    /// Bytes waiting for one connection before it is closed as too slow.
    pub max_queue_bytes: usize,
    /// How long a connection may take nothing of what waits for it.
    pub stall_timeout: Duration,
    /// Rooms that a connection may be in.
    pub max_rooms: usize,
    /// Rooms in one request or event.
    pub max_rooms_per_message: usize,
    /// Connections at most; `None`: derived from the limit of open files.
    pub max_connections: Option<usize>,
    /// Connections of one address at a time, an IPv6 network counting as one; `None`: any number.
    pub max_connections_per_address: Option<usize>,
    /// Connections of one user at a time, on this node; `None`: any number.
    pub max_connections_per_user: Option<usize>,
    /// Connections at a time that have not said who they are; `None`: any number.
    pub max_unauthenticated: Option<usize>,
    /// Upgrades that are accepted in a second; `None`: as many as come.
    pub accept_rate: Option<u32>,
    /// How long a connection lasts, about; `None`: as long as its client wants.
    pub max_connection_age: Option<Duration>,
    /// How often a connection is pinged.
    pub ping_interval: Duration,
    /// How long a connection may send nothing.
    pub idle_timeout: Duration,
    /// How long a request's header may take, and a connection may send nothing before it.
    pub header_timeout: Duration,
    /// How long connections are closed over when the gateway stops.
    pub drain: Duration,
    /// How long upgrades are still accepted after the gateway was told to stop.
    pub drain_delay: Duration,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the console is served.
    pub console: bool,
    /// A second address, for what only operators need.
    pub admin_addr: Option<SocketAddr>,
    /// How log lines are written.
    pub log_format: LogFormat,
}

/// A configuration that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct InvalidConfig {
    /// The setting.
    pub key: &'static str,
    /// What was found, and what is expected.
    pub problem: String,
}

impl Config {
    /// For a developer's own machine: loopback, open rooms, no token for statistics, tokens for the asking.
    #[must_use]
    pub fn dev() -> Self {
        Self {
            mode: Mode::Dev,
            room_access: RoomAccess::Open,
            console: true,
            // Ctrl-C should be as quick as a developer's patience.
            drain: Duration::ZERO,
            ..Self::serve()
        }
    }

    /// For production: denies what a token does not grant.
    #[must_use]
    pub fn serve() -> Self {
        Self {
            mode: Mode::Serve,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 3001,
            jwt_secret: None,
            jwt_secret_previous: None,
            jwt_public_key_file: None,
            jwks_url: None,
            jwt_issuer: None,
            jwt_audience: None,
            query_token: true,
            frontend_url: None,
            room_access: RoomAccess::Grants,
            access_url: None,
            access_token: None,
            // A person waits for it.
            access_timeout: Duration::from_secs(2),
            access_ttl: Duration::from_secs(60),
            room_kinds: Vec::new(),
            redis_url: None,
            redis_ca: None,
            redis_prefix: "roomcast:".into(),
            redis_durable: false,
            redis_sentinels: RedisSentinels::default(),
            redis_master: None,
            history_size: 1000.into(),
            history_ttl: Duration::from_secs(600).into(),
            recovery_limit: None,
            // A thousand events of 4 KiB.
            history_bytes: (4 << 20).into(),
            history_total_bytes: 256 << 20,
            // A laptop that sleeps overnight resumes.
            position_ttl: Duration::from_secs(24 * 3600),
            max_streams: 1_000_000,
            // A reload, a lift, a change of network.
            presence_grace: Duration::from_secs(15),
            // Longer than any token should live.
            revocation_ttl: Duration::from_secs(30 * 24 * 3600),
            messages_per_minute: 100,
            message_window: Duration::from_secs(60),
            limits: Limits::default(),
            auth_attempts_per_minute: 10,
            auth_timeout: Duration::from_secs(10),
            max_message_bytes: 64 << 10,
            message_timeout: Duration::from_secs(10),
            // Sixteen of the largest events, or several seconds of a busy room.
            max_queue_bytes: 1 << 20,
            // Longer than a handover between cells; with the time to close, ten seconds. Who comes back later resumes.
            stall_timeout: Duration::from_secs(8),
            max_rooms: 128,
            max_rooms_per_message: 128,
            max_connections: None,
            max_connections_per_address: None,
            max_connections_per_user: None,
            max_unauthenticated: None,
            accept_rate: None,
            max_connection_age: None,
            ping_interval: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(10),
            // Below the 30 s that container platforms wait before they kill.
            drain: Duration::from_secs(25),
            drain_delay: Duration::ZERO,
            trusted_proxies: Vec::new(),
            console: false,
            admin_addr: None,
            log_format: LogFormat::Text,
        }
    }

    /// Checks what no single setting can know.
    ///
    /// # Errors
    /// [`InvalidConfig`] with the first setting that cannot work.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let problem = |key, problem: &str| Err(InvalidConfig { key, problem: problem.into() });
        self.validate_keys()?;
        if self.idle_timeout <= self.ping_interval {
            return problem(
                "IDLE_TIMEOUT_MS",
                "expected more than PING_INTERVAL_MS, or every connection is closed between two pings",
            );
        }
        if self.drain_delay > self.drain {
            return problem("DRAIN_DELAY", "expected at most DRAIN_SECONDS, which it is a part of");
        }
        if self.max_queue_bytes < 2 * self.max_message_bytes {
            return problem(
                "MAX_QUEUE_BYTES",
                "expected at least twice MAX_MESSAGE_BYTES, or the largest event closes its readers",
            );
        }
        self.validate_kinds()?;
        self.validate_redis()
    }

    /// Which kinds exist is known only now: settings come in any order.
    fn validate_kinds(&self) -> Result<(), InvalidConfig> {
        let named = [
            ("HISTORY_SIZE", self.history_size.kinds.keys().collect::<Vec<_>>()),
            ("HISTORY_TTL", self.history_ttl.kinds.keys().collect()),
            ("HISTORY_BYTES", self.history_bytes.kinds.keys().collect()),
        ];
        for (key, kinds) in named {
            if let Some(unknown) = kinds.into_iter().find(|kind| !self.has_room_kind(kind)) {
                let known = roomcast_protocol::Room::KINDS.join(", ");
                let problem = format!("found the kind of room {unknown:?}; expected {known} or one of ROOM_KINDS");
                return Err(InvalidConfig { key, problem });
            }
        }
        Ok(())
    }

    fn validate_keys(&self) -> Result<(), InvalidConfig> {
        let problem = |key, problem: &str| Err(InvalidConfig { key, problem: problem.into() });
        let has_keys = self.jwt_public_key_file.is_some() || self.jwks_url.is_some();
        if self.jwt_secret.is_none() && self.jwt_secret_previous.is_some() {
            return problem("JWT_SECRET_PREVIOUS", "set without JWT_SECRET, which it was before");
        }
        if self.jwt_secret.is_none() && !has_keys {
            let expected =
                "not set; expected a secret of at least 32 bytes, or keys in JWT_PUBLIC_KEY_FILE or JWKS_URL";
            return problem("JWT_SECRET", expected);
        }
        for (key, secret) in [("JWT_SECRET", &self.jwt_secret), ("JWT_SECRET_PREVIOUS", &self.jwt_secret_previous)] {
            if let Some(weakness) = secret.as_ref().and_then(Secret::weakness) {
                return problem(key, &weakness);
            }
        }
        callback::Target::of(self)?;
        Authenticator::new(self, Clock::system()).map(drop)
    }

    fn validate_redis(&self) -> Result<(), InvalidConfig> {
        let problem = |key, problem: &str| Err(InvalidConfig { key, problem: problem.into() });
        let has_sentinels = !self.redis_sentinels.0.is_empty();
        if has_sentinels && self.redis_master.is_none() {
            return problem("REDIS_MASTER", "not set; expected the name under which REDIS_SENTINELS know the primary");
        }
        if self.redis_master.is_some() && !has_sentinels {
            return problem("REDIS_SENTINELS", "not set; expected addresses, since REDIS_MASTER is for sentinels only");
        }
        if self.redis_url.is_none() {
            return match has_sentinels {
                true => problem("REDIS_URL", "not set; expected user, password and database for REDIS_SENTINELS"),
                false if self.redis_ca.is_some() => {
                    problem("REDIS_CA", "expected a REDIS_URL with rediss:// beside it")
                }
                false => Ok(()),
            };
        }
        shared::check_address(self)
    }

    /// Missed events that are replayed per room. Without a limit all that are kept, and no room keeps more than this.
    #[must_use]
    pub fn most_recovered(&self) -> usize {
        self.recovery_limit.unwrap_or_else(|| self.history_size.values().copied().max().unwrap_or_default())
    }

    /// Whether rooms of the kind exist here.
    #[must_use]
    pub fn has_room_kind(&self, kind: &str) -> bool {
        roomcast_protocol::Room::KINDS.contains(&kind) || self.room_kinds.iter().any(|known| known == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_for_a_kind_of_room_that_does_not_exist_is_refused_wherever_it_stands() {
        let kinds = PerKind { others: 10, kinds: [("issue".to_owned(), 2), ("sprint".to_owned(), 5)].into() };
        let config = Config { jwt_secret: Some(Secret::new([1; Secret::MIN_BYTES])), ..Config::serve() };
        let bad = [
            Config { history_size: kinds.clone(), ..config.clone() },
            Config { history_bytes: kinds.clone(), ..config.clone() },
            Config { history_ttl: kinds.map(|seconds| Duration::from_secs(*seconds as u64)), ..config },
        ];
        for (config, key) in bad.into_iter().zip(["HISTORY_SIZE", "HISTORY_BYTES", "HISTORY_TTL"]) {
            let expected = "expected workspace, team, issue, project, cycle, user or one of ROOM_KINDS";
            let problem = format!("found the kind of room \"sprint\"; {expected}");
            assert_eq!(config.validate(), Err(InvalidConfig { key, problem }));
            assert_eq!(Config { room_kinds: vec!["sprint".into()], ..config }.validate(), Ok(()));
        }
    }
}
