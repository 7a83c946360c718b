//! The gateway that `subscribe` and `publish` talk to: where it is, and by which token.
//!
//! Owns the search: flags, then `ROOMCAST_URL` and `ROOMCAST_TOKEN`, then a gateway in `dev` on this machine, which gives a
//! token to whoever asks. Nothing but this machine is ever asked for one.

use std::net::IpAddr;

use clap::{Arg, ArgMatches, Command};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode, Uri};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::http;

/// Where `roomcast dev` listens when nothing else is set.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:3001";

/// The user of the tokens that are made for trying things out.
pub(crate) const DEV_USER: &str = "dev";

const URL_VARIABLE: &str = "ROOMCAST_URL";
const TOKEN_VARIABLE: &str = "ROOMCAST_TOKEN";

/// A gateway, by its URL of either scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    is_secure: bool,
    authority: String,
    /// In front of every path, without a slash at its end; empty for a gateway at the root.
    prefix: String,
    /// The path of the socket, when the URL named one.
    socket: Option<String>,
}

/// By which token to talk to it.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// This one.
    Token(String),
    /// One that the gateway, in `dev` on this machine, gives to whoever asks.
    Ask(Remote),
}

/// Adds `--url` and `--token`.
pub(crate) fn flags(command: Command) -> Command {
    let url = Arg::new("url").long("url").value_name("URL").help(format!(
        "the gateway, such as https://realtime.example.com or its wss:// URL [env: {URL_VARIABLE}] [default: {DEFAULT_URL}]"
    ));
    let token = Arg::new("token").long("token").value_name("JWT").help(format!(
        "the token; rather by the environment, flags are visible to others [env: {TOKEN_VARIABLE}] [default: one that \
         a gateway in dev mode on this machine gives]"
    ));
    command.arg(url).arg(token)
}

/// The gateway, and the way to a token for it.
///
/// # Errors
/// When the URL is none, or a token is needed and there is none.
pub(crate) fn find(matches: &ArgMatches) -> Result<(Remote, Access), Failure> {
    let given = |flag: &str, name: &str| {
        let variable = || std::env::var(name).ok().filter(|value| !value.is_empty());
        matches.get_one::<String>(flag).cloned().or_else(variable)
    };
    let url = given("url", URL_VARIABLE).unwrap_or_else(|| DEFAULT_URL.into());
    let remote = Remote::parse(&url).map_err(|problem| Failure::configuration(format!("use the url: {problem}")))?;
    let access = match given("token", TOKEN_VARIABLE) {
        Some(token) => Access::Token(token),
        None if remote.is_loopback() => Access::Ask(remote.clone()),
        None => {
            let failure = Failure::configuration(format!("find a token for {}", remote.http_url()));
            return Err(failure.hint(format!("set {TOKEN_VARIABLE}; `roomcast token mint` makes one")));
        }
    };
    Ok((remote, access))
}

impl Remote {
    /// Reads `http`, `https`, `ws` and `wss` URLs. The error leaves out the URL, whose query may hold a token.
    fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        let (is_secure, is_socket) = match uri.scheme_str() {
            Some("http") => (false, false),
            Some("https") => (true, false),
            Some("ws") => (false, true),
            Some("wss") => (true, true),
            _ => return Err("expected one that starts with http://, https://, ws:// or wss://".into()),
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or("it has no host")?;
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err("it holds a query or a password; a token goes into --token or ROOMCAST_TOKEN".into());
        }
        let path = uri.path().trim_end_matches('/');
        let socket = (is_socket && !path.is_empty()).then(|| path.to_owned());
        let prefix = if is_socket { path.strip_suffix("/ws").unwrap_or_default() } else { path };
        Ok(Self { is_secure, authority: authority.to_string(), prefix: prefix.into(), socket })
    }

    /// The URL in front of the HTTP calls.
    pub(crate) fn http_url(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.prefix)
    }

    /// The socket's URL.
    pub(crate) fn ws_url(&self) -> String {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        let path = self.socket.clone().unwrap_or_else(|| format!("{}/ws", self.prefix));
        format!("{scheme}://{}{path}", self.authority)
    }

    /// Whether it is on this machine, and reached without a proxy in between.
    fn is_loopback(&self) -> bool {
        let authority = self.authority.parse::<hyper::http::uri::Authority>().ok();
        let host = authority.as_ref().map_or("", |authority| authority.host());
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        !self.is_secure && (host == "localhost" || address.is_ok_and(|address| address.is_loopback()))
    }

    /// A token that may do everything, from a gateway in `dev`.
    async fn ask_for_token(&self) -> Result<String, Failure> {
        let base = self.http_url();
        let body = json!({ "userId": DEV_USER, "grants": { "*": ["*"] } });
        let request = Request::post(format!("{base}/dev/token"))
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string())
            .map_err(|error| Failure::other(format!("use the url: {error}")))?;
        let (status, answer) = http::exchange(request).await.map_err(|reason| {
            Failure::other(reason).hint("is a gateway running there? `roomcast dev` starts one; --url names another")
        })?;
        let token =
            serde_json::from_slice::<Value>(&answer).ok().and_then(|body| Some(body["token"].as_str()?.to_owned()));
        match (status, token) {
            (StatusCode::OK, Some(token)) => Ok(token),
            _ => Err(Failure::other(format!("get a token of {base}: it gives none (http status {})", status.as_u16()))
                .hint(format!("only `roomcast dev` gives tokens away; for another gateway set {TOKEN_VARIABLE}"))),
        }
    }
}

impl Access {
    /// A token.
    ///
    /// # Errors
    /// When a gateway was asked for one and gave none.
    pub(crate) async fn token(&self) -> Result<String, Failure> {
        match self {
            Self::Token(token) => Ok(token.clone()),
            Self::Ask(remote) => remote.ask_for_token().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_scheme_gives_both_urls() {
        let urls = |url| Remote::parse(url).map(|remote| (remote.http_url(), remote.ws_url())).unwrap();
        let pair = |http: &str, ws: &str| (http.to_owned(), ws.to_owned());
        assert_eq!(urls("http://localhost:3001"), pair("http://localhost:3001", "ws://localhost:3001/ws"));
        assert_eq!(urls("ws://localhost:3001/ws"), pair("http://localhost:3001", "ws://localhost:3001/ws"));
        assert_eq!(urls("wss://a.example"), pair("https://a.example", "wss://a.example/ws"));
        assert_eq!(urls("https://a.example/live/"), pair("https://a.example/live", "wss://a.example/live/ws"));
        assert_eq!(urls("wss://a.example/live/ws"), pair("https://a.example/live", "wss://a.example/live/ws"));
        assert_eq!(urls("wss://a.example/socket"), pair("https://a.example", "wss://a.example/socket"));
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_and_not_repeated() {
        for url in [
            "",
            "localhost:3001",
            "ftp://a.example",
            "http://",
            "http://a.example/?token=hush",
            "ws://u:hush@a.example",
        ] {
            let error = Remote::parse(url).unwrap_err();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn only_this_machine_is_asked_for_a_token() {
        let is_loopback = |url| Remote::parse(url).unwrap().is_loopback();
        for url in ["http://127.0.0.1:3001", "ws://localhost/ws", "http://[::1]:3001", "http://127.1.2.3"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["https://localhost", "http://a.example", "http://127.0.0.1.example", "http://10.0.0.1"] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
