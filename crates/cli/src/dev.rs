//! `roomcast dev`: a gateway for a developer's own machine, with nothing to set up.
//!
//! Owns the words of its start: addresses, a token, and two commands that work when they are copied.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::{ArgMatches, Command};
use roomcast_gateway::{Config, Gateway};
use roomcast_protocol::{Grants, UserId};

use crate::dev_secret::{self, DevSecret};
use crate::failure::Failure;
use crate::listen::Addresses;
use crate::remote::{DEFAULT_URL, DEV_USER};
use crate::{configuration, listen, logging};

/// As long as a token of `POST /dev/token`: a working day.
const TOKEN_TTL: Duration = Duration::from_secs(12 * 3600);

pub(crate) fn command() -> Command {
    let command = Command::new("dev")
        .about("Run a gateway on this machine with open rooms, and print a token and what to try next")
        .after_help(
            "Keeps its secret in .roomcast/dev-secret unless JWT_SECRET is given. Whoever reaches it gets a token \
             from POST /dev/token. SIGTERM or Ctrl-C ends within a second.",
        );
    configuration::flags(dev_secret::flag(command))
}

pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let mut configuration = configuration::load(Config::dev(), matches)?;
    let log_format = configuration.config.log_format;
    if configuration.config.jwt_secret.is_none() {
        configuration.config.jwt_secret = Some(DevSecret::new(matches).read_or_make()?);
    }
    configuration.check()?;
    logging::start(logging::GATEWAY, log_format)?;
    for warning in warnings(&configuration.config) {
        tracing::warn!("{warning}");
    }
    let has_console = configuration.config.console;
    listen::run(configuration, |gateway, addresses| introduction(gateway, addresses, has_console))
}

/// What a developer should know of this configuration.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if !config.host.is_loopback() {
        let host = config.host;
        warnings.push(format!(
            "HOST is {host}, which is not loopback: anybody who reaches this gateway can mint tokens by POST /dev/token"
        ));
    }
    warnings
}

fn introduction(gateway: &Gateway, addresses: Addresses, has_console: bool) -> Result<String, Failure> {
    let user: UserId = DEV_USER.parse().map_err(|error| Failure::other(format!("name the user: {error}")))?;
    let token = gateway
        .mint_token(&user, Some(&Grants::everything()), TOKEN_TTL)
        .map_err(|error| Failure::other(format!("make a token: {error}")))?;
    let address = reachable(addresses.public);
    let console = if has_console {
        format!("\nconsole at http://{}/console/", reachable(addresses.operator.unwrap_or(addresses.public)))
    } else {
        String::new()
    };
    let url = format!("http://{address}");
    // Left out where the commands find the gateway and a token by themselves.
    let mut flags = String::new();
    if url != DEFAULT_URL {
        flags = format!(" --url {url}");
    }
    if !address.ip().is_loopback() {
        flags = format!("{flags} --token {token}");
    }
    let roomcast = program();
    Ok(format!(
        r#"
websocket at ws://{address}/ws{console}

token of user "{DEV_USER}", who may do everything, for 12 hours:
{token}

see what happens in a room, in a second terminal:
{roomcast} subscribe team:demo{flags}

let something happen there, in a third:
curl -sSw '\n' {url}/api/v1/events -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{{"type":"issue.created","payload":{{"id":"issue_1","identifier":"DEMO-1","title":"Hello","teamId":"demo","status":"todo","priority":"high"}}}}'
"#
    ))
}

/// The address by which this machine reaches a gateway that listens on this one.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// How this program was called, so that it can be called the same way again.
fn program() -> String {
    // Set by `cargo run` for what it runs.
    if std::env::var_os("CARGO").is_some() {
        return "cargo run -q --".into();
    }
    let name = std::env::args().next().unwrap_or_default();
    if name.is_empty() || name.contains(|letter: char| letter.is_whitespace() || letter == '\'') {
        "roomcast".into()
    } else {
        name
    }
}
