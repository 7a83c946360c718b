//! Rooms: joining, leaving, and which events come.

use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};

use crate::harness::{Client, config, publish, start};

async fn client(gateway: &Gateway) -> Client {
    Client::join(gateway, "user_1", json!({"*": ["subscribe"]})).await
}

async fn event(gateway: &Gateway, rooms: &[&str]) -> Value {
    publish(gateway, json!({"type": "custom.event", "payload": {"a": 1}, "rooms": rooms})).await
}

#[tokio::test]
async fn a_room_named_twice_counts_once() {
    let gateway = start(Config { max_rooms: 2, ..config() });
    let mut client = client(&gateway).await;
    let rooms = client.subscribe(&["team:a", "team:a", "team:b", "team:a"]).await;
    assert_eq!(rooms.as_object().unwrap().len(), 2);
    assert!(rooms.as_object().unwrap().values().all(|outcome| outcome["status"] == "subscribed"));
    assert_eq!(client.subscribe(&["team:a"]).await["team:a"]["status"], "subscribed");
    assert_eq!(gateway.stats().clients_per_room["team:a"], 1);
    event(&gateway, &["team:a"]).await;
    assert_eq!(client.receive().await["type"], "custom.event");
    client.is_quiet().await;
    let answer = client.ask(json!({"action": "unsubscribe", "rooms": ["team:a", "team:a"]})).await;
    assert_eq!(answer["payload"]["rooms"], json!({"team:a": {"status": "unsubscribed"}}));
    assert_eq!(gateway.stats().total_rooms, 1);
}

#[tokio::test]
async fn a_repeated_room_takes_no_place_in_a_message_either() {
    let gateway = start(Config { max_rooms_per_message: 2, ..config() });
    let mut client = client(&gateway).await;
    assert_eq!(client.subscribe(&["team:a", "team:b", "team:a"]).await.as_object().unwrap().len(), 2);
    let answer = client.ask(json!({"action": "unsubscribe", "rooms": ["team:a", "team:b", "team:b"]})).await;
    assert_eq!(answer["type"], "subscription.ack", "{answer}");
    event(&gateway, &["team:a", "team:b", "team:a"]).await;
}

#[tokio::test]
async fn too_many_rooms_on_the_connection_are_denied_and_the_others_joined() {
    let gateway = start(Config { max_rooms: 2, ..config() });
    let mut client = client(&gateway).await;
    let rooms = client.subscribe(&["team:a", "team:b", "team:c"]).await;
    assert_eq!(rooms["team:b"]["status"], "subscribed");
    assert_eq!(rooms["team:c"], json!({"status": "denied", "code": "LIMIT_EXCEEDED"}));
    let rooms = client.subscribe(&["team:d", "team:a"]).await;
    assert_eq!(rooms["team:d"]["code"], "LIMIT_EXCEEDED");
    assert_eq!(rooms["team:a"]["status"], "subscribed", "it is there already");
    client.ask(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await;
    assert_eq!(client.subscribe(&["team:d"]).await["team:d"]["status"], "subscribed");
}

#[tokio::test]
async fn too_many_rooms_in_a_message_are_an_error_and_nothing_is_done() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    client.subscribe(&["team:0"]).await;
    let rooms: Vec<String> = (0..129).map(|index| format!("team:{index}")).collect();
    for action in ["subscribe", "unsubscribe"] {
        client.send(json!({"action": action, "rooms": rooms, "id": action})).await;
        assert_eq!(client.is_refused("LIMIT_EXCEEDED").await["replyTo"], action);
        assert_eq!(gateway.stats().total_rooms, 1);
    }
    let rooms: Vec<&str> = rooms[..128].iter().map(String::as_str).collect();
    assert_eq!(client.subscribe(&rooms).await.as_object().unwrap().len(), 128);
    assert_eq!(gateway.stats().total_rooms, 128);
}

#[tokio::test]
async fn odd_names_are_denied_each_by_itself() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let long = format!("team:{}", "x".repeat(129));
    let odd = [
        "",
        "team",
        "team:",
        ":a",
        ":",
        "team:a b",
        "team:a:b",
        "Team:a",
        "team :a",
        "team:ü",
        "team:*",
        "*",
        "te-am:a",
        "7team:a",
        "team:a\n",
        "team:a\u{0}",
        "no such room!",
        "planet:earth",
        "__proto__",
        "constructor:a",
        &long,
    ];
    let mut rooms = odd.to_vec();
    rooms.push("team:a");
    let outcomes = client.subscribe(&rooms).await;
    for name in odd {
        assert_eq!(outcomes[name], json!({"status": "denied", "code": "INVALID_ROOM"}), "{name:?}");
    }
    assert_eq!(outcomes["team:a"]["status"], "subscribed");
    let answer = client.ask(json!({"action": "unsubscribe", "rooms": ["team:", "team:a", "team:never"]})).await;
    let expected = json!({
        "team:": {"status": "denied", "code": "INVALID_ROOM"},
        "team:a": {"status": "unsubscribed"},
        "team:never": {"status": "unsubscribed"},
    });
    assert_eq!(answer["payload"]["rooms"], expected);
}

