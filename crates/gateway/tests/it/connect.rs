//! Connecting: the places of a token, the first frame, the acknowledgement.

use std::time::Duration;

use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{
    Client, EPOCH, config, pipe, publish, signed, start, start_with_paused_clock, token, upgrade, with_header,
    with_token,
};
use crate::raw::{exchange, frame, upgrade_with};
use crate::server::Running;

const SUBPROTOCOL: &str = "sec-websocket-protocol";

fn with_query(token: &str) -> http::Request<()> {
    let mut request = upgrade();
    *request.uri_mut() = format!("ws://gateway.test/ws?token={token}").parse().unwrap();
    request
}

fn tokens(gateway: &Gateway) -> [String; 3] {
    ["header", "subprotocol", "query"].map(|user| token(gateway, user, Value::Null))
}

async fn user_of(gateway: &Gateway, request: http::Request<()>) -> Value {
    let ack = Client::open(gateway, request).await.receive().await;
    assert_eq!(ack["type"], "connection.ack", "{ack}");
    ack["payload"]["userId"].clone()
}

#[tokio::test]
async fn a_token_comes_by_header_by_subprotocol_or_by_query() {
    let gateway = start(config());
    let [header, subprotocol, query] = tokens(&gateway);
    assert_eq!(user_of(&gateway, with_token(&header)).await, "header");
    let offered = with_header(upgrade(), SUBPROTOCOL, &format!("roomcast.v1, roomcast.bearer.{subprotocol}"));
    assert_eq!(user_of(&gateway, offered).await, "subprotocol");
    assert_eq!(user_of(&gateway, with_query(&query)).await, "query");
    let lower_case = with_header(upgrade(), "authorization", &format!("bearer {header}"));
    assert_eq!(user_of(&gateway, lower_case).await, "header");
}

#[tokio::test]
async fn the_first_place_that_has_a_token_counts_even_if_the_token_is_bad() {
    let gateway = start(config());
    let [header, subprotocol, query] = tokens(&gateway);
    let offer = format!("roomcast.v1, roomcast.bearer.{subprotocol}");
    let two = with_header(with_query(&query), SUBPROTOCOL, &offer);
    assert_eq!(user_of(&gateway, two.clone()).await, "subprotocol");
    let three = with_header(two.clone(), "authorization", &format!("Bearer {header}"));
    assert_eq!(user_of(&gateway, three).await, "header");
    let bad = with_header(two, "authorization", "Bearer nonsense");
    Client::open(&gateway, bad).await.is_unauthorized().await;
}

#[tokio::test]
async fn another_scheme_of_authorization_is_skipped() {
    let gateway = start(config());
    let [_, _, query] = tokens(&gateway);
    let request = with_header(with_query(&query), "authorization", "Basic dXNlcjpwYXNz");
    assert_eq!(user_of(&gateway, request).await, "query");
}

#[tokio::test]
async fn an_empty_token_is_a_bad_token_wherever_it_stands() {
    let gateway = start(config());
    Client::open(&gateway, with_query("")).await.is_unauthorized().await;
    Client::open(&gateway, with_header(upgrade(), "authorization", "Bearer ")).await.is_unauthorized().await;
    let offered = with_header(upgrade(), SUBPROTOCOL, "roomcast.v1, roomcast.bearer.");
    Client::open(&gateway, offered).await.is_unauthorized().await;
    let mut client = Client::open(&gateway, upgrade()).await;
    client.send(json!({"action": "authenticate", "token": ""})).await;
    client.is_unauthorized().await;
}

#[tokio::test]
async fn the_query_is_decoded_and_its_first_token_counts() {
    let gateway = start(config());
    let [header, _, query] = tokens(&gateway);
    let with = |query: &str| {
        let mut request = upgrade();
        *request.uri_mut() = format!("ws://gateway.test/ws?{query}").parse().unwrap();
        request
    };
    let encoded = query.replace('.', "%2E");
    assert_eq!(user_of(&gateway, with(&format!("a=%ff&b&&Token=x&token={encoded}"))).await, "query");
    assert_eq!(user_of(&gateway, with(&format!("token={query}&token={header}"))).await, "query");
    let ack =
        Client::open(&gateway, with("tokens=x")).await.ask(json!({"action": "authenticate", "token": header})).await;
    assert_eq!(ack["payload"]["userId"], "header", "without a token the first frame brings it");
}

