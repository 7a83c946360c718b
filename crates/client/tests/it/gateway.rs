//! The SDK against the real gateway, over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use roomcast_client::protocol::event::{IssueUpdated, NotificationNew};
use roomcast_client::protocol::server::GapReason;
use roomcast_client::protocol::{ErrorCode, Event, Grants, NewEvent, Room, Service, UserId};
use roomcast_client::{Client, ConnectionState, Delivery, ErrorKind, Publisher, Subscription};
use roomcast_gateway::{Config, Gateway, Secret};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Far beyond what anything here takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A gateway that listens.
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Starts a gateway there; port 0 takes a free one.
pub(crate) async fn run(address: SocketAddr, config: Config) -> Running {
    let secret = Secret::new("0123456789abcdef0123456789abcdef");
    let gateway = Gateway::start(Config { jwt_secret: Some(secret), ..config }).unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    let (address, (stop, stopped)) = (listener.local_addr().unwrap(), oneshot::channel());
    let running = gateway.clone();
    let task = tokio::spawn(async move {
        let stopped = async move {
            let _ = stopped.await;
        };
        running.run(listener, stopped).await.unwrap();
    });
    Running { gateway, address, stop, task }
}

pub(crate) async fn start() -> Running {
    run("127.0.0.1:0".parse().unwrap(), Config { drain: Duration::ZERO, ..Config::serve() }).await
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }

    pub(crate) fn token(&self, user: &str, grants: serde_json::Value) -> String {
        let grants: Grants = serde_json::from_value(grants).unwrap();
        let user: UserId = user.parse().unwrap();
        self.gateway.mint_token(&user, Some(&grants), Duration::from_secs(600)).unwrap()
    }

    pub(crate) fn client(&self, grants: serde_json::Value) -> Client {
        self.client_through(self.address, grants)
    }

    /// A client that connects there.
    pub(crate) fn client_through(&self, address: SocketAddr, grants: serde_json::Value) -> Client {
        self.client_of("u-1", address, grants)
    }

    /// A client of this user that connects there.
    pub(crate) fn client_of(&self, user: &str, address: SocketAddr, grants: serde_json::Value) -> Client {
        let retry = (Duration::from_millis(20), Duration::from_millis(200));
        let builder = Client::builder(&format!("ws://{address}/ws")).retry(retry.0, retry.1);
        builder.token(self.token(user, grants)).build().unwrap()
    }

    pub(crate) fn publisher(&self) -> Publisher {
        let builder = Publisher::builder(&format!("http://{}", self.address));
        builder.token(self.token("service", json!({"*": ["publish"]}))).build().unwrap()
    }
}

pub(crate) async fn next(subscription: &mut Subscription) -> Delivery {
    tokio::time::timeout(DEADLINE, subscription.next()).await.expect("nothing comes").expect("the end")
}

pub(crate) async fn next_event(subscription: &mut Subscription) -> Event {
    match next(subscription).await {
        Delivery::Event(frame) => frame.event,
        other => panic!("not an event: {other:?}"),
    }
}

fn updated() -> IssueUpdated {
    IssueUpdated { id: "i".into(), team_id: "a".into(), ..IssueUpdated::default() }
}

#[tokio::test]
async fn what_a_publisher_says_reaches_a_subscription_once() {
    let running = start().await;
    let client = running.client(json!({"*": ["subscribe"]}));
    let mut both = client.subscribe_all([Room::team("a"), Room::issue("i")]).await.unwrap();
    let mut user = client.subscribe(Room::user("u-1")).await.unwrap();
    let publisher = running.publisher();
    let published = publisher.issue_updated(updated(), None).await.unwrap();
    assert_eq!(published.positions.len(), 2);
    publisher.notify_user(&"u-1".parse().unwrap(), NotificationNew::default()).await.unwrap();
    let events = vec![
        NewEvent::from(Event::custom("note.added", json!({}))).to([Room::team("a")]),
        NewEvent::from(Event::custom("note.added", json!({}))).to([Room::new("galaxy", "g").unwrap()]),
    ];
    let outcomes = publisher.publish_batch(events).await.unwrap();
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind(), ErrorKind::Denied { code: ErrorCode::InvalidRoom });
    assert_eq!(next_event(&mut both).await, Event::from(updated()));
    assert_eq!(next_event(&mut both).await.event_type(), "note.added");
    assert_eq!(next_event(&mut user).await.event_type(), "notification.new");
    running.stop().await;
}

#[tokio::test]
async fn a_repeated_id_is_published_once() {
    let running = start().await;
    let publisher = running.publisher();
    let event = || NewEvent::from(updated()).with_id("once".parse().unwrap());
    let first = publisher.publish(event()).await.unwrap();
    let second = publisher.publish(event()).await.unwrap();
    assert!(!first.duplicate && second.duplicate);
    assert_eq!(first.positions, second.positions);
    running.stop().await;
}

