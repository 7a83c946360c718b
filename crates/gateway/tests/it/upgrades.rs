//! The upgrade: what RFC 6455 wants of a request, whom it may come from, and the refusals in their order.

use std::time::Duration;

use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::harness::{Client, call, config, pipe, pipe_from, request as http_request, start, token, with_token};
use crate::raw::{Answer, UPGRADE, exchange, request, upgrade_with};

const HOST: usize = 1;
const UPGRADE_LINE: usize = 2;
const CONNECTION: usize = 3;
const KEY: usize = 4;
const VERSION: usize = 5;

fn without(line: usize) -> Vec<u8> {
    let mut lines = UPGRADE.to_vec();
    lines.remove(line);
    request(&lines)
}

fn replaced(line: usize, by: &str) -> Vec<u8> {
    let mut lines = UPGRADE.to_vec();
    lines[line] = by;
    request(&lines)
}

fn problem(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let mut with_body = upgrade_with(&["Content-Length: 4"]);
    with_body.extend(b"body");
    let mut chunked = upgrade_with(&["Transfer-Encoding: chunked"]);
    chunked.extend(b"0\r\n\r\n");
    let mut not_ascii = b"Sec-WebSocket-Key: \xff\xff\xff\xff\r\n\r\n".to_vec();
    not_ascii.splice(0..0, without(KEY).strip_suffix(b"\r\n").unwrap().iter().copied());
    vec![
        ("no host", without(HOST)),
        ("two hosts", upgrade_with(&["Host: other.test"])),
        ("the same host twice", upgrade_with(&["Host: gateway.test"])),
        ("an empty host", replaced(HOST, "Host:")),
        ("a host that is none", replaced(HOST, "Host: a b")),
        ("no upgrade", without(UPGRADE_LINE)),
        ("an empty upgrade", replaced(UPGRADE_LINE, "Upgrade:")),
        ("another upgrade", replaced(UPGRADE_LINE, "Upgrade: h2c")),
        ("nearly the upgrade", replaced(UPGRADE_LINE, "Upgrade: websockets")),
        ("no connection", without(CONNECTION)),
        ("an empty connection", replaced(CONNECTION, "Connection:")),
        ("another connection", replaced(CONNECTION, "Connection: keep-alive")),
        ("no key", without(KEY)),
        ("an empty key", replaced(KEY, "Sec-WebSocket-Key:")),
        ("two keys", upgrade_with(&["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="])),
        ("the same key twice", upgrade_with(&[UPGRADE[KEY]])),
        ("two keys in one", replaced(KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==")),
        ("a key of 15 bytes", replaced(KEY, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA")),
        ("a key of 17 bytes", replaced(KEY, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=")),
        ("a key of 18 bytes", replaced(KEY, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA")),
        ("a key of other letters", replaced(KEY, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==")),
        ("a key for URLs", replaced(KEY, "Sec-WebSocket-Key: ______________________==")),
        ("a key without padding", replaced(KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ")),
        ("a key of bytes", not_ascii),
        ("no version", without(VERSION)),
        ("two versions", upgrade_with(&["Sec-WebSocket-Version: 8"])),
        ("the same version twice", upgrade_with(&[UPGRADE[VERSION]])),
        ("an old HTTP", replaced(0, "GET /ws HTTP/1.0")),
        ("an upgrade in two words", replaced(UPGRADE_LINE, "Upgrade: web socket")),
        ("an upgrade with a version", replaced(UPGRADE_LINE, "Upgrade: websocket/13")),
        ("nearly the connection", replaced(CONNECTION, "Connection: Upgrades")),
        ("a connection to be closed", replaced(CONNECTION, "Connection: close")),
        ("a key with something behind it", replaced(KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==x")),
        ("a key with a space in it", replaced(KEY, "Sec-WebSocket-Key: dGhlIHNhbXBs ZSBub25jZQ==")),
        ("a key of 6000 bytes", replaced(KEY, &format!("Sec-WebSocket-Key: {}", "A".repeat(8000)))),
        ("a host with a path", replaced(HOST, "Host: gateway.test/ws")),
        ("a body of unknown length", upgrade_with(&["Transfer-Encoding: identity, chunked"])),
        ("a token without the protocol", upgrade_with(&["Sec-WebSocket-Protocol: roomcast.bearer.x"])),
        ("two tokens", upgrade_with(&["Sec-WebSocket-Protocol: roomcast.v1, roomcast.bearer.x, roomcast.bearer.y"])),
        ("a body", with_body),
        ("a body in chunks", chunked),
    ]
}

#[tokio::test]
async fn a_malformed_upgrade_is_refused_with_a_problem() {
    let gateway = start(config());
    for (what, bytes) in malformed() {
        let answer = exchange(&gateway, &bytes).await;
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        let problem = problem(&answer);
        assert_eq!((&problem["code"], &problem["status"]), (&json!("INVALID_MESSAGE"), &json!(400)), "{what}");
    }
}

#[tokio::test]
async fn what_is_not_even_http_is_refused() {
    let gateway = start(config());
    let large = format!("X-Large: {}", "x".repeat(17 << 10));
    for (what, bytes, status) in [
        ("a later HTTP", replaced(0, "GET /ws HTTP/1.2"), 400),
        ("no HTTP", replaced(0, "GET /ws"), 400),
        ("a header without a name", upgrade_with(&[": value"]), 400),
        ("a header without a colon", upgrade_with(&["nonsense"]), 400),
        ("a space in a name", upgrade_with(&["a name: value"]), 400),
        ("two lengths", upgrade_with(&["Content-Length: 1", "Content-Length: 2"]), 400),
        ("a length below zero", upgrade_with(&["Content-Length: -1"]), 400),
        ("a length of letters", upgrade_with(&["Content-Length: four"]), 400),
        ("a line that goes on", upgrade_with(&["X-Long: begun", " and continued"]), 400),
        ("a byte that no header has", upgrade_with(&["X-Zero: a\0b"]), 400),
        ("a head over the limit", upgrade_with(&[&large]), 431),
    ] {
        assert_eq!(exchange(&gateway, &bytes).await.status, status, "{what}");
    }
}

#[tokio::test]
async fn another_version_is_told_the_right_one() {
    let gateway = start(config());
    for version in ["12", "14", "8", "0", "013", "thirteen", "13, 8", ""] {
        let answer = exchange(&gateway, &replaced(VERSION, &format!("Sec-WebSocket-Version: {version}"))).await;
        assert_eq!(answer.status, 426, "{version}");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        assert_eq!(problem(&answer)["code"], "INVALID_MESSAGE");
    }
}

#[tokio::test]
async fn only_get_upgrades_and_only_at_its_path() {
    let gateway = start(config());
    for method in ["POST", "PUT", "DELETE", "PATCH", "HEAD", "BREW", "get"] {
        let answer = exchange(&gateway, &replaced(0, &format!("{method} /ws HTTP/1.1"))).await;
        assert_eq!(answer.status, 405, "{method}");
    }
    for path in ["/", "/ws/", "/WS", "/ws2", "/api/v1/ws", "/../ws", "//ws", "/ws%20", "ws"] {
        assert_eq!(exchange(&gateway, &replaced(0, &format!("GET {path} HTTP/1.1"))).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_rfc_6455_leaves_open_is_accepted() {
    let gateway = start(config());
    for bytes in [
        replaced(0, "GET http://gateway.test/ws HTTP/1.1"),
        replaced(0, "GET /ws?a=b&token= HTTP/1.1"),
        replaced(UPGRADE_LINE, "upgrade:   WebSocket  "),
        replaced(UPGRADE_LINE, "Upgrade: h2c, websocket"),
        replaced(CONNECTION, "Connection: keep-alive, Upgrade"),
        replaced(CONNECTION, "CONNECTION: upgrade"),
        replaced(HOST, "Host: [::1]:3001"),
        upgrade_with(&["Connection: keep-alive"]),
        upgrade_with(&["Content-Length: 0"]),
        upgrade_with(&["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]),
        upgrade_with(&["Sec-WebSocket-Protocol: "]),
        upgrade_with(&["Cookie: a=b", "User-Agent: test", "X-Anything: at all"]),
    ] {
        let answer = exchange(&gateway, &bytes).await;
        assert_eq!(answer.status, 101, "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(answer.header("sec-websocket-extensions"), None);
    }
}

async fn status_from(gateway: &Gateway, origin: &str) -> u16 {
    exchange(gateway, &upgrade_with(&[&format!("Origin: {origin}")])).await.status
}

#[tokio::test]
async fn pages_of_other_origins_may_not_connect() {
    let listed = "http://localhost:3000,https://app.example.com".split(',').map(|origin| origin.parse().unwrap());
    let gateway = start(Config { frontend_url: Some(listed.collect()), ..config() });
    for allowed in ["http://localhost:3000", "https://app.example.com", "http://gateway.test"] {
        assert_eq!(status_from(&gateway, allowed).await, 101, "{allowed}");
    }
    for refused in [
        "https://localhost:3000",
        "http://localhost",
        "http://localhost:3001",
        "https://app.example.com.evil.test",
        "https://evil.test/https://app.example.com",
        "null",
        "",
    ] {
        assert_eq!(status_from(&gateway, refused).await, 403, "{refused}");
    }
    let answer = exchange(&gateway, &upgrade_with(&["Origin: https://evil.test"])).await;
    let problem = problem(&answer);
    assert_eq!(problem["code"], "FORBIDDEN");
    assert!(problem["detail"].as_str().unwrap().contains("FRONTEND_URL"));
}

#[tokio::test]
async fn without_a_list_serve_allows_its_own_pages_and_dev_those_of_the_machine() {
    let serve = start(config());
    assert_eq!(status_from(&serve, "https://gateway.test").await, 101);
    assert_eq!(status_from(&serve, "http://localhost:3000").await, 403);
    let dev = start(Config { jwt_secret: config().jwt_secret, ..Config::dev() });
    assert_eq!(status_from(&dev, "http://localhost:3000").await, 101);
    assert_eq!(status_from(&dev, "http://127.0.0.1:5173").await, 101);
    assert_eq!(status_from(&dev, "http://gateway.test").await, 403);
}

/// Until the gateway has noticed that connections ended.
async fn until_accepted(gateway: &Gateway, bytes: &[u8], status: u16) {
    for _ in 0..2000 {
        if exchange(gateway, bytes).await.status == status {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("never {status}");
}

#[tokio::test]
async fn a_full_gateway_says_when_to_come_back_and_takes_the_next_when_one_left() {
    let gateway = start(Config { max_connections: Some(1), ..config() });
    let held = Client::join(&gateway, "u", Value::Null).await;
    for _ in 0..3 {
        let answer = exchange(&gateway, &upgrade_with(&[])).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        assert_eq!(problem(&answer)["code"], "UNAVAILABLE");
    }
    drop(held);
    until_accepted(&gateway, &upgrade_with(&[]), 101).await;
}

#[tokio::test]
async fn refusals_come_in_their_order() {
    let gateway = start(Config { max_connections: Some(1), ..config() });
    let good = token(&gateway, "u", Value::Null);
    let held = Client::join(&gateway, "u", Value::Null).await;
    for _ in 0..10 {
        let (status, _, _) = call(&gateway, http_request("POST", "/api/v1/events", Some("bad"), json!({}))).await;
        assert_eq!(status, 401);
    }
    let foreign = "Origin: https://evil.test";
    let malformed = upgrade_with(&[foreign, "Sec-WebSocket-Protocol: roomcast.bearer.x"]);
    assert_eq!(exchange(&gateway, &malformed).await.status, 400);
    assert_eq!(exchange(&gateway, &upgrade_with(&[foreign])).await.status, 403);
    assert_eq!(exchange(&gateway, &upgrade_with(&[])).await.status, 503);
    drop(held);
    until_accepted(&gateway, &upgrade_with(&[]), 429).await;
    let other = pipe_from(&gateway, "192.0.2.2:1".parse().unwrap());
    let (mut client, _) = Client::over(other, with_token(&good)).await.unwrap();
    assert_eq!(client.receive().await["type"], "connection.ack");
}

#[tokio::test]
async fn a_draining_gateway_refuses_before_it_counts_authentications() {
    let gateway = start(Config { drain: std::time::Duration::ZERO, ..config() });
    for _ in 0..10 {
        call(&gateway, http_request("POST", "/api/v1/events", Some("bad"), json!({}))).await;
    }
    gateway.shutdown().await;
    let answer = exchange(&gateway, &upgrade_with(&[])).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(exchange(&gateway, &upgrade_with(&["Origin: https://evil.test"])).await.status, 403);
    assert_eq!(exchange(&gateway, &without(KEY)).await.status, 400);
    assert_eq!(exchange(&gateway, &request(&["GET /readyz HTTP/1.1", "Host: a"])).await.status, 503);
    assert_eq!(exchange(&gateway, &request(&["GET /livez HTTP/1.1", "Host: a"])).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn upgrades_are_paced_and_those_beyond_are_told_when_to_come_back() {
    let gateway = start(Config { accept_rate: Some(3), ..config() });
    let token = token(&gateway, "u", Value::Null);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::over(pipe(&gateway), with_token(&token)).await.unwrap());
    }
    let Err(Error::Http(refused)) = Client::over(pipe(&gateway), with_token(&token)).await else {
        panic!("not refused")
    };
    assert_eq!(refused.status(), 503);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert!(Client::over(pipe(&gateway), with_token(&token)).await.is_ok());
}

#[tokio::test]
async fn connections_of_one_address_and_of_nobody_are_limited_when_that_is_configured() {
    let gateway = start(Config { max_connections_per_address: Some(2), ..config() });
    let token = token(&gateway, "u", Value::Null);
    let from = async |peer: &str| Client::over(pipe_from(&gateway, peer.parse().unwrap()), with_token(&token)).await;
    let first = from("192.0.2.7:1").await.unwrap();
    let _second = from("192.0.2.7:2").await.unwrap();
    let Err(Error::Http(refused)) = from("192.0.2.7:3").await else { panic!("not refused") };
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    let _elsewhere = from("192.0.2.8:1").await.unwrap();
    drop(first);
    while from("192.0.2.7:4").await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let gateway = start(Config { max_unauthenticated: Some(1), ..config() });
    let silent = Client::open(&gateway, crate::harness::upgrade()).await;
    let Err(Error::Http(refused)) = Client::over(pipe(&gateway), with_token(&token)).await else {
        panic!("not refused")
    };
    assert_eq!(refused.status(), 503);
    drop(silent);
    while Client::over(pipe(&gateway), with_token(&token)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn connections_of_one_user_are_limited_when_that_is_configured() {
    let gateway = start(Config { max_connections_per_user: Some(1), ..config() });
    let token_of = |user: &str| token(&gateway, user, Value::Null);
    let mut first = Client::open(&gateway, with_token(&token_of("anna"))).await;
    assert_eq!(first.receive().await["type"], "connection.ack");
    let mut second = Client::open(&gateway, with_token(&token_of("anna"))).await;
    second.is_refused("LIMIT_EXCEEDED").await;
    let notice = second.is_closed_with_notice(4003).await;
    assert!(notice["retryAfterMs"].as_u64().unwrap() > 0);
    let mut other = Client::open(&gateway, with_token(&token_of("ben"))).await;
    assert_eq!(other.receive().await["type"], "connection.ack");
    first.is_quiet().await;
    drop(first);
    loop {
        let mut again = Client::open(&gateway, with_token(&token_of("anna"))).await;
        if again.receive().await["type"] == "connection.ack" {
            break;
        }
    }
}
