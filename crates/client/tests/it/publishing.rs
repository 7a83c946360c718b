//! Publishing over the socket.

use std::time::Duration;

use roomcast_client::protocol::{ErrorCode, Event, NewEvent, Published, Room};
use roomcast_client::{Client, Error, ErrorKind};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::scripted::{Peer, connected, gateway};

fn publish(client: &Client, payload: Value) -> JoinHandle<Result<Published, Error>> {
    let client = client.clone();
    let event = NewEvent::from(Event::custom("note.added", payload)).to([Room::team("a")]);
    tokio::spawn(async move { client.publish(event).await })
}

async fn publish_request(peer: &mut Peer) -> Value {
    let request = peer.request().await;
    assert_eq!(request["action"], "publish", "{request}");
    request
}

async fn acknowledge(peer: &mut Peer, request: &Value) {
    let ack = json!({"eventId": request["event"]["eventId"], "positions": {"team:a": "e:2"}});
    peer.send("publish.ack", Some(&request["id"]), &ack).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_is_published_under_an_id_of_its_own() {
    let (_gateway, client, mut peer) = connected().await;
    let publishing = publish(&client, json!({"title": "t"}));
    let request = publish_request(&mut peer).await;
    assert_eq!(request["event"]["type"], "note.added");
    assert_eq!(request["event"]["payload"], json!({"title": "t"}));
    assert_eq!(request["rooms"], json!(["team:a"]));
    acknowledge(&mut peer, &request).await;
    let published = publishing.await.unwrap().unwrap();
    assert_eq!(published.event_id.as_str(), request["event"]["eventId"]);
    assert_eq!(published.positions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_says_why() {
    let (_gateway, client, mut peer) = connected().await;
    let publishing = publish(&client, json!({}));
    let request = publish_request(&mut peer).await;
    let refusal = json!({"code": "INVALID_PAYLOAD", "message": "missing field", "pointer": "/payload/title"});
    peer.send("error", Some(&request["id"]), &refusal).await;
    let error = publishing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied { code: ErrorCode::InvalidPayload });
    assert_eq!(error.pointer(), Some("/payload/title"));
}

#[tokio::test(start_paused = true)]
async fn answers_may_come_in_any_order() {
    let (_gateway, client, mut peer) = connected().await;
    let first = publish(&client, json!(1));
    let one = publish_request(&mut peer).await;
    let second = publish(&client, json!(2));
    let two = publish_request(&mut peer).await;
    acknowledge(&mut peer, &two).await;
    acknowledge(&mut peer, &one).await;
    assert_eq!(first.await.unwrap().unwrap().event_id.as_str(), one["event"]["eventId"]);
    assert_eq!(second.await.unwrap().unwrap().event_id.as_str(), two["event"]["eventId"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_without_an_answer_is_repeated_under_its_id_on_the_next_connection() {
    let (mut gateway, client, mut peer) = connected().await;
    let publishing = [publish(&client, json!(1)), publish(&client, json!(2))];
    let sent = [publish_request(&mut peer).await, publish_request(&mut peer).await];
    drop(peer);
    let mut peer = gateway.acknowledge().await;
    for (before, publishing) in sent.iter().zip(publishing) {
        let request = publish_request(&mut peer).await;
        assert_eq!(request["event"], before["event"]);
        acknowledge(&mut peer, &request).await;
        publishing.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_for_the_first_connection() {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").build().unwrap();
    let publishing = publish(&client, json!({}));
    let mut peer = gateway.acknowledge().await;
    let request = publish_request(&mut peer).await;
    acknowledge(&mut peer, &request).await;
    publishing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_event_ends_in_time_and_is_not_sent_again() {
    let (mut gateway, client, mut peer) = connected().await;
    let publishing = publish(&client, json!({}));
    publish_request(&mut peer).await;
    assert_eq!(publishing.await.unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    drop(peer);
    assert!(!gateway.acknowledge().await.is_asked_within(Duration::from_secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn typing_is_sent_and_never_repeated() {
    let (mut gateway, client, mut peer) = connected().await;
    let typing = || {
        let client = client.clone();
        tokio::spawn(async move { client.typing("i", true).await })
    };
    let answered = typing();
    let request = publish_request(&mut peer).await;
    assert_eq!(request["event"]["type"], "user.typing");
    assert_eq!(request["event"]["payload"]["issueId"], "i");
    assert_eq!(request["event"]["payload"]["isTyping"], true);
    let ack = json!({"eventId": request["event"]["eventId"], "positions": {}});
    peer.send("publish.ack", Some(&request["id"]), &ack).await;
    answered.await.unwrap().unwrap();
    let lost = typing();
    publish_request(&mut peer).await;
    drop(peer);
    assert_eq!(lost.await.unwrap().unwrap_err().kind(), ErrorKind::Disconnected);
    assert!(!gateway.acknowledge().await.is_asked_within(Duration::from_secs(60)).await);
}

#[tokio::test(start_paused = true)]
async fn an_event_over_the_gateways_limit_is_not_sent() {
    let (_gateway, client, mut peer) = connected().await;
    let error = publish(&client, json!("x".repeat(65_536))).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!peer.is_asked_within(Duration::from_secs(60)).await);
    assert!(client.state().is_open());
}

#[tokio::test(start_paused = true)]
async fn a_rate_limited_client_sends_no_more_events_until_its_time() {
    let (_gateway, client, mut peer) = connected().await;
    let refused = publish(&client, json!({}));
    let request = publish_request(&mut peer).await;
    let refusal = json!({"code": "RATE_LIMIT_EXCEEDED", "message": "later", "retryAfterMs": 5000});
    peer.send("error", Some(&request["id"]), &refusal).await;
    assert_eq!(refused.await.unwrap().unwrap_err().retry_after(), Some(Duration::from_secs(5)));
    let error = publish(&client, json!({})).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied { code: ErrorCode::RateLimitExceeded });
    assert!(error.retry_after().is_some_and(|after| after <= Duration::from_secs(5)));
    assert!(!peer.is_asked_within(Duration::from_secs(5)).await);
    let later = publish(&client, json!({}));
    let request = publish_request(&mut peer).await;
    acknowledge(&mut peer, &request).await;
    later.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_thousand_events_at_once_are_bounded_and_none_is_lost() {
    let (_gateway, client, mut peer) = connected().await;
    let publishing: Vec<_> = (0..1000).map(|number| publish(&client, json!(number))).collect();
    let answering = tokio::spawn(async move {
        while let Some(request) = peer.try_request().await {
            acknowledge(&mut peer, &request).await;
        }
    });
    let mut refused = 0;
    for outcome in publishing {
        match outcome.await.unwrap() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Busy => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused < 1000 - 256, "{refused}");
    client.close().await;
    answering.await.unwrap();
}
