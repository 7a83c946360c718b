//! Logs: no token in any line, whatever the level and however it came.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::filter::LevelFilter;

use crate::harness::{Client, SECRET, call, config, request, signed, start, upgrade, with_header, with_token};
use crate::raw::{exchange, upgrade_with};
use crate::redis_server::RedisServer;
use roomcast_gateway::{Config, Gateway, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Everything that was logged.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Brings the token in every way, and takes everything that is answered, frames and heads alike.
async fn present(gateway: &Gateway, token: &str) -> String {
    let mut answers = String::new();
    let query = |path: &str| format!("{path}?token={token}");
    let mut in_query = upgrade();
    *in_query.uri_mut() = format!("ws://gateway.test{}", query("/ws")).parse().unwrap();
    let offered = with_header(upgrade(), "sec-websocket-protocol", &format!("roomcast.v1, roomcast.bearer.{token}"));
    for request in [with_token(token), in_query, offered] {
        let mut client = Client::open(gateway, request).await;
        answers += &client.receive().await.to_string();
    }
    let mut client = Client::open(gateway, upgrade()).await;
    answers += &client.ask(json!({"action": "authenticate", "token": token})).await.to_string();
    let mut client = Client::join(gateway, "u", Value::Null).await;
    for frame in [
        json!({"action": "authenticate", "token": token}),
        json!({"action": "authenticate", "token": [token]}),
        json!({"action": token, "token": token}),
        json!({"type": token}),
        json!({"id": {"token": token}}),
    ] {
        answers += &client.ask(frame).await.to_string();
    }
    let half = format!(r#"{{"action":"authenticate","token":"{token}"#);
    client.send_text(&half).await;
    answers += &client.receive().await.to_string();
    for path in ["/api/v1/events", "/api/v1/ws/stats", "/nowhere", "/metrics"] {
        for method in ["GET", "POST"] {
            for uri in [path.to_owned(), query(path)] {
                let (_, headers, body) = call(gateway, request(method, &uri, Some(token), json!({}))).await;
                answers += &format!("{headers:?}{body}");
            }
        }
    }
    let malformed = [
        upgrade_with(&[&format!("Sec-WebSocket-Protocol: roomcast.bearer.{token}")]),
        upgrade_with(&[&format!("Authorization: Bearer {token}"), "Origin: https://evil.test"]),
        format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", query("/ws")).into_bytes(),
        format!("GET {} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n", query("/ws")).into_bytes(),
        format!("GET {} HTTP/7\r\n\r\n", query("/ws")).into_bytes(),
    ];
    for bytes in malformed {
        answers += &format!("{:?}", exchange(gateway, &bytes).await);
    }
    answers
}

/// Captures what is logged on this thread, where the whole gateway of a test runs.
fn capture() -> (Captured, Capturing) {
    let captured = Captured::default();
    let writer = captured.clone();
    // While there is one subscriber only, a place in the code that another test's thread comes to first is asked for that
    // thread's interest, and stays silent for all. A second one, for nobody, prevents it.
    let nobody = Dispatch::new(NoSubscriber::new());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    tracing::callsite::rebuild_interest_cache();
    (captured, Capturing { _guard: guard, _nobody: nobody })
}

/// Ends capturing when it is dropped.
struct Capturing {
    _guard: DefaultGuard,
    _nobody: Dispatch,
}

/// Everything that Redis is told, from now on.
async fn monitor(redis: &RedisServer) -> Captured {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port)).await.unwrap();
    stream.write_all(b"MONITOR\r\n").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'+', "it says OK when it begins");
    let told = Captured::default();
    let mut writer = told.clone();
    tokio::spawn(async move {
        let mut part = vec![0; 16 << 10];
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            Write::write_all(&mut writer, &part[..count]).unwrap();
        }
    });
    told
}

