//! Prints the events of rooms, as they come, until Ctrl-C.
//!
//! ```text
//! ROOMCAST_TOKEN=<jwt> cargo run -p roomcast-client --example subscribe -- team:team_456
//! ```
//!
//! `ROOMCAST_URL` names another gateway than `ws://127.0.0.1:3001/ws`.

use std::env;
use std::error::Error;

use roomcast_client::protocol::Room;
use roomcast_client::{Client, Delivery};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("ROOMCAST_URL").unwrap_or_else(|_| "ws://127.0.0.1:3001/ws".into());
    let rooms = env::args().skip(1).map(|room| room.parse()).collect::<Result<Vec<Room>, _>>()?;
    let rooms = if rooms.is_empty() { vec![Room::team("team_456")] } else { rooms };

    let client = Client::builder(&url).token(env::var("ROOMCAST_TOKEN")?).build()?;
    let mut subscription = client.subscribe_all(rooms).await?;
    println!("subscribed");
    loop {
        tokio::select! {
            delivery = subscription.next() => match delivery {
                Some(Delivery::Event(frame)) => println!("{} {}", frame.event.event_type(), frame.event.payload()),
                Some(Delivery::Resumed { room, recovered }) => println!("{room} goes on; {recovered} missed events follow"),
                Some(Delivery::Gap { room, .. }) => println!("events of {room} are lost"),
                Some(other) => println!("{other:?}"),
                None => return Ok(()),
            },
            interrupted = tokio::signal::ctrl_c() => {
                client.close().await;
                return Ok(interrupted?);
            }
        }
    }
}
