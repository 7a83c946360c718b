//! The console's page, and the calls by which it sees what a gateway does.

use std::net::SocketAddr;

use roomcast_gateway::{Config, Gateway, server};
use roomcast_protocol::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, call, call_over, config, publish, request, start, token, with_header, with_token};
use crate::redis_server::RedisServer;

const NOBODY: &str = "0190a5e0000070008000000000000000";

/// Reading, and changing, and what only `dev` has.
const READS: [&str; 3] = ["/api/v1/figures", "/api/v1/connections", "/api/v1/rooms"];
const CHANGES: [&str; 1] = ["/api/v1/connections/{}/disconnect"];
const IN_DEV: [&str; 2] = ["/dev/connections/{}/drop", "/dev/connections/{}/slow"];

const PAGE: [(&str, &str); 4] = [
    ("/console/", "text/html; charset=utf-8"),
    ("/console/console.js", "text/javascript; charset=utf-8"),
    ("/console/console.css", "text/css; charset=utf-8"),
    ("/console/config.json", "application/json"),
];

pub(crate) fn dev() -> Config {
    Config { jwt_secret: config().jwt_secret, ..Config::dev() }
}

/// A client with the id of its connection.
pub(crate) async fn join(gateway: &Gateway, user: &str) -> (Client, String) {
    let request = with_token(&token(gateway, user, json!({"*": ["subscribe"]})));
    let mut client = Client::open(gateway, with_header(request, "sec-websocket-protocol", "roomcast.v1")).await;
    let id = client.receive().await["payload"]["connectionId"].as_str().unwrap().to_owned();
    (client, id)
}

