//! Recovery: what a client missed comes in order and once, or it is told that it must reload.

use std::collections::BTreeMap;

use roomcast_gateway::per_kind::PerKind;
use roomcast_gateway::{Config, Gateway, Service};
use roomcast_protocol::event::Event;
use roomcast_protocol::{NewEvent, Position, Room};
use serde_json::{Value, json};

use crate::harness::{Client, call, config, publish, request, start, token};

async fn tell(gateway: &Gateway, number: u64, rooms: &[&str]) -> BTreeMap<Room, Position> {
    let rooms = rooms.iter().map(|room| room.parse().unwrap());
    let event = Event::custom("custom.event", json!({ "number": number }));
    gateway.publish(NewEvent::from(event).to(rooms)).await.unwrap().positions
}

async fn reader(gateway: &Gateway) -> Client {
    Client::join(gateway, "user_1", json!({"*": ["subscribe"]})).await
}

async fn resume(client: &mut Client, since: Value) -> Value {
    let rooms: Vec<_> = since.as_object().unwrap().keys().cloned().collect();
    let answer = client.ask(json!({"action": "subscribe", "rooms": rooms, "since": since})).await;
    assert_eq!(answer["type"], "subscription.ack", "{answer}");
    answer["payload"]["rooms"].clone()
}

async fn numbers(client: &mut Client, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        let event = client.receive().await;
        numbers.push(event["payload"]["number"].as_u64().unwrap_or_else(|| panic!("{event}")));
    }
    numbers
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed_and_then_what_happens() {
    let gateway = start(config());
    let since = tell(&gateway, 1, &["team:a"]).await["team:a"].to_string();
    tell(&gateway, 2, &["team:a"]).await;
    tell(&gateway, 3, &["team:a"]).await;
    let mut client = reader(&gateway).await;
    let outcome = resume(&mut client, json!({ "team:a": since })).await;
    assert_eq!(outcome["team:a"], json!({"status": "recovered", "position": since, "recovered": 2}));
    tell(&gateway, 4, &["team:a"]).await;
    assert_eq!(numbers(&mut client, 3).await, [2, 3, 4]);
    client.is_quiet().await;
}

#[tokio::test]
async fn an_idle_room_resumes_as_nothing_missed() {
    let gateway = start(config());
    let mut client = reader(&gateway).await;
    let position = client.subscribe(&["team:a"]).await["team:a"]["position"].clone();
    drop(client);
    let mut client = reader(&gateway).await;
    let outcome = resume(&mut client, json!({ "team:a": position })).await;
    assert_eq!(outcome["team:a"], json!({"status": "recovered", "position": position, "recovered": 0}));
}

#[tokio::test]
async fn what_cannot_be_recovered_is_told_with_its_reason_and_nothing_is_replayed() {
    let gateway = start(Config { history_size: 3.into(), recovery_limit: Some(2), ..config() });
    let mut positions = Vec::new();
    for number in 1..=6 {
        positions.push(tell(&gateway, number, &["team:a"]).await["team:a"]);
    }
    let latest = positions[5];
    let beyond = Position { offset: 7, ..latest };
    let foreign = Position { epoch: roomcast_protocol::Epoch(latest.epoch.0 ^ 1), ..latest };
    let expected = [
        (positions[0], "history_truncated"),
        (positions[2], "too_many_missed"),
        (beyond, "epoch_changed"),
        (foreign, "epoch_changed"),
    ];
    for (since, reason) in expected {
        let mut client = reader(&gateway).await;
        let outcome = resume(&mut client, json!({ "team:a": since })).await;
        assert_eq!(outcome["team:a"], json!({"status": "gap", "position": latest, "reason": reason}), "{since}");
        client.is_quiet().await;
    }
    let mut client = reader(&gateway).await;
    resume(&mut client, json!({ "team:a": positions[3] })).await;
    assert_eq!(numbers(&mut client, 2).await, [5, 6]);
}

