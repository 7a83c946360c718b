//! `roomcast healthcheck`: is the gateway of this configuration ready? For a container, which has no curl.

use std::net::SocketAddr;

use clap::{ArgMatches, Command};
use hyper::{Request, StatusCode};
use roomcast_gateway::Config;

use crate::dev::reachable;
use crate::failure::Failure;
use crate::output::print;
use crate::{configuration, http};

pub(crate) fn command() -> Command {
    let command = Command::new("healthcheck")
        .about("Ask the gateway of this configuration whether it is ready; the answer is the exit code")
        .after_help("Exit codes: 0 ready, 1 not ready or not there, 2 the configuration names no port.");
    configuration::flags_for(command, |name| ["HOST", "PORT", "ADMIN_ADDR"].contains(&name))
}

pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    // Not checked as a whole: whether the gateway could start is not the question.
    let config = configuration::load(Config::serve(), matches)?.config;
    let address = reachable(config.admin_addr.unwrap_or(SocketAddr::new(config.host, config.port)));
    if address.port() == 0 {
        return Err(Failure::configuration("find the gateway: PORT is 0, and which one it took is not known here"));
    }
    let request = Request::get(format!("http://{address}/readyz")).body(String::new());
    let request = request.map_err(|error| Failure::other(format!("ask http://{address}: {error}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(format!("start a runtime: {error}")))?;
    match runtime.block_on(http::exchange(request)).map_err(Failure::other)? {
        (StatusCode::OK, _) => print("ready"),
        (status, _) => {
            Err(Failure::other(format!("find it ready: http://{address}/readyz answers {}", status.as_u16())))
        }
    }
}
