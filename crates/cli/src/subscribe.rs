//! `roomcast subscribe`: a room's events as they come.
//!
//! Owns what goes where: events on standard output, one line of JSON each, as they stand on the wire; all else that happens,
//! in words, on standard error.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use roomcast_client::{Client, ConnectionState, Delivery, Subscription};
use roomcast_gateway::config::LogFormat;
use roomcast_protocol::Room;
use tokio::sync::watch;

use crate::failure::Failure;
use crate::output::print;
use crate::remote::Access;
use crate::signals::Signals;
use crate::{logging, remote};

pub(crate) fn command() -> Command {
    let command = Command::new("subscribe")
        .about("Print the events of rooms as they come, one line of JSON each")
        .after_help("Standard output has events only; what else happens is told on standard error.")
        .arg(
            Arg::new("room")
                .value_name("ROOM")
                .required(true)
                .action(ArgAction::Append)
                .num_args(1..)
                .value_parser(value_parser!(Room))
                .help("a room, such as team:demo"),
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
    let rooms: Vec<Room> = matches.get_many::<Room>("room").into_iter().flatten().cloned().collect();
    let count = matches.get_one::<u64>("count").copied();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(format!("start a runtime: {error}")))?;
    runtime.block_on(async {
        let mut signals = Signals::catch()?;
        let client = connect(&remote.ws_url(), access).await?;
        let outcome = tokio::select! {
            outcome = follow(&client, rooms, count) => outcome,
            signal = signals.next() => Err(Failure::signal(signal)),
        };
        tokio::select! {
            () = client.close() => {}
            _ = signals.next() => {}
        }
        outcome
    })
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

async fn follow(client: &Client, rooms: Vec<Room>, count: Option<u64>) -> Result<(), Failure> {
    let names = rooms.iter().map(Room::as_str).collect::<Vec<_>>().join(", ");
    let subscription = client.subscribe_all(rooms).await;
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
            let line = serde_json::to_string(&frame);
            print(&line.map_err(|error| Failure::other(format!("write the event: {error}")))?)?;
            return Ok(true);
        }
        Some(Delivery::Gap { room, .. }) => eprintln!("roomcast: {room}: events may have been missed"),
        Some(Delivery::Resumed { room, recovered }) => eprintln!("roomcast: {room}: {recovered} missed events follow"),
        Some(Delivery::Lagged { missed }) => eprintln!("roomcast: too slow to print: {missed} deliveries are lost"),
        Some(Delivery::Denied { room, code }) => eprintln!("roomcast: {room}: denied ({code})"),
        Some(Delivery::Closed { reason, .. }) => return Err(Failure::other(format!("stay connected: {reason}"))),
        Some(_) => {}
        None => return Err(Failure::other("stay subscribed: no room is left")),
    }
    Ok(false)
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
