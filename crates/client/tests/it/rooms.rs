//! Joining and leaving rooms, alone and shared, over one connection and the next.

use std::time::Duration;

use roomcast_client::protocol::{ErrorCode, Room};
use roomcast_client::{Client, ConnectionState, Delivery, Error, ErrorKind, Subscription};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::scripted::{connected, gateway, until};

/// Subscribes in the background, so that the test can play the gateway meanwhile.
pub(crate) fn subscribe(client: &Client, rooms: &[Room]) -> JoinHandle<Result<Subscription, Error>> {
    let (client, rooms) = (client.clone(), rooms.to_vec());
    tokio::spawn(async move { client.subscribe_all(rooms).await })
}

fn rooms(ids: &[&str]) -> Vec<Room> {
    ids.iter().map(|id| Room::team(id)).collect()
}

#[tokio::test(start_paused = true)]
async fn subscribing_returns_with_the_gateways_answer() {
    let (_gateway, client, mut peer) = connected().await;
    let subscribing = subscribe(&client, &rooms(&["a"]));
    let id = peer.subscribe_request(&["team:a"]).await;
    assert!(!subscribing.is_finished());
    let outcomes = json!({"rooms": {"team:a": {"status": "subscribed", "position": "e:1"}}});
    peer.send("subscription.ack", Some(&id), &outcomes).await;
    assert_eq!(subscribing.await.unwrap().unwrap().rooms(), rooms(&["a"]));
}

#[tokio::test(start_paused = true)]
async fn a_refused_room_is_reported() {
    let (_gateway, client, mut peer) = connected().await;
    let subscribing = subscribe(&client, &rooms(&["a"]));
    let id = peer.subscribe_request(&["team:a"]).await;
    peer.deny(&id, "team:a", "FORBIDDEN").await;
    let error = subscribing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied { code: ErrorCode::Forbidden });
    assert!(error.to_string().contains("team:a"));
    assert!(!peer.is_asked_within(Duration::from_secs(60)).await, "there is nothing to leave");
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_refuses_its_rooms() {
    let (_gateway, client, mut peer) = connected().await;
    let subscribing = subscribe(&client, &rooms(&["a", "b"]));
    let id = peer.subscribe_request(&["team:a", "team:b"]).await;
    peer.send("error", Some(&id), &json!({"code": "LIMIT_EXCEEDED", "message": "too many rooms"})).await;
    let error = subscribing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied { code: ErrorCode::LimitExceeded });
}

