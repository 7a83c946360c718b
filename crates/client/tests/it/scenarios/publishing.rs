//! Publishing, over the socket and over HTTP.

use roomcast_client::Delivery;
use roomcast_client::protocol::event::NotificationNew;
use roomcast_client::protocol::{Event, NewEvent, Room, Service};
use serde_json::json;

use super::stage::{Stage, deleted, issue, note, refused, take, team, who};

pub(super) async fn a_publish_needs_its_grant_for_the_type_or_for_all(stage: &Stage) {
    let none = stage.client(&who("ann")).await;
    let some = stage.client(&who("ann").may("team:a", &["publish:issue.deleted"])).await;
    let all = stage.client(&who("ann").may("team:*", &["publish"])).await;
    let mut told = Vec::new();
    for client in [none, some, all] {
        for event in [deleted("1", [team()]), note([team()]), note([issue()]), note([team(), issue()])] {
            let outcome = client.publish(event).await;
            told.push(if outcome.is_ok() { "published".into() } else { refused(outcome) });
        }
    }
    let (yes, no) = ("published", "FORBIDDEN");
    assert_eq!(told, [no, no, no, no, yes, no, no, no, yes, yes, no, no]);
}

/// Events that no gateway takes, and why.
fn malformed() -> Vec<(NewEvent, &'static str)> {
    let event = |name: &str, payload| NewEvent::from(Event::custom(name, payload)).to([team()]);
    let bare = |name: &str, payload| NewEvent::from(Event::custom(name, payload));
    vec![
        (event("issue.deleted", json!({"id": "1"})), "INVALID_PAYLOAD at /payload/teamId"),
        (event("issue.deleted", json!({"id": 7, "teamId": "t"})), "INVALID_PAYLOAD at /payload/id"),
        (event("issue.deleted", json!("text")), "INVALID_PAYLOAD at /payload"),
        (event("connection.moved", json!({})), "INVALID_PAYLOAD at /type"),
        (event("Issue", json!({})), "INVALID_PAYLOAD at /type"),
        (bare("note.added", json!({})), "INVALID_PAYLOAD at /rooms"),
        (note([]), "INVALID_PAYLOAD at /rooms"),
        (note([team(), Room::new("galaxy", "g").unwrap()]), "INVALID_ROOM at /rooms/1"),
        (bare("issue.deleted", json!({"id": "no id!", "teamId": "t"})), "INVALID_PAYLOAD at /payload/id"),
        (
            event("user.typing", json!({"issueId": "i", "userId": "ann", "userEmail": "", "isTyping": true})),
            "INVALID_PAYLOAD at /rooms",
        ),
    ]
}

pub(super) async fn an_event_that_is_not_as_its_type_wants_it_is_refused_with_the_place(stage: &Stage) {
    let everything = who("ann").may("*", &["*"]);
    let client = stage.client(&everything).await;
    let publisher = stage.publisher().token(stage.token(&everything).await).build().unwrap();
    for (event, expected) in malformed() {
        assert_eq!(refused(client.publish(event.clone()).await), expected, "over the socket: {event:?}");
        assert_eq!(refused(publisher.publish(event.clone()).await), expected, "over HTTP: {event:?}");
    }
    assert!(client.state().is_open());
}

pub(super) async fn the_same_id_again_publishes_nothing(stage: &Stage) {
    let everything = who("ann").may("*", &["*"]);
    let client = stage.client(&everything).await;
    let publisher = stage.publisher().token(stage.token(&everything).await).build().unwrap();
    let mut subscription = client.subscribe_all([team(), issue()]).await.unwrap();
    let event = |id| deleted(id, [team(), issue()]).with_id("once".parse().unwrap());
    let first = client.publish(event("1")).await.unwrap();
    let second = client.publish(event("2")).await.unwrap();
    let third = publisher.publish(event("3")).await.unwrap();
    assert_eq!((first.duplicate, second.duplicate, third.duplicate), (false, true, true));
    assert!(first.positions.len() == 2 && first.positions == second.positions && second.positions == third.positions);
    client.publish(deleted("4", [team()])).await.unwrap();
    let Some(Delivery::Event(frame)) = subscription.next().await else { panic!("no event") };
    assert_eq!((frame.event_id.unwrap().as_str(), frame.user_id.unwrap().as_str()), ("once", "ann"));
    assert_eq!(take(&mut subscription, 1).await, ["4"]);
}

pub(super) async fn an_event_that_is_too_large_is_refused(stage: &Stage) {
    let everything = who("ann").may("*", &["*"]);
    let client = stage.client(&everything).await;
    let publisher = stage.publisher().token(stage.token(&everything).await).build().unwrap();
    let event = NewEvent::from(Event::custom("note.added", json!("x".repeat(70_000)))).to([team()]);
    let _subscription = client.subscribe(team()).await.unwrap();
    assert_eq!(refused(client.publish(event.clone()).await), "Invalid");
    assert_eq!(refused(publisher.publish(event).await), "LIMIT_EXCEEDED at /payload");
    assert!(client.publish(note([team()])).await.is_ok());
}

