//! Several gateways on one Redis, as their clients see them, also while Redis has a bad day.

use std::time::{Duration, Instant};

use roomcast_gateway::{Config, Gateway, Secret};
use serde_json::{Value, json};

use crate::harness::{Client, call, config, publish, request, start, token};
use crate::redis_server::RedisServer;

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn node(server: &RedisServer) -> Gateway {
    node_with(config(), server).await
}

async fn node_with(config: Config, server: &RedisServer) -> Gateway {
    let gateway = start(Config { redis_url: Some(Secret::new(server.url())), ..config });
    readiness(&gateway, 200).await;
    gateway
}

/// Waits until `/readyz` answers with that status; how long that took.
async fn readiness(gateway: &Gateway, wanted: u16) -> Duration {
    let start = Instant::now();
    while call(gateway, request("GET", "/readyz", None, Value::Null)).await.0 != wanted {
        assert!(start.elapsed() < PATIENCE, "readiness is not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}

async fn join(gateway: &Gateway) -> Client {
    Client::join(gateway, "user_1", json!({"*": ["subscribe"]})).await
}

fn event(id: &str, rooms: &[&str]) -> Value {
    json!({"type": "custom.event", "payload": id, "eventId": id, "rooms": rooms})
}

/// Publishes until it is published, by repeating the same id.
async fn publish_at_last(gateway: &Gateway, id: &str, rooms: &[&str]) {
    let token = token(gateway, "back_end", json!({"*": ["*"]}));
    let start = Instant::now();
    while call(gateway, request("POST", "/api/v1/events", Some(&token), event(id, rooms))).await.0 != 200 {
        assert!(start.elapsed() < PATIENCE, "publishing does not work again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn since(client: &mut Client, room: &str, position: &Value) -> Value {
    let answer = client.ask(json!({"action": "subscribe", "rooms": [room], "since": {room: position}})).await;
    answer["payload"]["rooms"][room].clone()
}

#[tokio::test]
async fn an_event_reaches_the_clients_of_every_node_once() {
    let server = RedisServer::start();
    let (here, there) = (node(&server).await, node(&server).await);
    let (mut near, mut far) = (join(&here).await, join(&there).await);
    near.subscribe(&["team:a", "issue:b"]).await;
    far.subscribe(&["team:a", "issue:b"]).await;
    for id in ["1", "2", "3"] {
        let published = publish(&here, event(id, &["team:a", "issue:b"])).await;
        for client in [&mut near, &mut far] {
            let frame = client.receive().await;
            assert_eq!((&frame["eventId"], &frame["positions"]), (&json!(id), &published["positions"]));
        }
    }
    near.is_quiet().await;
    far.is_quiet().await;
}

#[tokio::test]
async fn a_client_resumes_on_another_node() {
    let server = RedisServer::start();
    let (here, there) = (node(&server).await, node(&server).await);
    let position = publish(&here, event("1", &["team:a"])).await["positions"]["team:a"].clone();
    publish(&here, event("2", &["team:a"])).await;
    let mut client = join(&there).await;
    let outcome = since(&mut client, "team:a", &position).await;
    assert_eq!(outcome, json!({"status": "recovered", "position": position, "recovered": 1}));
    assert_eq!(client.receive().await["eventId"], "2");
    publish(&here, event("3", &["team:a"])).await;
    assert_eq!(client.receive().await["eventId"], "3");
}

#[tokio::test]
async fn messages_on_the_bus_that_are_not_understood_are_counted() {
    let server = RedisServer::start();
    let gateway = node(&server).await;
    let mut client = join(&gateway).await;
    client.subscribe(&["team:a"]).await;
    server.command(&["PUBLISH", "roomcast:0:room:team:a", "2\nfrom a newer node"]);
    publish(&gateway, event("1", &["team:a"])).await;
    assert_eq!(client.receive().await["eventId"], "1");
    let (_, _, metrics) = call(&gateway, request("GET", "/metrics", None, Value::Null)).await;
    assert!(metrics.as_str().unwrap().contains("roomcast_bus_messages_ignored_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn emptied_and_trimmed_streams_are_told_as_gaps() {
    let server = RedisServer::start();
    let gateway = node_with(Config { history_size: 2.into(), ..config() }, &server).await;
    let position = publish(&gateway, event("1", &["team:a"])).await["positions"]["team:a"].clone();
    for id in ["2", "3", "4"] {
        publish(&gateway, event(id, &["team:a"])).await;
    }
    let mut client = join(&gateway).await;
    assert_eq!(since(&mut client, "team:a", &position).await["reason"], "history_truncated");
    server.command(&["FLUSHALL"]);
    assert_eq!(since(&mut client, "team:a", &position).await["reason"], "epoch_changed");
}

#[tokio::test]
async fn what_a_broken_bus_loses_is_filled_in_order() {
    let server = RedisServer::start();
    let (here, there) = (node(&server).await, node(&server).await);
    let mut client = join(&there).await;
    client.subscribe(&["team:a"]).await;
    for id in 0..200 {
        if id % 50 == 25 {
            server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        }
        publish(&here, event(&format!("e{id}"), &["team:a"])).await;
    }
    for id in 0..200 {
        let frame = client.receive().await;
        assert_eq!(frame["eventId"], format!("e{id}"), "{frame}");
    }
    client.is_quiet().await;
}

#[tokio::test]
async fn a_frozen_redis_is_told_by_readiness_and_nothing_is_lost() {
    let server = RedisServer::start();
    let gateway = node(&server).await;
    let mut client = join(&gateway).await;
    client.subscribe(&["team:a"]).await;
    server.freeze();
    let token = token(&gateway, "back_end", json!({"*": ["*"]}));
    let start = Instant::now();
    let (status, headers, answer) =
        call(&gateway, request("POST", "/api/v1/events", Some(&token), event("1", &["team:a"]))).await;
    assert!(start.elapsed() < Duration::from_millis(3 * 1500), "{:?}", start.elapsed());
    assert_eq!((status, &answer["code"]), (503, &json!("UNAVAILABLE")));
    assert!(headers.contains_key("retry-after"));
    assert!(readiness(&gateway, 503).await < 3 * Duration::from_secs(10) / 2);
    client.send(json!({"action": "subscribe", "rooms": ["team:b"]})).await;
    assert_eq!(
        client.receive().await["payload"]["rooms"]["team:b"],
        json!({"status": "denied", "code": "UNAVAILABLE"})
    );
    server.thaw();
    publish_at_last(&gateway, "1", &["team:a"]).await;
    publish_at_last(&gateway, "2", &["team:a"]).await;
    for id in ["1", "2"] {
        assert_eq!(client.receive().await["eventId"], id);
    }
    readiness(&gateway, 200).await;
    client.is_quiet().await;
}

#[tokio::test]
async fn a_killed_redis_is_told_as_a_gap_and_delivers_again() {
    let mut server = RedisServer::start();
    let gateway = node(&server).await;
    let mut client = join(&gateway).await;
    client.subscribe(&["team:a"]).await;
    publish(&gateway, event("1", &["team:a"])).await;
    assert_eq!(client.receive().await["eventId"], "1");
    server.kill();
    readiness(&gateway, 503).await;
    server.restart();
    readiness(&gateway, 200).await;
    publish_at_last(&gateway, "2", &["team:a"]).await;
    let told = client.receive().await;
    assert_eq!(told["type"], "subscription.ack", "{told}");
    assert_eq!(told["payload"]["rooms"]["team:a"]["reason"], "epoch_changed", "{told}");
    publish_at_last(&gateway, "3", &["team:a"]).await;
    // The second event lies before or behind the position that the gap named.
    while client.receive().await["eventId"] != "3" {}
}

#[tokio::test]
async fn a_gateway_connects_to_a_redis_that_it_can_use_only() {
    let server = RedisServer::start_with(&["--requirepass", "right"]);
    let wrong = server.url().replace("://", "://:wrong-password@");
    let error = Gateway::connect(Config { redis_url: Some(Secret::new(wrong)), ..config() }).await.err().unwrap();
    assert!(error.to_string().contains("refuses the user or the password"), "{error}");
    assert!(!error.to_string().contains("wrong-password"), "{error}");
    let right = server.url().replace("://", "://:right@");
    let gateway = Gateway::connect(Config { redis_url: Some(Secret::new(right)), ..config() }).await.unwrap();
    readiness(&gateway, 200).await;
}

async fn as_admin(gateway: &Gateway, method: &str, path: &str) -> (u16, Value) {
    let token = token(gateway, "the_admin", json!({"*": ["admin"]}));
    let (status, _, answer) = call(gateway, request(method, path, Some(&token), Value::Null)).await;
    (status, answer)
}

#[tokio::test]
async fn statistics_and_limits_are_summed_over_the_nodes() {
    let server = RedisServer::start();
    let (here, there) = (node(&server).await, node(&server).await);
    let (mut near, mut far) = (join(&here).await, join(&there).await);
    near.subscribe(&["team:a", "issue:b"]).await;
    far.subscribe(&["team:a"]).await;
    let rooms = json!({"team:a": 2, "issue:b": 1});
    let stats = json!({"totalClients": 2, "totalRooms": 2, "clientsPerRoom": rooms});
    for gateway in [&here, &there] {
        let (status, answer) = as_admin(gateway, "GET", "/api/v1/ws/stats").await;
        assert_eq!((status, &answer["data"]["stats"]), (200, &stats));
        let (status, usage) = as_admin(gateway, "GET", "/api/v1/ws/rate-limits").await;
        assert_eq!((status, usage), (200, json!({"totalClients": 2, "averageUsage": 1.0})));
    }
}

#[tokio::test]
async fn the_limit_of_a_connection_on_another_node_is_reset() {
    let server = RedisServer::start();
    let config = || Config { messages_per_minute: 2, ..config() };
    let (here, there) = (node_with(config(), &server).await, node_with(config(), &server).await);
    let mut far = Client::open(&there, crate::harness::with_token(&token(&there, "user_1", Value::Null))).await;
    let id = far.receive().await["payload"]["connectionId"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        far.is_quiet().await;
    }
    far.send(json!({"type": "ping"})).await;
    far.is_refused("RATE_LIMIT_EXCEEDED").await;
    let path = format!("/api/v1/ws/rate-limits/{id}");
    assert_eq!(as_admin(&here, "DELETE", &path).await.0, 204);
    far.is_quiet().await;
    let nobody = "/api/v1/ws/rate-limits/0190a5e0000070008000000000000000";
    assert_eq!(as_admin(&here, "DELETE", nobody).await.0, 404);
}

#[tokio::test]
async fn a_user_is_disconnected_on_every_node_and_stays_away_from_later_ones_too() {
    let mut server = RedisServer::start();
    let (here, there) = (node(&server).await, node(&server).await);
    let old = token(&here, "user_1", json!({"*": ["subscribe"]}));
    let (mut near, mut far) = (join(&here).await, join(&there).await);
    let asked = Instant::now();
    assert_eq!(as_admin(&here, "POST", "/api/v1/users/user_1/disconnect").await, (200, json!({"disconnected": 2})));
    near.is_closed_with_notice(4501).await;
    far.is_closed_with_notice(4501).await;
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    let later = node(&server).await;
    for gateway in [&here, &there, &later] {
        Client::open(gateway, crate::harness::with_token(&old)).await.is_unauthorized().await;
    }
    // What Redis loses, the nodes give back.
    server.kill();
    server.lose_data();
    readiness(&here, 503).await;
    server.restart();
    readiness(&here, 200).await;
    let start = Instant::now();
    while server.command(&["ZCARD", "roomcast:revoked"]) != "int(1)" {
        assert!(start.elapsed() < PATIENCE, "{}", server.command(&["ZCARD", "roomcast:revoked"]));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let last = node(&server).await;
    Client::open(&last, crate::harness::with_token(&old)).await.is_unauthorized().await;
}

#[tokio::test]
async fn without_redis_nobody_is_summed_and_nobody_disconnected_in_part() {
    let server = RedisServer::start();
    let gateway = node(&server).await;
    server.freeze();
    for (method, path) in [
        ("GET", "/api/v1/ws/stats"),
        ("GET", "/api/v1/ws/rate-limits"),
        ("POST", "/api/v1/users/user_1/disconnect"),
        ("POST", "/api/v1/tokens/1/revoke"),
    ] {
        let (status, problem) = as_admin(&gateway, method, path).await;
        assert_eq!((status, &problem["code"]), (503, &json!("UNAVAILABLE")), "{path}");
    }
    server.thaw();
}

#[tokio::test]
async fn presence_is_one_list_over_the_nodes() {
    let server = RedisServer::start();
    let (here, there) = (node(&server).await, node(&server).await);
    let grants = || json!({"*": ["subscribe", "presence"]});
    let (mut anna, mut ben) =
        (Client::join(&here, "anna", grants()).await, Client::join(&there, "ben", grants()).await);
    let enter = |data: Value| json!({"action": "subscribe", "rooms": ["team:a"], "presence": {"data": data}});
    anna.ask(enter(json!(1))).await;
    assert_eq!(anna.receive().await["type"], "presence.state");
    ben.ask(enter(json!({"cursor": 7}))).await;
    let of = |name: &str, data: Value| json!({"userId": name, "data": data, "connections": 1});
    let members = json!([of("anna", json!(1)), of("ben", json!({"cursor": 7}))]);
    assert_eq!(ben.receive().await["payload"]["members"], members);
    let told = anna.receive().await;
    assert_eq!((&told["type"], &told["payload"]["member"]), (&json!("presence.joined"), &members[1]));
    let token = token(&here, "back_end", json!({"*": ["presence"]}));
    let (_, _, listed) = call(&here, request("GET", "/api/v1/rooms/team:a/presence", Some(&token), Value::Null)).await;
    assert_eq!(listed["members"], members);
    ben.ask(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await;
    assert_eq!(anna.receive().await["type"], "presence.left");
    anna.is_quiet().await;
}
