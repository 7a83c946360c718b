//! The fake gateway's own: what its script does, and what it tells of an application.

mod raw;
mod script;

use std::time::Duration;

use roomcast_client::protocol::event::IssueDeleted;
use roomcast_client::protocol::server::ErrorPayload;
use roomcast_client::protocol::{ErrorCode, Event, NewEvent, Room, Service};
use roomcast_client::testing::{FakeGateway, Identity, Source};
use roomcast_client::{Client, ConnectionState, Error, ErrorKind, Join, Publisher};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::gateway::DEADLINE;

fn team() -> Room {
    Room::team("a")
}

fn note(number: u64) -> NewEvent {
    NewEvent::from(Event::custom("note.added", json!({"number": number}))).to([team()])
}

fn client(gateway: &FakeGateway, user: &str) -> Client {
    gateway.client(Identity::of(user).grant("*", &["*"])).build().unwrap()
}

async fn until(client: &Client, wanted: impl Fn(&ConnectionState) -> bool) -> ConnectionState {
    let mut states = client.watch_state();
    // Longer than the token of a test lives; time is paused.
    let state = timeout(DEADLINE * 100, states.wait_for(|state| wanted(state))).await.expect("the state does not come");
    state.unwrap().clone()
}

async fn until_away(client: &Client) -> Error {
    match until(client, |state| !state.is_open() && !matches!(state, ConnectionState::Connecting)).await {
        ConnectionState::Reconnecting { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_time_takes_none_where_time_is_paused() {
    let gateway = FakeGateway::new();
    let token = gateway.token(Identity::of("ann").expires_in(Duration::from_secs(1800)));
    let client = gateway.client("ann").token(token).build().unwrap();
    until(&client, ConnectionState::is_open).await;
    let (start, really) = (Instant::now(), std::time::Instant::now());
    let error = until_away(&client).await;
    assert!(error.to_string().contains("4002 token expired"), "{error}");
    // Half an hour, and ten seconds of grace.
    let passed = start.elapsed();
    assert!(passed >= Duration::from_secs(1809) && passed <= Duration::from_secs(1812), "{passed:?}");
    assert!(really.elapsed() < DEADLINE);
    // The token has run out by the fake's clock too, and is refused.
    assert!(until(&client, ConnectionState::is_closed).await.is_closed());
}

#[tokio::test]
async fn dropping_the_gateway_ends_every_connection_and_every_task() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks(), 0);
    let gateway = FakeGateway::new();
    let address = gateway.listen().await.unwrap();
    let in_memory = client(&gateway, "ann");
    let tokens = gateway.tokens(Identity::of("bob").grant("*", &["*"]));
    let over_sockets = Client::builder(&address.ws_url()).token_provider(tokens.clone()).build().unwrap();
    let publishers = [
        gateway.publisher().attempts(1).build().unwrap(),
        Publisher::builder(&address.http_url()).token_provider(tokens).attempts(1).build().unwrap(),
    ];
    for client in [&in_memory, &over_sockets] {
        until(client, ConnectionState::is_open).await;
    }
    for publisher in &publishers {
        publisher.publish(note(1)).await.unwrap();
    }
    drop(gateway);
    for client in [&in_memory, &over_sockets] {
        until_away(client).await;
        client.close().await;
    }
    for publisher in &publishers {
        assert_eq!(publisher.publish(note(2)).await.unwrap_err().kind(), ErrorKind::Connect);
    }
    drop((in_memory, over_sockets, publishers));
    timeout(DEADLINE, async {
        while tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{} tasks are left", tasks()));
}

#[tokio::test(start_paused = true)]
async fn connections_are_told_apart_by_user_and_room() {
    let gateway = FakeGateway::new();
    let (ann, bob) = (client(&gateway, "ann"), client(&gateway, "bob"));
    let _anns = ann.subscribe_all([team(), Room::issue("i")]).await.unwrap();
    let _bobs = bob.subscribe(team()).await.unwrap();
    let all = gateway.connections();
    assert_eq!((all.count(), gateway.count(&team()), gateway.opened()), (2, 2, 2));
    assert_eq!(all.users().iter().map(|user| user.as_str()).collect::<Vec<_>>(), ["ann", "bob"]);
    assert_eq!(gateway.connections().of("bob").rooms().iter().map(Room::as_str).collect::<Vec<_>>(), ["team:a"]);
    assert_eq!(gateway.connections().in_room(&Room::issue("i")).users(), ["ann".parse().unwrap()]);
    gateway.connections().of("ann").in_room(&team()).cut();
    until_away(&ann).await;
    assert!(bob.state().is_open());
    gateway.wait_until(|gateway| gateway.count(&team()) == 2).await;
    assert_eq!(gateway.opened(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_published_is_remembered_with_its_type() {
    let gateway = FakeGateway::new();
    let ann = client(&gateway, "ann");
    let _issue = ann.subscribe(Room::issue("i")).await.unwrap();
    ann.typing("i", true).await.unwrap();
    ann.publish(note(1).with_id("once".parse().unwrap())).await.unwrap();
    ann.publish(note(2).with_id("once".parse().unwrap())).await.unwrap();
    let publisher = gateway.publisher().build().unwrap();
    let deleted = IssueDeleted { id: "i".into(), team_id: "a".into(), ..IssueDeleted::default() };
    publisher.issue_deleted(deleted.clone(), Some(&"bob".parse().unwrap())).await.unwrap();
    gateway.publish(note(3)).unwrap();
    let published = gateway.published();
    let types: Vec<_> = published.iter().map(|one| (one.event.event_type(), one.source)).collect();
    let expected = [("user.typing", Source::Socket), ("note.added", Source::Socket), ("issue.deleted", Source::Http)];
    assert_eq!(types, expected, "no repeat, and nothing of the script");
    assert_eq!(published[1].event_id.as_str(), "once");
    assert_eq!((&published[2].event, published[2].user_id.as_ref().unwrap().as_str()), (&deleted.into(), "bob"));
    assert_eq!(published[2].rooms, [team(), Room::issue("i")]);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_remembered_and_never_printed() {
    let gateway = FakeGateway::new();
    let wrong = gateway.client("ann").token("not.a.token").build().unwrap();
    until(&wrong, ConnectionState::is_closed).await;
    let ann = client(&gateway, "ann");
    until(&ann, ConnectionState::is_open).await;
    gateway.connections().warn();
    gateway.wait_until(|gateway| gateway.used_tokens().len() == 3).await;
    let used = gateway.used_tokens();
    let users: Vec<_> = used.iter().map(|token| token.user().map(|user| user.as_str())).collect();
    assert_eq!(users, [None, Some("ann"), Some("ann")]);
    assert!(used[0].as_str() == "not.a.token" && used[1] != used[2], "a new one each time");
    let printed = format!("{used:?} {gateway:?} {:?} {:?}", gateway.client("ann"), gateway.publisher());
    for token in &used[1..] {
        assert!(!printed.contains(token.as_str()) && !printed.contains(token.as_str().split('.').nth(1).unwrap()));
    }
    assert_eq!(gateway.connections().count(), 1, "renewed over the connection");
}

#[tokio::test(start_paused = true)]
async fn what_a_gateway_refuses_is_refused_to_the_test_too() {
    let gateway = FakeGateway::builder().room_kind("galaxy").build();
    let error = gateway.publish(Event::custom("issue.deleted", json!({"id": "1"}))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied { code: ErrorCode::InvalidPayload });
    assert_eq!(error.pointer(), Some("/payload/teamId"));
    let into = |kind| gateway.publish(note(1).to([Room::new(kind, "g").unwrap()]));
    assert!(into("galaxy").is_ok());
    assert_eq!(into("planet").unwrap_err().kind(), ErrorKind::Denied { code: ErrorCode::InvalidRoom });
    let ann = client(&gateway, "ann");
    assert!(ann.subscribe(Room::new("galaxy", "g").unwrap()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_strict_gateway_denies_what_no_grant_allows() {
    let gateway = FakeGateway::builder().deny_without_grants().build();
    let ann = gateway.client("ann").build().unwrap();
    let forbidden = ErrorKind::Denied { code: ErrorCode::Forbidden };
    assert_eq!(ann.subscribe(team()).await.unwrap_err().kind(), forbidden);
    assert!(ann.subscribe(Room::user("ann")).await.is_ok());
    let expired = gateway.client(Identity::of("bob").expired()).build().unwrap();
    assert!(until(&expired, ConnectionState::is_closed).await.is_closed());
}

#[tokio::test(start_paused = true)]
async fn who_is_present_is_seen_and_limits_are_those_that_were_set() {
    let builder = FakeGateway::builder().max_rooms_per_message(2).max_message_bytes(1000);
    let gateway = builder.presence_grace(Duration::from_secs(1)).build();
    let ann = client(&gateway, "ann");
    let joins = (0..5).map(|number| Join::new(Room::team(&number.to_string())).presence_with(json!(number)));
    let rooms = ann.subscribe_with(joins).await.unwrap();
    let members = gateway.members(&Room::team("4"));
    assert_eq!((members[0].user_id.as_str(), members[0].connections), ("ann", 1));
    assert_eq!(members[0].data, Some(json!(4)));
    let large = NewEvent::from(Event::custom("note.added", json!("x".repeat(1000)))).to([team()]);
    assert_eq!(ann.publish(large).await.unwrap_err().kind(), ErrorKind::Invalid);
    ann.close().await;
    drop(rooms);
    gateway.wait_until(|gateway| gateway.connections().count() == 0).await;
    assert_eq!(gateway.members(&Room::team("4"))[0].connections, 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(gateway.members(&Room::team("4")).is_empty());
    assert!(gateway.position(&Room::team("4")).is_some() && gateway.position(&team()).is_none());
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "did not come")]
async fn what_never_comes_is_not_waited_for_for_ever() {
    FakeGateway::new().wait_until(|gateway| gateway.opened() > 0).await;
}

#[test]
fn a_refusal_for_later_needs_no_runtime() {
    let gateway = FakeGateway::new();
    gateway.refuse_next_publish(ErrorPayload::new(ErrorCode::Forbidden, "no"));
    assert!(gateway.publish(note(1)).is_ok(), "the script is not refused");
    assert_eq!(gateway.connections().count(), 0);
}
