//! Settings: the names under which an operator sets the configuration, and how their texts are read.
//!
//! Owns one table, [`SETTINGS`]: each line is at once an environment variable (`HISTORY_SIZE`), a flag (`--history-size`),
//! a key of the TOML file (`history_size`) and a row of the documentation. Flags win over the environment, which wins over
//! the file. Nothing is read unless it is handed in.

mod values;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::config::{Config, LogFormat, RedisSentinels, RoomAccess, Secret};
use crate::limits::Limits;
use crate::per_kind::PerKind;
use values::{Unit, boolean, duration, items, list, networks, nonzero, number, parsed, room_kinds, switch, text};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable; the key in the file is the same in lower case.
    pub name: &'static str,
    /// What it does, for `--help` and the documentation.
    pub help: &'static str,
    /// What it is when not set, in words.
    pub default: &'static str,
    /// Whether its value is never shown.
    pub secret: bool,
    apply: fn(&mut Config, &str) -> Result<(), String>,
}

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A flag of the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The file of that name.
    File(String),
}

/// A value that cannot be used, or a key that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} ({origin}): {problem}")]
pub struct InvalidSetting {
    /// The key as it was written.
    pub key: String,
    /// Where it was found.
    pub origin: Source,
    /// What was found, and what is expected.
    pub problem: String,
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => out.write_str("flag"),
            Self::Environment => out.write_str("environment"),
            Self::File(path) => write!(out, "file {path}"),
        }
    }
}

impl Setting {
    /// The key in the TOML file.
    #[must_use]
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// The flag, without its dashes.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key().replace('_', "-")
    }

    /// Reads a value into the configuration.
    ///
    /// # Errors
    /// [`InvalidSetting`] with what was found and what is expected.
    pub fn apply(&self, config: &mut Config, value: &str, origin: Source) -> Result<(), InvalidSetting> {
        (self.apply)(config, value.trim()).map_err(|expected| {
            let found = if self.secret { "a value that is not shown".into() } else { format!("{value:?}") };
            let key = match &origin {
                Source::Flag => format!("--{}", self.flag()),
                Source::Environment => self.name.into(),
                Source::File(_) => self.key(),
            };
            InvalidSetting { key, origin, problem: format!("found {found}; expected {expected}") }
        })
    }
}

/// The values of a TOML file, as texts.
///
/// # Errors
/// [`InvalidSetting`] when the file is not TOML, or has a key that is no setting or a value that is no scalar or list.
pub fn read_file(path: &str, text: &str) -> Result<Vec<(&'static Setting, String)>, InvalidSetting> {
    let origin = || Source::File(path.into());
    let invalid = |key: &str, problem: String| InvalidSetting { key: key.into(), origin: origin(), problem };
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| invalid("(whole file)", error.message().into()))?;
    let mut values = Vec::new();
    for (key, value) in table {
        let setting = SETTINGS.iter().find(|setting| setting.key() == key);
        let setting = setting.ok_or_else(|| invalid(&key, format!("unknown key{}", suggestion(&key))))?;
        let value = read(&value)
            .ok_or_else(|| invalid(&key, "expected a text, a number, true, false, a list or a table".into()))?;
        values.push((setting, value));
    }
    Ok(values)
}

/// The nearest key by letters, for a misspelt one.
fn suggestion(key: &str) -> String {
    let distance = |other: &str| {
        let mut row: Vec<usize> = (0..=other.len()).collect();
        for (i, a) in key.bytes().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], i + 1);
            for (j, b) in other.bytes().enumerate() {
                let cost = diagonal + usize::from(a != b);
                diagonal = row[j + 1];
                row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
            }
        }
        row[other.len()]
    };
    let nearest = SETTINGS.iter().map(Setting::key).min_by_key(|known| distance(known));
    nearest.filter(|known| distance(known) <= 3).map_or_else(String::new, |known| format!("; did you mean {known}?"))
}

