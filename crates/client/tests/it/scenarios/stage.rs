//! Where a scenario is played.
//!
//! Owns that the fake gateway and the real one can be asked for the same things, and are set up alike. Between a client and
//! the real one is a network that can be cut.

use std::time::Duration;

use roomcast_client::protocol::event::IssueDeleted;
use roomcast_client::protocol::server::PresenceMember;
use roomcast_client::protocol::{Event, Grants, NewEvent, Published, Room};
use roomcast_client::testing::{Address, FakeGateway, Identity};
use roomcast_client::{Client, ClientBuilder, ConnectionState, Delivery, Error, ErrorKind, Publisher};
use roomcast_client::{PublisherBuilder, Subscription};
use roomcast_gateway::{Config, RoomAccess, Service};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::gateway::{DEADLINE, Running, run};
use crate::proxy::Proxy;

pub(super) const HISTORY_SIZE: usize = 5;
pub(super) const MAX_ROOMS: usize = 10;
pub(super) const MESSAGES_PER_MINUTE: u32 = 40;
const PRESENCE_GRACE: Duration = Duration::from_secs(3);

/// A user, and what their tokens say.
#[derive(Debug, Clone)]
pub(super) struct Who {
    user: &'static str,
    grants: Vec<(&'static str, &'static [&'static str])>,
    lifetime: Duration,
}

pub(super) fn who(user: &'static str) -> Who {
    Who { user, grants: Vec::new(), lifetime: Duration::from_secs(600) }
}

impl Who {
    pub(super) fn may(mut self, pattern: &'static str, operations: &'static [&'static str]) -> Self {
        self.grants.push((pattern, operations));
        self
    }

    pub(super) fn for_a_time(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }
}

pub(super) enum Stage {
    Fake { gateway: FakeGateway, address: Option<Address> },
    Real { running: Mutex<Running>, proxy: Proxy },
}

fn config() -> Config {
    Config {
        room_access: RoomAccess::Open,
        history_size: HISTORY_SIZE.into(),
        max_rooms: MAX_ROOMS,
        messages_per_minute: MESSAGES_PER_MINUTE,
        presence_grace: PRESENCE_GRACE,
        auth_attempts_per_minute: 1000,
        drain: Duration::ZERO,
        ..Config::serve()
    }
}

impl Stage {
    pub(super) fn fake() -> Self {
        let builder = FakeGateway::builder().history_size(HISTORY_SIZE).max_rooms(MAX_ROOMS);
        let builder = builder.messages_per_minute(MESSAGES_PER_MINUTE).presence_grace(PRESENCE_GRACE);
        Self::Fake { gateway: builder.build(), address: None }
    }

    pub(super) async fn fake_over_sockets() -> Self {
        let Self::Fake { gateway, .. } = Self::fake() else { unreachable!() };
        let address = Some(gateway.listen().await.unwrap());
        Self::Fake { gateway, address }
    }

    pub(super) async fn real() -> Self {
        let running = run("127.0.0.1:0".parse().unwrap(), config()).await;
        let proxy = Proxy::start(running.address).await;
        Self::Real { running: Mutex::new(running), proxy }
    }

    pub(super) async fn token(&self, who: &Who) -> String {
        match self {
            Self::Fake { gateway, .. } => {
                let identity = Identity::of(who.user).expires_in(who.lifetime);
                gateway.token(who.grants.iter().fold(identity, |identity, (pattern, may)| identity.grant(pattern, may)))
            }
            Self::Real { running, .. } => {
                let grants = who.grants.iter().map(|(pattern, may)| (*pattern, may.iter().copied()));
                let grants = (!who.grants.is_empty()).then(|| Grants::parse(grants).unwrap());
                let gateway = running.lock().await.gateway.clone();
                gateway.mint_token(&who.user.parse().unwrap(), grants.as_ref(), who.lifetime).unwrap()
            }
        }
    }

    /// A client without a token.
    pub(super) fn builder(&self) -> ClientBuilder {
        let builder = match self {
            Self::Fake { gateway, address: None } => Client::builder("ws://gateway.test/ws").dial(gateway.dial()),
            Self::Fake { address: Some(address), .. } => Client::builder(&address.ws_url()),
            Self::Real { proxy, .. } => Client::builder(&format!("ws://{}/ws", proxy.address)),
        };
        builder.retry(Duration::from_millis(10), Duration::from_millis(100))
    }

    pub(super) async fn client(&self, who: &Who) -> Client {
        self.builder().token(self.token(who).await).build().unwrap()
    }

    /// A publisher without a token.
    pub(super) fn publisher(&self) -> PublisherBuilder {
        let builder = match self {
            Self::Fake { gateway, address: None } => Publisher::builder("http://gateway.test").dial(gateway.dial()),
            Self::Fake { address: Some(address), .. } => Publisher::builder(&address.http_url()),
            Self::Real { proxy, .. } => Publisher::builder(&format!("http://{}", proxy.address)),
        };
        builder.first_retry(Duration::from_millis(10))
    }

    /// Publishes as the back end itself.
    pub(super) async fn publish(&self, event: NewEvent) -> Published {
        match self {
            Self::Fake { gateway, .. } => gateway.publish(event).unwrap(),
            Self::Real { running, .. } => {
                let gateway = running.lock().await.gateway.clone();
                gateway.publish(event).await.unwrap()
            }
        }
    }

    /// Waits until so many connections are in the room.
    pub(super) async fn until_count(&self, room: &Room, count: usize) {
        let counting = async {
            loop {
                let counted = match self {
                    Self::Fake { gateway, .. } => gateway.count(room),
                    Self::Real { running, .. } => {
                        let stats = running.lock().await.gateway.stats();
                        stats.clients_per_room.get(room.as_str()).copied().unwrap_or(0)
                    }
                };
                if counted == count {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(DEADLINE, counting).await.unwrap_or_else(|_| panic!("there are never {count} in {room}"));
    }

    /// Every connection is gone; the next ones pass.
    pub(super) fn cut(&self) {
        match self {
            Self::Fake { gateway, .. } => gateway.connections().cut(),
            Self::Real { proxy, .. } => proxy.cut(),
        }
    }

    /// Every connection is gone, and none is let in until [`Stage::come_up`].
    pub(super) fn go_down(&self) {
        match self {
            Self::Fake { gateway, .. } => gateway.go_down(),
            Self::Real { proxy, .. } => proxy.go_down(),
        }
    }

    pub(super) fn come_up(&self) {
        match self {
            Self::Fake { gateway, .. } => gateway.come_up(),
            Self::Real { proxy, .. } => proxy.come_up(),
        }
    }

    /// The server sends the user away.
    pub(super) async fn disconnect(&self, user: &str) {
        match self {
            Self::Fake { gateway, .. } => gateway.disconnect(user),
            Self::Real { running, .. } => {
                let address = running.lock().await.address;
                let token = self.token(&who("operator").may("*", &["admin"])).await;
                let mut stream = TcpStream::connect(address).await.unwrap();
                let head = format!("POST /api/v1/users/{user}/disconnect HTTP/1.1\r\nHost: gateway.test\r\n");
                let head = format!("{head}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
        }
    }

    /// The gateway stops in good order, and another takes its place.
    pub(super) async fn drain(&self) {
        match self {
            Self::Fake { gateway, .. } => gateway.connections().drain(Duration::ZERO),
            Self::Real { running, proxy } => {
                let next = run("127.0.0.1:0".parse().unwrap(), config()).await;
                proxy.redirect(next.address);
                let first = std::mem::replace(&mut *running.lock().await, next);
                first.stop().await;
            }
        }
    }
}

/// An event of that id, into these rooms.
pub(super) fn deleted<const N: usize>(id: &str, rooms: [Room; N]) -> NewEvent {
    let issue = IssueDeleted { id: id.into(), team_id: "t".into(), ..IssueDeleted::default() };
    NewEvent::from(issue).to(rooms)
}

pub(super) fn team() -> Room {
    Room::team("a")
}

pub(super) fn issue() -> Room {
    Room::issue("i")
}

/// A type of the application's own.
pub(super) fn note(rooms: impl IntoIterator<Item = Room>) -> NewEvent {
    NewEvent::from(Event::custom("note.added", json!({"id": "note"}))).to(rooms)
}

fn member(member: &PresenceMember) -> String {
    match &member.data {
        Some(data) => format!("{}={data}", member.user_id),
        None => member.user_id.to_string(),
    }
}

/// A delivery in short words.
fn words(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Event(frame) => match &frame.event {
            Event::UserTyping(typing) => format!("{} types: {}", typing.user_id, typing.is_typing),
            event => event.payload()["id"].as_str().unwrap_or(event.event_type()).into(),
        },
        Delivery::Gap { room, reason: Some(reason) } => format!("gap in {room}: {reason}"),
        Delivery::Resumed { room, recovered } => format!("{room} resumed: {recovered}"),
        Delivery::Denied { room, code } => format!("{room} denied: {code}"),
        Delivery::PresenceState(state) => {
            format!("there: {}", state.members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        Delivery::PresenceJoined(change) => format!("+ {}", member(&change.member)),
        Delivery::PresenceLeft(change) => format!("- {}", change.member.user_id),
        Delivery::PresenceDenied { room } => format!("no presence in {room}"),
        Delivery::Closed { code, reason } => format!("closed {:?}: {reason}", code.map(|code| code.code())),
        other => format!("{other:?}"),
    }
}

/// The next deliveries.
pub(super) async fn take(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = timeout(DEADLINE, subscription.next()).await;
        let next = next.unwrap_or_else(|_| panic!("nothing comes behind {taken:?}"));
        taken.push(next.as_ref().map_or_else(|| "the end".into(), words));
    }
    taken
}

/// The next deliveries, where their order is not said.
pub(super) async fn take_sorted(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut taken = take(subscription, count).await;
    taken.sort();
    taken
}

/// Waits until the client's state is as wanted.
pub(super) async fn until(client: &Client, wanted: impl Fn(&ConnectionState) -> bool) -> ConnectionState {
    let mut states = client.watch_state();
    let state = timeout(DEADLINE, states.wait_for(|state| wanted(state))).await.expect("the state does not come");
    state.unwrap().clone()
}

pub(super) async fn until_away(client: &Client) -> Option<Error> {
    match until(client, |state| matches!(state, ConnectionState::Reconnecting { .. })).await {
        ConnectionState::Reconnecting { error, .. } => Some(error),
        _ => None,
    }
}

/// What refused, and where.
pub(super) fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    let error = outcome.expect_err("it was not refused");
    let kind = match error.kind() {
        ErrorKind::Denied { code } => code.to_string(),
        kind => format!("{kind:?}"),
    };
    error.pointer().map_or(kind.clone(), |pointer| format!("{kind} at {pointer}"))
}
