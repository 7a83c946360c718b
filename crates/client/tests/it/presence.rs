//! Presence against the real gateway: users who see each other come, change and leave.

use roomcast_client::protocol::event::IssueUpdated;
use roomcast_client::protocol::{Room, Service};
use roomcast_client::{Client, Delivery, ErrorKind, Join, Subscription};
use serde_json::{Value, json};

use crate::gateway::{DEADLINE, Running, next, start};
use crate::proxy::Proxy;

fn room() -> Room {
    Room::team("a")
}

fn client(running: &Running, user: &str) -> Client {
    running.client_of(user, running.address, json!({"*": ["subscribe", "presence"]}))
}

async fn present(client: &Client, data: Value) -> Subscription {
    client.subscribe_with([Join::new(room()).presence_with(data)]).await.unwrap()
}

fn member(member: &roomcast_client::protocol::server::PresenceMember) -> String {
    match &member.data {
        Some(data) => format!("{}={data}", member.user_id),
        None => member.user_id.to_string(),
    }
}

/// The next delivery in short words.
async fn told(subscription: &mut Subscription) -> String {
    match next(subscription).await {
        Delivery::PresenceState(state) => state.members.iter().map(member).collect::<Vec<_>>().join(","),
        Delivery::PresenceJoined(change) => format!("+{}", member(&change.member)),
        Delivery::PresenceLeft(change) => format!("-{}", change.member.user_id),
        Delivery::PresenceDenied { room } => format!("no presence in {room}"),
        Delivery::Event(frame) => frame.event.event_type().into(),
        Delivery::Resumed { recovered, .. } => format!("resumed {recovered}"),
        other => panic!("{other:?}"),
    }
}

/// Everybody in the room as the subscription knows it.
fn members(subscription: &Subscription) -> Vec<String> {
    subscription.members(&room()).unwrap().iter().map(member).collect()
}

async fn publish(running: &Running) {
    let event = IssueUpdated { id: "i".into(), team_id: "a".into(), ..IssueUpdated::default() };
    running.publisher().issue_updated(event, None).await.unwrap();
}

#[tokio::test]
async fn two_clients_see_each_other_come_change_and_leave() {
    let running = start().await;
    let (ann, ben) = (client(&running, "ann"), client(&running, "ben"));
    let mut anns = present(&ann, Value::Null).await;
    assert_eq!(told(&mut anns).await, "ann");
    let mut bens = present(&ben, json!({"cursor": 1})).await;
    assert_eq!(told(&mut bens).await, r#"ann,ben={"cursor":1}"#);
    assert_eq!(told(&mut anns).await, r#"+ben={"cursor":1}"#);
    bens.update_presence(&room(), json!({"cursor": 2})).await.unwrap();
    assert_eq!(told(&mut anns).await, r#"+ben={"cursor":2}"#);
    assert_eq!(members(&anns), ["ann", r#"ben={"cursor":2}"#]);
    assert_eq!(told(&mut bens).await, r#"ann,ben={"cursor":2}"#, "its own data is in its list");
    drop(bens);
    assert_eq!(told(&mut anns).await, "-ben");
    assert_eq!(members(&anns), ["ann"]);
    running.stop().await;
}

#[tokio::test]
async fn a_reconnection_keeps_presence_and_the_others_notice_nothing() {
    let running = start().await;
    let proxy = Proxy::start(running.address).await;
    let (ann, ben) =
        (client(&running, "ann"), running.client_of("ben", proxy.address, json!({"*": ["subscribe", "presence"]})));
    let mut anns = present(&ann, Value::Null).await;
    assert_eq!(told(&mut anns).await, "ann");
    let mut bens = present(&ben, json!(1)).await;
    assert_eq!(told(&mut anns).await, "+ben=1");
    assert_eq!(told(&mut bens).await, "ann,ben=1");
    for _ in 0..3 {
        proxy.cut();
        assert_eq!(told(&mut bens).await, "resumed 0");
        assert_eq!(told(&mut bens).await, "ann,ben=1");
    }
    proxy.go_down();
    let mut states = ben.watch_state();
    let lost = states.wait_for(|state| !state.is_open());
    tokio::time::timeout(DEADLINE, lost).await.expect("the loss is not seen").unwrap();
    bens.update_presence(&room(), json!(2)).await.unwrap();
    assert_eq!(members(&bens), ["ann", "ben=1"], "what was known is kept");
    publish(&running).await;
    proxy.come_up();
    for expected in ["resumed 1", "ann,ben=2", "issue.updated"] {
        assert_eq!(told(&mut bens).await, expected);
    }
    // In between nobody was said to have left or come.
    assert_eq!(told(&mut anns).await, "issue.updated");
    assert_eq!(told(&mut anns).await, "+ben=2");
    running.stop().await;
}

#[tokio::test]
async fn without_the_grant_presence_is_denied_and_the_room_is_not() {
    let running = start().await;
    let client = running.client_of("ann", running.address, json!({"*": ["subscribe"], "issue:i": ["presence"]}));
    let joins = [Join::new(room()).presence(), Join::new(Room::issue("i")).presence()];
    let mut subscription = client.subscribe_with(joins).await.unwrap();
    let mut both = [told(&mut subscription).await, told(&mut subscription).await];
    both.sort();
    assert_eq!(both, ["ann", "no presence in team:a"]);
    assert!(subscription.members(&room()).is_none());
    assert_eq!(subscription.members(&Room::issue("i")).unwrap().len(), 1);
    publish(&running).await;
    assert_eq!(told(&mut subscription).await, "issue.updated");
    running.stop().await;
}

#[tokio::test]
async fn presence_ends_with_the_last_who_asked_while_others_stay_in_the_room() {
    let running = start().await;
    let (ann, ben) = (client(&running, "ann"), client(&running, "ben"));
    let mut anns = present(&ann, Value::Null).await;
    assert_eq!(told(&mut anns).await, "ann");
    let mut silent = ben.subscribe(room()).await.unwrap();
    let first = present(&ben, json!("first")).await;
    assert_eq!(told(&mut anns).await, r#"+ben="first""#);
    let second = present(&ben, json!("second")).await;
    assert_eq!(told(&mut anns).await, r#"+ben="second""#);
    drop(second);
    assert_eq!(told(&mut anns).await, r#"+ben="first""#);
    drop(first);
    assert_eq!(told(&mut anns).await, "-ben");
    publish(&running).await;
    assert_eq!(told(&mut silent).await, "issue.updated", "it was told nothing else");
    assert!(silent.members(&room()).is_none());
    assert_eq!(silent.update_presence(&room(), json!(1)).await.unwrap_err().kind(), ErrorKind::Invalid);
    running.stop().await;
}

#[tokio::test]
async fn a_second_subscription_gets_the_list_at_once_and_the_same_changes() {
    let running = start().await;
    let (ann, ben) = (client(&running, "ann"), client(&running, "ben"));
    let mut first = present(&ann, Value::Null).await;
    assert_eq!(told(&mut first).await, "ann");
    let bens = present(&ben, json!(1)).await;
    assert_eq!(told(&mut first).await, "+ben=1");
    let mut second = present(&ann, Value::Null).await;
    assert_eq!(told(&mut second).await, "ann,ben=1");
    drop(bens);
    for subscription in [&mut first, &mut second] {
        assert_eq!(told(subscription).await, "-ben");
        assert_eq!(members(subscription), ["ann"]);
    }
    running.stop().await;
}
