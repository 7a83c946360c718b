//! What the fake gateway says to clients that are not the SDK.

use futures_util::{SinkExt, StreamExt};
use roomcast_client::protocol::{Event, NewEvent, Room};
use roomcast_client::testing::FakeGateway;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::gateway::DEADLINE;

struct Raw(WebSocketStream<DuplexStream>);

impl Raw {
    async fn open(gateway: &FakeGateway, query: &str, protocols: Option<&str>) -> Self {
        let mut request = format!("ws://gateway.test/ws{query}").into_client_request().unwrap();
        if let Some(protocols) = protocols {
            let protocols = HeaderValue::try_from(protocols).unwrap();
            request.headers_mut().insert("sec-websocket-protocol", protocols);
        }
        let stream = gateway.dial()().await.unwrap();
        Self(client_async(request, stream).await.unwrap().0)
    }

    async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The next frame, or the code of the end.
    async fn next(&mut self) -> Value {
        match timeout(DEADLINE, self.0.next()).await.expect("nothing comes") {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            Some(Ok(Message::Close(Some(frame)))) => json!(u16::from(frame.code)),
            other => panic!("{other:?}"),
        }
    }

    /// The code of the error that comes next.
    async fn refusal(&mut self) -> String {
        let frame = self.next().await;
        assert_eq!(frame["type"], "error", "{frame}");
        frame["payload"]["code"].as_str().unwrap().into()
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_may_come_in_every_way_that_the_gateway_knows() {
    let gateway = FakeGateway::new();
    let token = gateway.token("ann");
    let mut item = Raw::open(&gateway, "", Some(&format!("roomcast.v1, roomcast.bearer.{token}"))).await;
    let welcome = item.next().await;
    assert_eq!((&welcome["type"], &welcome["payload"]["userId"]), (&json!("connection.ack"), &json!("ann")));
    assert_eq!(welcome["payload"]["rooms"], json!({}));
    let mut query = Raw::open(&gateway, &format!("?token={token}"), None).await;
    let rooms = &query.next().await["payload"]["rooms"];
    assert_eq!(rooms["user:ann"]["status"], "subscribed", "as for clients of the original: {rooms}");
    let mut first = Raw::open(&gateway, "", Some("roomcast.v1")).await;
    first.send(json!({"action": "authenticate", "token": token, "id": "a"})).await;
    first.send(json!({"type": "ping", "id": "b"})).await;
    assert_eq!(first.next().await["replyTo"], "a");
    assert_eq!(first.next().await["payload"]["message"], "pong");
    assert_eq!(gateway.count(&Room::user("ann")), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_say_who_it_is_is_sent_away() {
    let gateway = FakeGateway::new();
    let mut other = Raw::open(&gateway, "", Some("roomcast.v1")).await;
    other.send(json!({"type": "ping"})).await;
    assert_eq!((other.refusal().await, other.next().await), ("UNAUTHORIZED".into(), json!(4500)));
    let mut silent = Raw::open(&gateway, "", Some("roomcast.v1")).await;
    assert_eq!((silent.refusal().await, silent.next().await), ("UNAUTHORIZED".into(), json!(4500)));
    assert_eq!(gateway.connections().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_frame_is_refused_and_too_many_of_them_are_the_end() {
    let gateway = FakeGateway::builder().messages_per_minute(1000).build();
    let mut raw = Raw::open(&gateway, &format!("?token={}", gateway.token("ann")), Some("roomcast.v1")).await;
    raw.next().await;
    raw.0.send(Message::binary(vec![1, 2])).await.unwrap();
    assert_eq!(raw.refusal().await, "INVALID_MESSAGE");
    raw.send(json!({"action": "subscribe", "rooms": []})).await;
    assert_eq!(raw.refusal().await, "INVALID_MESSAGE");
    for _ in 0..48 {
        raw.send(json!({"type": "ping", "action": "subscribe"})).await;
        assert_eq!(raw.refusal().await, "INVALID_MESSAGE");
    }
    assert_eq!(raw.next().await["payload"]["code"], 4502);
    assert_eq!(raw.next().await, json!(4502));
}

#[tokio::test(start_paused = true)]
async fn more_messages_than_allowed_are_refused_and_far_more_are_the_end() {
    let gateway = FakeGateway::builder().messages_per_minute(3).build();
    let mut raw = Raw::open(&gateway, &format!("?token={}", gateway.token("ann")), Some("roomcast.v1")).await;
    raw.next().await;
    for _ in 0..3 {
        raw.send(json!({"type": "ping"})).await;
        assert_eq!(raw.next().await["type"], "connection.ack");
    }
    for _ in 0..100 {
        raw.send(json!({"type": "ping"})).await;
        assert_eq!(raw.refusal().await, "RATE_LIMIT_EXCEEDED");
    }
    assert_eq!(raw.next().await["type"], "connection.closing");
    assert_eq!(raw.next().await, json!(4003));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_large_ends_the_connection() {
    let gateway = FakeGateway::builder().max_message_bytes(1000).build();
    let mut raw = Raw::open(&gateway, &format!("?token={}", gateway.token("ann")), Some("roomcast.v1")).await;
    raw.next().await;
    raw.send(json!("x".repeat(2000))).await;
    assert_eq!(raw.next().await, json!(1009));
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_nothing_is_cut_off_and_keeps_no_memory() {
    let gateway = FakeGateway::new();
    let room = Room::team("a");
    let mut raw = Raw::open(&gateway, &format!("?token={}", gateway.token("ann")), Some("roomcast.v1")).await;
    raw.send(json!({"action": "subscribe", "rooms": ["team:a"]})).await;
    gateway.wait_until(|gateway| gateway.count(&room) == 1).await;
    let event = || NewEvent::from(Event::custom("note.added", json!("x".repeat(60_000)))).to([room.clone()]);
    let mut published = 0;
    while gateway.count(&room) == 1 {
        gateway.publish(event()).unwrap();
        published += 1;
        tokio::task::yield_now().await;
    }
    assert!((17..25).contains(&published), "{published}: a mebibyte, and what is on its way");
    let mut last = Value::Null;
    for _ in 0..published + 3 {
        match raw.next().await {
            Value::Number(code) => {
                assert_eq!(code, 4000.into());
                assert_eq!(last["type"], "connection.closing");
                return;
            }
            frame => last = frame,
        }
    }
    panic!("it is not closed: {last}");
}

/// The head and the body of an answer over HTTP.
async fn call(gateway: &FakeGateway, request: &str) -> String {
    let mut stream = gateway.dial()().await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut answer)).await.expect("no answer").unwrap();
    answer
}

#[tokio::test(start_paused = true)]
async fn what_is_no_call_of_the_fake_is_said_to_be_none() {
    let gateway = FakeGateway::new();
    let end = "Host: gateway.test\r\nConnection: close\r\n";
    let none = call(&gateway, &format!("GET /api/v1/ws/stats HTTP/1.1\r\n{end}\r\n")).await;
    assert!(none.starts_with("HTTP/1.1 404") && none.contains("the fake gateway has no such call"), "{none}");
    let no_upgrade = call(&gateway, &format!("GET /ws HTTP/1.1\r\n{end}\r\n")).await;
    assert!(no_upgrade.starts_with("HTTP/1.1 400") && no_upgrade.contains("INVALID_MESSAGE"), "{no_upgrade}");
    let healthy = call(&gateway, &format!("GET /readyz HTTP/1.1\r\n{end}\r\n")).await;
    assert!(healthy.starts_with("HTTP/1.1 200"), "{healthy}");
    let token = gateway.token(roomcast_client::testing::Identity::of("s").grant("*", &["publish"]));
    let post = |path: &str, token: &str, body: &str| {
        let length = body.len();
        format!("POST {path} HTTP/1.1\r\n{end}Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let event = r#"{"type":"notification.new","payload":{}}"#;
    let to_user = call(&gateway, &post("/api/v1/users/ann/events", &token, event)).await;
    assert!(to_user.starts_with("HTTP/1.1 200") && to_user.contains("user:ann"), "{to_user}");
    let no_user = call(&gateway, &post("/api/v1/users/no%20user/events", &token, event)).await;
    assert!(no_user.starts_with("HTTP/1.1 422") && no_user.contains("INVALID_ROOM"), "{no_user}");
    let no_token = call(&gateway, &post("/api/v1/events", "nonsense", event)).await;
    assert!(no_token.starts_with("HTTP/1.1 401") && no_token.contains("www-authenticate: Bearer"), "{no_token}");
    let no_object = call(&gateway, &post("/api/v1/events", &token, "[]")).await;
    assert!(no_object.starts_with("HTTP/1.1 400"), "{no_object}");
    let events: Vec<Value> = (0..1001).map(|_| json!(null)).collect();
    let too_many = call(&gateway, &post("/api/v1/events", &token, &json!({"events": events}).to_string())).await;
    assert!(too_many.starts_with("HTTP/1.1 413"), "{too_many}");
    let too_large = call(&gateway, &post("/api/v1/events", &token, &" ".repeat((1 << 20) + 1))).await;
    assert!(too_large.starts_with("HTTP/1.1 413"), "{too_large}");
}