pub(crate) async fn as_admin(gateway: &Gateway, method: &str, path: &str, body: Value) -> (u16, Value) {
    let token = token(gateway, "the_admin", json!({"*": ["admin"]}));
    let (status, _, answer) = call(gateway, request(method, path, Some(&token), body)).await;
    (status, answer)
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let (status, answer) = as_admin(gateway, "GET", path, Value::Null).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// What the calls answer without a token, with a bad one, with those of others than admins, and with an admin's.
async fn statuses(gateway: &Gateway, method: &str, path: &str) -> [u16; 5] {
    let path = path.replace("{}", NOBODY);
    let of = |grants| token(gateway, "u", grants);
    let tokens = [
        None,
        Some("bad".to_owned()),
        Some(of(json!({"team:*": ["admin", "*"]}))),
        Some(of(json!({"*": ["publish", "subscribe", "presence", "history"]}))),
        Some(of(json!({"*": ["admin"]}))),
    ];
    let mut statuses = [0; 5];
    for (status, token) in statuses.iter_mut().zip(tokens) {
        let body = if path.ends_with("slow") { json!({"delayMs": 1}) } else { Value::Null };
        *status = call(gateway, request(method, &path, token.as_deref(), body)).await.0;
    }
    statuses
}

#[tokio::test]
async fn in_serve_every_call_of_the_console_is_for_admins_and_trying_out_does_not_exist() {
    let gateway = start(Config { console: true, ..config() });
    for path in READS {
        assert_eq!(statuses(&gateway, "GET", path).await, [401, 401, 403, 403, 200], "{path}");
    }
    for path in CHANGES {
        assert_eq!(statuses(&gateway, "POST", path).await, [401, 401, 403, 403, 404], "{path}");
    }
    for path in IN_DEV {
        assert_eq!(statuses(&gateway, "POST", path).await, [404; 5], "{path}");
    }
}

#[tokio::test]
async fn in_dev_reading_needs_nothing_and_what_changes_anything_needs_an_admin() {
    let gateway = start(dev());
    for path in READS {
        assert_eq!(statuses(&gateway, "GET", path).await, [200; 5], "{path}");
    }
    for path in CHANGES.into_iter().chain(IN_DEV) {
        assert_eq!(statuses(&gateway, "POST", path).await, [401, 401, 403, 403, 404], "{path}");
    }
}

#[tokio::test]
async fn the_page_is_there_for_everybody_and_may_load_nothing_of_others() {
    let gateway = start(dev());
    for (path, content_type) in PAGE {
        for method in ["GET", "HEAD"] {
            let (status, headers, body) = call(&gateway, request(method, path, None, Value::Null)).await;
            assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, content_type), "{path}");
            assert_eq!(body == "", method == "HEAD", "{path}");
            assert_eq!(
                headers["content-security-policy"],
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' ws: \
                 wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            );
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert_eq!(headers["referrer-policy"], "no-referrer");
            assert_eq!(headers["cache-control"], "no-cache");
        }
        assert_eq!(call(&gateway, request("POST", path, None, json!({}))).await.0, 405, "{path}");
    }
    let (status, headers, _) = call(&gateway, request("GET", "/console", None, Value::Null)).await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (308, "/console/"));
    let (_, _, page) = call(&gateway, request("GET", "/console/", None, Value::Null)).await;
    let page = page.as_str().unwrap();
    // The policy would stop it, and the console with it.
    assert!(!page.contains("style=") && !page.contains("<style"), "{page}");
    assert!(page.split("<script").skip(1).all(|script| script.contains("src=")), "{page}");
    for path in ["/console/other.js", "/console/..%2fCargo.toml", "/console/../Cargo.toml", "/console/index.html"] {
        assert_eq!(call(&gateway, request("GET", path, None, Value::Null)).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn the_page_is_told_of_its_gateway() {
    for (config, mode) in [(dev(), "dev"), (Config { console: true, ..config() }, "serve")] {
        let gateway = start(config);
        let (_, _, about) = call(&gateway, request("GET", "/console/config.json", None, Value::Null)).await;
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(about, json!({"mode": mode, "version": version, "websocketPath": "/ws", "publicUrl": null}));
    }
}

#[tokio::test]
async fn without_the_console_there_is_no_page_and_everything_else() {
    for (config, without) in [(config(), 401), (Config { console: false, ..dev() }, 200)] {
        let gateway = start(config);
        for (path, _) in PAGE.into_iter().chain([("/console", "")]) {
            let (status, _, problem) = call(&gateway, request("GET", path, None, Value::Null)).await;
            assert_eq!((status, &problem["code"]), (404, &json!("INVALID_MESSAGE")), "{path}");
        }
        for path in READS {
            assert_eq!(call(&gateway, request("GET", path, None, Value::Null)).await.0, without, "{path}");
        }
    }
}

#[tokio::test]
async fn with_an_address_for_operators_the_console_is_there_and_knows_the_other() {
    let bind = || server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (public, admin) = (bind(), bind());
    let (public_address, admin_address) = (public.local_addr().unwrap(), admin.local_addr().unwrap());
    let gateway = start(dev());
    let running = tokio::spawn(async move { gateway.run_on(public, Some(admin), std::future::pending()).await });
    let get = async |address: SocketAddr, method: &str, path: &str| {
        let stream = TcpStream::connect(address).await.unwrap();
        let (status, _, answer) = call_over(stream, request(method, path, None, Value::Null)).await;
        (status, answer)
    };
    for path in PAGE.map(|(path, _)| path).into_iter().chain(READS) {
        assert_eq!(get(admin_address, "GET", path).await.0, 200, "{path}");
        assert_eq!(get(public_address, "GET", path).await.0, 404, "{path}");
    }
    for path in CHANGES.into_iter().chain(IN_DEV) {
        let path = path.replace("{}", NOBODY);
        assert_eq!(get(admin_address, "POST", &path).await.0, 401, "{path}");
        assert_eq!(get(public_address, "POST", &path).await.0, 404, "{path}");
    }
    // The page's policy lets it call its own origin only.
    for address in [public_address, admin_address] {
        assert_eq!(get(address, "GET", "/schema/schema.json").await.0, 200);
        for (method, path, expected) in [
            ("POST", "/api/v1/events", 401),
            ("GET", "/api/v1/rooms/team:a/history", 401),
            ("GET", "/api/v1/rooms/team:a/presence", 401),
            ("POST", "/dev/token", 400),
        ] {
            assert_eq!(get(address, method, path).await.0, expected, "{path}");
        }
    }
    assert_eq!(get(admin_address, "GET", "/ws").await.0, 404);
    let about = get(admin_address, "GET", "/console/config.json").await.1;
    assert_eq!(about["publicUrl"], format!("http://{public_address}"));
    running.abort();
}

#[tokio::test]
async fn figures_count_what_happens_on_this_node() {
    let gateway = start(config());
    let figures = async || get(&gateway, "/api/v1/figures").await["data"].clone();
    let before = figures().await;
    assert!(before["timestamp"].as_str().unwrap().parse::<Timestamp>().is_ok());
    assert_eq!((&before["scope"], &before["closed"]), (&json!("node"), &json!({})));
    assert!(before["uptimeSeconds"].is_u64() && before["queueBytes"].is_u64(), "{before}");

    let (mut client, _) = join(&gateway, "anna").await;
    client.subscribe(&["team:a"]).await;
    let event = json!({"type": "custom.event", "payload": 1, "rooms": ["team:a"]});
    let position = publish(&gateway, event.clone()).await["positions"]["team:a"].clone();
    client.receive().await;
    client.send_text("nonsense").await;
    client.is_refused("INVALID_MESSAGE").await;
    // Two that come back, one of them to a stream that there never was.
    for since in [position, json!("zzzz:1")] {
        let mut client = join(&gateway, "ben").await.0;
        client.ask(json!({"action": "subscribe", "rooms": ["team:a"], "since": {"team:a": since}})).await;
        client.send_message(Message::Close(None)).await;
        client.closed().await;
    }
    while client.ask(json!({"type": "ping"})).await["type"] != "error" {}

    let moved = [
        ("connections", 1),
        ("rooms", 1),
        ("published", 1),
        ("delivered", 1),
        ("recovered", 1),
        ("gaps", 1),
        ("rateLimited", 1),
        ("errors", 2),
    ];
    // What ends a connection is counted when its task ends, a moment later than its client sees it.
    let mut after = figures().await;
    while after["closed"] != json!({"1005": 2}) {
        tokio::task::yield_now().await;
        after = figures().await;
    }
    for (name, by) in moved {
        assert_eq!(after[name].as_u64().unwrap() - before[name].as_u64().unwrap(), by, "{name}: {after}");
    }
    assert!(after["received"].as_u64().unwrap() >= 5, "{after}");
}

#[tokio::test]
async fn connections_are_listed_page_by_page_in_the_order_of_their_ids() {
    let gateway = start(config());
    let mut clients = Vec::new();
    for user in ["anna", "ben", "anna", "carl"] {
        clients.push(join(&gateway, user).await);
    }
    clients[1].0.subscribe(&["team:a", "issue:b"]).await;
    let _unknown = Client::open(&gateway, crate::harness::upgrade()).await;
    let all = get(&gateway, "/api/v1/connections").await;
    assert_eq!((all["connections"].as_array().unwrap().len(), &all["more"]), (5, &json!(false)));
    let mut expected: Vec<&String> = clients.iter().map(|(_, id)| id).collect();
    expected.sort();
    let ben = all["connections"].as_array().unwrap().iter().find(|one| one["userId"] == "ben").unwrap();
    assert_eq!((&ben["connectionId"], &ben["rooms"]), (&json!(clients[1].1), &json!(["team:a", "issue:b"])));
    assert_eq!((&ben["address"], &ben["queueBytes"]), (&json!("192.0.2.1"), &json!(0)));
    let connected: Timestamp = ben["connectedAt"].as_str().unwrap().parse().unwrap();
    let now: Timestamp = get(&gateway, "/api/v1/figures").await["data"]["timestamp"].as_str().unwrap().parse().unwrap();
    assert!((0..60_000).contains(&(now.as_millis() - connected.as_millis())), "{connected:?} {now:?}");
    let nameless = all["connections"].as_array().unwrap().iter().filter(|one| one["userId"] == Value::Null);
    assert_eq!(nameless.count(), 1);

    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&gateway, &format!("/api/v1/connections?limit=2{after}")).await;
        let ids: Vec<_> =
            page["connections"].as_array().unwrap().iter().map(|one| one["connectionId"].clone()).collect();
        after = format!("&after={}", ids.last().unwrap().as_str().unwrap());
        assert!(ids.len() <= 2);
        found.extend(ids);
        if page["more"] == false {
            break;
        }
    }
    assert!(found.is_sorted_by_key(|id| id.as_str().unwrap().to_owned()), "{found:?}");
    assert_eq!(found.len(), 5);
    assert!(expected.iter().all(|id| found.contains(&json!(id))));

    let of_anna = get(&gateway, "/api/v1/connections?user=anna&limit=1").await;
    assert_eq!((of_anna["connections"].as_array().unwrap().len(), &of_anna["more"]), (1, &json!(true)));
    let of_anna = get(&gateway, "/api/v1/connections?user=anna").await;
    assert_eq!((of_anna["connections"].as_array().unwrap().len(), &of_anna["more"]), (2, &json!(false)));
    assert_eq!(get(&gateway, "/api/v1/connections?user=nobody").await, json!({"connections": [], "more": false}));
    for wrong in ["limit=0", "limit=1001", "limit=x", "after=x", "user=%20", "%ff=%ff&limit=%ff"] {
        let (status, problem) = as_admin(&gateway, "GET", &format!("/api/v1/connections?{wrong}"), Value::Null).await;
        assert_eq!((status, &problem["code"]), (400, &json!("INVALID_MESSAGE")), "{wrong}");
    }
}