#[tokio::test]
async fn what_the_token_does_not_grant_is_denied() {
    let running = start().await;
    let client = running.client(json!({"team:a": ["subscribe"]}));
    let forbidden = ErrorKind::Denied { code: ErrorCode::Forbidden };
    assert_eq!(client.subscribe(Room::team("b")).await.unwrap_err().kind(), forbidden);
    let mut subscription = client.subscribe_all([Room::team("a"), Room::team("b")]).await.unwrap();
    assert!(matches!(next(&mut subscription).await, Delivery::Denied { code: ErrorCode::Forbidden, .. }));
    assert_eq!(client.publish(updated()).await.unwrap_err().kind(), forbidden);
    running.stop().await;
}

#[tokio::test]
async fn typing_reaches_others_and_a_published_event_comes_back() {
    let running = start().await;
    let grants = json!({"issue:*": ["subscribe"], "team:a": ["subscribe", "publish:note.added"]});
    let (typist, reader) = (running.client(grants.clone()), running.client(grants));
    let rooms = || [Room::issue("i"), Room::team("a")];
    let mut own = typist.subscribe_all(rooms()).await.unwrap();
    let mut others = reader.subscribe_all(rooms()).await.unwrap();
    typist.typing("i", true).await.unwrap();
    let note = NewEvent::from(Event::custom("note.added", json!({"title": "t"}))).to([Room::team("a")]);
    typist.publish(note).await.unwrap();
    let Event::UserTyping(typing) = next_event(&mut others).await else { panic!("no typing") };
    assert_eq!((typing.user_id.as_str(), typing.is_typing), ("u-1", true));
    assert_eq!(next_event(&mut others).await.event_type(), "note.added");
    assert_eq!(next_event(&mut own).await.event_type(), "note.added", "no echo of typing");
    running.stop().await;
}

#[tokio::test]
async fn a_room_is_left_on_the_gateway_with_the_last_subscription() {
    let running = start().await;
    let client = running.client(json!({"*": ["subscribe"]}));
    let first = client.subscribe(Room::team("a")).await.unwrap();
    let second = client.subscribe(Room::team("a")).await.unwrap();
    drop(first);
    let other = client.subscribe(Room::team("b")).await.unwrap();
    assert_eq!(running.gateway.stats().total_rooms, 2);
    drop((second, other));
    tokio::time::timeout(DEADLINE, async {
        while running.gateway.stats().total_rooms > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the rooms are not left");
    running.stop().await;
}

#[tokio::test]
async fn a_client_comes_back_to_a_restarted_gateway_and_joins_its_rooms_again() {
    let running = start().await;
    let client = running.client(json!({"*": ["subscribe"]}));
    let mut subscription = client.subscribe(Room::team("a")).await.unwrap();
    let mut states = client.watch_state();
    let address = running.address;
    running.stop().await;
    let away = states.wait_for(|state| !state.is_open());
    tokio::time::timeout(DEADLINE, away).await.expect("the loss is not seen").unwrap();
    let running = run(address, Config { drain: Duration::ZERO, ..Config::serve() }).await;
    assert!(matches!(next(&mut subscription).await, Delivery::Gap { reason: Some(GapReason::EpochChanged), .. }));
    assert!(client.state().is_open());
    running.publisher().issue_updated(updated(), None).await.unwrap();
    assert_eq!(next_event(&mut subscription).await, Event::from(updated()));
    running.stop().await;
}

#[tokio::test]
async fn a_bad_token_ends_the_client() {
    let running = start().await;
    let client = Client::builder(&format!("ws://{}/ws", running.address)).token("not.a.jwt").build().unwrap();
    let mut states = client.watch_state();
    let closed = tokio::time::timeout(DEADLINE, states.wait_for(ConnectionState::is_closed)).await;
    let code = Some(roomcast_client::protocol::CloseCode::Unauthorized);
    assert!(matches!(&*closed.unwrap().unwrap(), ConnectionState::Closed { code: told, .. } if *told == code));
    running.stop().await;
}

#[tokio::test]
async fn an_idle_client_outlives_the_gateways_patience() {
    let config = Config {
        ping_interval: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(600),
        drain: Duration::ZERO,
        ..Config::serve()
    };
    let running = run("127.0.0.1:0".parse().unwrap(), config).await;
    let client = running.client(json!({"*": ["subscribe"]}));
    let mut subscription = client.subscribe(Room::team("a")).await.unwrap();
    // Three times as long as the gateway waits for a silent client.
    assert!(tokio::time::timeout(Duration::from_millis(1800), subscription.next()).await.is_err(), "nothing was lost");
    assert!(client.state().is_open());
    running.stop().await;
}
