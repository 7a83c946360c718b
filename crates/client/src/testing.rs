//! A gateway for an application's own tests: in memory or on a port, driven by a script. Behind the feature `testing`.
//!
//! It speaks the protocol as the real one does, which the same scenarios on both show. A test makes one, connects the
//! application to it, and says what happens: events, a network that fails, a token that runs out, a gateway that drains.
//! Then it looks at what the application did.
//!
//! ```
//! use roomcast_client::testing::FakeGateway;
//! use roomcast_client::{Delivery, protocol::{Event, NewEvent, Room}};
//! use serde_json::json;
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() -> Result<(), roomcast_client::Error> {
//!     let gateway = FakeGateway::new();
//!     let client = gateway.client("ann").build()?;
//!     let mut team = client.subscribe(Room::team("a")).await?;
//!
//!     gateway.connections().cut();
//!     gateway.publish(NewEvent::from(Event::custom("note.added", json!("written meanwhile"))).to([Room::team("a")]))?;
//!
//!     assert!(matches!(team.next().await, Some(Delivery::Resumed { recovered: 1, .. })));
//!     let Some(Delivery::Event(frame)) = team.next().await else { panic!("no event") };
//!     assert_eq!(frame.event.payload(), json!("written meanwhile"));
//!     Ok(())
//! }
//! ```
//!
//! **Two ways to it.** [`client`](FakeGateway::client) and [`publisher`](FakeGateway::publisher) give builders that dial the
//! fake in memory: no port, no socket. There time may be paused (`start_paused`, of tokio's feature `test-util`): whatever
//! takes time, such as coming back, presence or a token's end, then takes none. An application that makes its own client
//! from a URL is given that of [`listen`](FakeGateway::listen), a port of the loopback interface; over real sockets time
//! cannot be paused.
//!
//! **What it leaves out**: signatures, the HTTP API beside publishing, heartbeats of the gateway, and limits by address.
//!
//! **Its end.** Dropping it breaks every connection; nobody can connect any more, and its tasks end.

mod builder;
mod calls;
mod clock;
mod connections;
mod identity;
mod outbox;
mod presence;
mod publishing;
mod record;
mod requests;
mod script;
mod serve;
mod session;
mod streams;
mod submission;
mod world;

use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::server::PresenceMember;
use roomcast_protocol::{Position, Room};
use tokio::io::DuplexStream;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::{Client, ClientBuilder, Publisher, PublisherBuilder};
use builder::Settings;
use world::Shared;

pub use builder::FakeGatewayBuilder;
pub use connections::Connections;
pub use identity::Identity;
pub use record::{Publication, Source, UsedToken};
pub use script::Refusal;

/// How long a condition is waited for: far beyond what comes at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway, and what a test can do with it.
pub struct FakeGateway {
    shared: Arc<Shared>,
}

/// Where a fake gateway listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(SocketAddr);

impl Address {
    /// The URL for a [`Client`].
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}/ws", self.0)
    }

    /// The URL for a [`Publisher`].
    #[must_use]
    pub fn http_url(&self) -> String {
        format!("http://{}", self.0)
    }
}

/// To connect to it.
impl FakeGateway {
    /// A gateway with no one connected, and with the defaults of [`FakeGatewayBuilder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// To set something about it.
    pub fn builder() -> FakeGatewayBuilder {
        FakeGatewayBuilder::new()
    }

    fn with(settings: Settings) -> Self {
        Self { shared: Arc::new(Shared::new(settings)) }
    }

    /// A client of this user, in memory, with a new token whenever one is asked for. All else can be set; a token or a
    /// provider that is set replaces it.
    pub fn client(&self, identity: impl Into<Identity>) -> ClientBuilder {
        Client::builder("ws://gateway.test/ws").dial(self.dial()).token_provider(self.tokens(identity))
    }

    /// A publisher that may publish everything, in memory. All else can be set; a token or a provider that is set replaces
    /// its own.
    pub fn publisher(&self) -> PublisherBuilder {
        let service = Identity::of("service").grant("*", &["publish"]);
        Publisher::builder("http://gateway.test").dial(self.dial()).token_provider(self.tokens(service))
    }

    /// For [`ClientBuilder::dial`] and [`PublisherBuilder::dial`]: opens a byte stream to the gateway, in memory.
    pub fn dial(&self) -> impl Fn() -> Ready<io::Result<DuplexStream>> + Clone + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || ready(serve::dial(&shared))
    }

    /// A token of this user.
    #[must_use]
    pub fn token(&self, identity: impl Into<Identity>) -> String {
        mint(&self.shared, &identity.into())
    }

    /// For [`ClientBuilder::token_provider`] and [`PublisherBuilder::token_provider`]: gives this user a new token each
    /// time.
    pub fn tokens(
        &self,
        identity: impl Into<Identity>,
    ) -> impl Fn() -> Ready<Result<String, std::convert::Infallible>> + Clone + Send + Sync + 'static {
        let (shared, identity) = (self.shared.clone(), identity.into());
        move || ready(Ok(mint(&shared, &identity)))
    }

    /// Listens on a free port of the loopback interface, too: for what makes its own connection from a URL.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn listen(&self) -> io::Result<Address> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(serve::listen(self.shared.clone(), listener));
        Ok(Address(address))
    }
}

/// What has come of it.
impl FakeGateway {
    /// How many connections are in the room.
    #[must_use]
    pub fn count(&self, room: &Room) -> usize {
        self.connections().in_room(room).count()
    }

    /// Who is present in the room, by id.
    #[must_use]
    pub fn members(&self, room: &Room) -> Vec<PresenceMember> {
        self.shared.look(|world| world.presence.members(room))
    }

    /// Where the room's stream is; `None` for a room that nobody has used.
    #[must_use]
    pub fn position(&self, room: &Room) -> Option<Position> {
        self.shared.look(|world| world.streams.peek(room))
    }

    /// What clients and publishers have published, in order: the latest 10,000. What the test published is not among them.
    #[must_use]
    pub fn published(&self) -> Vec<Publication> {
        self.shared.look(|world| world.publications.iter().cloned().collect())
    }

    /// The tokens that were brought, in order: the latest 1,000.
    #[must_use]
    pub fn used_tokens(&self) -> Vec<UsedToken> {
        self.shared.look(|world| world.tokens.iter().cloned().collect())
    }

    /// How many connections were opened so far, those with a bad token included.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.shared.look(|world| world.connected)
    }

    /// Waits until it is as wanted, and looks again whenever something has happened at the gateway.
    ///
    /// # Panics
    /// When it is not so after a minute.
    pub async fn wait_until(&self, is_wanted: impl Fn(&Self) -> bool) {
        let mut news = self.shared.news.subscribe();
        let waiting = async {
            while !is_wanted(self) {
                if news.changed().await.is_err() {
                    break;
                }
            }
        };
        assert!(timeout(PATIENCE, waiting).await.is_ok(), "what a test waits for did not come: {self:?}");
    }
}

fn mint(shared: &Shared, identity: &Identity) -> String {
    shared.look(|world| {
        world.minted += 1;
        identity.token(world.clock.millis(), world.minted)
    })
}

impl Default for FakeGateway {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FakeGateway {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (users, rooms) = (self.connections().users(), self.connections().rooms());
        out.debug_struct("FakeGateway").field("users", &users).field("rooms", &rooms).finish_non_exhaustive()
    }
}

impl Drop for FakeGateway {
    fn drop(&mut self) {
        self.go_down();
        self.shared.closed.send_replace(true);
    }
}