#[tokio::test]
async fn rooms_are_listed_page_by_page_by_name_with_members_and_position() {
    let gateway = start(config());
    let (mut one, mut two) = (join(&gateway, "anna").await.0, join(&gateway, "ben").await.0);
    one.subscribe(&["team:c", "issue:b", "team:a"]).await;
    two.subscribe(&["team:a"]).await;
    let event = json!({"type": "custom.event", "payload": 1, "rooms": ["team:a"]});
    let position = publish(&gateway, event).await["positions"]["team:a"].clone();
    let page = get(&gateway, "/api/v1/rooms?limit=2").await;
    assert_eq!(page["more"], true);
    assert_eq!((&page["rooms"][0]["room"], &page["rooms"][0]["members"]), (&json!("issue:b"), &json!(1)));
    assert_eq!(page["rooms"][1], json!({"room": "team:a", "members": 2, "position": position}));
    let rest = get(&gateway, "/api/v1/rooms?after=team:a").await;
    assert_eq!((&rest["rooms"][0]["room"], &rest["more"]), (&json!("team:c"), &json!(false)));
    assert_eq!(rest["rooms"].as_array().unwrap().len(), 1);
    assert_eq!(get(&gateway, "/api/v1/rooms?after=z").await, json!({"rooms": [], "more": false}));
    for wrong in ["limit=0", "limit=1001", "limit=-1"] {
        assert_eq!(as_admin(&gateway, "GET", &format!("/api/v1/rooms?{wrong}"), Value::Null).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn one_connection_is_closed_for_good_and_its_token_stays_good() {
    let gateway = start(config());
    let mine = token(&gateway, "anna", Value::Null);
    let connect = async || {
        let mut client = Client::open(&gateway, with_token(&mine)).await;
        (client.receive().await["payload"]["connectionId"].as_str().unwrap().to_owned(), client)
    };
    let ((id, mut client), (_, mut other)) = (connect().await, connect().await);
    let path = format!("/api/v1/connections/{id}/disconnect");
    assert_eq!(as_admin(&gateway, "POST", &path, Value::Null).await, (200, json!({"disconnected": 1})));
    assert_eq!(client.is_closed_with_notice(4501).await["resumable"], false);
    other.is_quiet().await;
    connect().await.1.is_quiet().await;
    for unknown in ["nobody", NOBODY, "%ff"] {
        let path = format!("/api/v1/connections/{unknown}/disconnect");
        assert_eq!(as_admin(&gateway, "POST", &path, Value::Null).await.0, 404, "{unknown}");
    }
}

#[tokio::test]
async fn a_connection_of_another_node_is_closed_too() {
    let server = RedisServer::start();
    let node = async || {
        let redis_url = Some(roomcast_gateway::Secret::new(server.url()));
        let gateway = start(Config { redis_url, ..config() });
        while call(&gateway, request("GET", "/readyz", None, Value::Null)).await.0 != 200 {
            tokio::task::yield_now().await;
        }
        gateway
    };
    let (here, there) = (node().await, node().await);
    let ((mut client, id), (mut other, _)) = (join(&there, "anna").await, join(&there, "anna").await);
    let path = format!("/api/v1/connections/{id}/disconnect");
    assert_eq!(as_admin(&here, "POST", &path, Value::Null).await, (200, json!({"disconnected": 1})));
    client.is_closed_with_notice(4501).await;
    other.is_quiet().await;
    assert_eq!(as_admin(&here, "POST", &format!("/api/v1/connections/{NOBODY}/disconnect"), Value::Null).await.0, 404);
    // The list is of one node.
    assert_eq!(get(&here, "/api/v1/connections").await["connections"], json!([]));
}
