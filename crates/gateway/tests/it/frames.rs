//! Frames: what is no message, and what is no WebSocket frame.

use std::time::Duration;

use futures_util::StreamExt;
use roomcast_gateway::Gateway;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::harness::{Client, config, start};
use crate::raw::frame;

async fn client(gateway: &Gateway) -> Client {
    Client::join(gateway, "user_1", json!({"team:*": ["subscribe"]})).await
}

#[tokio::test]
async fn what_is_no_message_is_answered_and_the_connection_survives() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    for text in [
        "",
        " ",
        "{",
        "}",
        "nonsense",
        "null",
        "7",
        "\"ping\"",
        "[]",
        r#"["ping"]"#,
        r#"[null,"ping",null,null,null,null,null,null]"#,
        r#"{"type":"ping"} {"type":"ping"}"#,
        "{}",
        r#"{"type":"ping","action":"subscribe","rooms":["team:a"]}"#,
        r#"{"type":null,"action":"subscribe","rooms":["team:a"]}"#,
        r#"{"type":"ping","type":"ping"}"#,
        r#"{"type":"pong"}"#,
        r#"{"type":"Ping"}"#,
        r#"{"type":7}"#,
        r#"{"type":null}"#,
        r#"{"type":{"action":"subscribe"}}"#,
        r#"{"action":"join","rooms":["team:a"]}"#,
        r#"{"action":""}"#,
        r#"{"action":["subscribe"],"rooms":["team:a"]}"#,
        r#"{"action":"subscribe"}"#,
        r#"{"action":"subscribe","rooms":[]}"#,
        r#"{"action":"subscribe","rooms":null}"#,
        r#"{"action":"subscribe","rooms":"team:a"}"#,
        r#"{"action":"subscribe","rooms":{"team:a":true}}"#,
        r#"{"action":"subscribe","rooms":["team:a",7]}"#,
        r#"{"action":"subscribe","rooms":[["team:a"]]}"#,
        r#"{"action":"subscribe","rooms":["team:a"],"since":[]}"#,
        r#"{"action":"subscribe","rooms":["team:a"],"since":{"team:a":7}}"#,
        r#"{"action":"subscribe","rooms":["team:a"],"presence":7}"#,
        r#"{"action":"unsubscribe","rooms":[]}"#,
        r#"{"action":"unsubscribe"}"#,
        r#"{"action":"authenticate"}"#,
        r#"{"action":"authenticate","token":7}"#,
        r#"{"action":"publish"}"#,
        r#"{"action":"publish","event":[]}"#,
        r#"{"action":"publish","event":["a.b",{}]}"#,
        r#"{"action":"publish","event":{"type":"a.b"}}"#,
        r#"{"action":"publish","event":{"payload":{}}}"#,
        r#"{"action":"publish","event":{"type":7,"payload":{}}}"#,
        r#"{"action":"publish","event":{"type":"a.b","payload":{}},"rooms":"team:a"}"#,
    ] {
        client.send_text(text).await;
        let error = client.is_refused("INVALID_MESSAGE").await;
        assert_eq!(error["replyTo"], Value::Null, "{text}");
    }
    client.is_quiet().await;
    assert_eq!(gateway.stats().total_rooms, 0);
}

#[tokio::test]
async fn an_error_carries_the_id_of_its_request_where_that_can_be_read() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    for frame in [
        json!({"id": "a", "type": "pong"}),
        json!({"id": "a"}),
        json!({"id": "a", "action": "subscribe", "rooms": []}),
        json!({"id": "a", "type": "ping", "action": "subscribe"}),
    ] {
        client.send(frame).await;
        assert_eq!(client.is_refused("INVALID_MESSAGE").await["replyTo"], "a");
    }
}

#[tokio::test]
async fn an_id_has_1_to_64_characters_and_an_unusable_one_is_refused_without() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    for id in ["1", " ", "\u{0}", "ü\"\\", &"x".repeat(64), &"\u{1f600}".repeat(64)] {
        let answer = client.ask(json!({"type": "ping", "id": id})).await;
        assert_eq!((&answer["payload"]["message"], &answer["replyTo"]), (&json!("pong"), &json!(id)));
    }
    let (long, wide) = ("x".repeat(65), "\u{1f600}".repeat(65));
    for id in [json!(""), json!(long), json!(wide), json!(7), json!(null), json!(true), json!(["1"]), json!({"a": 1})] {
        client.send(json!({"type": "ping", "id": id})).await;
        assert_eq!(client.is_refused("INVALID_MESSAGE").await["replyTo"], Value::Null, "{id}");
    }
}

