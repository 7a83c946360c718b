//! Rooms, and the events that come of them.

use roomcast_client::protocol::event::IssueUpdated;
use roomcast_client::protocol::{Epoch, NewEvent, Position, Room};
use roomcast_client::{Delivery, Join};

use super::stage::{HISTORY_SIZE, MAX_ROOMS, Stage, deleted, issue, refused, take, take_sorted, team, who};

pub(super) async fn an_event_of_several_rooms_comes_once_and_in_order(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut both = client.subscribe_all([team(), issue()]).await.unwrap();
    let mut one = client.subscribe(issue()).await.unwrap();
    stage.publish(deleted("1", [team()])).await;
    stage.publish(deleted("2", [team(), issue(), Room::project("p")])).await;
    stage.publish(deleted("3", [Room::project("p")])).await;
    stage.publish(deleted("4", [issue()])).await;
    assert_eq!(take(&mut both, 3).await, ["1", "2", "4"]);
    assert_eq!(take(&mut one, 2).await, ["2", "4"]);
}

pub(super) async fn an_event_goes_to_the_rooms_of_its_type(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let (mut in_team, mut in_issue) =
        (client.subscribe(team()).await.unwrap(), client.subscribe(issue()).await.unwrap());
    let updated = IssueUpdated { id: "i".into(), team_id: "a".into(), ..IssueUpdated::default() };
    let published = stage.publish(updated.into()).await;
    assert_eq!(published.positions.keys().map(Room::as_str).collect::<Vec<_>>(), ["issue:i", "team:a"]);
    assert_eq!(take(&mut in_team, 1).await, ["i"]);
    assert_eq!(take(&mut in_issue, 1).await, ["i"]);
}

pub(super) async fn an_event_says_who_when_and_where(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut subscription = client.subscribe_all([team(), issue()]).await.unwrap();
    let event = deleted("1", [team(), Room::project("p")]).by(&"bob".parse().unwrap()).with_id("mine".parse().unwrap());
    let timestamp = "2024-01-15T10:30:00.000Z".parse().unwrap();
    let published = stage.publish(NewEvent { timestamp: Some(timestamp), ..event }).await;
    let Some(Delivery::Event(frame)) = subscription.next().await else { panic!("no event") };
    assert_eq!((frame.event.event_type(), frame.user_id.as_ref().unwrap().as_str()), ("issue.deleted", "bob"));
    assert_eq!((frame.event_id, frame.timestamp), (Some(published.event_id), timestamp));
    let places: Vec<_> = frame.positions.iter().map(|(room, position)| (room.as_str(), position.offset)).collect();
    assert_eq!(places, [("team:a", 1)], "of the rooms that the connection is in");
    assert_eq!(subscription.position(&team()), published.positions.get(&team()).copied());
}

pub(super) async fn a_room_that_is_left_says_nothing(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let (first, mut second) = (client.subscribe(team()).await.unwrap(), client.subscribe(issue()).await.unwrap());
    stage.until_count(&team(), 1).await;
    drop(first);
    stage.until_count(&team(), 0).await;
    stage.publish(deleted("1", [team()])).await;
    stage.publish(deleted("2", [team(), issue()])).await;
    let Some(Delivery::Event(frame)) = second.next().await else { panic!("no event") };
    assert_eq!(frame.positions.keys().map(Room::as_str).collect::<Vec<_>>(), ["issue:i"]);
    assert_eq!(client.subscribe(team()).await.unwrap().position(&team()).unwrap().offset, 2);
}

pub(super) async fn a_kind_of_room_that_does_not_exist_is_denied(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let galaxy = Room::new("galaxy", "g").unwrap();
    assert_eq!(refused(client.subscribe(galaxy).await), "INVALID_ROOM");
}

pub(super) async fn a_room_that_is_not_granted_is_denied_and_the_others_are_joined(stage: &Stage) {
    let client = stage.client(&who("ann").may("team:a", &["subscribe"])).await;
    assert_eq!(refused(client.subscribe(Room::team("b")).await), "FORBIDDEN");
    let mut subscription = client.subscribe_all([team(), Room::team("b"), issue()]).await.unwrap();
    let denied = ["issue:i denied: FORBIDDEN", "team:b denied: FORBIDDEN"];
    assert_eq!(take_sorted(&mut subscription, 2).await, denied);
    stage.publish(deleted("1", [Room::team("b"), team()])).await;
    assert_eq!(take(&mut subscription, 1).await, ["1"]);
}

