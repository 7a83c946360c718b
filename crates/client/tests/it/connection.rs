//! Connecting, losing the connection, coming back, and ending.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roomcast_client::protocol::{CloseCode, Room};
use roomcast_client::{ConnectionState, Delivery, ErrorKind};
use serde_json::json;
use tokio::time::Instant;

use crate::scripted::{connected, gateway, until};

fn is_reconnecting(state: &ConnectionState) -> bool {
    matches!(state, ConnectionState::Reconnecting { .. })
}

#[tokio::test(start_paused = true)]
async fn the_state_goes_from_connecting_over_open_to_reconnecting_and_closed() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("secret").build().unwrap();
    assert!(matches!(client.state(), ConnectionState::Connecting));
    let peer = gateway.acknowledge().await;
    assert_eq!(peer.authorization, "Bearer secret");
    let ConnectionState::Open { connection_id, user_id, .. } = until(&client, ConnectionState::is_open).await else {
        unreachable!()
    };
    assert_eq!((connection_id.as_str(), user_id.as_str()), ("c-1", "u-1"));
    peer.close(1012).await;
    let ConnectionState::Reconnecting { attempt, error, .. } = until(&client, is_reconnecting).await else {
        unreachable!()
    };
    assert_eq!((attempt, error.kind()), (1, ErrorKind::Disconnected));
    let _peer = gateway.acknowledge().await;
    until(&client, ConnectionState::is_open).await;
    client.close().await;
    assert!(matches!(client.state(), ConnectionState::Closed { code: Some(CloseCode::Normal), .. }));
}

