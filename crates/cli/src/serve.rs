//! `roomcast serve`: a gateway for production.

use clap::{ArgMatches, Command};
use roomcast_gateway::Config;

use crate::failure::Failure;
use crate::{configuration, listen, logging};

pub(crate) fn command() -> Command {
    configuration::flags(
        Command::new("serve")
            .about("Run a gateway that denies what a token does not grant; needs JWT_SECRET")
            .after_help("SIGTERM or Ctrl-C drains and exits with 0; a second one ends at once."),
    )
}

pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let configuration = configuration::load(Config::serve(), matches)?;
    configuration.check()?;
    logging::start(logging::GATEWAY, configuration.config.log_format)?;
    listen::run(configuration, |_, _| Ok(String::new()))
}