pub(super) async fn a_user_is_always_in_the_own_room_and_never_in_anothers(stage: &Stage) {
    for ann in [who("ann"), who("ann").may("team:a", &["subscribe"])] {
        let client = stage.client(&ann).await;
        assert!(client.subscribe(Room::user("ann")).await.is_ok());
        assert_eq!(refused(client.subscribe(Room::user("bob")).await), "FORBIDDEN");
    }
}

pub(super) async fn a_room_too_many_is_denied(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let rooms: Vec<Room> = (0..MAX_ROOMS).map(|number| Room::team(&number.to_string())).collect();
    let first = client.subscribe_all(rooms).await.unwrap();
    assert_eq!(refused(client.subscribe(team()).await), "LIMIT_EXCEEDED");
    assert!(client.subscribe(Room::team("0")).await.is_ok(), "it is in that one already");
    drop(first);
    stage.until_count(&Room::team("1"), 0).await;
    assert!(client.subscribe(team()).await.is_ok());
}

pub(super) async fn a_second_subscription_goes_on_from_where_the_room_is(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut first = client.subscribe(team()).await.unwrap();
    stage.publish(deleted("1", [team()])).await;
    assert_eq!(take(&mut first, 1).await, ["1"]);
    let mut second = client.subscribe(team()).await.unwrap();
    assert_eq!(second.position(&team()), first.position(&team()));
    stage.publish(deleted("2", [team()])).await;
    assert_eq!(take(&mut first, 1).await, ["2"]);
    assert_eq!(take(&mut second, 1).await, ["2"]);
}

pub(super) async fn a_stored_position_is_gone_on_from(stage: &Stage) {
    let first = stage.client(&who("ann")).await;
    let mut subscription = first.subscribe(team()).await.unwrap();
    stage.publish(deleted("1", [team()])).await;
    assert_eq!(take(&mut subscription, 1).await, ["1"]);
    let stored = subscription.position(&team()).unwrap();
    first.close().await;
    stage.publish(deleted("2", [team()])).await;
    stage.publish(deleted("3", [team()])).await;
    let second = stage.client(&who("ann")).await;
    let mut subscription = second.subscribe_since(team(), stored).await.unwrap();
    assert_eq!(take(&mut subscription, 3).await, ["team:a resumed: 2", "2", "3"]);
    let mut again = second.subscribe_since(team(), subscription.position(&team()).unwrap()).await.unwrap();
    assert_eq!(take(&mut again, 1).await, ["team:a resumed: 0"]);
}

pub(super) async fn a_position_of_another_stream_is_a_gap(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let here = client.subscribe(team()).await.unwrap().position(&team()).unwrap();
    let joins = [
        Join::new(team()).since(Position { offset: here.offset + 9, ..here }),
        Join::new(issue()).since(Position { epoch: Epoch(7), offset: 5 }),
    ];
    let mut subscription = client.subscribe_with(joins).await.unwrap();
    let gaps = ["gap in issue:i: epoch_changed", "gap in team:a: epoch_changed"];
    assert_eq!(take_sorted(&mut subscription, 2).await, gaps);
    stage.publish(deleted("1", [team(), issue()])).await;
    assert_eq!(take(&mut subscription, 1).await, ["1"]);
}

pub(super) async fn what_is_not_kept_any_more_is_a_gap(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let start = client.subscribe(team()).await.unwrap().position(&team()).unwrap();
    stage.until_count(&team(), 0).await;
    for number in 0..=HISTORY_SIZE {
        stage.publish(deleted(&number.to_string(), [team()])).await;
    }
    let mut too_old = client.subscribe_since(team(), start).await.unwrap();
    assert_eq!(take(&mut too_old, 1).await, ["gap in team:a: history_truncated"]);
    let kept = Position { offset: start.offset + 1, ..start };
    let mut all = client.subscribe_since(team(), kept).await.unwrap();
    assert_eq!(take(&mut all, 1 + HISTORY_SIZE).await, ["team:a resumed: 5", "1", "2", "3", "4", "5"]);
}