pub(super) async fn a_publisher_without_rights_is_refused(stage: &Stage) {
    let token = stage.token(&who("service").may("team:a", &["publish"])).await;
    let publisher = stage.publisher().token(token).build().unwrap();
    assert_eq!(refused(publisher.publish(note([Room::team("b")])).await), "FORBIDDEN");
    assert_eq!(refused(publisher.publish(note([team(), Room::team("b")])).await), "FORBIDDEN", "all or nothing");
    assert_eq!(publisher.publish(note([team()])).await.unwrap().positions[&team()].offset, 1);
}

pub(super) async fn a_publisher_with_a_wrong_token_is_refused_after_another(stage: &Stage) {
    let good = stage.token(&who("service").may("*", &["publish"])).await;
    let publisher = stage.publisher().token("not.a.jwt").build().unwrap();
    assert_eq!(refused(publisher.publish(note([team()])).await), "UNAUTHORIZED");
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let provider = move || {
        let is_first = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        std::future::ready(Ok::<_, std::convert::Infallible>(if is_first { "not.a.jwt".into() } else { good.clone() }))
    };
    let publisher = stage.publisher().token_provider(provider).build().unwrap();
    assert!(publisher.publish(note([team()])).await.is_ok());
}

pub(super) async fn a_publisher_speaks_for_others_only_with_the_right_to_publish_everything(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut subscription = client.subscribe(team()).await.unwrap();
    let mut users = Vec::new();
    for may in [&["publish"], &["publish:note.added"]] {
        let token = stage.token(&who("service").may("team:a", may)).await;
        let publisher = stage.publisher().token(token).build().unwrap();
        publisher.publish(note([team()]).by(&"bob".parse().unwrap())).await.unwrap();
        publisher.publish(note([team()])).await.unwrap();
        for _ in 0..2 {
            let Some(Delivery::Event(frame)) = subscription.next().await else { panic!("no event") };
            users.push(frame.user_id.map(|user| user.to_string()).unwrap_or_default());
        }
    }
    assert_eq!(users, ["bob", "", "service", "service"]);
}

pub(super) async fn a_batch_has_an_outcome_for_each_event(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut subscription = client.subscribe(team()).await.unwrap();
    let token = stage.token(&who("service").may("team:a", &["publish"])).await;
    let publisher = stage.publisher().token(token).build().unwrap();
    let once = |id| deleted(id, [team()]).with_id("once".parse().unwrap());
    let broken = NewEvent::from(Event::custom("issue.deleted", json!({}))).to([team()]);
    let events = vec![once("1"), note([issue()]), broken, once("2"), note([]), deleted("3", [team()])];
    let outcomes = publisher.publish_batch(events).await.unwrap();
    let told: Vec<String> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Ok(published) if published.duplicate => "duplicate".into(),
            Ok(published) => published.positions[&team()].offset.to_string(),
            outcome => refused(outcome),
        })
        .collect();
    let places = ["INVALID_PAYLOAD at /payload/id", "INVALID_PAYLOAD at /rooms"];
    assert_eq!(told, ["1", "FORBIDDEN", places[0], "duplicate", places[1], "2"]);
    assert_eq!(take(&mut subscription, 2).await, ["1", "3"]);
}

pub(super) async fn a_notification_reaches_its_user_alone(stage: &Stage) {
    let (ann, bob) = (stage.client(&who("ann")).await, stage.client(&who("bob")).await);
    let mut anns = ann.subscribe_all([Room::user("ann"), team()]).await.unwrap();
    let mut bobs = bob.subscribe_all([Room::user("bob"), team()]).await.unwrap();
    let token = stage.token(&who("service").may("*", &["publish"])).await;
    let publisher = stage.publisher().token(token).build().unwrap();
    publisher.notify_user(&"ann".parse().unwrap(), NotificationNew::default()).await.unwrap();
    publisher.publish(deleted("1", [team()])).await.unwrap();
    assert_eq!(take(&mut anns, 2).await, ["notification.new", "1"]);
    assert_eq!(take(&mut bobs, 1).await, ["1"]);
}

pub(super) async fn many_calls_at_once_keep_their_order(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut subscription = client.subscribe(team()).await.unwrap();
    let token = stage.token(&who("service").may("*", &["publish"])).await;
    let publisher = stage.publisher().token(token).build().unwrap();
    let calls = (0..50).map(|number| publisher.publish(deleted(&number.to_string(), [team()])));
    let outcomes = futures_util::future::join_all(calls).await;
    let offsets: Vec<u64> = outcomes.into_iter().map(|outcome| outcome.unwrap().positions[&team()].offset).collect();
    assert_eq!(offsets, (1..=50).collect::<Vec<_>>());
    let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(take(&mut subscription, 50).await, expected);
}
