//! Who is there, and who is typing.

use roomcast_client::protocol::Room;
use roomcast_client::{Client, Join, Subscription};
use serde_json::{Value, json};

use super::stage::{Stage, deleted, issue, refused, take, take_sorted, team, until_away, who};

async fn present(client: &Client, data: Value) -> Subscription {
    client.subscribe_with([Join::new(team()).presence_with(data)]).await.unwrap()
}

pub(super) async fn users_see_each_other_come_change_and_leave(stage: &Stage) {
    let (ann, bob) = (stage.client(&who("ann")).await, stage.client(&who("bob")).await);
    let mut anns = present(&ann, json!({"cursor": 1})).await;
    assert_eq!(take(&mut anns, 1).await, [r#"there: ann={"cursor":1}"#]);
    let mut bobs = present(&bob, Value::Null).await;
    assert_eq!(take(&mut bobs, 1).await, [r#"there: ann={"cursor":1}, bob"#]);
    assert_eq!(take(&mut anns, 1).await, ["+ bob"]);
    bobs.update_presence(&team(), json!(7)).await.unwrap();
    assert_eq!(take(&mut anns, 1).await, ["+ bob=7"]);
    assert_eq!(take(&mut bobs, 1).await, [r#"there: ann={"cursor":1}, bob=7"#]);
    let members = anns.members(&team()).unwrap();
    assert_eq!(members.iter().map(|member| member.connections).collect::<Vec<_>>(), [1, 1]);
    drop(bobs);
    assert_eq!(take(&mut anns, 1).await, ["- bob"]);
}

pub(super) async fn a_reconnection_is_not_noticed_by_the_others(stage: &Stage) {
    let ann = stage.client(&who("ann")).await;
    let mut anns = present(&ann, Value::Null).await;
    let bob = stage.client(&who("bob")).await;
    let mut bobs = present(&bob, json!(1)).await;
    assert_eq!(take(&mut anns, 2).await, ["there: ann", "+ bob=1"]);
    assert_eq!(take(&mut bobs, 1).await, ["there: ann, bob=1"]);
    stage.cut();
    // Both come back, one after the other, within the grace.
    for subscription in [&mut anns, &mut bobs] {
        assert_eq!(take(subscription, 2).await, ["team:a resumed: 0", "there: ann, bob=1"]);
    }
    stage.publish(deleted("1", [team()])).await;
    assert_eq!(take(&mut anns, 1).await, ["1"]);
    assert_eq!(take(&mut bobs, 1).await, ["1"]);
}

pub(super) async fn who_does_not_come_back_is_gone_after_a_while(stage: &Stage) {
    let (ann, bob) = (stage.client(&who("ann")).await, stage.client(&who("bob")).await);
    let mut anns = present(&ann, Value::Null).await;
    let bobs = present(&bob, Value::Null).await;
    assert_eq!(take(&mut anns, 2).await, ["there: ann", "+ bob"]);
    bob.close().await;
    drop(bobs);
    stage.until_count(&team(), 1).await;
    stage.publish(deleted("1", [team()])).await;
    // First the event: the user was still waited for.
    assert_eq!(take(&mut anns, 2).await, ["1", "- bob"]);
}

pub(super) async fn who_leaves_before_closing_is_gone_at_once(stage: &Stage) {
    let (ann, bob) = (stage.client(&who("ann")).await, stage.client(&who("bob")).await);
    let mut anns = present(&ann, Value::Null).await;
    let bobs = present(&bob, Value::Null).await;
    assert_eq!(take(&mut anns, 2).await, ["there: ann", "+ bob"]);
    drop(bobs);
    bob.close().await;
    stage.until_count(&team(), 1).await;
    let carol = stage.client(&who("carol")).await;
    let mut carols = present(&carol, Value::Null).await;
    assert_eq!(take(&mut carols, 1).await, ["there: ann, carol"], "nobody is waited for");
    assert_eq!(take_sorted(&mut anns, 2).await, ["+ carol", "- bob"]);
}

pub(super) async fn presence_that_is_not_granted_is_denied_and_the_room_is_not(stage: &Stage) {
    let ann = who("ann").may("*", &["subscribe"]).may("issue:i", &["presence"]);
    let client = stage.client(&ann).await;
    let mut in_team = client.subscribe_with([Join::new(team()).presence()]).await.unwrap();
    let mut in_issue = client.subscribe_with([Join::new(issue()).presence()]).await.unwrap();
    assert_eq!(take(&mut in_team, 1).await, ["no presence in team:a"]);
    assert_eq!(take(&mut in_issue, 1).await, ["there: ann"]);
    stage.publish(deleted("1", [team()])).await;
    assert_eq!(take(&mut in_team, 1).await, ["1"]);
}

pub(super) async fn typing_reaches_the_others_and_ends_when_it_is_said(stage: &Stage) {
    let (ann, bob, tab) =
        (stage.client(&who("ann")).await, stage.client(&who("bob")).await, stage.client(&who("ann")).await);
    let mut own = ann.subscribe(issue()).await.unwrap();
    let (mut others, mut other_tab) = (bob.subscribe(issue()).await.unwrap(), tab.subscribe(issue()).await.unwrap());
    ann.typing("i", true).await.unwrap();
    ann.typing("i", false).await.unwrap();
    stage.publish(deleted("1", [issue()])).await;
    assert_eq!(take(&mut others, 3).await, ["ann types: true", "ann types: false", "1"]);
    assert_eq!(take(&mut other_tab, 3).await, ["ann types: true", "ann types: false", "1"]);
    assert_eq!(take(&mut own, 1).await, ["1"], "there is no echo");
}

pub(super) async fn typing_ends_by_itself(stage: &Stage) {
    let (ann, bob) = (stage.client(&who("ann")).await, stage.client(&who("bob")).await);
    let _own = ann.subscribe(issue()).await.unwrap();
    let mut others = bob.subscribe(issue()).await.unwrap();
    ann.typing("i", true).await.unwrap();
    assert_eq!(take(&mut others, 2).await, ["ann types: true", "ann types: false"]);
}

pub(super) async fn typing_ends_with_its_connection(stage: &Stage) {
    let (ann, bob) = (stage.client(&who("ann")).await, stage.client(&who("bob")).await);
    let own = ann.subscribe(issue()).await.unwrap();
    let mut others = bob.subscribe(issue()).await.unwrap();
    ann.typing("i", true).await.unwrap();
    drop(own);
    assert_eq!(take(&mut others, 2).await, ["ann types: true", "ann types: false"]);
    let own = ann.subscribe(issue()).await.unwrap();
    ann.typing("i", true).await.unwrap();
    ann.close().await;
    drop(own);
    assert_eq!(take(&mut others, 2).await, ["ann types: true", "ann types: false"]);
}

pub(super) async fn typing_needs_to_be_in_the_issue(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    assert_eq!(refused(client.typing("i", true).await), "FORBIDDEN");
    let others = client.subscribe(Room::issue("other")).await.unwrap();
    assert_eq!(refused(client.typing("i", true).await), "FORBIDDEN");
    assert!(client.typing("other", true).await.is_ok());
    drop(others);
    stage.cut();
    until_away(&client).await;
}
