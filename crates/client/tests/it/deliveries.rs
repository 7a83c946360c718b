//! What reaches a subscription, and in which form.

use std::time::Duration;

use futures_util::StreamExt;
use roomcast_client::protocol::server::GapReason;
use roomcast_client::protocol::{Event, Room};
use roomcast_client::{Client, Delivery, Subscription};
use serde_json::json;

use crate::rooms::subscribe;
use crate::scripted::{Gateway, Peer, connected, gateway};

async fn in_room_a(client: &Client, peer: &mut Peer) -> Subscription {
    let subscribing = subscribe(client, &[Room::team("a")]);
    peer.joined(&["team:a"], "e:1").await;
    subscribing.await.unwrap().unwrap()
}

async fn subscribed() -> (Gateway, Client, Peer, Subscription) {
    let (gateway, client, mut peer) = connected().await;
    let subscription = in_room_a(&client, &mut peer).await;
    (gateway, client, peer, subscription)
}

fn title(delivery: Option<Delivery>) -> String {
    match delivery {
        Some(Delivery::Event(frame)) => frame.event.payload()["title"].as_str().unwrap().into(),
        Some(Delivery::Lagged { missed }) => format!("lagged {missed}"),
        other => panic!("not an event: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_typed_event_comes_with_all_that_its_frame_says() {
    let (_gateway, _client, mut peer, mut subscription) = subscribed().await;
    let frame = json!({
        "type": "issue.updated", "payload": {"id": "i", "changes": {"status": "done"}, "teamId": "a", "more": 1},
        "timestamp": "2024-01-15T10:31:00.000Z", "userId": "u-2", "eventId": "e-1", "positions": {"team:a": "e:2"},
    });
    peer.send_frame(&frame).await;
    let Some(Delivery::Event(event)) = StreamExt::next(&mut subscription).await else { panic!("no event") };
    assert_eq!(serde_json::to_value(&*event).unwrap(), frame);
    assert!(matches!(event.event, Event::IssueUpdated(_)));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_event_is_delivered_and_an_unknown_frame_ignored() {
    let (_gateway, _client, mut peer, mut subscription) = subscribed().await;
    peer.send("presence.vanished", None, &json!({"room": "team:a"})).await;
    peer.send("surprise", None, &json!(7)).await;
    peer.send("subscription.ack", None, &json!("not as it should be")).await;
    peer.event("later", "team:a", "e:2").await;
    let Some(Delivery::Event(event)) = subscription.next().await else { panic!("no event") };
    assert_eq!(event.event, Event::custom("note.added", json!({"title": "later"})));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_how_much_it_missed_and_goes_on() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").buffer(4).build().unwrap();
    let mut peer = gateway.acknowledge().await;
    let mut slow = in_room_a(&client, &mut peer).await;
    let mut quick = client.subscribe(Room::team("a")).await.unwrap();
    for number in 0..10 {
        peer.event(&number.to_string(), "team:a", &format!("e:{}", number + 2)).await;
        assert_eq!(title(quick.next().await), number.to_string(), "a slow neighbour costs nothing");
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(title(slow.next().await));
    }
    assert_eq!(seen, ["lagged 6", "6", "7", "8", "9"]);
    peer.event("next", "team:a", "e:12").await;
    assert_eq!(title(slow.next().await), "next");
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_the_gateway_tells_is_passed_on() {
    let (_gateway, _client, mut peer, mut subscription) = subscribed().await;
    peer.gap(None, "team:a", "e:9", "history_truncated").await;
    let delivery = subscription.next().await;
    let reason = Some(GapReason::HistoryTruncated);
    assert!(matches!(&delivery, Some(Delivery::Gap { reason: told, .. }) if *told == reason), "{delivery:?}");
}

#[tokio::test(start_paused = true)]
async fn each_subscription_gets_the_events_of_its_rooms_only() {
    let (_gateway, client, mut peer, mut a) = subscribed().await;
    let subscribing = subscribe(&client, &[Room::team("b"), Room::team("a")]);
    peer.joined(&["team:b"], "e:1").await;
    let mut both = subscribing.await.unwrap().unwrap();
    peer.event("b only", "team:b", "e:2").await;
    peer.event("a only", "team:a", "e:2").await;
    assert_eq!(title(a.next().await), "a only");
    assert_eq!(title(both.next().await), "b only");
    assert_eq!(title(both.next().await), "a only");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_delivery_may_be_given_up_without_losing_one() {
    let (_gateway, _client, mut peer, mut subscription) = subscribed().await;
    assert!(tokio::time::timeout(Duration::from_secs(1), subscription.next()).await.is_err());
    peer.event("kept", "team:a", "e:2").await;
    assert_eq!(title(subscription.next().await), "kept");
}
