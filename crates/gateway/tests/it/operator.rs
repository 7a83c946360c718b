//! What operators call: statistics, limits, health and metrics.

use std::collections::BTreeMap;

use roomcast_gateway::{Config, Gateway, server};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, call, call_over, config, publish, request, start, token, with_token};

const ADMINS_ONLY: [(&str, &str); 6] = [
    ("POST", "/api/v1/access/explain"),
    ("POST", "/api/v1/users/nobody/disconnect"),
    ("POST", "/api/v1/tokens/no-token/revoke"),
    ("GET", "/api/v1/ws/stats"),
    ("GET", "/api/v1/ws/rate-limits"),
    ("DELETE", "/api/v1/ws/rate-limits/0190a5e0000070008000000000000000"),
];

async fn as_admin(gateway: &Gateway, method: &str, path: &str) -> (u16, Value) {
    let token = token(gateway, "admin", json!({"*": ["admin"]}));
    let (status, _, answer) = call(gateway, request(method, path, Some(&token), Value::Null)).await;
    (status, answer)
}

#[tokio::test]
async fn statistics_and_limits_are_for_admins() {
    let gateway = start(config());
    for (method, path) in ADMINS_ONLY {
        let status = async |token: Option<&str>| call(&gateway, request(method, path, token, Value::Null)).await.0;
        assert_eq!(status(None).await, 401, "{path}");
        assert_eq!(status(Some("bad")).await, 401, "{path}");
        for grants in [Value::Null, json!({"team:*": ["admin", "*"]}), json!({"*": ["publish", "subscribe"]})] {
            assert_eq!(status(Some(&token(&gateway, "u", grants))).await, 403, "{path}");
        }
        let expected = match method {
            "DELETE" => 404,
            // A question without its words.
            _ if path.ends_with("explain") => 400,
            _ => 200,
        };
        for grants in [json!({"*": ["admin"]}), json!({"*": ["*"]})] {
            assert_eq!(status(Some(&token(&gateway, "u", grants))).await, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn in_dev_statistics_need_nothing() {
    let gateway = start(Config { jwt_secret: config().jwt_secret, ..Config::dev() });
    for (method, path) in ADMINS_ONLY {
        let status = call(&gateway, request(method, path, None, Value::Null)).await.0;
        // Every page on the machine can make such a call.
        let changes_something_for_users = method == "POST";
        assert_eq!(status == 401, changes_something_for_users, "{path}: {status}");
    }
}

#[tokio::test]
async fn a_decision_is_explained_to_admins() {
    let gateway = start(config());
    let admin = token(&gateway, "the_admin", json!({"*": ["admin"]}));
    let explain = async |token: &str, room: &str, operation: &str| {
        let question = json!({"token": token, "room": room, "operation": operation});
        let (status, _, answer) =
            call(&gateway, request("POST", "/api/v1/access/explain", Some(&admin), question)).await;
        (status, answer)
    };
    let reader = token(&gateway, "anna", json!({"team:*": ["subscribe"], "issue:i": ["presence"]}));
    assert_eq!(
        explain(&reader, "team:t", "subscribe").await,
        (
            200,
            json!({"allowed": true, "rule": "grant", "pattern": "team:*", "reason": "the grant under team:* allows it",
            "userId": "anna", "grants": [{"pattern": "team:*", "operations": ["subscribe"]}]})
        )
    );
    for (room, operation, allowed, rule) in [
        ("user:anna", "subscribe", true, "own room"),
        ("issue:i", "subscribe", false, "not granted"),
        ("issue:i", "publish:user.typing", false, "not granted"),
        ("team:t", "admin", false, "not granted"),
    ] {
        let (_, answer) = explain(&reader, room, operation).await;
        assert_eq!((&answer["allowed"], &answer["rule"]), (&json!(allowed), &json!(rule)), "{room} {operation}");
    }
    let without = token(&gateway, "ben", Value::Null);
    assert_eq!(explain(&without, "team:t", "subscribe").await.1["rule"], "no grants");
    let (status, refused) = explain("no token", "team:t", "subscribe").await;
    assert_eq!((status, &refused["allowed"], &refused["rule"]), (200, &json!(false), &json!("token")));
    assert_eq!(explain(&reader, "no room", "subscribe").await.1["code"], "INVALID_ROOM");
    let (status, problem) = explain(&reader, "team:t", "read").await;
    assert_eq!((status, &problem["code"], &problem["pointer"]), (422, &json!("INVALID_PAYLOAD"), &json!("/operation")));
}

#[tokio::test]
async fn statistics_have_the_shape_of_the_original() {
    let gateway = start(config());
    let mut one = Client::join(&gateway, "u", json!({"*": ["subscribe"]})).await;
    let mut two = Client::join(&gateway, "v", json!({"*": ["subscribe"]})).await;
    let _unauthenticated = Client::open(&gateway, crate::harness::upgrade()).await;
    one.subscribe(&["team:team_123", "issue:1"]).await;
    two.subscribe(&["team:team_123"]).await;
    let (status, answer) = as_admin(&gateway, "GET", "/api/v1/ws/stats").await;
    assert_eq!(status, 200);
    let timestamp = answer["data"]["timestamp"].as_str().unwrap();
    assert!(timestamp.parse::<roomcast_protocol::Timestamp>().is_ok());
    let rooms = json!({"team:team_123": 2, "issue:1": 1});
    let stats = json!({"totalClients": 2, "totalRooms": 2, "clientsPerRoom": rooms});
    assert_eq!(answer, json!({"data": {"stats": stats, "timestamp": timestamp}}));
}

#[tokio::test]
async fn the_use_of_the_message_limit_is_an_average_share() {
    let gateway = start(config());
    assert_eq!(
        as_admin(&gateway, "GET", "/api/v1/ws/rate-limits").await.1,
        json!({"totalClients": 0, "averageUsage": 0.0})
    );
    let mut one = Client::join(&gateway, "u", Value::Null).await;
    let _two = Client::join(&gateway, "v", Value::Null).await;
    for _ in 0..50 {
        one.is_quiet().await;
    }
    assert_eq!(
        as_admin(&gateway, "GET", "/api/v1/ws/rate-limits").await.1,
        json!({"totalClients": 2, "averageUsage": 25.0})
    );
}

#[tokio::test]
async fn an_admin_resets_one_connections_limit() {
    let gateway = start(config());
    let mut client = Client::open(&gateway, with_token(&token(&gateway, "u", Value::Null))).await;
    let id = client.receive().await["payload"]["connectionId"].as_str().unwrap().to_owned();
    for _ in 0..100 {
        client.is_quiet().await;
    }
    client.send(json!({"type": "ping"})).await;
    client.is_refused("RATE_LIMIT_EXCEEDED").await;
    let path = format!("/api/v1/ws/rate-limits/{id}");
    assert_eq!(as_admin(&gateway, "DELETE", &path).await.0, 204);
    for _ in 0..100 {
        client.is_quiet().await;
    }
    for unknown in ["nobody", "0190a5e0000070008000000000000000", "%ff"] {
        let (status, problem) = as_admin(&gateway, "DELETE", &format!("/api/v1/ws/rate-limits/{unknown}")).await;
        assert_eq!((status, &problem["status"]), (404, &json!(404)), "{unknown}");
    }
}

#[tokio::test]
async fn health_says_that_the_process_lives_and_welcomes_connections() {
    let gateway = start(config());
    for path in ["/livez", "/readyz"] {
        let (status, _, _) = call(&gateway, request("GET", path, None, Value::Null)).await;
        assert_eq!(status, 200, "{path}");
    }
}

/// The metrics by name and labels.
async fn metrics(gateway: &Gateway) -> BTreeMap<String, f64> {
    let (status, headers, text) = call(gateway, request("GET", "/metrics", None, Value::Null)).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = text.as_str().unwrap();
    assert!(text.ends_with("# EOF\n"));
    for name in ["team:secret", "user_secret", "192.0.2.1"] {
        assert!(!text.contains(name), "no room, user or address is a label");
    }
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

/// Everything that the metrics count.
async fn live_a_little(gateway: &Gateway) -> Client {
    let mut client = Client::join(gateway, "user_secret", json!({"*": ["subscribe"]})).await;
    client.subscribe(&["team:secret"]).await;
    publish(gateway, json!({"type": "custom.event", "payload": 1, "rooms": ["team:secret"]})).await;
    client.receive().await;
    client.send_text("nonsense").await;
    client.is_refused("INVALID_MESSAGE").await;
    for _ in 0..98 {
        client.is_quiet().await;
    }
    client.send(json!({"type": "ping"})).await;
    client.is_refused("RATE_LIMIT_EXCEEDED").await;
    for _ in 0..10 {
        Client::open(gateway, with_token("bad")).await.is_unauthorized().await;
    }
    let (status, _, _) = call(gateway, request("POST", "/api/v1/events", Some("bad"), json!({}))).await;
    assert_eq!(status, 429);
    let mut leaving = Client::join_from(gateway, "192.0.2.2:1", "user_secret").await;
    leaving.send_message(Message::Close(None)).await;
    leaving.closed().await;
    client
}

#[tokio::test]
async fn every_metric_that_the_original_asks_to_watch_moves() {
    let gateway = start(config());
    let before = metrics(&gateway).await;
    let client = live_a_little(&gateway).await;
    let moved = async |name: &str| {
        let now = metrics(&gateway).await;
        let of = |metrics: &BTreeMap<String, f64>| metrics.get(name).copied().unwrap_or(0.0);
        of(&now) - of(&before)
    };
    for (name, by) in [
        ("roomcast_connections", 1.0),
        ("roomcast_rooms", 1.0),
        ("roomcast_connections_accepted_total", 12.0),
        ("roomcast_connections_closed_total{code=\"4500\"}", 10.0),
        ("roomcast_connections_closed_total{code=\"1005\"}", 1.0),
        ("roomcast_messages_total{direction=\"received\"}", 101.0),
        ("roomcast_message_size_bytes_count{direction=\"received\"}", 101.0),
        ("roomcast_errors_total{code=\"INVALID_MESSAGE\"}", 1.0),
        ("roomcast_errors_total{code=\"UNAUTHORIZED\"}", 10.0),
        ("roomcast_rate_limited_total{scope=\"connection\",kind=\"messages\"}", 1.0),
        ("roomcast_rate_limited_total{scope=\"address\",kind=\"authentications\"}", 1.0),
        ("roomcast_connection_errors_total{reason=\"unauthorized\"}", 10.0),
        ("roomcast_auth_failures_total", 10.0),
        ("roomcast_events_published_total", 1.0),
        ("roomcast_events_delivered_total", 1.0),
    ] {
        // What ends a connection is counted when its task ends, a moment later than its client sees it.
        let mut found = moved(name).await;
        for _ in 0..2000 {
            if found == by {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            found = moved(name).await;
        }
        assert_eq!(found, by, "{name}");
    }
    assert!(moved("roomcast_messages_total{direction=\"sent\"}").await >= 103.0);
    assert!(moved("roomcast_message_size_bytes_sum{direction=\"sent\"}").await > 1000.0);
    assert_eq!(before["roomcast_heartbeat_timeouts_total"], 0.0);
    drop(client);
}

/// A gateway on two ports. A port that was free a moment ago may be taken: then others are tried.
async fn start_on_two_ports() -> (std::net::SocketAddr, std::net::SocketAddr) {
    for _ in 0..20 {
        let free = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let admin = free.local_addr().unwrap();
        drop(free);
        let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let public = listener.local_addr().unwrap();
        let gateway = start(Config { admin_addr: Some(admin), ..config() });
        let running = tokio::spawn(async move { gateway.run(listener, std::future::pending()).await });
        while !running.is_finished() {
            let admin_answers = async |path| {
                let stream = TcpStream::connect(admin).await.ok()?;
                Some(call_over(stream, request("GET", path, None, Value::Null)).await.0)
            };
            if admin_answers("/livez").await == Some(200) {
                return (public, admin);
            }
            tokio::task::yield_now().await;
        }
    }
    panic!("no free port");
}

#[tokio::test]
async fn what_is_for_operators_moves_to_an_address_of_its_own() {
    let (public, admin) = start_on_two_ports().await;
    let status = async |address, method: &str, path: &str| {
        let stream = TcpStream::connect(address).await.unwrap();
        call_over(stream, request(method, path, None, Value::Null)).await.0
    };
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!((status(admin, "GET", path).await, status(public, "GET", path).await), (200, 404), "{path}");
    }
    for (method, path) in ADMINS_ONLY {
        assert_eq!((status(admin, method, path).await, status(public, method, path).await), (401, 404), "{path}");
    }
    for (method, path, expected) in [("GET", "/ws", 400), ("POST", "/api/v1/events", 401)] {
        assert_eq!((status(admin, method, path).await, status(public, method, path).await), (404, expected), "{path}");
    }
}