/// A value as the environment would have it: a table of tables is `a.b=value` for each, separated by commas.
fn read(value: &toml::Value) -> Option<String> {
    let toml::Value::Table(table) = value else { return scalar(value) };
    let items = table.iter().map(|(name, value)| match value {
        toml::Value::Table(inner) if !inner.is_empty() => {
            let item = |(last, value)| Some(format!("{name}.{last}={}", scalar(value)?));
            inner.iter().map(item).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        value => Some(format!("{name}={}", scalar(value)?)),
    });
    items.collect::<Option<Vec<_>>>().filter(|items| !items.is_empty()).map(|items| items.join(","))
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) if items.iter().all(|item| !item.is_array()) => {
            items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        _ => None,
    }
}

macro_rules! settings {
    (@is_secret secret) => { true };
    (@is_secret) => { false };
    ($($name:ident $(($secret:ident))?, $default:literal, $help:literal, |$config:ident, $value:ident| $body:expr;)+) => {
        /// Every setting, in the order in which they are documented.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            name: stringify!($name),
            help: $help,
            default: $default,
            secret: settings!(@is_secret $($secret)?),
            apply: |$config, $value| { $body; Ok(()) },
        }),+];
    };
}

settings! {
    HOST, "127.0.0.1", "address to listen on; 0.0.0.0 or :: for all", |config, value| config.host = parsed::<IpAddr>(value, "an IP address, such as 0.0.0.0")?;
    PORT, "3001", "port to listen on; 0 takes a free one", |config, value| config.port = parsed(value, "a port from 0 to 65535")?;
    JWT_SECRET (secret), "none; `dev` makes one", "secret of HS256 tokens, at least 32 bytes", |config, value| config.jwt_secret = Some(Secret::new(value));
    JWT_SECRET_PREVIOUS (secret), "none", "the secret that JWT_SECRET has replaced: its tokens are still accepted", |config, value| config.jwt_secret_previous = Some(Secret::new(value));
    JWT_PUBLIC_KEY_FILE, "none", "PEM file of public keys whose tokens are accepted: RSA, P-256, P-384 or Ed25519", |config, value| config.jwt_public_key_file = Some(text(value)?.into());
    JWKS_URL, "none", "https address of a JSON Web Key Set whose tokens are accepted", |config, value| config.jwks_url = Some(text(value)?);
    JWT_ISSUER, "not checked", "the `iss` that tokens must have", |config, value| config.jwt_issuer = Some(text(value)?);
    JWT_AUDIENCE, "not checked", "the `aud` that tokens must have", |config, value| config.jwt_audience = Some(text(value)?);
    QUERY_TOKEN, "true", "whether `/ws?token=` is read", |config, value| config.query_token = boolean(value)?;
    FRONTEND_URL, "same origin; in `dev` any loopback origin", "comma-separated origins of the pages that may connect", |config, value| config.frontend_url = Some(list(value, "origins such as https://app.example.com")?);
    ROOM_ACCESS, "grants; in `dev` open", "what a token without grants may do: grants (nothing) or open (subscribe, presence, history and typing)", |config, value| config.room_access = match value {
        "grants" => RoomAccess::Grants,
        "open" => RoomAccess::Open,
        _ => return Err("grants or open".into()),
    };
    ACCESS_URL, "none", "https address of the back end that is asked about rooms which a token does not decide", |config, value| config.access_url = Some(text(value)?);
    ACCESS_TOKEN (secret), "none", "what the gateway shows there, as Authorization: Bearer", |config, value| config.access_token = Some(Secret::new(text(value)?));
    ACCESS_TIMEOUT_MS, "2000", "how long an answer may take; without one it is denied", |config, value| config.access_timeout = nonzero(value, Unit::Millis)?;
    ACCESS_TTL, "60s", "how long an answer counts, whichever way it goes", |config, value| config.access_ttl = duration(value, Unit::Seconds)?;
    ROOM_KINDS, "none", "comma-separated kinds of room beside workspace, team, issue, project, cycle and user", |config, value| config.room_kinds = room_kinds(value)?;
    REDIS_URL (secret), "the embedded broker", "address of Redis, for several nodes: redis://user:password@host:port/db, or rediss:// for TLS", |config, value| config.redis_url = Some(Secret::new(text(value)?));
    REDIS_CA, "the web's authorities", "PEM file of the authorities that are trusted instead, over rediss://", |config, value| config.redis_ca = Some(text(value)?.into());
    REDIS_PREFIX, "roomcast:", "what keys and channels in Redis begin with", |config, value| config.redis_prefix = text(value)?;
    REDIS_DURABLE, "false", "whether Redis never comes back with older data: then positions outlive its restarts", |config, value| config.redis_durable = boolean(value)?;
    REDIS_SENTINELS (secret), "none", "comma-separated sentinels as host:port, which name the primary in place of the host in REDIS_URL", |config, value| config.redis_sentinels = RedisSentinels(items(value).map(Into::into).collect());
    REDIS_MASTER, "none", "name of the primary among the sentinels", |config, value| config.redis_master = Some(text(value)?);
    HISTORY_SIZE, "1000", "events kept per room; kinds of room may have their own, as in 1000,issue=200,user=50", |config, value| config.history_size = PerKind::parse(value, Config::serve().history_size.others, |value| number(value, 0, 1_000_000))?;
    HISTORY_TTL, "10m", "how long events are kept; kinds of room may have their own, as in 10m,user=24h", |config, value| config.history_ttl = PerKind::parse(value, Config::serve().history_ttl.others, |value| duration(value, Unit::Seconds))?;
    RECOVERY_LIMIT, "all that are kept", "missed events that are replayed per room; more are told as a gap", |config, value| config.recovery_limit = Some(number(value, 0, 1_000_000)?);
    HISTORY_BYTES, "4194304", "bytes of events kept per room; kinds of room may have their own, as in 4194304,issue=1048576", |config, value| config.history_bytes = PerKind::parse(value, Config::serve().history_bytes.others, |value| number(value, 0, 1 << 40))?;
    HISTORY_TOTAL_BYTES, "268435456", "bytes of events kept in all rooms together", |config, value| config.history_total_bytes = number(value, 0, 1 << 40)?;
    POSITION_TTL, "24h", "how long a room's counter outlives its last event or member", |config, value| config.position_ttl = duration(value, Unit::Seconds)?;
    MAX_STREAMS, "1000000", "rooms whose counters are kept", |config, value| config.max_streams = number(value, 1, 1 << 32)?;
    PRESENCE_GRACE, "15s", "how long a user whose connection is lost is still present, so that coming back goes unnoticed", |config, value| config.presence_grace = duration(value, Unit::Seconds)?;
    REVOCATION_TTL, "30d", "how long a revocation is kept; a token that lives longer is accepted again", |config, value| config.revocation_ttl = nonzero(value, Unit::Seconds)?;
    MESSAGES_PER_MINUTE, "100", "messages that a connection may send in a window", |config, value| config.messages_per_minute = number(value, 1, 1_000_000)? as u32;
    MESSAGE_WINDOW_SECONDS, "60", "length of that window", |config, value| config.message_window = nonzero(value, Unit::Seconds)?;
    LIMITS, "none", "comma-separated limits of a connection, user or address, such as user.publishes=600/1m, of messages, publishes, subscriptions, presence or bytes", |config, value| config.limits = Limits::parse(value, |time| nonzero(time, Unit::Seconds))?;
    AUTH_ATTEMPTS_PER_MINUTE, "10", "failed authentications that an address may make in a minute", |config, value| config.auth_attempts_per_minute = number(value, 1, 1_000_000)? as u32;
    AUTH_TIMEOUT_MS, "10000", "how long a connection may wait with its first frame", |config, value| config.auth_timeout = nonzero(value, Unit::Millis)?;
    MAX_MESSAGE_BYTES, "65536", "bytes in a client's message and in an event's payload", |config, value| config.max_message_bytes = number(value, 256, 16 << 20)?;
    MESSAGE_TIMEOUT_MS, "10000", "how long a message may take from its first byte to its last", |config, value| config.message_timeout = nonzero(value, Unit::Millis)?;
    MAX_QUEUE_BYTES, "1048576", "bytes waiting for one connection before it is closed as too slow", |config, value| config.max_queue_bytes = number(value, 1024, 1 << 30)?;
    STALL_TIMEOUT_MS, "8000", "how long a connection may take nothing of what waits for it before it is closed as too slow", |config, value| config.stall_timeout = nonzero(value, Unit::Millis)?;
    MAX_ROOMS, "128", "rooms that a connection may be in", |config, value| config.max_rooms = number(value, 1, 10_000)?;
    MAX_ROOMS_PER_MESSAGE, "128", "rooms in one request or event, at most 128", |config, value| config.max_rooms_per_message = number(value, 1, 128)?;
    MAX_CONNECTIONS, "what the limit of open files allows", "connections at a time", |config, value| config.max_connections = Some(number(value, 1, 10_000_000)?);
    MAX_CONNECTIONS_PER_ADDRESS, "any number", "connections of one address at a time; an IPv6 network of /64 is one address", |config, value| config.max_connections_per_address = Some(number(value, 1, 10_000_000)?);
    MAX_CONNECTIONS_PER_USER, "any number", "connections of one user at a time, on each node", |config, value| config.max_connections_per_user = Some(number(value, 1, 10_000_000)?);
    MAX_UNAUTHENTICATED, "any number", "connections at a time that have not said who they are", |config, value| config.max_unauthenticated = Some(number(value, 1, 10_000_000)?);
    ACCEPT_RATE, "as many as come", "upgrades accepted in a second; those beyond get 503 and when to come back", |config, value| config.accept_rate = Some(number(value, 1, 1_000_000)? as u32);
    MAX_CONNECTION_AGE, "unlimited", "how long a connection lasts, up to a seventh less, until its client is asked to connect anew", |config, value| config.max_connection_age = Some(nonzero(value, Unit::Seconds)?);
    PING_INTERVAL_MS, "30000", "how often a connection is pinged", |config, value| config.ping_interval = nonzero(value, Unit::Millis)?;
    IDLE_TIMEOUT_MS, "60000", "how long a connection may send nothing", |config, value| config.idle_timeout = nonzero(value, Unit::Millis)?;
    HEADER_TIMEOUT_MS, "10000", "how long a request's header may take", |config, value| config.header_timeout = nonzero(value, Unit::Millis)?;
    DRAIN_SECONDS, "25; in `dev` 0", "how long connections are closed over when the gateway stops", |config, value| config.drain = duration(value, Unit::Seconds)?;
    DRAIN_DELAY, "0", "the part of it in which upgrades are still accepted, for load balancers", |config, value| config.drain_delay = duration(value, Unit::Seconds)?;
    TRUSTED_PROXIES, "none", "comma-separated networks whose X-Forwarded-For is believed", |config, value| config.trusted_proxies = networks(value)?;
    CONSOLE, "off; in `dev` on", "whether the page at /console/ is served, which shows what the gateway does: on or off", |config, value| config.console = switch(value)?;
    ADMIN_ADDR, "the main address", "a second address, to which health, metrics, statistics, limits and the console move", |config, value| config.admin_addr = Some(parsed::<SocketAddr>(value, "an address with a port, such as 127.0.0.1:9100")?);
    LOG_FORMAT, "text", "how log lines are written: text or json", |config, value| config.log_format = match value {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        _ => return Err("text or json".into()),
    };
    NODE_ENV, "ignored", "accepted for the original's sake", |_config, value| text(value).map(drop).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn set(name: &str, value: &str) -> Result<Config, InvalidSetting> {
        let mut config = Config::serve();
        let setting = SETTINGS.iter().find(|setting| setting.name == name).unwrap();
        setting.apply(&mut config, value, Source::Environment).map(|()| config)
    }

    #[test]
    fn durations_have_units_or_that_of_their_name() {
        assert_eq!(set("HISTORY_TTL", "10m").unwrap().history_ttl.others, Duration::from_secs(600));
        assert_eq!(set("HISTORY_TTL", "90").unwrap().history_ttl.others, Duration::from_secs(90));
        assert_eq!(set("PING_INTERVAL_MS", "250").unwrap().ping_interval, Duration::from_millis(250));
        assert_eq!(set("PING_INTERVAL_MS", "2s").unwrap().ping_interval, Duration::from_secs(2));
        for wrong in ["", "m", "-1", "1.5s", "10 parsecs", "99999999999999999999d", "1000000d"] {
            assert!(set("HISTORY_TTL", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bad_value_names_the_key_what_was_found_and_what_is_expected() {
        let error = set("PORT", "many").unwrap_err().to_string();
        assert_eq!(error, r#"PORT (environment): found "many"; expected a port from 0 to 65535"#);
        let error = set("ROOM_ACCESS", "all").unwrap_err().to_string();
        assert_eq!(error, r#"ROOM_ACCESS (environment): found "all"; expected grants or open"#);
    }

    #[test]
    fn kinds_of_room_have_their_own_bounds_in_texts_and_in_lists() {
        let size = set("HISTORY_SIZE", "1000,issue=200,user=50").unwrap().history_size;
        assert_eq!([size.of("team"), size.of("issue"), size.of("user")], [&1000, &200, &50]);
        let ttl = set("HISTORY_TTL", "user=24h").unwrap().history_ttl;
        assert_eq!((ttl.of("team").as_secs(), ttl.of("user").as_secs()), (600, 86_400));
        assert_eq!(set("HISTORY_BYTES", "issue=0").unwrap().history_bytes.of("issue"), &0);
        for text in ["history_size = \"10,issue=2\"", "history_size = [10, \"issue=2\"]"] {
            let values = read_file("r.toml", text).unwrap();
            assert_eq!(values[0].1, "10,issue=2");
        }
        let error = set("HISTORY_SIZE", "1000,issue=few").unwrap_err().to_string();
        let expected = "a number from 0 to 1000000, and others for kinds of room as kind=value";
        assert_eq!(error, format!(r#"HISTORY_SIZE (environment): found "1000,issue=few"; expected {expected}"#));
    }

    #[test]
    fn limits_are_a_text_a_list_or_a_table() {
        let expected = set("LIMITS", "address.bytes=1048576/10s,user.messages=600/1m").unwrap().limits;
        assert_eq!(expected.iter().count(), 2);
        for text in [
            "limits = [\"user.messages=600/1m\", \"address.bytes=1048576/10s\"]",
            "[limits]\nuser.messages = \"600/1m\"\naddress.bytes = \"1048576/10s\"",
            "[limits.user]\nmessages = \"600/1m\"\n[limits.address]\nbytes = \"1048576/10s\"",
        ] {
            let values = read_file("r.toml", text).unwrap();
            assert_eq!(set("LIMITS", &values[0].1).unwrap().limits, expected, "{text}");
        }
        for wrong in ["limits = {}", "[limits.user]", "[limits.user.messages]\ncount = 1"] {
            assert!(read_file("r.toml", wrong).is_err(), "{wrong}");
        }
        let error = set("LIMITS", "user.messages=600").unwrap_err().to_string();
        assert!(
            error.starts_with("LIMITS (environment): found \"user.messages=600\"; expected limits such as"),
            "{error}"
        );
    }

    #[test]
    fn a_file_has_keys_in_lower_case_and_no_others() {
        let values =
            read_file("r.toml", "port = 4000\nfrontend_url = [\"http://a.example\", \"http://b.example\"]").unwrap();
        let pairs: Vec<_> = values.iter().map(|(setting, value)| (setting.name, value.as_str())).collect();
        assert_eq!(pairs, [("FRONTEND_URL", "http://a.example,http://b.example"), ("PORT", "4000")]);
        let error = read_file("r.toml", "histroy_size = 7").unwrap_err().to_string();
        assert_eq!(error, "histroy_size (file r.toml): unknown key; did you mean history_size?");
        assert!(read_file("r.toml", "port = {}").is_err());
        assert!(read_file("r.toml", "port = ").is_err());
    }

    #[test]
    fn the_documented_defaults_are_those_of_the_configuration() {
        for setting in SETTINGS {
            let mut config = Config::serve();
            let default = setting.default.split(';').next().unwrap();
            if (setting.apply)(&mut config, default).is_ok() && !setting.secret {
                let found = format!("{config:?}");
                let unset = [
                    "JWT_PUBLIC_KEY_FILE",
                    "JWKS_URL",
                    "JWT_ISSUER",
                    "JWT_AUDIENCE",
                    "ROOM_KINDS",
                    "ACCESS_URL",
                    "REDIS_CA",
                    "REDIS_MASTER",
                ]
                .contains(&setting.name);
                assert!(unset || found == format!("{:?}", Config::serve()), "{}", setting.name);
            }
        }
    }
}