#[tokio::test(start_paused = true)]
async fn a_shared_room_is_subscribed_once_and_left_with_the_last_subscription() {
    let (_gateway, client, mut peer) = connected().await;
    let first = subscribe(&client, &rooms(&["a"]));
    peer.joined(&["team:a"], "e:1").await;
    let first = first.await.unwrap().unwrap();
    let second = client.subscribe(Room::team("a")).await.unwrap();
    assert!(!peer.is_asked_within(Duration::from_secs(60)).await);
    drop(first);
    assert!(!peer.is_asked_within(Duration::from_secs(60)).await);
    drop(second);
    peer.unsubscribed(&["team:a"]).await;
    let again = subscribe(&client, &rooms(&["a"]));
    peer.joined(&["team:a"], "e:5").await;
    drop(again.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn calls_that_come_together_go_out_together() {
    let (_gateway, client, mut peer) = connected().await;
    let subscribing: Vec<_> = ["a", "b", "c"].map(|id| subscribe(&client, &rooms(&[id]))).into();
    peer.joined(&["team:a", "team:b", "team:c"], "e:1").await;
    let mut subscriptions = Vec::new();
    for subscription in subscribing {
        subscriptions.push(subscription.await.unwrap().unwrap());
    }
    drop(subscriptions);
    peer.unsubscribed(&["team:a", "team:b", "team:c"]).await;
}

#[tokio::test(start_paused = true)]
async fn requests_name_no_more_rooms_than_the_gateway_allows() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").build().unwrap();
    let mut peer = gateway.accept().await;
    peer.acknowledge_with(json!({"maxRoomsPerMessage": 2})).await;
    let subscribing = subscribe(&client, &rooms(&["a", "b", "c"]));
    peer.joined(&["team:a", "team:b"], "e:1").await;
    assert!(!subscribing.is_finished());
    peer.joined(&["team:c"], "e:1").await;
    drop(subscribing.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn all_rooms_are_joined_again_in_one_request_after_a_reconnection() {
    let (mut gateway, client, mut peer) = connected().await;
    let subscribing = [subscribe(&client, &rooms(&["a"])), subscribe(&client, &rooms(&["b"]))];
    peer.joined(&["team:a", "team:b"], "e:1").await;
    let [a, b] = subscribing;
    let (mut a, mut b) = (a.await.unwrap().unwrap(), b.await.unwrap().unwrap());
    peer.event("one", "team:a", "e:2").await;
    assert!(matches!(a.next().await, Some(Delivery::Event(_))));
    drop(peer);
    let mut peer = gateway.acknowledge().await;
    peer.recovered(&[("team:a", "e:2"), ("team:b", "e:1")], 0).await;
    for subscription in [&mut a, &mut b] {
        let resumed = subscription.next().await;
        assert!(matches!(resumed, Some(Delivery::Resumed { recovered: 0, .. })), "{resumed:?}");
    }
    peer.event("two", "team:a", "e:3").await;
    assert!(matches!(a.next().await, Some(Delivery::Event(_))));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_waits_survives_a_lost_connection() {
    let (mut gateway, client, mut peer) = connected().await;
    let subscribing = subscribe(&client, &rooms(&["a"]));
    peer.subscribe_request(&["team:a"]).await;
    drop(peer);
    let mut peer = gateway.acknowledge().await;
    peer.joined(&["team:a"], "e:1").await;
    drop(subscribing.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn subscribing_without_a_connection_ends_in_time_and_says_why() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").build().unwrap();
    gateway.refuse("503 Service Unavailable\r\nRetry-After: 60").await;
    let before = Instant::now();
    let error = client.subscribe(Room::team("a")).await.unwrap_err();
    assert_eq!((error.kind(), before.elapsed().as_secs()), (ErrorKind::Timeout, 10));
    assert!(error.to_string().contains("503"), "{error}");
    let mut peer = gateway.acknowledge().await;
    assert!(!peer.is_asked_within(Duration::from_secs(60)).await, "nobody wants the room any more");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_leaves_its_room() {
    let (_gateway, client, mut peer) = connected().await;
    let subscribing = subscribe(&client, &rooms(&["a"]));
    let id = peer.subscribe_request(&["team:a"]).await;
    subscribing.abort();
    peer.unsubscribed(&["team:a"]).await;
    let outcomes = json!({"rooms": {"team:a": {"status": "subscribed", "position": "e:1"}}});
    peer.send("subscription.ack", Some(&id), &outcomes).await;
    assert!(client.state().is_open());
}

#[tokio::test(start_paused = true)]
async fn a_rate_limited_request_is_repeated_after_its_time() {
    let (_gateway, client, mut peer) = connected().await;
    let subscribing = subscribe(&client, &rooms(&["a"]));
    let id = peer.subscribe_request(&["team:a"]).await;
    let before = Instant::now();
    let refusal = json!({"code": "RATE_LIMIT_EXCEEDED", "message": "later", "retryAfterMs": 5000});
    peer.send("error", Some(&id), &refusal).await;
    peer.joined(&["team:a"], "e:1").await;
    assert!(before.elapsed() >= Duration::from_secs(5));
    drop(subscribing.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_refused_farewell_is_repeated() {
    let (_gateway, client, mut peer) = connected().await;
    let subscribing = subscribe(&client, &rooms(&["a"]));
    peer.joined(&["team:a"], "e:1").await;
    drop(subscribing.await.unwrap().unwrap());
    let request = peer.request().await;
    let refusal = json!({"code": "RATE_LIMIT_EXCEEDED", "message": "later", "retryAfterMs": 5000});
    peer.send("error", Some(&request["id"]), &refusal).await;
    peer.unsubscribed(&["team:a"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_request_is_repeated() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").request_timeout(Duration::from_secs(5)).build().unwrap();
    let mut peer = gateway.acknowledge().await;
    let subscribing = subscribe(&client, &rooms(&["a"]));
    peer.joined(&["team:a"], "e:1").await;
    let mut subscription = subscribing.await.unwrap().unwrap();
    drop(peer);
    let mut peer = gateway.acknowledge().await;
    peer.resume_request(&[("team:a", "e:1")]).await;
    peer.recovered(&[("team:a", "e:1")], 0).await;
    assert!(matches!(subscription.next().await, Some(Delivery::Resumed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_room_that_the_broker_cannot_serve_now_is_joined_later() {
    let (mut gateway, client, mut peer) = connected().await;
    let subscribing = subscribe(&client, &rooms(&["a"]));
    peer.joined(&["team:a"], "e:1").await;
    let mut subscription = subscribing.await.unwrap().unwrap();
    drop(peer);
    let mut peer = gateway.acknowledge().await;
    for _ in 0..5 {
        let id = peer.resume_request(&[("team:a", "e:1")]).await;
        peer.deny(&id, "team:a", "UNAVAILABLE").await;
    }
    peer.recovered(&[("team:a", "e:1")], 1).await;
    peer.event("missed", "team:a", "e:2").await;
    assert!(matches!(subscription.next().await, Some(Delivery::Resumed { recovered: 1, .. })));
    assert!(matches!(subscription.next().await, Some(Delivery::Event(_))));
    until(&client, ConnectionState::is_open).await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_refused_on_a_reconnection_is_told_and_not_asked_for_again() {
    let (mut gateway, client, mut peer) = connected().await;
    let subscribing = subscribe(&client, &rooms(&["a", "b"]));
    peer.joined(&["team:a", "team:b"], "e:1").await;
    let mut subscription = subscribing.await.unwrap().unwrap();
    drop(peer);
    let mut peer = gateway.acknowledge().await;
    let id = peer.resume_request(&[("team:a", "e:1"), ("team:b", "e:1")]).await;
    let recovered = json!({"status": "recovered", "position": "e:1", "recovered": 0});
    let outcomes = json!({"rooms": {"team:a": {"status": "denied", "code": "FORBIDDEN"}, "team:b": recovered}});
    peer.send("subscription.ack", Some(&id), &outcomes).await;
    let denied = subscription.next().await;
    assert!(matches!(&denied, Some(Delivery::Denied { room, .. }) if *room == Room::team("a")), "{denied:?}");
    assert!(matches!(subscription.next().await, Some(Delivery::Resumed { .. })));
    drop(peer);
    gateway.acknowledge().await.recovered(&[("team:b", "e:1")], 0).await;
}

#[tokio::test(start_paused = true)]
async fn subscribing_to_nothing_is_an_error() {
    let (_gateway, client, _peer) = connected().await;
    assert_eq!(client.subscribe_all([]).await.unwrap_err().kind(), ErrorKind::Invalid);
}
