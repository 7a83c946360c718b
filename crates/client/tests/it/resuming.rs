//! Going on behind a lost connection, frame by frame.

use std::time::Duration;

use roomcast_client::protocol::server::GapReason;
use roomcast_client::protocol::{Position, Room};
use roomcast_client::{Client, Delivery, Error, Subscription};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::rooms::subscribe;
use crate::scripted::{Peer, connected, gateway};

fn at(position: &str) -> Position {
    position.parse().unwrap()
}

/// The next delivery in short words.
async fn next(subscription: &mut Subscription) -> String {
    match subscription.next().await.expect("the end") {
        Delivery::Event(frame) => frame.event.payload()["title"].as_str().unwrap().into(),
        Delivery::Resumed { room, recovered } => format!("{room} resumed {recovered}"),
        Delivery::Gap { room, reason } => format!("{room} gap {reason:?}"),
        other => panic!("{other:?}"),
    }
}

async fn is_quiet(subscription: &mut Subscription) -> bool {
    tokio::time::timeout(Duration::from_secs(60), subscription.next()).await.is_err()
}

async fn in_rooms(client: &Client, peer: &mut Peer, ids: &[&str]) -> Subscription {
    let rooms: Vec<Room> = ids.iter().map(|id| Room::team(id)).collect();
    let names: Vec<String> = rooms.iter().map(Room::to_string).collect();
    let subscribing = subscribe(client, &rooms);
    peer.joined(&names.iter().map(String::as_str).collect::<Vec<_>>(), "e:1").await;
    subscribing.await.unwrap().unwrap()
}

fn since(client: &Client, room: Room, position: &str) -> JoinHandle<Result<Subscription, Error>> {
    let (client, position) = (client.clone(), at(position));
    tokio::spawn(async move { client.subscribe_since(room, position).await })
}

