//! `roomcast publish`: one event, over HTTP.
//!
//! Owns the way from the command line to an event. What makes an event good is the gateway's to say.

use std::io::Read;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use roomcast_client::{Publisher, PublisherBuilder};
use roomcast_gateway::config::LogFormat;
use roomcast_protocol::{Event, EventId, NewEvent, Room, Service, UserId};
use serde_json::Value;

use crate::failure::Failure;
use crate::output::print;
use crate::{logging, remote};

/// Tries: a gateway that restarts is forgiven, one that is not there is reported within seconds.
const ATTEMPTS: u32 = 3;

pub(crate) fn command() -> Command {
    let command = Command::new("publish")
        .about("Publish an event and print the answer, one line of JSON")
        .arg(Arg::new("type").value_name("TYPE").required(true).help("the event's type, such as issue.updated"))
        .arg(
            Arg::new("payload")
                .long("payload")
                .value_name("JSON")
                .default_value("{}")
                .help("the event's payload; - reads it from standard input"),
        )
        .arg(
            Arg::new("room")
                .long("room")
                .value_name("ROOM")
                .action(ArgAction::Append)
                .value_parser(value_parser!(Room))
                .help("where to, such as team:demo; may be repeated [default: the rooms that the type implies]"),
        )
        .arg(
            Arg::new("id")
                .long("id")
                .value_name("ID")
                .value_parser(value_parser!(EventId))
                .help("the event's id: publishing again under the same one is safe [default: a new one]"),
        )
        .arg(
            Arg::new("user")
                .long("user")
                .value_name("USER")
                .value_parser(value_parser!(UserId))
                .help("who did it [default: the token's user]"),
        );
    remote::flags(command)
}

pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    logging::start(logging::CLIENT, LogFormat::Text)?;
    let (remote, access) = remote::find(matches)?;
    let event = event(matches)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(format!("start a runtime: {error}")))?;
    let published = runtime.block_on(async {
        let publisher = Publisher::builder(&remote.http_url()).token(access.token().await?).attempts(ATTEMPTS);
        let publisher =
            PublisherBuilder::build(publisher).map_err(|error| Failure::configuration(error.to_string()))?;
        // The words of a refusal hold its code and pointer.
        publisher.publish(event).await.map_err(|error| Failure::other(error.to_string()))
    })?;
    let answer = serde_json::to_string(&published);
    print(&answer.map_err(|error| Failure::other(format!("write the answer: {error}")))?)
}

fn event(matches: &ArgMatches) -> Result<NewEvent, Failure> {
    let event_type = matches.get_one::<String>("type").cloned().unwrap_or_default();
    let mut payload = matches.get_one::<String>("payload").cloned().unwrap_or_default();
    if payload == "-" {
        payload.clear();
        let read = std::io::stdin().read_to_string(&mut payload);
        read.map_err(|error| Failure::other(format!("read the payload: {error}")))?;
    }
    let payload: Value = serde_json::from_str(&payload)
        .map_err(|error| Failure::other(format!("read the payload: it is not JSON: {error}")))?;
    // Untyped even where the type is known, so that there is one judge of payloads.
    let mut event = NewEvent::from(Event::custom(event_type, payload));
    event.rooms = matches.get_many::<Room>("room").map(|rooms| rooms.cloned().collect());
    event.event_id = matches.get_one::<EventId>("id").cloned();
    event.user_id = matches.get_one::<UserId>("user").cloned();
    Ok(event)
}
