//! Presence frame by frame: what is asked for, in how many requests, and what a slow reader gets.

use std::time::Duration;

use roomcast_client::protocol::Room;
use roomcast_client::{Client, Delivery, Error, ErrorKind, Join, Subscription};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::scripted::{Peer, connected, gateway};

fn join(id: &str) -> Join {
    Join::new(Room::team(id))
}

fn subscribe(client: &Client, joins: impl IntoIterator<Item = Join>) -> JoinHandle<Result<Subscription, Error>> {
    let (client, joins) = (client.clone(), joins.into_iter().collect::<Vec<_>>());
    tokio::spawn(async move { client.subscribe_with(joins).await })
}

/// The next request, which must subscribe to these rooms with this presence; they are joined, or recovered where it names
/// positions.
async fn asked(peer: &mut Peer, rooms: &[&str], presence: Option<Value>) -> Value {
    let request = peer.request().await;
    assert_eq!((&request["action"], &request["rooms"]), (&json!("subscribe"), &json!(rooms)), "{request}");
    assert_eq!(request.get("presence"), presence.as_ref(), "{request}");
    let outcome = |room: &str| match request["since"].get(room) {
        Some(since) => json!({"status": "recovered", "position": since, "recovered": 0}),
        None => json!({"status": "subscribed", "position": "e:1"}),
    };
    let outcomes: Value = rooms.iter().map(|room| (*room, outcome(room))).collect();
    peer.send("subscription.ack", Some(&request["id"]), &json!({"rooms": outcomes})).await;
    request
}

async fn state(peer: &mut Peer, users: &[&str]) {
    let members: Vec<_> = users.iter().map(|user| json!({"userId": user, "connections": 1})).collect();
    peer.send("presence.state", None, &json!({"room": "team:a", "members": members})).await;
}

async fn change(peer: &mut Peer, frame_type: &str, user: &str) {
    let member = json!({"userId": user, "data": {"of": user}, "connections": 1});
    peer.send(frame_type, None, &json!({"room": "team:a", "member": member})).await;
}

/// Everybody that the subscription knows to be in `team:a`.
fn members(subscription: &Subscription) -> Vec<String> {
    let members = subscription.members(&Room::team("a")).into_iter().flatten();
    members.map(|member| member.user_id.into()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_request_for_each_wish_and_the_same_ones_with_positions_on_a_reconnection() {
    let (mut gateway, client, mut peer) = connected().await;
    let data = || json!({"cursor": 4});
    let joins = [join("a").presence_with(data()), join("b"), join("c").presence_with(data()), join("d").presence()];
    let subscribing = subscribe(&client, joins);
    let with_data = || Some(json!({"data": data()}));
    asked(&mut peer, &["team:a", "team:c"], with_data()).await;
    asked(&mut peer, &["team:b"], None).await;
    asked(&mut peer, &["team:d"], Some(json!(true))).await;
    let subscription = subscribing.await.unwrap().unwrap();
    drop(peer);
    let mut peer = gateway.acknowledge().await;
    let request = asked(&mut peer, &["team:a", "team:c"], with_data()).await;
    assert_eq!(request["since"], json!({"team:a": "e:1", "team:c": "e:1"}));
    asked(&mut peer, &["team:b"], None).await;
    asked(&mut peer, &["team:d"], Some(json!(true))).await;
    assert!(!peer.is_asked_within(Duration::from_secs(60)).await);
    drop(subscription);
}

#[tokio::test(start_paused = true)]
async fn data_that_is_too_large_is_refused_before_anything_is_sent() {
    let (_gateway, client, mut peer) = connected().await;
    let large = json!("x".repeat(1023));
    let error = client.subscribe_with([join("a"), join("b").presence_with(large.clone())]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("1024"), "{error}");
    let subscribing = subscribe(&client, [join("a").presence()]);
    asked(&mut peer, &["team:a"], Some(json!(true))).await;
    let subscription = subscribing.await.unwrap().unwrap();
    let error = subscription.update_presence(&Room::team("a"), large).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!peer.is_asked_within(Duration::from_secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn another_token_asks_again_for_what_it_may_have_lost_or_gained() {
    let (mut gateway, builder) = gateway();
    let client = builder.token_provider(|| async { Ok::<_, String>("t".to_owned()) }).build().unwrap();
    let mut peer = gateway.acknowledge().await;
    let subscribing = subscribe(&client, [join("a").presence(), join("b")]);
    asked(&mut peer, &["team:a"], Some(json!(true))).await;
    asked(&mut peer, &["team:b"], None).await;
    let mut subscription = subscribing.await.unwrap().unwrap();
    let now = "2024-01-15T10:30:00.000Z";
    peer.send("auth.expiring", None, &json!({"expiresAt": now})).await;
    let renewal = peer.request().await;
    assert_eq!(renewal["action"], "authenticate");
    let renewed = json!({"userId": "u-1", "expiresAt": now, "lostRooms": []});
    peer.send("auth.ack", Some(&renewal["id"]), &renewed).await;
    let request = peer.request().await;
    assert_eq!((&request["rooms"], &request["presence"]), (&json!(["team:a"]), &json!(true)), "{request}");
    let denied = json!({"status": "subscribed", "position": "e:1", "presence": "denied"});
    peer.send("subscription.ack", Some(&request["id"]), &json!({"rooms": {"team:a": denied}})).await;
    assert!(matches!(subscription.next().await, Some(Delivery::PresenceDenied { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_who_is_there_behind_what_it_missed() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").buffer(3).build().unwrap();
    let mut peer = gateway.acknowledge().await;
    let subscribing = subscribe(&client, [join("a").presence()]);
    asked(&mut peer, &["team:a"], Some(json!(true))).await;
    let mut slow = subscribing.await.unwrap().unwrap();
    let mut quick = client.subscribe_with([join("a").presence()]).await.unwrap();
    state(&mut peer, &["ann"]).await;
    assert!(matches!(quick.next().await, Some(Delivery::PresenceState(_))));
    for (frame_type, user) in
        [("joined", "ben"), ("joined", "cleo"), ("left", "ben"), ("joined", "dan"), ("left", "ann")]
    {
        change(&mut peer, &format!("presence.{frame_type}"), user).await;
        assert!(quick.next().await.is_some());
    }
    assert_eq!((members(&quick), members(&slow)), (vec!["cleo".into(), "dan".into()], vec![]));
    assert!(matches!(slow.next().await, Some(Delivery::Lagged { missed: 3 })));
    let told = slow.next().await;
    assert!(matches!(&told, Some(Delivery::PresenceState(state)) if state.members.len() == 3), "{told:?}");
    assert_eq!(members(&slow), ["ann", "ben", "cleo"]);
    for expected in [vec!["ann", "cleo"], vec!["ann", "cleo", "dan"], vec!["cleo", "dan"]] {
        assert!(slow.next().await.is_some());
        assert_eq!(members(&slow), expected);
    }
}
