//! `roomcast token explain`: whether a token may do something in a room, and what decides.
//!
//! Owns the words. The decision is the gateway's own.

use clap::{Arg, ArgMatches, Command};
use roomcast_gateway::access;
use roomcast_gateway::auth::Authenticator;
use roomcast_gateway::clock::Clock;
use roomcast_protocol::{Operation, Room};

use crate::failure::Failure;
use crate::output::print;

pub(super) fn command() -> Command {
    Command::new("explain")
        .about("Say whether a token may do something in a room, and which grant decides")
        .arg(
            Arg::new("token")
                .long("token")
                .value_name("JWT")
                .required(true)
                .help("the token; - reads it from standard input, where no list of processes shows it"),
        )
        .arg(
            Arg::new("room")
                .long("room")
                .value_name("ROOM")
                .required(true)
                .value_parser(|text: &str| text.parse::<Room>())
                .help("the room, such as team:team_456"),
        )
        .arg(
            Arg::new("op")
                .long("op")
                .value_name("OPERATION")
                .required(true)
                .value_parser(|text: &str| text.parse::<Operation>())
                .help("subscribe, history, presence, publish, publish:<type> or admin"),
        )
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let token = super::token_of(matches)?;
    let (configuration, source) = super::with_secret(matches)?;
    if source.is_none() {
        return Err(Failure::configuration("find a secret: JWT_SECRET is not set, and there is no dev secret here")
            .hint("set JWT_SECRET to the gateway's secret, or start `roomcast dev` in this directory once"));
    }
    configuration.check_secret()?;
    let authenticator = Authenticator::new(&configuration.config, Clock::system());
    let authenticator = authenticator.map_err(|error| configuration.cannot_work(&error))?;
    let (Some(room), Some(operation)) = (matches.get_one::<Room>("room"), matches.get_one::<Operation>("op")) else {
        return Err(Failure::configuration("find the room and the operation"));
    };
    let identity = match authenticator.check(&token) {
        Ok(identity) => identity,
        Err(refusal) => return print(&format!("denied     {refusal}")),
    };
    let decision = access::decide(configuration.config.room_access, &identity, room, operation);
    let is_asked = configuration.config.access_url.is_some() && access::question(room, operation).is_some();
    let verdict = match decision.is_allowed() {
        true => "allowed",
        false if is_asked => "callback",
        false => "denied",
    };
    let mut text = format!("{verdict:<10} {decision}\nuser       {}\nasked      {operation} on {room}", identity.user);
    if verdict == "callback" {
        text.push_str("\ndecided by ACCESS_URL, which the gateway asks; POST /api/v1/access/explain asks it, too");
    }
    for (pattern, operations) in identity.grants.iter().flat_map(|grants| grants.about(room)) {
        text.push_str(&format!("\ngrant      {pattern}: {}", operations.join(", ")));
    }
    print(&text)
}