#[tokio::test]
async fn without_a_limit_all_that_the_kind_of_room_keeps_is_replayed() {
    let history_size = PerKind { others: 2, kinds: [("user".to_owned(), 5), ("issue".to_owned(), 1)].into() };
    let gateway = start(Config { history_size, ..config() });
    let mut client = reader(&gateway).await;
    let rooms = ["user:user_1", "team:a", "issue:b"];
    let joined = client.subscribe(&rooms).await;
    drop(client);
    for number in 0..5 {
        tell(&gateway, number, &["user:user_1"]).await;
    }
    for number in 0..3 {
        tell(&gateway, number, &["team:a"]).await;
    }
    tell(&gateway, 9, &["issue:b"]).await;
    let mut client = reader(&gateway).await;
    let since: BTreeMap<_, _> = rooms.iter().map(|room| (room, &joined[*room]["position"])).collect();
    let outcome = resume(&mut client, json!(since)).await;
    assert_eq!((&outcome["user:user_1"]["recovered"], &outcome["issue:b"]["recovered"]), (&json!(5), &json!(1)));
    assert_eq!(outcome["team:a"]["reason"], "history_truncated");
    assert_eq!(numbers(&mut client, 6).await, [9, 0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn an_event_of_two_missed_rooms_comes_once_and_counts_in_both() {
    let gateway = start(config());
    let mut client = reader(&gateway).await;
    let start_at = client.subscribe(&["team:a", "issue:b", "cycle:c"]).await;
    drop(client);
    tell(&gateway, 1, &["team:a"]).await;
    tell(&gateway, 2, &["team:a", "issue:b"]).await;
    tell(&gateway, 3, &["issue:b", "cycle:c"]).await;
    let mut client = reader(&gateway).await;
    let since = json!({"team:a": start_at["team:a"]["position"], "issue:b": start_at["issue:b"]["position"]});
    let outcome = resume(&mut client, since).await;
    assert_eq!((&outcome["team:a"]["recovered"], &outcome["issue:b"]["recovered"]), (&json!(2), &json!(2)));
    let first = client.receive().await;
    let second = client.receive().await;
    let third = client.receive().await;
    let named = |event: &Value| event["positions"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(named(&first), ["team:a"]);
    assert_eq!(named(&second), ["issue:b", "team:a"]);
    assert_eq!(named(&third), ["issue:b"], "a room that is not joined is not named");
    client.is_quiet().await;
}

#[tokio::test]
async fn since_on_a_room_that_is_joined_restarts_it() {
    let gateway = start(config());
    let mut client = reader(&gateway).await;
    let position = client.subscribe(&["team:a"]).await["team:a"]["position"].clone();
    tell(&gateway, 1, &["team:a"]).await;
    assert_eq!(numbers(&mut client, 1).await, [1]);
    let outcome = resume(&mut client, json!({ "team:a": position })).await;
    assert_eq!(outcome["team:a"]["recovered"], 1);
    tell(&gateway, 2, &["team:a"]).await;
    assert_eq!(numbers(&mut client, 2).await, [1, 2]);
    client.is_quiet().await;
}

#[tokio::test]
async fn a_replay_larger_than_the_queue_is_paced_by_the_socket() {
    let gateway = start(Config { history_bytes: (64 << 20).into(), max_queue_bytes: 256 << 10, ..config() });
    let mut client = reader(&gateway).await;
    let position = client.subscribe(&["team:a"]).await["team:a"]["position"].clone();
    drop(client);
    let filler = "x".repeat(16 << 10);
    for number in 0..200u64 {
        let event = Event::custom("custom.event", json!({"number": number, "filler": filler}));
        gateway.publish(NewEvent::from(event).to([Room::team("a")])).await.unwrap();
    }
    let mut client = reader(&gateway).await;
    assert_eq!(resume(&mut client, json!({ "team:a": position })).await["team:a"]["recovered"], 200);
    // Published while the replay is under way: it waits for its turn.
    tell(&gateway, 200, &["team:a"]).await;
    assert_eq!(numbers(&mut client, 201).await, (0..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn more_live_events_than_a_hold_keeps_are_told_as_a_gap_behind_the_replay() {
    let gateway = start(Config { history_size: 10_000.into(), max_queue_bytes: 8 << 20, ..config() });
    let mut client = reader(&gateway).await;
    let position = client.subscribe(&["team:a"]).await["team:a"]["position"].clone();
    drop(client);
    for number in 0..1000 {
        tell(&gateway, number, &["team:a"]).await;
    }
    let mut client = reader(&gateway).await;
    client.send(json!({"action": "subscribe", "rooms": ["team:a", "team:b"], "since": {"team:a": position}})).await;
    assert_eq!(client.receive().await["payload"]["rooms"]["team:a"]["recovered"], 1000);
    for number in 1000..7000 {
        tell(&gateway, number, &["team:a"]).await;
    }
    let mut expected = 0;
    let gap = loop {
        let frame = client.receive().await;
        if frame["type"] == "subscription.ack" {
            break frame;
        }
        assert_eq!(frame["payload"]["number"], expected);
        expected += 1;
    };
    assert_eq!(gap["replyTo"], Value::Null);
    assert_eq!(gap["payload"]["rooms"]["team:a"]["status"], "gap");
    let latest: Position = gap["payload"]["rooms"]["team:a"]["position"].as_str().unwrap().parse().unwrap();
    assert!(expected >= 1000 && latest.offset == 7000, "{expected} {latest}");
    let live = tell(&gateway, 7000, &["team:a"]).await;
    let next = client.receive().await;
    assert_eq!(next["positions"]["team:a"], json!(live["team:a"]));
}

/// A client that comes and goes, and keeps its positions.
struct Wanderer {
    positions: BTreeMap<String, Position>,
    seen: u64,
    gaps: u64,
}

impl Wanderer {
    fn take(&mut self, frame: &Value) {
        if frame["type"] == "subscription.ack" {
            for (room, outcome) in frame["payload"]["rooms"].as_object().unwrap() {
                let position: Position = outcome["position"].as_str().unwrap().parse().unwrap();
                self.gaps += u64::from(outcome["status"] == "gap");
                self.positions.insert(room.clone(), position);
            }
            return;
        }
        for (room, position) in frame["positions"].as_object().unwrap() {
            let position: Position = position.as_str().unwrap().parse().unwrap();
            let known = self.positions[room];
            assert_eq!(position.offset, known.offset + 1, "a hole or a repeat in {room}");
            self.positions.insert(room.clone(), position);
        }
        self.seen += 1;
    }

    async fn wander(mut self, gateway: Gateway, rounds: usize) -> Self {
        for round in 0..rounds {
            let mut client = reader(&gateway).await;
            let since = json!(self.positions);
            client
                .send(json!({"action": "subscribe", "rooms": ["team:a", "issue:b"], "since": since, "id": "1"}))
                .await;
            // Leaves in the middle of a replay, or of live events.
            let frames = (round * 13) % 40 + 1;
            for _ in 0..frames {
                let frame = client.receive().await;
                self.take(&frame);
            }
        }
        self
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_comes_and_goes_under_load_has_every_event_in_order() {
    let gateway = start(Config { history_size: 100_000.into(), messages_per_minute: 10_000, ..config() });
    let wanderers: Vec<_> = (0..4)
        .map(|_| {
            let wanderer = Wanderer { positions: BTreeMap::new(), seen: 0, gaps: 0 };
            tokio::spawn(wanderer.wander(gateway.clone(), 40))
        })
        .collect();
    let mut publishers = Vec::new();
    let (stop, _) = tokio::sync::watch::channel(false);
    for publisher in 0..2u64 {
        let (gateway, stopped) = (gateway.clone(), stop.subscribe());
        publishers.push(tokio::spawn(async move {
            let mut number = publisher;
            while !*stopped.borrow() {
                let rooms: &[&str] = match number % 3 {
                    0 => &["team:a"],
                    1 => &["issue:b"],
                    _ => &["team:a", "issue:b"],
                };
                tell(&gateway, number, rooms).await;
                number += 1;
                // A pace that the readers can follow, so that they see live events too.
                tokio::time::sleep(std::time::Duration::from_micros(300)).await;
            }
        }));
    }
    for wanderer in wanderers {
        let wanderer = wanderer.await.unwrap();
        assert!(wanderer.seen > 0);
        assert_eq!(wanderer.gaps, 0);
    }
    stop.send(true).unwrap();
    for publisher in publishers {
        publisher.await.unwrap();
    }
}

#[tokio::test]
async fn history_is_read_in_pages() {
    let gateway = start(config());
    for number in 0..25 {
        publish(
            &gateway,
            json!({"type": "custom.event", "payload": {"number": number}, "rooms": ["team:a", "team:b"]}),
        )
        .await;
    }
    let reader = token(&gateway, "back_end", json!({"team:a": ["history"]}));
    let page = async |query: &str| {
        let path = format!("/api/v1/rooms/team:a/history{query}");
        call(&gateway, request("GET", &path, Some(&reader), Value::Null)).await
    };
    let (status, _, newest) = page("?limit=10").await;
    assert_eq!(status, 200);
    assert_eq!(newest["events"][0]["payload"]["number"], 15);
    assert_eq!(newest["more"], false);
    let first = newest["position"].as_str().unwrap().replace(":25", ":0");
    let (mut since, mut numbers) = (first, Vec::new());
    loop {
        let (_, _, answer) = page(&format!("?limit=10&since={since}")).await;
        for event in answer["events"].as_array().unwrap() {
            assert_eq!(event["positions"].as_object().unwrap().len(), 1, "only the room that was asked for is named");
            numbers.push(event["payload"]["number"].as_u64().unwrap());
        }
        since = answer["position"].as_str().unwrap().to_owned();
        if answer["more"] == false {
            break;
        }
    }
    assert_eq!(numbers, (0..25).collect::<Vec<_>>());
    assert_eq!(page("?since=z:1").await.2["gap"], "epoch_changed");
    assert_eq!(page("?since=nonsense").await.0, 400);
    assert_eq!(page("?limit=0").await.0, 400);
    assert_eq!(page("?limit=1001").await.0, 400);
    let other = request("GET", "/api/v1/rooms/team:b/history", Some(&reader), Value::Null);
    assert_eq!(call(&gateway, other).await.0, 403);
    let invalid = request("GET", "/api/v1/rooms/nonsense/history", Some(&reader), Value::Null);
    assert_eq!(call(&gateway, invalid).await.0, 422);
}