#[tokio::test]
async fn the_token_in_the_query_can_be_switched_off() {
    let gateway = start(Config { query_token: false, ..config() });
    let [header, _, query] = tokens(&gateway);
    let mut client = Client::open(&gateway, with_query(&query)).await;
    let ack = client.ask(json!({"action": "authenticate", "token": header})).await;
    assert_eq!(ack["payload"]["userId"], "header");
}

#[tokio::test]
async fn the_protocol_is_selected_and_never_the_token() {
    let gateway = start(config());
    let [_, token, _] = tokens(&gateway);
    for (offer, selected) in [
        (format!("roomcast.v1, roomcast.bearer.{token}"), Some("roomcast.v1")),
        (format!("roomcast.bearer.{token},roomcast.v1"), Some("roomcast.v1")),
        (format!("graphql-ws, roomcast.v1 , roomcast.bearer.{token}"), Some("roomcast.v1")),
        ("roomcast.v1".into(), Some("roomcast.v1")),
        ("graphql-ws, roomcast.v2".into(), None),
    ] {
        let answer = exchange(&gateway, &upgrade_with(&[&format!("Sec-WebSocket-Protocol: {offer}")])).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(answer.header(SUBPROTOCOL), selected);
    }
    let answer = exchange(&gateway, &upgrade_with(&[])).await;
    assert_eq!((answer.status, answer.header(SUBPROTOCOL)), (101, None));
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.header("sec-websocket-extensions"), None);
}

