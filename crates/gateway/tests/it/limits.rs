//! The message limit: a hundred a minute, in a window that starts with the first.

use std::time::Duration;

use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, config, publish, start};

async fn client(gateway: &Gateway) -> Client {
    Client::join(gateway, "user_1", json!({"*": ["subscribe"]})).await
}

#[tokio::test(start_paused = true)]
async fn the_101st_message_in_a_minute_is_refused_with_the_time_that_is_left() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    client.is_quiet().await;
    tokio::time::sleep(Duration::from_secs(18)).await;
    for _ in 0..99 {
        client.is_quiet().await;
    }
    client.send(json!({"action": "subscribe", "rooms": ["team:a"], "id": "7"})).await;
    let error = client.is_refused("RATE_LIMIT_EXCEEDED").await;
    assert_eq!(error["replyTo"], "7");
    assert_eq!(error["payload"]["message"], "Rate limit exceeded. Try again in 42 seconds.");
    let retry_after = error["payload"]["retryAfterMs"].as_u64().unwrap();
    assert!((41_900..=42_000).contains(&retry_after), "{retry_after}");
    assert_eq!(gateway.stats().total_rooms, 0, "a refused message is not carried out");

    tokio::time::sleep(Duration::from_millis(retry_after - 100)).await;
    client.send(json!({"type": "ping"})).await;
    let error = client.is_refused("RATE_LIMIT_EXCEEDED").await;
    tokio::time::sleep(Duration::from_millis(error["payload"]["retryAfterMs"].as_u64().unwrap())).await;
    for _ in 0..100 {
        client.is_quiet().await;
    }
    client.send(json!({"type": "ping"})).await;
    let error = client.is_refused("RATE_LIMIT_EXCEEDED").await;
    assert_eq!(error["payload"]["message"], "Rate limit exceeded. Try again in 60 seconds.");
}

#[tokio::test]
async fn every_data_frame_counts_whatever_it_says() {
    let gateway = start(Config { messages_per_minute: 5, ..config() });
    let mut client = client(&gateway).await;
    client.is_quiet().await;
    client.send_text("nonsense").await;
    client.is_refused("INVALID_MESSAGE").await;
    client.send_message(Message::binary(b"x".as_slice())).await;
    client.is_refused("INVALID_MESSAGE").await;
    client.send(json!({"action": "subscribe", "rooms": ["no room"]})).await;
    assert_eq!(client.receive().await["type"], "subscription.ack");
    client.send(json!({"action": "publish", "event": {"type": "a.b", "payload": 1}, "rooms": ["team:a"]})).await;
    client.is_refused("FORBIDDEN").await;
    client.send(json!({"type": "ping"})).await;
    client.is_refused("RATE_LIMIT_EXCEEDED").await;
    client.send_text("nonsense").await;
    client.is_refused("RATE_LIMIT_EXCEEDED").await;
}

#[tokio::test]
async fn the_first_frame_counts_too() {
    let gateway = start(Config { messages_per_minute: 2, ..config() });
    let token = crate::harness::token(&gateway, "u", Value::Null);
    let mut client = Client::open(&gateway, crate::harness::upgrade()).await;
    client.ask(json!({"action": "authenticate", "token": token})).await;
    client.is_quiet().await;
    client.send(json!({"type": "ping"})).await;
    client.is_refused("RATE_LIMIT_EXCEEDED").await;
}

#[tokio::test]
async fn a_limited_connection_still_gets_its_events_and_others_are_not_limited() {
    let gateway = start(Config { messages_per_minute: 2, ..config() });
    let (mut limited, mut other) = (client(&gateway).await, client(&gateway).await);
    limited.subscribe(&["team:a"]).await;
    limited.is_quiet().await;
    limited.send(json!({"type": "ping"})).await;
    limited.is_refused("RATE_LIMIT_EXCEEDED").await;
    publish(&gateway, json!({"type": "custom.event", "payload": 1, "rooms": ["team:a"]})).await;
    assert_eq!(limited.receive().await["type"], "custom.event");
    other.is_quiet().await;
    other.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_hundred_refused_in_a_window_end_the_connection() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    for _ in 0..100 {
        client.is_quiet().await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    for _ in 0..100 {
        client.send(json!({"type": "ping"})).await;
        client.is_refused("RATE_LIMIT_EXCEEDED").await;
    }
    let closing = client.is_closed_with_notice(4003).await;
    assert_eq!(closing["resumable"], true);
    let retry_after = closing["retryAfterMs"].as_u64().unwrap();
    assert!((49_000..=50_000).contains(&retry_after), "{retry_after}");
}

#[tokio::test(start_paused = true)]
async fn refusals_of_different_windows_do_not_add_up() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    for _ in 0..3 {
        for _ in 0..100 {
            client.is_quiet().await;
        }
        for _ in 0..99 {
            client.send(json!({"type": "ping"})).await;
            client.is_refused("RATE_LIMIT_EXCEEDED").await;
        }
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            client.send_message(Message::Pong(Default::default())).await;
        }
    }
    client.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn any_number_in_any_window_can_be_configured() {
    let window = Duration::from_millis(1500);
    let gateway = start(Config { messages_per_minute: 1, message_window: window, ..config() });
    let request = crate::harness::with_token(&crate::harness::token(&gateway, "u", Value::Null));
    let mut client = Client::open(&gateway, request).await;
    assert_eq!(client.receive().await["payload"]["limits"]["messagesPerMinute"], 40);
    client.is_quiet().await;
    let start = Instant::now();
    client.send(json!({"type": "ping"})).await;
    let error = client.is_refused("RATE_LIMIT_EXCEEDED").await;
    assert_eq!(error["payload"]["message"], "Rate limit exceeded. Try again in 2 seconds.");
    tokio::time::sleep_until(start + window).await;
    client.is_quiet().await;
}
