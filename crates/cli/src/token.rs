//! `roomcast token`: make and read tokens.
//!
//! Owns the search for the secret that both share: the configured one, else that of `roomcast dev`.

mod explain;
mod inspect;
mod mint;

use std::io::Read as _;

use clap::{ArgMatches, Command};
use roomcast_gateway::Config;

use crate::configuration::{self, Configuration};
use crate::dev_secret::{self, DevSecret};
use crate::failure::Failure;

pub(crate) fn command() -> Command {
    Command::new("token")
        .about("Make and read tokens")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(flags(mint::command()))
        .subcommand(flags(inspect::command()))
        .subcommand(flags(explain::command()))
}

pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("mint", matches)) => mint::run(matches),
        Some(("inspect", matches)) => inspect::run(matches),
        Some((_, matches)) => explain::run(matches),
        None => Err(Failure::configuration("choose between mint, inspect and explain")),
    }
}

fn flags(command: Command) -> Command {
    configuration::flags_for(dev_secret::flag(command), |name| {
        name.starts_with("JWT_") || name == "ROOM_ACCESS" || name == "ACCESS_URL"
    })
}

/// The token of the command line, or of standard input for `-`.
fn token_of(matches: &ArgMatches) -> Result<String, Failure> {
    let mut token = matches.get_one::<String>("token").cloned().unwrap_or_default();
    if token == "-" {
        token.clear();
        let read = std::io::stdin().read_to_string(&mut token);
        read.map_err(|error| Failure::other(format!("read the token: {error}")))?;
    }
    Ok(token.trim().to_owned())
}

/// The configuration, with the secret of `roomcast dev` where none is given; and, in words, whose secret it has.
fn with_secret(matches: &ArgMatches) -> Result<(Configuration, Option<String>), Failure> {
    let mut configuration = configuration::load(Config::serve(), matches)?;
    for key in ["JWT_SECRET", "JWT_PUBLIC_KEY_FILE"] {
        if let Some((_, source)) = configuration.given(key) {
            let source = format!("{key} ({source})");
            return Ok((configuration, Some(source)));
        }
    }
    let file = DevSecret::new(matches);
    let secret = file.read()?;
    let source = secret.as_ref().map(|_| format!("the dev secret in {}", file.path().display()));
    configuration.config.jwt_secret = secret;
    Ok((configuration, source))
}