#[tokio::test]
async fn a_token_among_the_subprotocols_needs_the_protocol_beside_it() {
    let gateway = start(config());
    let [_, token, _] = tokens(&gateway);
    for offer in [
        format!("roomcast.bearer.{token}"),
        format!("graphql-ws, roomcast.bearer.{token}"),
        format!("roomcast.v1, roomcast.bearer.{token}, roomcast.bearer.{token}"),
    ] {
        let answer = exchange(&gateway, &upgrade_with(&[&format!("Sec-WebSocket-Protocol: {offer}")])).await;
        assert_eq!(answer.status, 400, "{offer}");
        assert!(!answer.body.contains(&token));
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_frame_is_an_acknowledgement_of_exactly_this_shape() {
    let gateway = start_with_paused_clock(config());
    let token = signed(&json!({"sub": "user_789", "exp": EPOCH + 100}));
    let mut client = Client::open(&gateway, with_token(&token)).await;
    let ack = client.receive().await;
    let payload = &ack["payload"];
    let position = payload["rooms"]["user:user_789"]["position"].as_str().unwrap();
    assert!(position.parse::<roomcast_protocol::Position>().is_ok(), "{position}");
    assert!(payload["connectionId"].as_str().unwrap().len() >= 16);
    assert!(payload["schema"]["hash"].is_string());
    let expected = json!({
        "type": "connection.ack",
        "payload": {
            "message": "Connected to WebSocket server",
            "timestamp": "2023-11-14T22:13:20.000Z",
            "connectionId": payload["connectionId"],
            "userId": "user_789",
            "protocol": "roomcast.v1",
            "expiresAt": "2023-11-14T22:15:00.000Z",
            "rooms": {"user:user_789": {"status": "subscribed", "position": position}},
            "heartbeat": {"pingIntervalMs": 30000, "timeoutMs": 60000},
            "limits": {"messagesPerMinute": 100, "maxMessageBytes": 65536, "maxRooms": 128, "maxRoomsPerMessage": 128},
            "schema": {"version": "1.0.0", "hash": payload["schema"]["hash"]},
        },
        "timestamp": "2023-11-14T22:13:20.000Z",
    });
    assert_eq!(ack, expected);
}

#[tokio::test]
async fn a_client_of_the_original_is_in_its_user_room_from_the_start() {
    let gateway = start(config());
    let mut original = Client::open(&gateway, with_token(&token(&gateway, "u", Value::Null))).await;
    assert_eq!(original.receive().await["payload"]["rooms"]["user:u"]["status"], "subscribed");
    let mut current = Client::join(&gateway, "u", Value::Null).await;
    publish(&gateway, json!({"type": "notification.new", "payload": {"a": 1}, "rooms": ["user:u"]})).await;
    let event = original.receive().await;
    assert_eq!(event["type"], "notification.new");
    assert_eq!(event["positions"].as_object().unwrap().len(), 1);
    current.is_quiet().await;
    assert_eq!(current.subscribe(&["user:u"]).await["user:u"]["status"], "subscribed");
    publish(&gateway, json!({"type": "notification.new", "payload": {}, "rooms": ["user:u"]})).await;
    assert_eq!(current.receive().await["type"], "notification.new");
}

#[tokio::test]
async fn over_the_subprotocol_nothing_is_joined_from_the_start() {
    let gateway = start(config());
    let request = with_header(with_token(&token(&gateway, "u", Value::Null)), SUBPROTOCOL, "roomcast.v1");
    let ack = Client::open(&gateway, request).await.receive().await;
    assert_eq!(ack["payload"]["rooms"], json!({}));
    assert_eq!(gateway.stats().total_rooms, 0);
}

#[tokio::test]
async fn frames_behind_the_first_are_handled_in_order_without_waiting() {
    let gateway = start(config());
    let token = token(&gateway, "u", json!({"team:*": ["subscribe"]}));
    let mut client = Client::open(&gateway, with_header(upgrade(), SUBPROTOCOL, "roomcast.v1")).await;
    let frames = [
        json!({"action": "authenticate", "token": token, "id": "1"}),
        json!({"action": "subscribe", "rooms": ["team:a"], "id": "2"}),
        json!({"type": "ping", "id": "3"}),
        json!({"action": "unsubscribe", "rooms": ["team:a"], "id": "4"}),
    ];
    let bytes: Vec<u8> = frames.iter().flat_map(|text| frame(0x81, text.to_string().as_bytes())).collect();
    client.socket.get_mut().write_all(&bytes).await.unwrap();
    for (id, kind) in
        [("1", "connection.ack"), ("2", "subscription.ack"), ("3", "connection.ack"), ("4", "subscription.ack")]
    {
        let answer = client.receive().await;
        assert_eq!((&answer["replyTo"], &answer["type"]), (&json!(id), &json!(kind)));
    }
}

#[tokio::test]
async fn frames_that_come_with_the_upgrade_request_are_not_lost() {
    let running = Running::start(config());
    let token = token(&running.gateway, "u", Value::Null);
    let mut bytes = upgrade_with(&[&format!("Authorization: Bearer {token}")]);
    bytes.extend([frame(0x81, br#"{"type":"ping","id":"1"}"#), frame(0x88, &1000u16.to_be_bytes())].concat());
    let mut tcp = TcpStream::connect(running.address).await.unwrap();
    let mut pipe = pipe(&running.gateway);
    for stream in [&mut tcp as &mut dyn Stream, &mut pipe] {
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let (ack, pong) =
            (answer.find("Connected to WebSocket server").unwrap(), answer.find(r#""replyTo":"1""#).unwrap());
        assert!(ack < pong, "{answer}");
    }
}

/// A pipe or a TCP connection.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

#[tokio::test]
async fn anything_else_as_the_first_frame_ends_the_connection() {
    let gateway = start(config());
    for (first, reply_to) in [
        (Message::text(r#"{"type":"ping"}"#), Value::Null),
        (Message::text(r#"{"action":"subscribe","rooms":["team:a"],"id":"7"}"#), json!("7")),
        (Message::text(r#"{"action":"authenticate","id":"7"}"#), json!("7")),
        (Message::text(r#"{"action":"authenticate","token":7}"#), Value::Null),
        (Message::text("{"), Value::Null),
        (Message::text(""), Value::Null),
        (Message::binary(b"{}".as_slice()), Value::Null),
    ] {
        let mut client = Client::open(&gateway, upgrade()).await;
        client.send_message(first.clone()).await;
        let error = client.is_unauthorized().await;
        assert_eq!(error["replyTo"], reply_to, "{first:?}");
    }
    assert_eq!(gateway.stats().total_clients, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_for_ten_seconds_ends_the_connection() {
    let gateway = start(config());
    let mut client = Client::open(&gateway, upgrade()).await;
    let start = Instant::now();
    // Control frames are no first frame.
    client.send_message(Message::Ping(Default::default())).await;
    client.is_unauthorized().await;
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_secs(10) && elapsed < Duration::from_secs(11), "{elapsed:?}");
}
