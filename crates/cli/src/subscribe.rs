//! `roomcast subscribe`: a room's events as they come.
//!
//! Owns what goes where: events, and who is there, on standard output, one line of JSON each, as they stand on the wire; all
//! else that happens, in words, on standard error.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use roomcast_client::{Client, ConnectionState, Delivery, Join, Subscription};
use roomcast_gateway::config::LogFormat;
use roomcast_protocol::{InvalidPosition, InvalidRoom, Position, Room};
use serde_json::Value;
use tokio::sync::watch;

use crate::failure::Failure;
use crate::output::print;
use crate::remote::Access;
use crate::signals::Signals;
use crate::{logging, remote};

pub(crate) fn command() -> Command {
    let command = Command::new("subscribe")
        .about("Print the events of rooms as they come, one line of JSON each")
        .after_help(
            "Standard output has events, and with --presence who is there: type and payload of presence.state, \
             presence.joined and presence.left. What else happens is told on standard error.",
        )
        .arg(
            Arg::new("room")
                .value_name("ROOM")
                .required_unless_present("since")
                .action(ArgAction::Append)
                .num_args(1..)
                .value_parser(value_parser!(Room))
                .help("a room, such as team:demo"),
        )
        .arg(
            Arg::new("since")
                .long("since")
                .value_name("ROOM=POSITION")
                .action(ArgAction::Append)
                .value_parser(parse_since)
                .help("go on in a room behind a position that an earlier event named; for each room once"),
        )
        .arg(
            Arg::new("presence")
                .long("presence")
                .action(ArgAction::SetTrue)
                .help("print who is in the rooms too, and be seen there"),
        )
        .arg(
            Arg::new("presence-data")
                .long("presence-data")
                .value_name("JSON")
                .value_parser(parse_json)
                .help("what others see of this user there, at most 1 KiB; implies --presence"),
        )
        .arg(
            Arg::new("count")
                .long("count")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..))
                .help("end after this many events [default: go on until Ctrl-C]"),
        );
    remote::flags(command)
}

pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    logging::start(logging::CLIENT, LogFormat::Text)?;
    let (remote, access) = remote::find(matches)?;
    let joins = joins(matches);
    let count = matches.get_one::<u64>("count").copied();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(format!("start a runtime: {error}")))?;
    runtime.block_on(async {
        let mut signals = Signals::catch()?;
        let client = connect(&remote.ws_url(), access).await?;
        let outcome = tokio::select! {
            outcome = follow(&client, joins, count) => outcome,
            signal = signals.next() => Err(Failure::signal(signal)),
        };
        tokio::select! {
            () = client.close() => {}
            _ = signals.next() => {}
        }
        outcome
    })
}

/// Reads `room=position`. Neither half has an equals sign.
fn parse_since(text: &str) -> Result<(Room, Position), String> {
    let (room, position) = text.split_once('=').ok_or("expected room=position, such as team:demo=k3x9:42")?;
    let room = room.parse().map_err(|error: InvalidRoom| error.to_string())?;
    let position = position.parse().map_err(|error: InvalidPosition| error.to_string())?;
    Ok((room, position))
}

/// Every room that was named, in either way, once.
fn rooms(matches: &ArgMatches) -> Vec<(Room, Option<Position>)> {
    let named = matches.get_many::<Room>("room").into_iter().flatten().map(|room| (room.clone(), None));
    let since = matches.get_many::<(Room, Position)>("since").into_iter().flatten();
    let mut rooms: Vec<(Room, Option<Position>)> = named.collect();
    for (room, position) in since {
        match rooms.iter_mut().find(|(known, _)| known == room) {
            Some((_, known)) => *known = Some(*position),
            None => rooms.push((room.clone(), Some(*position))),
        }
    }
    rooms
}

/// Every room that was named, as it was wished for.
fn joins(matches: &ArgMatches) -> Vec<(Room, Join)> {
    let data = matches.get_one::<Value>("presence-data");
    let wishes = matches.get_flag("presence");
    let join = |(room, since): (Room, Option<Position>)| {
        let mut join = Join::new(room.clone());
        if let Some(position) = since {
            join = join.since(position);
        }
        join = match data {
            Some(data) => join.presence_with(data.clone()),
            None if wishes => join.presence(),
            None => join,
        };
        (room, join)
    };
    rooms(matches).into_iter().map(join).collect()
}

fn parse_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

async fn connect(url: &str, access: Access) -> Result<Client, Failure> {
    // Asked once beforehand: a gateway that is not there is told at once, and not after the SDK's patience.
    let token = access.token().await?;
    let builder = Client::builder(url);
    let builder = match access {
        Access::Token(_) => builder.token(token),
        // A new one for each connection, so that a terminal may stay open for days.
        Access::Ask(_) => builder.token_provider(move || {
            let access = access.clone();
            async move { access.token().await.map_err(|failure| failure.to_string()) }
        }),
    };
    let client = builder.build().map_err(|error| Failure::configuration(error.to_string()))?;
    tokio::spawn(tell_states(client.watch_state()));
    Ok(client)
}

async fn follow(client: &Client, joins: Vec<(Room, Join)>, count: Option<u64>) -> Result<(), Failure> {
    let names = joins.iter().map(|(room, _)| room.as_str()).collect::<Vec<_>>().join(", ");
    let subscription = client.subscribe_with(joins.into_iter().map(|(_, join)| join)).await;
    let mut subscription = subscription.map_err(|error| Failure::other(error.to_string()))?;
    eprintln!("roomcast: subscribed to {names}");
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        left -= u64::from(deliver(&mut subscription).await?);
    }
    Ok(())
}

