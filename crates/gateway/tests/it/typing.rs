//! Typing indicators end by themselves.

use std::time::Duration;

use roomcast_gateway::Gateway;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Client, config, start};

async fn pair(gateway: &Gateway) -> (Client, Client) {
    let mut writer = Client::join(gateway, "writer", json!({"*": ["subscribe"]})).await;
    let mut reader = Client::join(gateway, "reader", json!({"*": ["subscribe"]})).await;
    writer.subscribe(&["issue:i"]).await;
    reader.subscribe(&["issue:i"]).await;
    (writer, reader)
}

async fn types(client: &mut Client, is_typing: bool) {
    let event = json!({"type": "user.typing", "payload": {"issueId": "i", "isTyping": is_typing}});
    let answer = client.ask(json!({"action": "publish", "event": event})).await;
    assert_eq!(answer["type"], "publish.ack", "{answer}");
}

async fn indicator(reader: &mut Client) -> Value {
    let event = reader.receive().await;
    assert_eq!((&event["type"], &event["userId"]), (&json!("user.typing"), &json!("writer")), "{event}");
    event["payload"].clone()
}

fn stopped() -> Value {
    json!({"issueId": "i", "userId": "writer", "userEmail": "", "isTyping": false})
}

#[tokio::test(start_paused = true)]
async fn an_indicator_that_is_not_renewed_ends_after_six_seconds_and_its_sender_gets_no_echo() {
    let gateway = start(config());
    let (mut writer, mut reader) = pair(&gateway).await;
    types(&mut writer, true).await;
    assert_eq!(indicator(&mut reader).await["isTyping"], true);
    tokio::time::sleep(Duration::from_secs(4)).await;
    types(&mut writer, true).await;
    assert_eq!(indicator(&mut reader).await["isTyping"], true);
    let renewed = Instant::now();
    assert_eq!(indicator(&mut reader).await, stopped());
    let lasted = renewed.elapsed();
    assert!(lasted >= Duration::from_secs(6) && lasted < Duration::from_secs(7), "{lasted:?}");
    writer.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn an_indicator_that_was_ended_is_not_ended_again() {
    let gateway = start(config());
    let (mut writer, mut reader) = pair(&gateway).await;
    types(&mut writer, true).await;
    types(&mut writer, false).await;
    indicator(&mut reader).await;
    assert_eq!(indicator(&mut reader).await["isTyping"], false);
    tokio::time::sleep(Duration::from_secs(10)).await;
    reader.is_quiet().await;
}

#[tokio::test]
async fn an_indicator_ends_when_its_sender_leaves_the_room() {
    let gateway = start(config());
    let (mut writer, mut reader) = pair(&gateway).await;
    types(&mut writer, true).await;
    writer.ask(json!({"action": "unsubscribe", "rooms": ["issue:i"]})).await;
    indicator(&mut reader).await;
    assert_eq!(indicator(&mut reader).await, stopped());
}

#[tokio::test]
async fn an_indicator_ends_when_its_senders_connection_breaks() {
    let gateway = start(config());
    let (mut writer, mut reader) = pair(&gateway).await;
    types(&mut writer, true).await;
    drop(writer);
    indicator(&mut reader).await;
    assert_eq!(indicator(&mut reader).await, stopped());
}
