//! Prints the events of rooms, and goes on after a restart behind the last one that it printed.
//!
//! ```text
//! ROOMCAST_TOKEN=<jwt> cargo run -p roomcast-client --example resume -- positions.json team:team_456
//! ```
//!
//! The positions are kept in the file, which is written after each event, as an application would keep them beside what it
//! made of the events. `ROOMCAST_URL` names another gateway than `ws://127.0.0.1:3001/ws`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::{env, fs, io};

use roomcast_client::protocol::{Position, Room};
use roomcast_client::{Client, Delivery, Subscription};

type Positions = BTreeMap<Room, Position>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("ROOMCAST_URL").unwrap_or_else(|_| "ws://127.0.0.1:3001/ws".into());
    let file = env::args().nth(1).ok_or("name a file for the positions, and then rooms")?;
    let rooms = env::args().skip(2).map(|room| room.parse()).collect::<Result<Vec<Room>, _>>()?;
    let stored = load(file.as_ref())?;

    let client = Client::builder(&url).token(env::var("ROOMCAST_TOKEN")?).build()?;
    let wanted = rooms.into_iter().map(|room| {
        let position = stored.get(&room).copied();
        (room, position)
    });
    let mut subscription = client.subscribe_all_since(wanted).await?;
    println!("subscribed");
    // A room that was never seen before starts here.
    keep(file.as_ref(), &subscription)?;
    loop {
        tokio::select! {
            delivery = subscription.next() => match delivery {
                Some(Delivery::Event(frame)) => println!("{} {}", frame.event.event_type(), frame.event.payload()),
                Some(Delivery::Resumed { room, recovered }) => println!("{room} goes on; {recovered} missed events follow"),
                // Here an application loads the state of the room, or of all rooms: what follows is behind it or in it.
                Some(Delivery::Gap { room, .. }) => println!("events of {room} are lost"),
                Some(Delivery::Lagged { missed }) => println!("{missed} deliveries are lost"),
                Some(other) => println!("{other:?}"),
                None => return Ok(()),
            },
            interrupted = tokio::signal::ctrl_c() => {
                client.close().await;
                return Ok(interrupted?);
            }
        }
        keep(file.as_ref(), &subscription)?;
    }
}

fn load(file: &Path) -> Result<Positions, Box<dyn Error>> {
    match fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Positions::new()),
        Err(error) => Err(error.into()),
    }
}

/// Replaces the file as a whole, so that it is never half a file.
fn keep(file: &Path, subscription: &Subscription) -> Result<(), Box<dyn Error>> {
    let draft = file.with_extension("draft");
    fs::write(&draft, serde_json::to_vec(&subscription.positions())?)?;
    Ok(fs::rename(&draft, file)?)
}
