//! Positions: what an acknowledgement promises, and how `since` is answered.

use roomcast_gateway::Gateway;
use roomcast_protocol::Position;
use serde_json::{Value, json};

use crate::harness::{Client, config, publish, start};

async fn client(gateway: &Gateway) -> Client {
    Client::join(gateway, "user_1", json!({"*": ["subscribe"]})).await
}

/// Publishes, and answers the event's position in the room.
async fn event(gateway: &Gateway, room: &str) -> Value {
    let event = json!({"type": "custom.event", "payload": 1, "rooms": [room]});
    publish(gateway, event).await["positions"][room].clone()
}

async fn since(client: &mut Client, room: &str, position: Value) -> Value {
    let answer = client.ask(json!({"action": "subscribe", "rooms": [room], "since": {room: position}})).await;
    assert_eq!(answer["type"], "subscription.ack", "{answer}");
    answer["payload"]["rooms"][room].clone()
}

fn moved(position: &Value, by: i64) -> Value {
    let position: Position = position.as_str().unwrap().parse().unwrap();
    json!(Position { offset: position.offset.checked_add_signed(by).unwrap(), ..position }.to_string())
}

#[tokio::test]
async fn live_delivery_starts_at_the_position_of_the_acknowledgement() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let before = event(&gateway, "team:a").await;
    assert_eq!(client.subscribe(&["team:a"]).await["team:a"], json!({"status": "subscribed", "position": before}));
    let next = event(&gateway, "team:a").await;
    assert_eq!(next, moved(&before, 1));
    assert_eq!(client.receive().await["positions"]["team:a"], next);
}

#[tokio::test]
async fn subscribing_again_answers_the_current_position() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let first = client.subscribe(&["team:a"]).await["team:a"]["position"].clone();
    event(&gateway, "team:a").await;
    client.receive().await;
    let again = client.subscribe(&["team:a"]).await["team:a"].clone();
    assert_eq!(again, json!({"status": "subscribed", "position": moved(&first, 1)}));
    event(&gateway, "team:a").await;
    assert_eq!(client.receive().await["positions"]["team:a"], moved(&first, 2));
    client.is_quiet().await;
}

#[tokio::test]
async fn a_room_keeps_its_stream_while_nobody_is_in_it() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let left = client.subscribe(&["team:a"]).await["team:a"]["position"].clone();
    client.ask(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await;
    assert_eq!(client.subscribe(&["team:a"]).await["team:a"]["position"], left);
}

#[tokio::test]
async fn since_the_current_position_nothing_was_missed() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let position = event(&gateway, "team:a").await;
    let recovered = json!({"status": "recovered", "position": position, "recovered": 0});
    assert_eq!(since(&mut client, "team:a", position.clone()).await, recovered);
    assert_eq!(
        since(&mut client, "team:a", position.clone()).await,
        recovered,
        "also in a room that is joined already"
    );
    event(&gateway, "team:a").await;
    assert_eq!(client.receive().await["positions"]["team:a"], moved(&position, 1));
    client.is_quiet().await;
}

#[tokio::test]
async fn since_an_older_position_what_was_missed_follows() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let first = event(&gateway, "team:a").await;
    let last = event(&gateway, "team:a").await;
    let outcome = since(&mut client, "team:a", first.clone()).await;
    assert_eq!(outcome, json!({"status": "recovered", "position": first, "recovered": 1}));
    assert_eq!(client.receive().await["positions"]["team:a"], last);
    event(&gateway, "team:a").await;
    assert_eq!(client.receive().await["positions"]["team:a"], moved(&last, 1), "the room is joined");
}

#[tokio::test]
async fn since_another_epoch_or_beyond_the_end_the_epoch_has_changed() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let last = event(&gateway, "team:a").await;
    for position in [moved(&last, 1), moved(&last, 1000), json!("z1aa:1"), json!("0:0")] {
        let outcome = since(&mut client, "team:a", position).await;
        assert_eq!(outcome, json!({"status": "gap", "position": last, "reason": "epoch_changed"}));
    }
}

#[tokio::test]
async fn a_malformed_position_is_no_message_and_nothing_is_joined() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    for position in [
        json!(""),
        json!("42"),
        json!(":42"),
        json!("k3x9:"),
        json!("k3x9:-1"),
        json!("K3X9:1"),
        json!(42),
        json!(null),
    ] {
        client
            .send(json!({"action": "subscribe", "rooms": ["team:a"], "since": {"team:a": position}, "id": "1"}))
            .await;
        assert_eq!(client.is_refused("INVALID_MESSAGE").await["replyTo"], "1", "{position}");
    }
    assert_eq!(gateway.stats().total_rooms, 0);
}

#[tokio::test]
async fn since_for_a_room_that_is_not_asked_for_is_ignored() {
    let gateway = start(config());
    let mut client = client(&gateway).await;
    let frame = json!({"action": "subscribe", "rooms": ["team:a"], "since": {"team:b": "nonsense", "team:c": "0:0"}});
    let rooms = client.ask(frame).await["payload"]["rooms"].clone();
    assert_eq!(rooms.as_object().unwrap().keys().collect::<Vec<_>>(), ["team:a"]);
    assert_eq!(rooms["team:a"]["status"], "subscribed");
}

#[tokio::test]
async fn since_opens_no_room_that_is_not_granted() {
    let gateway = start(config());
    let position = event(&gateway, "team:a").await;
    let mut stranger = Client::join(&gateway, "stranger", json!({"issue:*": ["subscribe"]})).await;
    let outcome = since(&mut stranger, "team:a", position).await;
    assert_eq!(outcome, json!({"status": "denied", "code": "FORBIDDEN"}));
}

#[tokio::test]
async fn presence_without_its_grant_is_denied_and_the_room_joined() {
    let gateway = start(config());
    let grants = json!({"team:a": ["subscribe"], "team:b": ["subscribe", "presence"]});
    let mut client = Client::join(&gateway, "user_1", grants).await;
    for wish in [json!(true), json!({}), json!({"data": {"name": "A"}})] {
        client.send(json!({"action": "subscribe", "rooms": ["team:a"], "presence": wish, "id": "1"})).await;
        let outcome = client.receive().await["payload"]["rooms"]["team:a"].clone();
        assert_eq!((&outcome["status"], &outcome["presence"]), (&json!("subscribed"), &json!("denied")), "{wish}");
    }
    let outcome = client.ask(json!({"action": "subscribe", "rooms": ["team:a"], "presence": false})).await;
    assert_eq!(outcome["payload"]["rooms"]["team:a"].get("presence"), None);
    let outcome = client.ask(json!({"action": "subscribe", "rooms": ["team:b"], "presence": true})).await;
    assert_eq!(outcome["payload"]["rooms"]["team:b"].get("presence"), None);
}
