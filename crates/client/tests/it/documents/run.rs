//! The programs of docs/rust.md at work, each on a fake gateway.

use std::cell::RefCell;
use std::time::Duration;

use roomcast_client::protocol::server::ErrorPayload;
use roomcast_client::protocol::{CloseCode, ErrorCode, Event, NewEvent, Room};
use roomcast_client::testing::{FakeGateway, Identity};
use roomcast_client::{ConnectionState, ErrorKind};
use serde_json::json;

use super::{attending, connecting, ending, erring, going_on, keeping, publishing, renewing, reporting};

fn room() -> Room {
    Room::team("a")
}

fn created(id: &str, title: &str) -> NewEvent {
    let issue = json!({
        "id": id, "identifier": "A-1", "title": title, "teamId": "a", "status": "todo", "priority": "low",
    });
    NewEvent::from(Event::custom("issue.created", issue)).to([room()])
}

/// What a program has told, one after the other.
#[derive(Default)]
struct Told<T>(RefCell<Vec<T>>);

impl<T> Told<T> {
    fn add(&self, words: T) {
        self.0.borrow_mut().push(words);
    }

    async fn until(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + crate::gateway::DEADLINE;
        while self.0.borrow().len() < count {
            assert!(tokio::time::Instant::now() < deadline, "only {} were told", self.0.borrow().len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_room_is_followed_to_its_end() {
    let (gateway, told) = (FakeGateway::new(), Told::default());
    let url = gateway.listen().await.unwrap().ws_url();
    let script = async {
        gateway.wait_until(|gateway| gateway.count(&room()) == 1).await;
        gateway.publish(created("1", "Hello")).unwrap();
        gateway.publish(NewEvent::from(Event::custom("build.finished", json!(7))).to([room()])).unwrap();
        gateway.gap(&room());
        gateway.connections().close(CloseCode::Disconnected);
    };
    let following = connecting::follow(&url, gateway.token("ann"), room(), |words| told.add(words));
    tokio::join!(async { following.await.unwrap() }, script);
    let end = "the end: closed by the gateway: 4501 disconnected by the server";
    assert_eq!(told.0.into_inner(), ["A-1: Hello", "build.finished 7", "load team:a anew", end]);
}

#[tokio::test(start_paused = true)]
async fn each_state_of_the_connection_is_reported() {
    let (gateway, told) = (FakeGateway::new(), Told::default());
    let client = gateway.client("ann").build().unwrap();
    let script = async {
        told.until(1).await;
        gateway.go_down();
        told.until(2).await;
        gateway.come_up();
        client.watch_state().wait_for(ConnectionState::is_open).await.unwrap();
        tokio::task::yield_now().await;
        client.close().await;
    };
    tokio::join!(reporting::report(&client, |words| told.add(words)), script);
    let told = told.0.into_inner();
    assert_eq!(told[..2], ["connected as ann", "attempt 1 has failed"]);
    assert_eq!(told.last().unwrap(), "the end: closed by the application");
}

#[tokio::test(start_paused = true)]
async fn a_state_is_kept_up_to_date_and_loaded_anew_behind_a_gap() {
    let (gateway, told) = (FakeGateway::new(), Told::default());
    let client = gateway.client("ann").build().unwrap();
    let load = async || keeping::Board::from([("loaded".into(), "Loaded".into())]);
    let script = async {
        told.until(1).await;
        gateway.publish(created("1", "Hello")).unwrap();
        told.until(2).await;
        gateway.publish(created("2", "Gone")).unwrap();
        gateway.gap(&room());
        told.until(4).await;
        client.close().await;
    };
    let show = |board: &keeping::Board| told.add(board.values().cloned().collect::<Vec<_>>().join(", "));
    tokio::join!(async { keeping::keep(&client, room(), load, show).await.unwrap() }, script);
    assert_eq!(told.0.into_inner(), ["Loaded", "Hello, Loaded", "Hello, Gone, Loaded", "Loaded"]);
}

#[tokio::test(start_paused = true)]
async fn a_stored_position_is_where_it_goes_on() {
    let gateway = FakeGateway::new();
    let (client, mut applied) = (gateway.client("ann").build().unwrap(), Vec::new());
    let mut apply = |frame: &roomcast_client::protocol::EventFrame| {
        applied.push(frame.event.payload()["title"].as_str().unwrap().to_owned());
        applied.len() % 2 == 1
    };
    let script = async {
        gateway.wait_until(|gateway| gateway.count(&room()) == 1).await;
        for title in ["1", "2", "3", "4"] {
            gateway.publish(created(title, title)).unwrap();
        }
    };
    let (stored, ()) = tokio::join!(going_on::go_on(&client, room(), None, &mut apply), script);
    let stored = stored.unwrap();
    assert_eq!(stored.unwrap().offset, 2);
    let end = going_on::go_on(&client, room(), stored, &mut apply).await.unwrap();
    assert_eq!((end.unwrap().offset, applied), (4, ["1", "2", "3", "4"].map(String::from).to_vec()));
}

#[tokio::test(start_paused = true)]
async fn who_is_there_is_shown() {
    let (gateway, told) = (FakeGateway::new(), Told::default());
    let (ann, bob) = (gateway.client("ann").build().unwrap(), gateway.client("bob").build().unwrap());
    let script = async {
        told.until(1).await;
        let bobs = bob.subscribe_with([roomcast_client::Join::new(Room::issue("i")).presence()]).await.unwrap();
        gateway.wait_until(|gateway| gateway.members(&Room::issue("i")).len() == 2).await;
        told.until(2).await;
        drop(bobs);
        gateway.wait_until(|gateway| gateway.members(&Room::issue("i")).len() == 1).await;
        ann.close().await;
    };
    tokio::join!(async { attending::attend(&ann, "i", |members| told.add(members)).await.unwrap() }, script);
    let told = told.0.into_inner();
    assert!(told[0] == ["ann"] && told.contains(&vec!["ann".into(), "bob".into()]), "{told:?}");
    let typing = &gateway.published()[0];
    assert!(matches!(&typing.event, Event::UserTyping(typing) if typing.is_typing));
}

#[tokio::test(start_paused = true)]
async fn what_a_back_end_says_is_published() {
    let gateway = FakeGateway::new();
    publishing::tell(&gateway.publisher().build().unwrap(), &"ann".parse().unwrap()).await.unwrap();
    let published = gateway.published();
    let types: Vec<_> = published.iter().map(|one| one.event.event_type()).collect();
    assert_eq!(types, ["issue.deleted", "build.finished", "build.finished", "build.finished"]);
    assert!(published.iter().all(|one| one.user_id == "ann".parse().ok()));
}

#[tokio::test(start_paused = true)]
async fn an_error_says_whether_a_repeat_is_worth_it() {
    let gateway = FakeGateway::new();
    let client = gateway.client(Identity::of("ann").grant("*", &["publish"])).build().unwrap();
    for (code, seconds) in [(ErrorCode::Unavailable, Some(9)), (ErrorCode::Forbidden, None)] {
        let hint = ErrorPayload { retry_after_ms: Some(9000), ..ErrorPayload::new(code, "no") };
        gateway.refuse_next_publish(hint);
        let error = client.publish(created("1", "Hello")).await.unwrap_err();
        assert_eq!(erring::worth_a_repeat(&error), seconds.map(Duration::from_secs));
    }
    gateway.go_down();
    let error = client.publish(created("1", "Hello")).await.unwrap_err();
    assert_eq!((error.kind(), erring::worth_a_repeat(&error).is_some()), (ErrorKind::Timeout, true));
}

#[tokio::test]
async fn a_token_is_read_anew_from_its_file() {
    let gateway = FakeGateway::new();
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("documents-token");
    std::fs::write(&path, gateway.token("ann") + "\n").unwrap();
    let url = gateway.listen().await.unwrap().ws_url();
    let client = renewing::connect(&url, path.clone()).unwrap();
    client.watch_state().wait_for(ConnectionState::is_open).await.unwrap();
    std::fs::write(&path, gateway.token("ann")).unwrap();
    gateway.connections().expire();
    gateway.wait_until(|gateway| gateway.opened() == 2 && gateway.connections().count() == 1).await;
    let used = gateway.used_tokens();
    assert!(used.len() == 2 && used[0] != used[1]);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_shut_down_in_good_order() {
    let gateway = FakeGateway::new();
    let client = gateway.client("ann").build().unwrap();
    let joined = client.subscribe_with([roomcast_client::Join::new(room()).presence()]).await.unwrap();
    ending::shut_down(client.clone(), vec![joined]).await;
    assert!(client.state().is_closed());
    gateway.wait_until(|gateway| gateway.connections().count() == 0).await;
    assert!(gateway.members(&room()).is_empty(), "nobody is waited for");
}