#[tokio::test]
async fn requests_without_an_id_are_answered_without_one_and_unknown_fields_are_ignored() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let pong = client.ask(json!({"type": "ping", "payload": {"a": 1}, "rooms": 7, "more": [null]})).await;
    assert_eq!(pong["payload"]["message"], "pong");
    assert_eq!(pong["payload"]["timestamp"], pong["timestamp"]);
    assert_eq!(pong.get("replyTo"), None);
    let answer = client.ask(json!({"action": "subscribe", "rooms": ["team:a"], "token": 7, "x": {}})).await;
    assert_eq!(answer["payload"]["rooms"]["team:a"]["status"], "subscribed");
    assert_eq!(answer.get("replyTo"), None);
}

#[tokio::test]
async fn what_is_nested_without_end_harms_nobody() {
    let gateway = start(config());
    let mut client = Client::join(&gateway, "u", json!({"*": ["*"]})).await;
    let (open, close) = ("[".repeat(30_000), "]".repeat(30_000));
    for text in
        [open.clone(), format!(r#"{{"type":{open}{close}}}"#), format!(r#"{{"id":{open}{close},"type":"ping"}}"#)]
    {
        client.send_text(&text).await;
        client.is_refused("INVALID_MESSAGE").await;
    }
    client.send_text(&format!(r#"{{"type":"ping","ignored":{open}{close}}}"#)).await;
    assert_eq!(client.receive().await["payload"]["message"], "pong");
    for name in ["custom.event", "issue.updated", "user.typing"] {
        let event = format!(r#"{{"type":"{name}","payload":{open}{close}}}"#);
        client.send_text(&format!(r#"{{"action":"publish","rooms":["team:a"],"event":{event}}}"#)).await;
        assert_eq!(client.is_refused("INVALID_PAYLOAD").await["payload"]["pointer"], "/payload", "{name}");
    }
    client.is_quiet().await;
}

#[tokio::test]
async fn a_binary_message_is_no_message_and_the_connection_survives() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    client.send_message(Message::binary(br#"{"type":"ping"}"#.as_slice())).await;
    client.is_refused("INVALID_MESSAGE").await;
    client.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn fifty_invalid_messages_in_a_minute_end_the_connection() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    for _ in 0..49 {
        client.send_text("nonsense").await;
        client.is_refused("INVALID_MESSAGE").await;
    }
    client.is_quiet().await;
    client.send_text("nonsense").await;
    client.is_refused("INVALID_MESSAGE").await;
    let closing = client.is_closed_with_notice(4502).await;
    assert_eq!(closing["resumable"], false);
    assert_eq!(closing.get("retryAfterMs"), None, "the advice is to stay away");
}

#[tokio::test(start_paused = true)]
async fn invalid_messages_of_different_minutes_do_not_add_up() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    for _ in 0..3 {
        for _ in 0..49 {
            client.send_text("nonsense").await;
            client.is_refused("INVALID_MESSAGE").await;
        }
        // In steps, so that the heartbeat's pings are answered.
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            client.is_quiet().await;
        }
    }
}

/// A ping of so many bytes.
fn sized(bytes: usize) -> String {
    let bare = json!({"type": "ping", "x": ""}).to_string();
    json!({"type": "ping", "x": "x".repeat(bytes - bare.len())}).to_string()
}

#[tokio::test]
async fn a_message_of_64_kib_is_accepted_and_one_byte_more_is_not() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    client.send_text(&sized(65536)).await;
    assert_eq!(client.receive().await["payload"]["message"], "pong");
    client.send_text(&sized(65537)).await;
    // Neither notice nor error: the next frame is the close.
    assert!(matches!(client.next().await, Message::Close(Some(CloseFrame { code, .. })) if u16::from(code) == 1009));
}

#[tokio::test]
async fn fragments_count_together() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let text = sized(65536);
    let (first, rest) = text.as_bytes().split_at(40_000);
    let raw = client.socket.get_mut();
    raw.write_all(&[frame(0x01, first), frame(0x89, b"between"), frame(0x80, rest)].concat()).await.unwrap();
    assert_eq!(client.receive().await["payload"]["message"], "pong");
    let raw = client.socket.get_mut();
    raw.write_all(&[frame(0x01, first), frame(0x00, rest), frame(0x80, b" ")].concat()).await.unwrap();
    assert_eq!(client.closed().await, 1009);
}

#[tokio::test]
async fn violations_of_rfc_6455_end_the_connection_with_their_code() {
    let gateway = start(config());
    let mut unmasked = frame(0x81, b"");
    unmasked[1] = 0;
    unmasked.truncate(2);
    for (what, bytes, code) in [
        ("invalid UTF-8", frame(0x81, b"{\"type\":\"\xff\"}"), 1007),
        ("half a letter at the end", frame(0x81, b"{\"type\":\"\xc3"), 1007),
        ("a surrogate", frame(0x81, b"\xed\xa0\x80"), 1007),
        ("unmasked", unmasked, 1002),
        ("the first reserved bit", frame(0xc1, b"{}"), 1002),
        ("the second reserved bit", frame(0xa1, b"{}"), 1002),
        ("the third reserved bit", frame(0x91, b"{}"), 1002),
        ("a reserved opcode", frame(0x83, b"{}"), 1002),
        ("a reserved control opcode", frame(0x8b, b""), 1002),
        ("a fragmented ping", frame(0x09, b""), 1002),
        ("a ping over 125 bytes", frame(0x89, &[0; 126]), 1002),
        ("a continuation of nothing", frame(0x80, b"{}"), 1002),
        ("a message within a message", [frame(0x01, b"{"), frame(0x81, b"}")].concat(), 1002),
        ("a close of one byte", frame(0x88, b"\x03"), 1002),
        ("a close of a forbidden code", frame(0x88, &1005u16.to_be_bytes()), 1002),
        ("a close of no code", frame(0x88, &999u16.to_be_bytes()), 1002),
        ("a length over all", vec![0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4], 1009),
    ] {
        let mut client = client(&gateway).await;
        client.socket.get_mut().write_all(&bytes).await.unwrap();
        match client.next().await {
            Message::Close(Some(close)) => assert_eq!(u16::from(close.code), code, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_close_is_answered_with_its_code_and_the_room_is_left() {
    let gateway = start(config());
    for (sent, answered) in [(1000u16, 1000), (1001, 1001), (4999, 4999)] {
        let mut client = client(&gateway).await;
        client.subscribe(&["team:a"]).await;
        client.send_message(Message::Close(Some(CloseFrame { code: sent.into(), reason: "".into() }))).await;
        assert_eq!(client.closed().await, answered);
    }
    let mut client = client(&gateway).await;
    client.send_message(Message::Close(None)).await;
    assert_eq!(client.closed().await, 1005);
    until_empty(&gateway).await;
}

#[tokio::test]
async fn a_connection_that_just_ends_leaves_nothing_behind() {
    let gateway = start(config());
    for _ in 0..5 {
        let mut client = client(&gateway).await;
        client.subscribe(&["team:a", "team:b"]).await;
        assert_eq!(gateway.stats().total_rooms, 2);
        drop(client);
        until_empty(&gateway).await;
    }
}

async fn until_empty(gateway: &Gateway) {
    for _ in 0..4000 {
        let stats = gateway.stats();
        if (stats.total_clients, stats.total_rooms) == (0, 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not empty: {:?}", gateway.stats());
}

#[tokio::test]
async fn a_ping_is_answered_with_its_bytes_also_within_a_message() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let parts = [frame(0x01, b"{\"type\":"), frame(0x89, b"\x00\xff"), frame(0x80, b"\"ping\"}")];
    client.socket.get_mut().write_all(&parts.concat()).await.unwrap();
    let pong = client.socket.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong(b"\x00\xff".as_slice().into()));
    assert_eq!(client.receive().await["payload"]["message"], "pong");
}

#[tokio::test]
async fn pings_are_answered_and_count_as_no_message() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    for _ in 0..300 {
        client.send_message(Message::Ping("x".into())).await;
        client.send_message(Message::Pong("y".into())).await;
    }
    for _ in 0..100 {
        client.is_quiet().await;
    }
    client.send(json!({"type": "ping"})).await;
    client.is_refused("RATE_LIMIT_EXCEEDED").await;
}