#[tokio::test]
async fn names_use_the_whole_grammar() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let longest = format!("cycle:{}", "x".repeat(128));
    let names = ["workspace:a", "team:aZ09_.@|~-", "issue:1", "project:-", "user:other", &longest];
    let outcomes = client.subscribe(&names).await;
    for name in names {
        assert_eq!(outcomes[name]["status"], "subscribed", "{name}");
    }
}

#[tokio::test]
async fn an_operator_may_configure_more_kinds() {
    let gateway = start(Config { room_kinds: vec!["planet".into()], ..config() });
    let mut client = client(&gateway).await;
    let rooms = client.subscribe(&["planet:earth", "moon:luna"]).await;
    assert_eq!(rooms["planet:earth"]["status"], "subscribed");
    assert_eq!(rooms["moon:luna"]["code"], "INVALID_ROOM");
    event(&gateway, &["planet:earth"]).await;
    assert!(client.receive().await["positions"]["planet:earth"].is_string());
}

#[tokio::test]
async fn what_the_token_does_not_grant_is_denied() {
    let gateway = start(config());
    let mut client = Client::join(&gateway, "me", json!({"team:a": ["subscribe"], "issue:*": ["presence"]})).await;
    let rooms = client.subscribe(&["team:a", "team:b", "issue:1", "user:me", "user:other"]).await;
    assert_eq!(rooms["team:a"]["status"], "subscribed");
    assert_eq!(rooms["user:me"]["status"], "subscribed");
    for denied in ["team:b", "issue:1", "user:other"] {
        assert_eq!(rooms[denied], json!({"status": "denied", "code": "FORBIDDEN"}), "{denied}");
    }
}

#[tokio::test]
async fn an_open_gateway_lets_tokens_without_grants_into_all_rooms_but_those_of_other_users() {
    let gateway = start(Config { room_access: roomcast_gateway::RoomAccess::Open, ..config() });
    let mut client = Client::join(&gateway, "me", Value::Null).await;
    let rooms = client.subscribe(&["team:a", "workspace:w", "user:me", "user:other"]).await;
    assert_eq!(rooms["team:a"]["status"], "subscribed");
    assert_eq!(rooms["workspace:w"]["status"], "subscribed");
    assert_eq!(rooms["user:me"]["status"], "subscribed");
    assert_eq!(rooms["user:other"]["code"], "FORBIDDEN");
    let mut granted = Client::join(&gateway, "me", json!({})).await;
    assert_eq!(granted.subscribe(&["team:a"]).await["team:a"]["code"], "FORBIDDEN");
}

#[tokio::test]
async fn no_event_of_a_room_comes_behind_its_unsubscribed() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    client.subscribe(&["team:a", "team:b"]).await;
    event(&gateway, &["team:a"]).await;
    assert_eq!(client.receive().await["type"], "custom.event");
    client.ask(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await;
    event(&gateway, &["team:a"]).await;
    let both = event(&gateway, &["team:a", "team:b"]).await;
    let frame = client.receive().await;
    assert_eq!(frame["positions"], json!({"team:b": both["positions"]["team:b"]}));
    client.is_quiet().await;
}

#[tokio::test]
async fn empty_rooms_vanish_from_the_statistics() {
    let gateway = start(config());
    let mut one = client(&gateway).await;
    let mut two = client(&gateway).await;
    one.subscribe(&["team:a"]).await;
    two.subscribe(&["team:a", "team:b"]).await;
    let stats = gateway.stats();
    assert_eq!((stats.total_clients, stats.total_rooms, stats.clients_per_room["team:a"]), (2, 2, 2));
    two.ask(json!({"action": "unsubscribe", "rooms": ["team:a", "team:b"]})).await;
    let stats = gateway.stats();
    assert_eq!((stats.total_rooms, stats.clients_per_room["team:a"]), (1, 1));
    assert!(!stats.clients_per_room.contains_key("team:b"));
}

#[tokio::test]
async fn an_event_of_several_rooms_comes_once_and_names_the_rooms_that_its_reader_is_in() {
    let gateway = start(config());
    let (mut none, mut one) = (client(&gateway).await, client(&gateway).await);
    let (mut two, mut all) = (client(&gateway).await, client(&gateway).await);
    none.subscribe(&["team:z"]).await;
    one.subscribe(&["team:b", "team:z"]).await;
    two.subscribe(&["team:a", "team:c"]).await;
    all.subscribe(&["team:c", "team:b", "team:a"]).await;
    let published = event(&gateway, &["team:a", "team:b", "team:c"]).await;
    let expected = |rooms: &[&str]| -> Value {
        rooms.iter().map(|room| (room.to_string(), published["positions"][room].clone())).collect()
    };
    for (reader, rooms) in
        [(&mut one, &["team:b"][..]), (&mut two, &["team:a", "team:c"]), (&mut all, &["team:a", "team:b", "team:c"])]
    {
        let frame = reader.receive().await;
        assert_eq!(frame["positions"], expected(rooms));
        assert_eq!(frame["eventId"], published["eventId"]);
        reader.is_quiet().await;
    }
    none.is_quiet().await;
}
