//! What a developer does to a connection from the console, to see how an application takes it: cutting it, slowing it down.

use std::time::Duration;

use futures_util::StreamExt;
use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use crate::console::{as_admin, dev, join};
use crate::harness::{Client, publish};
use crate::server::Running;

async fn drop_it(gateway: &Gateway, id: &str) {
    let answer = as_admin(gateway, "POST", &format!("/dev/connections/{id}/drop"), Value::Null).await;
    assert_eq!(answer, (200, json!({"dropped": true})));
}

async fn slow(gateway: &Gateway, id: &str, delay_ms: u64) {
    let body = json!({"delayMs": delay_ms});
    let answer = as_admin(gateway, "POST", &format!("/dev/connections/{id}/slow"), body.clone()).await;
    assert_eq!(answer, (200, body));
}

async fn tell(gateway: &Gateway, payload: Value) {
    publish(gateway, json!({"type": "custom.event", "payload": payload, "rooms": ["team:a"]})).await;
}

/// Ended without a close frame: 1006 in a browser.
async fn is_broken<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>) {
    let next = tokio::time::timeout(Duration::from_secs(20), client.socket.next()).await.expect("still open");
    match next {
        None | Some(Err(Error::Io(_) | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {}
        other => panic!("expected a broken connection, got {other:?}"),
    }
}

async fn id_of(running: &Running, user: &str) -> String {
    let path = format!("/api/v1/connections?user={user}");
    let (_, page) = as_admin(&running.gateway, "GET", &path, Value::Null).await;
    page["connections"][0]["connectionId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_dropped_connection_breaks_without_a_close_frame_and_no_other_does() {
    let running = Running::start(dev());
    let (mut client, mut other) = (running.client("anna").await, running.client("ben").await);
    drop_it(&running.gateway, &id_of(&running, "anna").await).await;
    is_broken(&mut client).await;
    other.is_quiet().await;
    // The same over what is no bare socket.
    let (mut client, id) = join(&running.gateway, "carl").await;
    drop_it(&running.gateway, &id).await;
    is_broken(&mut client).await;
    while running.gateway.stats().total_clients > 1 {
        tokio::task::yield_now().await;
    }
    let path = format!("/dev/connections/{id}/drop");
    assert_eq!(as_admin(&running.gateway, "POST", &path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn who_comes_back_behind_a_drop_has_missed_nothing() {
    let gateway = crate::harness::start(dev());
    let (mut client, id) = join(&gateway, "anna").await;
    let position = client.subscribe(&["team:a"]).await["team:a"]["position"].clone();
    drop_it(&gateway, &id).await;
    is_broken(&mut client).await;
    tell(&gateway, json!(1)).await;
    let (mut client, _) = join(&gateway, "anna").await;
    let again = json!({"action": "subscribe", "rooms": ["team:a"], "since": {"team:a": position}});
    assert_eq!(client.ask(again).await["payload"]["rooms"]["team:a"]["status"], "recovered");
    assert_eq!(client.receive().await["payload"], 1);
}

#[tokio::test(start_paused = true)]
async fn each_write_to_a_slow_connection_waits_so_long_and_others_do_not() {
    let gateway = crate::harness::start(dev());
    let ((mut client, id), (mut other, _)) = (join(&gateway, "anna").await, join(&gateway, "ben").await);
    client.subscribe(&["team:a"]).await;
    other.subscribe(&["team:a"]).await;
    slow(&gateway, &id, 5000).await;
    for round in 0..3 {
        let begin = Instant::now();
        for number in 0..4 {
            tell(&gateway, json!([round, number])).await;
            assert_eq!(other.receive().await["payload"], json!([round, number]));
        }
        assert!(begin.elapsed() < Duration::from_secs(1), "the other waits for nobody");
        for number in 0..4 {
            assert_eq!(client.receive().await["payload"], json!([round, number]));
        }
        let waited = begin.elapsed();
        assert!(waited >= Duration::from_secs(5) && waited < Duration::from_secs(6), "{waited:?}");
    }
    // What the client asks is answered no sooner.
    let begin = Instant::now();
    client.is_quiet().await;
    assert!(begin.elapsed() >= Duration::from_secs(5));

    // What waits already comes at once when it is at full speed again, and so does all that follows.
    tell(&gateway, json!("waits")).await;
    let begin = Instant::now();
    slow(&gateway, &id, 0).await;
    assert_eq!(client.receive().await["payload"], "waits");
    tell(&gateway, json!("follows")).await;
    assert_eq!(client.receive().await["payload"], "follows");
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn another_delay_counts_for_what_waits_already() {
    let gateway = crate::harness::start(dev());
    let (mut client, id) = join(&gateway, "anna").await;
    client.subscribe(&["team:a"]).await;
    slow(&gateway, &id, 60_000).await;
    tell(&gateway, json!(1)).await;
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    slow(&gateway, &id, 2000).await;
    assert_eq!(client.receive().await["payload"], 1);
    let waited = begin.elapsed();
    assert!(waited >= Duration::from_secs(2) && waited < Duration::from_secs(3), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_connection_gets_the_latest_indicator_only() {
    let gateway = crate::harness::start(dev());
    let ((mut reader, id), (mut writer, _)) = (join(&gateway, "reader").await, join(&gateway, "writer").await);
    reader.subscribe(&["issue:i"]).await;
    writer.subscribe(&["issue:i"]).await;
    slow(&gateway, &id, 1000).await;
    for is_typing in [true, false, true, false, true] {
        let event = json!({"type": "user.typing", "payload": {"issueId": "i", "isTyping": is_typing}});
        writer.ask(json!({"action": "publish", "event": event})).await;
    }
    assert_eq!(reader.receive().await["payload"]["isTyping"], true);
    // The one behind it is the end that comes by itself, six seconds later.
    let begin = Instant::now();
    assert_eq!(reader.receive().await["payload"]["isTyping"], false);
    assert!(begin.elapsed() > Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_connection_that_is_too_slow_is_closed_as_such_without_waiting() {
    let running = Running::start(Config { max_queue_bytes: 128 << 10, ..dev() });
    let mut client = running.client("anna").await;
    client.subscribe(&["team:a"]).await;
    slow(&running.gateway, &id_of(&running, "anna").await, 60_000).await;
    for number in 0..20 {
        tell(&running.gateway, json!([number, "x".repeat(8000)])).await;
    }
    client.is_closed_with_notice(4000).await;
}

#[tokio::test]
async fn a_bare_socket_is_slowed_down_and_restored_without_loss_or_disorder() {
    let running = Running::start(Config { messages_per_minute: 100_000, ..dev() });
    let mut client = running.client("anna").await;
    client.subscribe(&["team:a"]).await;
    let id = id_of(&running, "anna").await;
    let delay = Duration::from_millis(300);
    let mut number = 0;
    for delay_ms in [300, 0, 300, 0] {
        slow(&running.gateway, &id, delay_ms).await;
        for _ in 0..2 {
            let begin = Instant::now();
            for event in number..number + 10 {
                tell(&running.gateway, json!(event)).await;
            }
            for event in number..number + 10 {
                assert_eq!(client.receive().await["payload"], event);
                assert!(delay_ms == 0 || begin.elapsed() >= delay);
            }
            number += 10;
        }
    }
}

#[tokio::test]
async fn the_list_says_who_is_slow_and_by_how_much() {
    let gateway = crate::harness::start(dev());
    let ((_anna, id), (_ben, other)) = (join(&gateway, "anna").await, join(&gateway, "ben").await);
    let delays = async || {
        let (_, page) = as_admin(&gateway, "GET", "/api/v1/connections", Value::Null).await;
        let of = |id: &str| {
            let found = page["connections"].as_array().unwrap().iter().find(|one| one["connectionId"] == id);
            found.unwrap().get("delayMs").cloned()
        };
        (of(&id), of(&other))
    };
    assert_eq!(delays().await, (None, None));
    slow(&gateway, &id, 1500).await;
    assert_eq!(delays().await, (Some(json!(1500)), None));
    slow(&gateway, &id, 60_000).await;
    slow(&gateway, &other, 1).await;
    assert_eq!(delays().await, (Some(json!(60_000)), Some(json!(1))));
    slow(&gateway, &id, 0).await;
    assert_eq!(delays().await, (None, Some(json!(1))));
}

#[tokio::test]
async fn a_delay_is_a_number_of_milliseconds_up_to_a_minute() {
    let gateway = crate::harness::start(dev());
    let (mut client, id) = join(&gateway, "anna").await;
    for body in [json!({"delayMs": 60_001}), json!({"delayMs": -1}), json!({"delayMs": "1"}), json!({}), json!([1])] {
        let (status, problem) = as_admin(&gateway, "POST", &format!("/dev/connections/{id}/slow"), body.clone()).await;
        assert_eq!((status, &problem["code"]), (400, &json!("INVALID_MESSAGE")), "{body}");
    }
    client.is_quiet().await;
}
