//! The typed Rust SDK of Roomcast.
//!
//! Owns the client's half of the protocol: a [`Client`] that stays connected by itself and hands out a stream of
//! deliveries per [`Subscription`], and a [`Publisher`] that tells a gateway over HTTP what happened. It refuses to lose
//! anything in silence: whatever may have been missed is told, in its place in the stream.
//!
//! ```no_run
//! use roomcast_client::{Client, Delivery, protocol::Room};
//!
//! # async fn example() -> Result<(), roomcast_client::Error> {
//! let client = Client::builder("ws://127.0.0.1:3001/ws").token("<jwt>").build()?;
//! let mut team = client.subscribe(Room::team("team_456")).await?;
//! while let Some(delivery) = team.next().await {
//!     match delivery {
//!         Delivery::Event(frame) => println!("{} {}", frame.event.event_type(), frame.event.payload()),
//!         Delivery::Gap { room, .. } => println!("load {room} anew"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! **Nothing is lost in silence.** After a lost connection the client asks for what it missed, in every room and in one
//! request where that is possible. Each room says how it goes on: [`Delivery::Resumed`], and the missed events follow in
//! order, or [`Delivery::Gap`] with the reason. An event comes once to a subscription, known by its positions and its id;
//! ids are remembered for the latest few thousand events.
//!
//! **From a state to its events**: the position first, then the state, then what follows. Events wait in the subscription
//! while the state is loaded.
//!
//! ```no_run
//! use roomcast_client::{Client, Delivery, Error, protocol::{EventFrame, Room}};
//!
//! # struct Team;
//! # impl Team {
//! #     async fn load() -> Self { Self }
//! #     fn apply(&mut self, _: &EventFrame) {}
//! # }
//! # async fn example(client: Client) -> Result<(), Error> {
//! let room = Room::team("team_456");
//! let mut events = client.subscribe(room.clone()).await?;
//! println!("from {:?} on, everything comes", events.position(&room));
//! let mut team = Team::load().await;
//! while let Some(delivery) = events.next().await {
//!     match delivery {
//!         Delivery::Event(frame) => team.apply(&frame),
//!         Delivery::Gap { .. } | Delivery::Lagged { .. } => team = Team::load().await,
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is loaded may hold the first of those events already: apply them in a way that bears that, or store the position
//! with the state and pass over what is not behind it. After a restart of the program,
//! [`Client::subscribe_since`] goes on from a stored position.
//!
//! **Who is there.** A [`Join`] says more of a room than its name: from which position on, and with presence. Who is in the
//! room then comes as deliveries, and [`Subscription::members`] has the list as of the last of them.
//!
//! ```no_run
//! use roomcast_client::{Client, Delivery, Error, Join, protocol::Room};
//! use serde_json::json;
//!
//! # async fn example(client: Client) -> Result<(), Error> {
//! let room = Room::issue("issue_123");
//! let join = Join::new(room.clone()).presence_with(json!({"cursor": 4}));
//! let mut issue = client.subscribe_with([join]).await?;
//! issue.update_presence(&room, json!({"cursor": 7})).await?;
//! client.typing("issue_123", true).await?;
//! while let Some(delivery) = issue.next().await {
//!     match delivery {
//!         Delivery::Event(frame) => println!("{}", frame.event.event_type()),
//!         Delivery::PresenceState(_) | Delivery::PresenceJoined(_) | Delivery::PresenceLeft(_) => {
//!             for member in issue.members(&room).into_iter().flatten() {
//!                 println!("{} {:?}", member.user_id, member.data);
//!             }
//!         }
//!         Delivery::PresenceDenied { room } => println!("the token does not grant presence in {room}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It survives reconnections: the wish and the latest data go out with the positions, and as long as the gateway waits for
//! one who may come back, nobody else notices. A subscription that is not read quickly enough gets the list anew behind
//! its [`Delivery::Lagged`], so that it is right again. Typing is no part of presence: it is an event, and ends by itself.
//!
//! **Tasks.** [`ClientBuilder::build`] starts one task, which owns the socket. It ends when the last handle and the last
//! subscription are dropped, on [`Client::close`], and when the gateway says to stay away. A [`Publisher`] has one while
//! there is something to send, and none behind its last clone. Nothing else is spawned.
//!
//! **Tests.** The feature `testing` brings `roomcast_client::testing`: a fake gateway for an application's own tests, in
//! memory and driven by a script, over which tokio's time may be paused.
//!
//! **Time.** What waits for the gateway has a deadline, and every queue a bound; the defaults stand in [`options`].

mod backoff;
mod calls;
mod client;
mod connector;
mod driver;
mod error;
mod join;
mod mailbox;
pub mod options;
mod portion;
mod presence;
mod publisher;
mod registry;
mod state;
mod subscription;
#[cfg(feature = "testing")]
pub mod testing;
mod token;
mod transport;

pub use client::Client;
pub use error::{Error, ErrorKind};
pub use join::Join;
pub use options::ClientBuilder;
pub use publisher::{Publisher, PublisherBuilder};
pub use roomcast_protocol as protocol;
pub use rustls;
pub use state::ConnectionState;
pub use subscription::{Delivery, Subscription};
pub use token::TokenError;
pub use transport::ByteStream;

/// The id of an event that its publisher gave none: in order of time, as the gateway's own.
fn new_event_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The README's programs, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