async fn shared_event(peer: &mut Peer, title: &str, positions: Value) {
    peer.send_frame(&json!({
        "type": "note.added", "payload": {"title": title}, "timestamp": "2024-01-15T10:30:00.000Z",
        "eventId": title, "positions": positions,
    }))
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_resumed_behind_the_last_event_of_each_room() {
    let (mut gateway, client, mut peer) = connected().await;
    let mut subscription = in_rooms(&client, &mut peer, &["a", "b"]).await;
    peer.event("a2", "team:a", "e:2").await;
    assert_eq!(next(&mut subscription).await, "a2");
    drop(peer);
    let mut peer = gateway.acknowledge().await;
    let id = peer.resume_request(&[("team:a", "e:2"), ("team:b", "e:1")]).await;
    // Of an earlier word of the gateway; the replay has it.
    peer.event("a4", "team:a", "e:4").await;
    let outcomes = json!({
        "team:a": {"status": "recovered", "position": "e:2", "recovered": 2},
        "team:b": {"status": "gap", "position": "f:7", "reason": "epoch_changed"},
    });
    peer.send("subscription.ack", Some(&id), &json!({"rooms": outcomes})).await;
    for (title, room, position) in
        [("a3", "team:a", "e:3"), ("a4", "team:a", "e:4"), ("b8", "team:b", "f:8"), ("a4", "team:a", "e:4")]
    {
        peer.event(title, room, position).await;
    }
    let expected = ["team:a resumed 2", "team:b gap Some(EpochChanged)", "a3", "a4", "b8"];
    for expected in expected {
        assert_eq!(next(&mut subscription).await, expected);
    }
    assert!(is_quiet(&mut subscription).await);
    assert_eq!(subscription.position(&Room::team("a")), Some(at("e:4")));
    assert_eq!(subscription.position(&Room::team("b")), Some(at("f:8")));
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_the_gateway_tells_moves_the_position_to_resume_from() {
    let (mut gateway, client, mut peer) = connected().await;
    let mut subscription = in_rooms(&client, &mut peer, &["a"]).await;
    peer.gap(None, "team:a", "e:9", "too_many_missed").await;
    let delivery = subscription.next().await;
    assert!(matches!(delivery, Some(Delivery::Gap { reason: Some(GapReason::TooManyMissed), .. })), "{delivery:?}");
    drop(peer);
    let mut peer = gateway.acknowledge().await;
    peer.recovered(&[("team:a", "e:9")], 0).await;
    assert_eq!(next(&mut subscription).await, "team:a resumed 0");
}

#[tokio::test(start_paused = true)]
async fn more_rooms_than_a_message_may_name_are_resumed_in_as_few_as_can_be() {
    let (mut gateway, client, mut peer) = connected().await;
    let rooms: Vec<Room> = (0..300).map(|number| Room::team(&format!("{number:03}"))).collect();
    let names: Vec<String> = rooms.iter().map(Room::to_string).collect();
    let subscribing = subscribe(&client, &rooms);
    let portions = || names.chunks(128).map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
    for portion in portions() {
        peer.joined(&portion, "e:1").await;
    }
    let mut subscription = subscribing.await.unwrap().unwrap();
    drop(peer);
    let mut peer = gateway.acknowledge().await;
    for portion in portions() {
        peer.recovered(&portion.iter().map(|name| (*name, "e:1")).collect::<Vec<_>>(), 0).await;
    }
    for name in &names {
        assert_eq!(next(&mut subscription).await, format!("{name} resumed 0"));
    }
    assert!(!peer.is_asked_within(Duration::from_secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn requests_to_resume_stay_within_the_size_of_a_message() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").build().unwrap();
    let mut peer = gateway.accept().await;
    peer.acknowledge_with(json!({"maxMessageBytes": 1024})).await;
    let rooms: Vec<Room> = (0..100).map(|number| Room::team(&format!("{number:03}"))).collect();
    let subscribing = subscribe(&client, &rooms);
    let mut joined = 0;
    while joined < rooms.len() {
        joined += answer(&mut peer).await;
    }
    let subscription = subscribing.await.unwrap().unwrap();
    drop(peer);
    let mut peer = gateway.accept().await;
    peer.acknowledge_with(json!({"maxMessageBytes": 1024})).await;
    let (mut resumed, mut requests) = (0, 0);
    while resumed < rooms.len() {
        resumed += answer(&mut peer).await;
        requests += 1;
    }
    // 100 rooms of 11 bytes by name and 20 with a position, as parts of 900 bytes.
    assert!(requests <= 4, "{requests}");
    drop(subscription);
}

/// Answers a request for rooms of at most 1,024 bytes; how many it named.
async fn answer(peer: &mut Peer) -> usize {
    let request = peer.request().await;
    assert!(request.to_string().len() <= 1024);
    let outcome = |room: &Value| match request["since"].get(room.as_str().unwrap()) {
        Some(position) => json!({"status": "recovered", "position": position, "recovered": 0}),
        None => json!({"status": "subscribed", "position": "e:1"}),
    };
    let rooms = request["rooms"].as_array().unwrap();
    let outcomes: Value = rooms.iter().map(|room| (room.as_str().unwrap(), outcome(room))).collect();
    peer.send("subscription.ack", Some(&request["id"]), &json!({"rooms": outcomes})).await;
    rooms.len()
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_again_through_another_room_comes_once_to_each_subscription() {
    let (_gateway, client, mut peer) = connected().await;
    let mut a = in_rooms(&client, &mut peer, &["a"]).await;
    let joining = {
        let client = client.clone();
        tokio::spawn(async move {
            let rooms = [(Room::team("a"), None), (Room::team("b"), Some(at("e:1")))];
            client.subscribe_all_since(rooms).await
        })
    };
    let id = peer.resume_request(&[("team:b", "e:1")]).await;
    shared_event(&mut peer, "shared", json!({"team:a": "e:2"})).await;
    let recovered = json!({"team:b": {"status": "recovered", "position": "e:1", "recovered": 1}});
    peer.send("subscription.ack", Some(&id), &json!({"rooms": recovered})).await;
    shared_event(&mut peer, "shared", json!({"team:b": "e:2"})).await;
    shared_event(&mut peer, "later", json!({"team:a": "e:3", "team:b": "e:3"})).await;
    let mut both = joining.await.unwrap().unwrap();
    for expected in ["shared", "team:b resumed 1", "later"] {
        assert_eq!(next(&mut both).await, expected);
    }
    assert_eq!([next(&mut a).await, next(&mut a).await], ["shared", "later"]);
    assert!(is_quiet(&mut a).await && is_quiet(&mut both).await);
    assert_eq!(both.positions().into_values().collect::<Vec<_>>(), [at("e:3"), at("e:3")]);
}

#[tokio::test(start_paused = true)]
async fn the_position_is_known_before_the_first_delivery_and_moves_with_what_is_taken() {
    let (_gateway, client, mut peer) = connected().await;
    let mut subscription = in_rooms(&client, &mut peer, &["a"]).await;
    let room = Room::team("a");
    assert_eq!(subscription.position(&room), Some(at("e:1")));
    peer.event("while the state is loaded", "team:a", "e:2").await;
    let mut second = client.subscribe(room.clone()).await.unwrap();
    peer.event("later", "team:a", "e:3").await;
    let started = second.position(&room);
    assert!(started == Some(at("e:1")) || started == Some(at("e:2")), "{started:?}");
    assert_eq!(subscription.position(&room), Some(at("e:1")));
    assert_eq!(next(&mut subscription).await, "while the state is loaded");
    assert_eq!(subscription.position(&room), Some(at("e:2")));
    assert_eq!(next(&mut subscription).await, "later");
    assert!(subscription.position(&Room::team("b")).is_none());
    while second.position(&room) != Some(at("e:3")) {
        next(&mut second).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_from_a_stored_position_says_first_how_it_goes_on() {
    let (_gateway, client, mut peer) = connected().await;
    let subscribing = since(&client, Room::team("a"), "e:5");
    peer.recovered(&[("team:a", "e:5")], 1).await;
    peer.event("a6", "team:a", "e:6").await;
    let mut a = subscribing.await.unwrap().unwrap();
    assert_eq!([next(&mut a).await, next(&mut a).await], ["team:a resumed 1", "a6"]);
    let subscribing = since(&client, Room::team("b"), "e:5");
    let id = peer.resume_request(&[("team:b", "e:5")]).await;
    peer.gap(Some(&id), "team:b", "f:1", "epoch_changed").await;
    let mut b = subscribing.await.unwrap().unwrap();
    assert_eq!(next(&mut b).await, "team:b gap Some(EpochChanged)");
    assert_eq!(b.position(&Room::team("b")), Some(at("f:1")));
}

#[tokio::test(start_paused = true)]
async fn a_stored_position_that_the_broker_cannot_look_up_now_is_refused() {
    let (_gateway, client, mut peer) = connected().await;
    let subscribing = since(&client, Room::team("a"), "e:5");
    let id = peer.resume_request(&[("team:a", "e:5")]).await;
    peer.deny(&id, "team:a", "UNAVAILABLE").await;
    assert!(subscribing.await.unwrap().is_err());
    assert!(!peer.is_asked_within(Duration::from_secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn a_joined_room_that_is_put_back_for_a_newcomer_gives_the_others_nothing_twice() {
    let (mut gateway, client, mut peer) = connected().await;
    let mut first = in_rooms(&client, &mut peer, &["a"]).await;
    for offset in 2..=3 {
        peer.event(&format!("a{offset}"), "team:a", &format!("e:{offset}")).await;
        next(&mut first).await;
    }
    let subscribing = since(&client, Room::team("a"), "e:1");
    peer.recovered(&[("team:a", "e:1")], 2).await;
    peer.event("a2", "team:a", "e:2").await;
    // Cut in the middle of the replay: the one that is further back decides from where it goes on.
    drop(peer);
    let mut late = subscribing.await.unwrap().unwrap();
    let mut peer = gateway.acknowledge().await;
    let request = peer.resume_request_of_one("team:a").await;
    peer.replay(&request, "team:a", 4).await;
    let mut seen = Vec::new();
    while late.position(&Room::team("a")) != Some(at("e:4")) {
        seen.push(next(&mut late).await);
    }
    seen.retain(|word| !word.contains("resumed"));
    assert_eq!(seen, ["a2", "a3", "a4"]);
    assert!(next(&mut first).await.starts_with("team:a resumed"));
    assert_eq!(next(&mut first).await, "a4");
    assert!(is_quiet(&mut first).await);
}
