//! Origins: which pages in browsers may talk to the gateway.
//!
//! Owns the comparison (RFC 6454 section 5: scheme, host and port, nothing else). A request without `Origin` is no browser's
//! and is not judged here.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::uri::{Authority, Uri};

use crate::config::{Config, Mode};

/// The origin of a web page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

/// The text is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an origin is scheme://host or scheme://host:port, without a path")]
pub struct InvalidOrigin;

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidOrigin)?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = default_port(&scheme).ok_or(InvalidOrigin)?;
        let authority: Authority = rest.strip_suffix('/').unwrap_or(rest).parse().map_err(|_| InvalidOrigin)?;
        if authority.as_str().contains('@') {
            return Err(InvalidOrigin);
        }
        let (host, port) = host_and_port(&authority).ok_or(InvalidOrigin)?;
        Ok(Self { scheme, host, port: port.unwrap_or(default_port) })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}", self.scheme, self.host)?;
        if default_port(&self.scheme) == Some(self.port) { Ok(()) } else { write!(out, ":{}", self.port) }
    }
}

impl Origin {
    fn is_loopback(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether a page of this origin was served under the `Host` of the request that it makes. Behind a proxy that ends
    /// TLS the request's scheme is unknown, so the default ports of both schemes count as its own.
    fn is_host(&self, host: &str) -> bool {
        let Some((name, port)) = host.parse::<Authority>().ok().as_ref().and_then(host_and_port) else { return false };
        name == self.host
            && port.map_or_else(|| default_port(&self.scheme) == Some(self.port), |port| port == self.port)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn host_and_port(authority: &Authority) -> Option<(String, Option<u16>)> {
    let host = authority.host().to_ascii_lowercase();
    let port = authority.port_u16();
    // "host:" and "host:99999" parse as an authority without a port number.
    let whole = port.is_some() || authority.as_str().len() == authority.host().len();
    (whole && !host.is_empty()).then_some((host, port))
}

/// Whether a page of this origin may talk to the gateway under this `Host`.
#[must_use]
pub fn is_allowed(config: &Config, origin: &str, host: Option<&str>) -> bool {
    // A browser writes "null" for pages without an origin of their own; it parses as none.
    let Ok(origin) = origin.parse::<Origin>() else { return false };
    match (&config.frontend_url, config.mode) {
        (Some(listed), _) if listed.contains(&origin) => true,
        // A name that an attacker points at 127.0.0.1 is its own host: in dev only loopback names count.
        (None, Mode::Dev) => origin.is_loopback(),
        _ => host.is_some_and(|host| origin.is_host(host)),
    }
}

/// The host that a request is for: its target's, or its `Host` header.
pub(crate) fn requested_host<'a>(uri: &'a Uri, headers: &'a http::HeaderMap) -> Option<&'a str> {
    uri.authority().map(Authority::as_str).or_else(|| headers.get(http::header::HOST)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(origins: &str) -> Config {
        let origins = origins.split(',').map(|origin| origin.parse().unwrap()).collect();
        Config { frontend_url: Some(origins), ..Config::serve() }
    }

    #[test]
    fn listed_origins_match_by_scheme_host_and_port() {
        let config = with("http://localhost:3000,https://app.example.com");
        for allowed in [
            "http://localhost:3000",
            "https://app.example.com",
            "https://app.example.com:443",
            "HTTPS://APP.example.com",
        ] {
            assert!(is_allowed(&config, allowed, None), "{allowed}");
        }
        for refused in [
            "http://localhost",
            "http://localhost:30000",
            "https://localhost:3000",
            "http://app.example.com",
            "https://app.example.com.evil.example",
            "https://evil.example?app.example.com",
            "https://app.example.com@evil.example",
            "https://app.example.com:",
            "null",
            "",
            "file://",
        ] {
            assert!(!is_allowed(&config, refused, Some("gateway.example")), "{refused}");
        }
    }

    #[test]
    fn serve_allows_the_same_origin_unless_told_more() {
        let config = Config::serve();
        assert!(is_allowed(&config, "http://rooms.example:3001", Some("rooms.example:3001")));
        assert!(is_allowed(&config, "https://rooms.example", Some("rooms.example")));
        assert!(!is_allowed(&config, "http://rooms.example:3000", Some("rooms.example:3001")));
        assert!(!is_allowed(&config, "http://localhost:3000", Some("rooms.example")));
    }

    #[test]
    fn dev_allows_loopback_pages_and_no_name_that_merely_points_there() {
        let config = Config::dev();
        for allowed in ["http://localhost:5173", "http://127.0.0.1:8080", "http://[::1]:3000", "https://app.localhost"]
        {
            assert!(is_allowed(&config, allowed, Some("127.0.0.1:3001")), "{allowed}");
        }
        assert!(!is_allowed(&config, "http://rebound.example:3001", Some("rebound.example:3001")));
    }
}