#[tokio::test(start_paused = true)]
async fn a_client_comes_back_after_any_number_of_failures_of_the_network() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").build().unwrap();
    for _ in 0..50 {
        drop(gateway.dialled().await);
    }
    let state = until(&client, is_reconnecting).await;
    let ConnectionState::Reconnecting { attempt, next_try, error } = state else { unreachable!() };
    assert!(attempt >= 49 && next_try <= Duration::from_secs(30), "{attempt} {next_try:?}");
    assert_eq!(error.kind(), ErrorKind::Connect);
    let _peer = gateway.acknowledge().await;
    until(&client, ConnectionState::is_open).await;
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_the_gateway_is_obeyed() {
    let (mut gateway, client, mut peer) = connected().await;
    let closing = json!({"code": 1012, "reason": "service restart", "retryAfterMs": 7000, "resumable": true});
    peer.send("connection.closing", None, &closing).await;
    let before = Instant::now();
    peer.close(1012).await;
    let _peer = gateway.acknowledge().await;
    let wait = before.elapsed();
    assert!(wait >= Duration::from_secs(7) && wait < Duration::from_secs(9), "{wait:?}");
    until(&client, ConnectionState::is_open).await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_a_refused_upgrade_is_obeyed() {
    for status in ["503 Service Unavailable", "429 Too Many Requests"] {
        let (mut gateway, builder) = gateway();
        let client = builder.token("t").build().unwrap();
        gateway.refuse(&format!("{status}\r\nRetry-After: 20")).await;
        let before = Instant::now();
        let _peer = gateway.acknowledge().await;
        assert!(before.elapsed() >= Duration::from_secs(20));
        until(&client, ConnectionState::is_open).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_upgrade_ends_the_client() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").build().unwrap();
    gateway.refuse("403 Forbidden").await;
    let ConnectionState::Closed { code, reason } = until(&client, ConnectionState::is_closed).await else {
        unreachable!()
    };
    assert!(code.is_none() && reason.contains("403"), "{reason}");
    assert!(!gateway.is_dialled_within(Duration::from_secs(120)).await);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_and_then_ends_the_client() {
    let (mut gateway, builder) = gateway();
    let asked = Arc::new(AtomicUsize::new(0));
    let provider = {
        let asked = asked.clone();
        move || {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, std::convert::Infallible>(format!("t{number}")) }
        }
    };
    let client = builder.token_provider(provider).build().unwrap();
    for number in 0..2 {
        let mut peer = gateway.accept().await;
        assert_eq!(peer.authorization, format!("Bearer t{number}"));
        peer.send("error", None, &json!({"code": "UNAUTHORIZED", "message": "expired"})).await;
        peer.close(4500).await;
    }
    let state = until(&client, ConnectionState::is_closed).await;
    assert!(matches!(state, ConnectionState::Closed { code: Some(CloseCode::Unauthorized), .. }));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let error = client.subscribe(Room::team("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed { code: Some(CloseCode::Unauthorized) });
    assert!(!gateway.is_dialled_within(Duration::from_secs(120)).await);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_token_that_is_taken_mends_the_connection() {
    let (mut gateway, builder) = gateway();
    let client = builder.token_provider(|| async { Ok::<_, std::convert::Infallible>("t".into()) }).build().unwrap();
    for _ in 0..3 {
        gateway.accept().await.close(4500).await;
        let peer = gateway.acknowledge().await;
        until(&client, ConnectionState::is_open).await;
        peer.close(4002).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_fixed_token_ends_the_client_at_once() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").build().unwrap();
    gateway.accept().await.close(4500).await;
    until(&client, ConnectionState::is_closed).await;
    assert!(!gateway.is_dialled_within(Duration::from_secs(120)).await);
}

#[tokio::test(start_paused = true)]
async fn a_failing_provider_is_asked_again() {
    let (mut gateway, builder) = gateway();
    let asked = AtomicUsize::new(0);
    let provider = move || {
        let fails = asked.fetch_add(1, Ordering::SeqCst) < 3;
        async move { if fails { Err("the login service is away") } else { Ok("t".to_owned()) } }
    };
    let client = builder.token_provider(provider).build().unwrap();
    let _peer = gateway.acknowledge().await;
    until(&client, ConnectionState::is_open).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_told_to_stay_away_does() {
    let (mut gateway, client, mut peer) = connected().await;
    let subscribing = tokio::spawn({
        let client = client.clone();
        async move { client.subscribe(Room::team("a")).await }
    });
    peer.joined(&["team:a"], "e:1").await;
    let mut subscription = subscribing.await.unwrap().unwrap();
    peer.close(4501).await;
    let closed = subscription.next().await;
    assert!(matches!(closed, Some(Delivery::Closed { code: Some(CloseCode::Disconnected), .. })), "{closed:?}");
    assert!(subscription.next().await.is_none());
    assert!(matches!(client.state(), ConnectionState::Closed { code: Some(CloseCode::Disconnected), .. }));
    assert!(!gateway.is_dialled_within(Duration::from_secs(120)).await);
}

#[tokio::test(start_paused = true)]
async fn a_silent_gateway_is_left() {
    let (mut gateway, client, peer) = connected().await;
    let before = Instant::now();
    let silence = tokio::spawn(peer.fall_silent());
    let ConnectionState::Reconnecting { error, .. } = until(&client, is_reconnecting).await else { unreachable!() };
    assert!(error.to_string().contains("silent"), "{error}");
    let seen_after = before.elapsed();
    assert!(seen_after >= Duration::from_secs(30) && seen_after <= Duration::from_secs(36), "{seen_after:?}");
    silence.await.unwrap();
    let _peer = gateway.acknowledge().await;
    until(&client, ConnectionState::is_open).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_by_pings() {
    let (mut gateway, client, mut peer) = connected().await;
    assert!(!peer.is_asked_within(Duration::from_secs(3600)).await, "pings are control frames and no requests");
    assert!(client.state().is_open());
    assert!(!gateway.is_dialled_within(Duration::ZERO).await);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_does_not_acknowledge_is_left() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").build().unwrap();
    let mut peer = gateway.accept().await;
    let before = Instant::now();
    peer.ping().await;
    let _peer = gateway.acknowledge().await;
    assert!(before.elapsed() >= Duration::from_secs(10));
    until(&client, ConnectionState::is_open).await;
}

#[tokio::test(start_paused = true)]
async fn closing_says_goodbye_and_ends_every_stream() {
    let (_gateway, client, mut peer) = connected().await;
    let subscribing = tokio::spawn({
        let client = client.clone();
        async move { client.subscribe(Room::team("a")).await }
    });
    peer.joined(&["team:a"], "e:1").await;
    let mut subscription = subscribing.await.unwrap().unwrap();
    let (code, ()) = tokio::join!(peer.closed(), client.close());
    assert_eq!(code, CloseCode::Normal);
    assert!(matches!(subscription.next().await, Some(Delivery::Closed { code: Some(CloseCode::Normal), .. })));
    assert!(subscription.next().await.is_none());
    client.close().await;
    assert!(matches!(client.typing("i", true).await.unwrap_err().kind(), ErrorKind::Closed { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_driver_ends_with_the_last_handle_and_subscription() {
    let (_gateway, client, mut peer) = connected().await;
    let mut states = client.watch_state();
    let subscribing = tokio::spawn({
        let client = client.clone();
        async move { client.subscribe(Room::team("a")).await }
    });
    peer.joined(&["team:a"], "e:1").await;
    let mut subscription = subscribing.await.unwrap().unwrap();
    drop(client);
    peer.event("still here", "team:a", "e:2").await;
    assert!(matches!(subscription.next().await, Some(Delivery::Event(_))));
    drop(subscription);
    assert_eq!(peer.closed().await, CloseCode::Normal);
    states.wait_for(ConnectionState::is_closed).await.unwrap();
    assert!(states.changed().await.is_err(), "the task is gone");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_client_stops_trying_to_connect() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").build().unwrap();
    drop(gateway.dialled().await);
    until(&client, is_reconnecting).await;
    let mut states = client.watch_state();
    drop(client);
    states.wait_for(ConnectionState::is_closed).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_runs_out_is_renewed_on_the_open_connection() {
    let (mut gateway, builder) = gateway();
    let number = AtomicUsize::new(0);
    let provider = move || {
        let token = format!("t{}", number.fetch_add(1, Ordering::SeqCst));
        async move { Ok::<_, std::convert::Infallible>(token) }
    };
    let client = builder.token_provider(provider).build().unwrap();
    let mut peer = gateway.acknowledge().await;
    let subscribing = tokio::spawn({
        let client = client.clone();
        async move { client.subscribe(Room::team("a")).await }
    });
    peer.joined(&["team:a"], "e:1").await;
    let mut subscription = subscribing.await.unwrap().unwrap();
    peer.send("auth.expiring", None, &json!({"expiresAt": "2024-01-15T10:31:00.000Z"})).await;
    let request = peer.request().await;
    assert_eq!((&request["action"], &request["token"]), (&json!("authenticate"), &json!("t1")));
    let ack = json!({"userId": "u-1", "expiresAt": "2024-01-15T11:31:00.000Z", "lostRooms": ["team:a"]});
    peer.send("auth.ack", Some(&request["id"]), &ack).await;
    assert!(matches!(subscription.next().await, Some(Delivery::Denied { .. })));
    assert!(subscription.next().await.is_none(), "it has no room left");
    assert!(client.state().is_open());
}