/// A back end that knows nobody, and everything that it is asked.
async fn back_end() -> (String, Captured) {
    let asked = Captured::default();
    let writer = asked.clone();
    let answer = async move |request: axum::extract::Request| {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        write!(writer.clone(), "{head:?} {}", String::from_utf8_lossy(&body)).unwrap();
        r#"{"allowed":false}"#
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    (url, asked)
}

/// Does with a good token what leaves traces elsewhere: publishing, presence, questions, revocations.
async fn work_with(gateway: &Gateway, token: &str, admin: &str) -> String {
    let mut answers = String::new();
    let mut client = Client::open(gateway, with_token(token)).await;
    for frame in [
        json!({"action": "subscribe", "rooms": ["team:a", "team:b"], "presence": true}),
        json!({"action": "publish", "event": {"type": "custom.event", "payload": 1}, "rooms": ["team:a"]}),
    ] {
        answers += &client.ask(frame).await.to_string();
    }
    let question = json!({"token": token, "room": "team:c", "operation": "subscribe"});
    for (path, body) in [
        ("/api/v1/events", json!({"type": "custom.event", "payload": 1, "rooms": ["team:a"]})),
        ("/api/v1/access/explain", question),
        ("/api/v1/tokens/the-one/revoke", Value::Null),
        ("/api/v1/users/u/disconnect", Value::Null),
    ] {
        let (status, headers, body) = call(gateway, request("POST", path, Some(admin), body)).await;
        assert_eq!(status, 200, "{path}: {body}");
        answers += &format!("{headers:?}{body}");
    }
    answers
}

#[tokio::test]
async fn no_token_appears_in_any_line_metric_or_answer_nor_in_redis_or_at_the_back_end() {
    let (captured, _capturing) = capture();
    let redis = RedisServer::start();
    let (told, (url, asked)) = (monitor(&redis).await, back_end().await);
    let redis_url = Some(Secret::new(redis.url()));
    let shared = Config { redis_url, access_url: Some(url), ..config() };
    let gateway = start(Config { auth_attempts_per_minute: 1000, ..shared });
    while call(&gateway, request("GET", "/readyz", None, Value::Null)).await.0 != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let good = signed(&json!({"sub": "u", "jti": "the-one", "exp": 4_000_000_000u32, "grants": {"team:a": ["*"]}}));
    let admin = signed(&json!({"sub": "admin", "exp": 4_000_000_000u32, "grants": {"*": ["*"]}}));
    let expired = signed(&json!({"sub": "u", "exp": 1}));
    let forged = format!("{}CANARY", &good[..good.len() - 6]);
    let mut answers = String::new();
    for token in [good.as_str(), &expired, &forged, "CANARY"] {
        answers += &present(&gateway, token).await;
        let limited = start(Config { auth_attempts_per_minute: 1, ..config() });
        for token in ["CANARY", token] {
            let bytes = upgrade_with(&[&format!("Authorization: Bearer {token}")]);
            answers += &format!("{:?}", exchange(&limited, &bytes).await);
        }
    }
    answers += &work_with(&gateway, &good, &admin).await;
    answers += &call(&gateway, request("GET", "/metrics", None, Value::Null)).await.2.to_string();
    gateway.shutdown().await;
    let kept = redis.command(&["KEYS", "*"]) + &told.text();
    for said in ["PUBLISH", "the-one"] {
        assert!(kept.to_uppercase().contains(&said.to_uppercase()), "Redis was not told {said}: {kept}");
    }
    assert!(asked.text().contains("team:b"), "the back end was not asked");
    let logged = captured.text();
    for line in ["authentication failed", "origin refused", "connection closed", "draining"] {
        assert!(logged.contains(line), "{line:?} was not captured");
    }
    for canary in [&good, &expired, &forged].into_iter().flat_map(|token| token.split('.').skip(1)) {
        assert!(!logged.contains(canary), "{canary} was logged:\n{logged}");
        assert!(!answers.contains(canary), "{canary} was answered");
    }
    let canaries = [&good, &admin, &expired, &forged].into_iter().flat_map(|token| token.split('.').skip(1));
    for canary in canaries.chain(["CANARY", SECRET]) {
        assert!(!logged.contains(canary) && !answers.contains(canary), "{canary}");
        assert!(!kept.contains(canary), "{canary} is in Redis");
        assert!(!asked.text().contains(canary), "{canary} was shown to the back end");
    }
}
