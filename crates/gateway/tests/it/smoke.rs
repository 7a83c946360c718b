//! The way of one event, from a publisher to a subscriber.

use serde_json::json;

use crate::harness::{Client, config, publish, start};

#[tokio::test]
async fn an_event_that_a_back_end_publishes_reaches_a_subscriber() {
    let gateway = start(config());
    let mut client = Client::join(&gateway, "user_1", json!({"team:*": ["subscribe"]})).await;
    let rooms = client.subscribe(&["team:team_456", "issue:i", "no such room!"]).await;
    assert_eq!(rooms["team:team_456"]["status"], "subscribed");
    assert_eq!(rooms["issue:i"], json!({"status": "denied", "code": "FORBIDDEN"}));
    assert_eq!(rooms["no such room!"], json!({"status": "denied", "code": "INVALID_ROOM"}));
    let answer = publish(&gateway, json!({"type": "issue.updated", "payload": {"id": "i", "changes": {"a": 1}, "teamId": "team_456", "more": [1]}, "userId": "user_9"})).await;
    let event = client.receive().await;
    assert_eq!(event["type"], "issue.updated");
    assert_eq!(event["payload"]["more"], json!([1]));
    assert_eq!(event["userId"], "user_9");
    assert_eq!(event["eventId"], answer["eventId"]);
    assert_eq!(event["positions"], json!({"team:team_456": answer["positions"]["team:team_456"]}));
    client.is_quiet().await;
}
