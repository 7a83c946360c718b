//! How long a connection lives: the heartbeat, the token's end, its renewal.

use std::time::Duration;

use futures_util::StreamExt;
use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{
    Client, EPOCH, config, publish, signed, start, start_with_paused_clock, upgrade, with_header, with_token,
};

const HOUR: Duration = Duration::from_secs(3600);

fn seconds(from: Instant) -> f64 {
    from.elapsed().as_secs_f64()
}

/// A token that runs out so many seconds after the start.
fn lasting(user: &str, seconds: i64, grants: Value) -> String {
    signed(&json!({"sub": user, "exp": EPOCH + seconds, "grants": grants}))
}

async fn open(gateway: &Gateway, token: &str) -> Client {
    let request = with_header(with_token(token), "sec-websocket-protocol", "roomcast.v1");
    let mut client = Client::open(gateway, request).await;
    assert_eq!(client.receive().await["type"], "connection.ack");
    client
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_pinged_about_every_thirty_seconds() {
    let gateway = start(config());
    let mut client = Client::join(&gateway, "u", Value::Null).await;
    for _ in 0..10 {
        let start = Instant::now();
        let message = timeout(HOUR, client.socket.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(message, Message::Ping(_)), "{message:?}");
        assert!((25.0..=30.5).contains(&seconds(start)), "{}", seconds(start));
        // The library answers by itself when it is used next.
    }
    client.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_after_a_minute() {
    let gateway = start(config());
    let mut client = Client::join(&gateway, "u", Value::Null).await;
    // Not reading, the client does not answer the pings either.
    sleep(Duration::from_millis(59_900)).await;
    assert_eq!(gateway.stats().total_clients, 1);
    sleep(Duration::from_millis(500)).await;
    let closing = client.is_closed_with_notice(4001).await;
    assert_eq!(closing, json!({"code": 4001, "reason": "heartbeat timeout", "retryAfterMs": 0, "resumable": true}));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_is_forgotten_though_it_answers_no_close() {
    let gateway = start(config());
    let _client = Client::join(&gateway, "u", Value::Null).await;
    sleep(Duration::from_secs(63)).await;
    assert_eq!(gateway.stats().total_clients, 0);
    let request = crate::harness::request("GET", "/metrics", None, Value::Null);
    let metrics = crate::harness::call(&gateway, request).await.2;
    assert!(metrics.as_str().unwrap().contains("roomcast_heartbeat_timeouts_total 1\n"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn any_frame_keeps_a_connection_alive() {
    let gateway = start(config());
    let mut client = Client::join(&gateway, "u", Value::Null).await;
    for message in [
        Message::Pong(Default::default()),
        Message::Ping(Default::default()),
        Message::text(r#"{"type":"ping"}"#),
        Message::text("nonsense"),
        Message::binary(b"x".as_slice()),
    ] {
        sleep(Duration::from_secs(55)).await;
        client.send_message(message).await;
    }
    sleep(Duration::from_secs(55)).await;
    assert_eq!(gateway.stats().total_clients, 1);
    assert_eq!(client.receive().await["payload"]["message"], "pong");
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_can_be_configured() {
    let (ping_interval, idle_timeout) = (Duration::from_secs(3), Duration::from_secs(7));
    let gateway = start(Config { ping_interval, idle_timeout, ..config() });
    let request = with_token(&crate::harness::token(&gateway, "u", Value::Null));
    let mut client = Client::open(&gateway, request).await;
    let ack = client.receive().await;
    assert_eq!(ack["payload"]["heartbeat"], json!({"pingIntervalMs": 3000, "timeoutMs": 7000}));
    sleep(Duration::from_secs(8)).await;
    client.is_closed_with_notice(4001).await;
}

#[tokio::test(start_paused = true)]
async fn a_tokens_end_is_announced_and_then_nothing_is_delivered() {
    let gateway = start_with_paused_clock(config());
    let start = Instant::now();
    let mut client = open(&gateway, &lasting("u", 100, json!({"*": ["subscribe"]}))).await;
    client.subscribe(&["team:a"]).await;
    let expiring = client.receive_within(HOUR).await;
    assert_eq!(expiring["type"], "auth.expiring");
    assert_eq!(expiring["payload"], json!({"expiresAt": "2023-11-14T22:15:00.000Z"}));
    assert!((40.0..40.5).contains(&seconds(start)), "{}", seconds(start));

    let event = json!({"type": "custom.event", "payload": 1, "rooms": ["team:a"]});
    let mut client = answering_until(client, start + Duration::from_millis(109_900)).await;
    publish(&gateway, event.clone()).await;
    assert_eq!(client.receive().await["type"], "custom.event", "in force for ten seconds behind its end");
    tokio::time::sleep_until(start + Duration::from_millis(110_100)).await;
    publish(&gateway, event).await;
    let closing = client.is_closed_with_notice(4002).await;
    assert_eq!(closing, json!({"code": 4002, "reason": "token expired", "retryAfterMs": 0, "resumable": true}));
}

/// Keeps the connection alive until then.
async fn answering_until(mut client: Client, until: Instant) -> Client {
    while Instant::now() < until {
        client.is_quiet().await;
        tokio::time::sleep_until(until.min(Instant::now() + Duration::from_secs(20))).await;
    }
    client
}

#[tokio::test(start_paused = true)]
async fn a_token_with_less_than_a_minute_left_is_announced_at_once() {
    let gateway = start_with_paused_clock(config());
    let start = Instant::now();
    let mut client = open(&gateway, &lasting("u", 30, Value::Null)).await;
    assert_eq!(client.receive().await["type"], "auth.expiring");
    assert!(seconds(start) < 0.5, "{}", seconds(start));
    let mut client = answering_until(client, start + Duration::from_secs(39)).await;
    client.is_quiet().await;
    assert_eq!(client.receive().await["type"], "connection.closing");
    assert!((40.0..40.5).contains(&seconds(start)), "{}", seconds(start));
    assert_eq!(client.closed().await, 4002);
}

#[tokio::test(start_paused = true)]
async fn a_token_taken_within_the_leeway_ends_ten_seconds_behind_its_end() {
    let gateway = start_with_paused_clock(config());
    let start = Instant::now();
    let mut client = open(&gateway, &lasting("u", -4, Value::Null)).await;
    assert_eq!(client.receive().await["type"], "auth.expiring");
    client.is_closed_with_notice(4002).await;
    assert!((6.0..6.5).contains(&seconds(start)), "{}", seconds(start));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_came_by_the_first_frame_ends_too() {
    let gateway = start_with_paused_clock(config());
    let start = Instant::now();
    let mut client = Client::open(&gateway, upgrade()).await;
    client.ask(json!({"action": "authenticate", "token": lasting("u", 5, Value::Null)})).await;
    assert_eq!(client.receive().await["type"], "auth.expiring");
    client.is_closed_with_notice(4002).await;
    assert!((15.0..15.5).contains(&seconds(start)), "{}", seconds(start));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_moves_the_end() {
    let gateway = start_with_paused_clock(config());
    let start = Instant::now();
    let mut client = open(&gateway, &lasting("u", 100, json!({"*": ["subscribe"]}))).await;
    client.subscribe(&["team:a"]).await;
    assert_eq!(client.receive_within(HOUR).await["type"], "auth.expiring");
    let renewal = json!({"action": "authenticate", "token": lasting("u", 300, json!({"*": ["subscribe"]})), "id": "r"});
    let ack = client.ask(renewal).await;
    assert_eq!((&ack["type"], &ack["replyTo"]), (&json!("auth.ack"), &json!("r")));
    let expected = json!({"userId": "u", "expiresAt": "2023-11-14T22:18:20.000Z", "lostRooms": []});
    assert_eq!(ack["payload"], expected);
    let mut client = answering_until(client, start + Duration::from_secs(200)).await;
    publish(&gateway, json!({"type": "custom.event", "payload": 1, "rooms": ["team:a"]})).await;
    assert_eq!(client.receive().await["type"], "custom.event", "the subscription goes on");
    assert_eq!(client.receive_within(HOUR).await["type"], "auth.expiring");
    assert!((240.0..240.5).contains(&seconds(start)), "{}", seconds(start));
    client.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_in_time_until_the_connection_is_closed_and_may_bring_an_earlier_end() {
    let gateway = start_with_paused_clock(config());
    let start = Instant::now();
    let mut client = open(&gateway, &lasting("u", 20, Value::Null)).await;
    assert_eq!(client.receive().await["type"], "auth.expiring");
    let mut client = answering_until(client, start + Duration::from_secs(29)).await;
    let renewed = client.ask(json!({"action": "authenticate", "token": lasting("u", 1000, Value::Null)})).await;
    assert_eq!(renewed["type"], "auth.ack");
    let mut client = answering_until(client, start + Duration::from_secs(65)).await;
    let renewed = client.ask(json!({"action": "authenticate", "token": lasting("u", 70, Value::Null)})).await;
    assert_eq!(renewed["type"], "auth.ack");
    assert_eq!(client.receive().await["type"], "auth.expiring");
    client.is_closed_with_notice(4002).await;
    assert!((80.0..80.5).contains(&seconds(start)), "{}", seconds(start));
}

#[tokio::test(start_paused = true)]
async fn rooms_that_the_new_token_does_not_grant_are_left() {
    let gateway = start_with_paused_clock(config());
    let mut client = open(&gateway, &lasting("u", 100, json!({"*": ["*"]}))).await;
    client.subscribe(&["team:b", "team:a", "issue:1", "user:u"]).await;
    let token = lasting("u", 1000, json!({"issue:*": ["subscribe"], "project:*": ["subscribe"]}));
    let ack = client.ask(json!({"action": "authenticate", "token": token})).await;
    assert_eq!(ack["payload"]["lostRooms"], json!(["team:a", "team:b"]));
    assert_eq!(gateway.stats().total_rooms, 2);
    publish(&gateway, json!({"type": "custom.event", "payload": 1, "rooms": ["team:a", "team:b"]})).await;
    client.is_quiet().await;
    let both = json!({"type": "custom.event", "payload": 2, "rooms": ["team:a", "issue:1"]});
    publish(&gateway, both).await;
    let positions = client.receive().await["positions"].clone();
    assert_eq!(positions.as_object().unwrap().keys().collect::<Vec<_>>(), ["issue:1"]);
    let rooms = client.subscribe(&["team:a", "project:p"]).await;
    assert_eq!((&rooms["team:a"]["code"], &rooms["project:p"]["status"]), (&json!("FORBIDDEN"), &json!("subscribed")));
    let event = json!({"type": "custom.event", "payload": 1});
    let answer = client.ask(json!({"action": "publish", "event": event, "rooms": ["issue:1"]})).await;
    assert_eq!(answer["payload"]["code"], "FORBIDDEN", "what may be published is the new token's to say too");
}

#[tokio::test(start_paused = true)]
async fn after_a_refused_renewal_the_old_token_stays_in_force() {
    let gateway = start_with_paused_clock(config());
    let start = Instant::now();
    let mut client = open(&gateway, &lasting("u", 100, json!({"*": ["*"]}))).await;
    client.subscribe(&["team:a"]).await;
    for token in
        [lasting("v", 1000, json!({"*": ["*"]})), lasting("u", -6, json!({"*": ["*"]})), "bad".into(), "".into()]
    {
        client.send(json!({"action": "authenticate", "token": token, "id": "r"})).await;
        assert_eq!(client.is_refused("UNAUTHORIZED").await["replyTo"], "r");
    }
    assert_eq!(client.subscribe(&["team:b"]).await["team:b"]["status"], "subscribed");
    let event = json!({"type": "custom.event", "payload": 1});
    let ack = client.ask(json!({"action": "publish", "event": event, "rooms": ["project:p"]})).await;
    assert_eq!(ack["type"], "publish.ack");
    assert_eq!(client.receive_within(HOUR).await["type"], "auth.expiring");
    assert!((40.0..40.5).contains(&seconds(start)), "{}", seconds(start));
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_age_is_asked_to_come_back_and_may_resume() {
    let age = Duration::from_secs(700);
    let gateway = start_with_paused_clock(Config { max_connection_age: Some(age), ..config() });
    let token = signed(&json!({"sub": "u", "exp": EPOCH + 100_000}));
    let mut client = Client::open(&gateway, with_token(&token)).await;
    let begin = Instant::now();
    assert_eq!(client.receive().await["type"], "connection.ack");
    // Its pongs keep it alive until then.
    let notice = client.receive_within(2 * age).await;
    assert_eq!((&notice["type"], &notice["payload"]["code"]), (&json!("connection.closing"), &json!(4004)), "{notice}");
    assert_eq!(notice["payload"]["resumable"], true);
    let lasted = begin.elapsed();
    assert!(lasted > age * 6 / 7 - Duration::from_secs(1) && lasted < age + Duration::from_secs(2), "{lasted:?}");
}