/// Prints or tells the next delivery; whether it was an event.
async fn deliver(subscription: &mut Subscription) -> Result<bool, Failure> {
    match subscription.next().await {
        Some(Delivery::Event(frame)) => {
            print(&written(serde_json::to_string(&frame))?)?;
            return Ok(true);
        }
        Some(Delivery::PresenceState(state)) => tell_presence("state", serde_json::to_string(&state))?,
        Some(Delivery::PresenceJoined(change)) => tell_presence("joined", serde_json::to_string(&change))?,
        Some(Delivery::PresenceLeft(change)) => tell_presence("left", serde_json::to_string(&change))?,
        Some(Delivery::PresenceDenied { room }) => eprintln!("roomcast: {room}: presence is denied"),
        Some(Delivery::Gap { room, reason }) => {
            let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            eprintln!("roomcast: {room}: events may have been missed{reason}");
        }
        Some(Delivery::Resumed { room, recovered }) => eprintln!("roomcast: {room}: {recovered} missed events follow"),
        Some(Delivery::Lagged { missed }) => eprintln!("roomcast: too slow to print: {missed} deliveries are lost"),
        Some(Delivery::Denied { room, code }) => eprintln!("roomcast: {room}: denied ({code})"),
        Some(Delivery::Closed { reason, .. }) => return Err(Failure::other(format!("stay connected: {reason}"))),
        Some(_) => {}
        None => return Err(Failure::other("stay subscribed: no room is left")),
    }
    Ok(false)
}

/// Prints who is there, came or left: as on the wire, without a time, since the SDK may have put several frames together.
fn tell_presence(what: &str, payload: serde_json::Result<String>) -> Result<(), Failure> {
    print(&format!(r#"{{"type":"presence.{what}","payload":{}}}"#, written(payload)?))
}

fn written(json: serde_json::Result<String>) -> Result<String, Failure> {
    json.map_err(|error| Failure::other(format!("write what came: {error}")))
}

/// Tells every change of the connection's state until the client ends.
async fn tell_states(mut states: watch::Receiver<ConnectionState>) {
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        match state {
            ConnectionState::Connecting => eprintln!("roomcast: connecting"),
            ConnectionState::Open { user_id, connection_id, .. } => {
                eprintln!("roomcast: connected as {user_id} (connection {connection_id})");
            }
            ConnectionState::Reconnecting { next_try, error, .. } => {
                eprintln!(
                    "roomcast: not connected: failed to {error}; trying again in {:.1} s",
                    next_try.as_secs_f64()
                );
            }
            ConnectionState::Closed { reason, .. } => eprintln!("roomcast: closed: {reason}"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms_of(arguments: &[&str]) -> Result<Vec<String>, String> {
        let matches = command().try_get_matches_from([&["subscribe"], arguments].concat());
        let rooms = rooms(&matches.map_err(|error| error.to_string())?);
        let text = |(room, since): &(Room, Option<Position>)| match since {
            Some(position) => format!("{room}={position}"),
            None => room.to_string(),
        };
        Ok(rooms.iter().map(text).collect())
    }

    #[test]
    fn a_position_goes_with_its_room_whether_that_is_named_by_itself_or_not() {
        let both = rooms_of(&["team:a", "team:b", "--since", "team:b=k3x9:42", "--since=team:c=k3x9:0"]);
        assert_eq!(both.unwrap(), ["team:a", "team:b=k3x9:42", "team:c=k3x9:0"]);
        assert_eq!(rooms_of(&["--since", "team:a=k:1"]).unwrap(), ["team:a=k:1"]);
    }

    #[test]
    fn presence_is_asked_for_in_every_room_and_its_data_is_json() {
        let wishes = |arguments: &[&str]| {
            let matches = command().try_get_matches_from([&["subscribe"], arguments].concat());
            let joins = joins(&matches.map_err(|error| error.to_string())?);
            Ok::<_, String>(joins.iter().map(|(_, join)| format!("{join:?}")).collect::<Vec<_>>())
        };
        let debug = |join: Join| format!("{join:?}");
        let (a, b) = (|| Join::new(Room::team("a")), || Join::new(Room::team("b")));
        assert_eq!(wishes(&["team:a"]).unwrap(), [debug(a())]);
        assert_eq!(wishes(&["team:a", "team:b", "--presence"]).unwrap(), [a().presence(), b().presence()].map(debug));
        let data = a().since("k:1".parse().unwrap()).presence_with(serde_json::json!({"cursor": 4}));
        assert_eq!(wishes(&["--since", "team:a=k:1", "--presence-data", r#"{"cursor":4}"#]).unwrap(), [debug(data)]);
        assert!(wishes(&["team:a", "--presence-data", "{"]).unwrap_err().contains("not JSON"));
    }

    #[test]
    fn what_is_no_position_is_refused_with_what_is_expected() {
        for (since, expected) in [
            ("team:a", "room=position"),
            ("no room=k:1", "a room is kind:id"),
            ("team:a=42", "a position is epoch:offset"),
        ] {
            let error = rooms_of(&["--since", since]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(rooms_of(&[]).is_err(), "no room at all");
    }
}
