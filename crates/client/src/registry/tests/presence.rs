//! Presence without a driver: which wish a room has, when it is said, and who is told what.

use roomcast_protocol::server::{PresenceChange, PresenceMember, PresenceState, PresenceStatus};
use serde_json::{Value, json};

use super::*;

const DENIED: RoomOutcome = RoomOutcome::Subscribed {
    position: Position { epoch: Epoch(7), offset: 1 },
    presence: Some(PresenceStatus::Denied),
};

/// The room with presence; `null` says nothing.
fn with(room: &Room, data: Value) -> Place {
    Place { room: room.clone(), since: None, wish: Some(Wish::with_data(&data).unwrap()) }
}

fn without(room: &Room) -> Place {
    Place { room: room.clone(), since: None, wish: None }
}

/// The next request in short words: its rooms, and the wish.
fn asked(registry: &mut Registry, request: u64) -> String {
    let asked = registry.ask(Portion::of(&limits(100)), request);
    let since = |since: Option<Position>| since.map_or_else(String::new, |since| format!("@{}", since.offset));
    let rooms: Vec<_> = asked.rooms.iter().map(|(room, at)| format!("{}{}", room.id(), since(*at))).collect();
    let data = |wish: Wish| wish.into_options().data.map_or("true".into(), |data| data.get().to_owned());
    format!("{} {}", rooms.join(","), asked.wish.map_or("-".into(), data))
}

fn member(user: &str, data: Option<Value>) -> PresenceMember {
    PresenceMember { user_id: user.parse().unwrap(), data, connections: 1 }
}

fn list(registry: &mut Registry, room: &Room, users: &[&str]) {
    let members = users.iter().map(|user| member(user, None)).collect();
    registry.present(&Delivery::PresenceState(PresenceState { room: room.clone(), members }));
}

fn joins(registry: &mut Registry, room: &Room, user: &str, data: Value) {
    let member = member(user, Some(data));
    registry.present(&Delivery::PresenceJoined(PresenceChange { room: room.clone(), member }));
}

fn leaves(registry: &mut Registry, room: &Room, user: &str) {
    let member = member(user, None);
    registry.present(&Delivery::PresenceLeft(PresenceChange { room: room.clone(), member }));
}

/// Everything that lies in a mailbox, in short words.
fn drain(mailbox: &Mailbox) -> Vec<String> {
    let name = |member: &PresenceMember| match &member.data {
        Some(data) => format!("{}={data}", member.user_id),
        None => member.user_id.to_string(),
    };
    let word = |delivery| match delivery {
        Delivery::PresenceState(state) => state.members.iter().map(name).collect::<Vec<_>>().join(","),
        Delivery::PresenceJoined(change) => format!("+{}", name(&change.member)),
        Delivery::PresenceLeft(change) => format!("-{}", name(&change.member)),
        Delivery::PresenceDenied { .. } => "no presence".into(),
        Delivery::Denied { .. } => "denied".into(),
        Delivery::Event(_) => "event".into(),
        Delivery::Resumed { .. } => "resumed".into(),
        Delivery::Gap { .. } => "gap".into(),
        other => format!("{other:?}"),
    };
    std::iter::from_fn(|| next(mailbox)).map(word).collect()
}

/// A registry whose only subscription is in room `a` with presence, and knows that `ann` is there.
fn present() -> (Registry, Arc<Mailbox>, Room) {
    let (mut registry, a) = (Registry::default(), room("a"));
    let (mailbox, _) = add_places(&mut registry, 1, vec![with(&a, Value::Null)]);
    assert_eq!(asked(&mut registry, 1), "a true");
    registry.outcome(1, &a, subscribed(1));
    list(&mut registry, &a, &["ann"]);
    assert_eq!(drain(&mailbox), ["ann"]);
    (registry, mailbox, a)
}

#[test]
fn only_those_who_asked_are_told_who_comes_and_leaves() {
    let (mut registry, mailbox, a) = present();
    let (silent, _) = add_places(&mut registry, 2, vec![without(&a)]);
    assert!(!registry.has_idle());
    joins(&mut registry, &a, "ben", json!(1));
    joins(&mut registry, &a, "ben", json!(2));
    leaves(&mut registry, &a, "ann");
    list(&mut registry, &room("b"), &["zoe"]);
    assert_eq!(drain(&mailbox), ["+ben=1", "+ben=2", "-ann"]);
    assert_eq!(mailbox.members(&a).unwrap(), [member("ben", Some(json!(2)))]);
    assert!(drain(&silent).is_empty() && silent.members(&a).is_none());
}

#[test]
fn rooms_with_one_wish_share_a_request_and_others_have_one_of_their_own() {
    let mut registry = Registry::default();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(room);
    let places = vec![with(&a, json!(1)), without(&b), with(&c, json!(1)), with(&d, Value::Null)];
    let (_mailbox, mut outcome) = add_places(&mut registry, 1, places);
    assert_eq!([1, 2, 3].map(|request| asked(&mut registry, request)), ["a,c 1", "b -", "d true"]);
    assert!(!registry.has_idle());
    for (request, room) in [(1, &a), (2, &b), (1, &c), (3, &d)] {
        registry.outcome(request, room, subscribed(1));
    }
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))));
}

#[test]
fn who_asks_later_gets_the_list_at_once_and_disturbs_nobody() {
    let (mut registry, mailbox, a) = present();
    joins(&mut registry, &a, "ben", json!(1));
    drain(&mailbox);
    let (late, _) = add_places(&mut registry, 2, vec![with(&a, Value::Null)]);
    assert!(!registry.has_idle(), "the wish is the same");
    assert_eq!((drain(&late), drain(&mailbox)), (vec!["ann,ben=1".to_owned()], vec![]));
    leaves(&mut registry, &a, "ben");
    assert_eq!((drain(&late), drain(&mailbox)), (vec!["-ben".to_owned()], vec!["-ben".to_owned()]));
}

#[test]
fn a_wish_that_comes_to_a_joined_room_is_said_without_moving_anybody() {
    let (mut registry, mailbox) = joined(&[room("a")]);
    let a = room("a");
    let (late, mut outcome) = add_places(&mut registry, 2, vec![with(&a, json!("hi"))]);
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))), "it is in the room");
    assert_eq!(asked(&mut registry, 2), "a \"hi\"");
    // Live events go on coming, before the answer and behind it.
    registry.route(frame(IssueUpdated::default(), &[(&a, 2)]));
    registry.outcome(2, &a, subscribed(2));
    list(&mut registry, &a, &["ann"]);
    registry.route(frame(IssueUpdated::default(), &[(&a, 3)]));
    assert_eq!(drain(&late), ["event", "ann", "event"]);
    assert_eq!(drain(&mailbox), ["event", "event"]);
    assert_eq!(mailbox.position(&a), Some(at(3)));
}

#[test]
fn the_latest_data_has_the_say_and_who_says_nothing_silences_nobody() {
    let (mut registry, _mailbox, a) = present();
    let mut request = 1;
    let mut said = |registry: &mut Registry| {
        request += 1;
        let asked = asked(registry, request);
        registry.outcome(request, &room("a"), subscribed(1));
        asked
    };
    let _two = add_places(&mut registry, 2, vec![with(&a, json!("two"))]);
    assert_eq!(said(&mut registry), "a \"two\"");
    let _three = add_places(&mut registry, 3, vec![with(&a, json!("three"))]);
    assert_eq!(said(&mut registry), "a \"three\"");
    let _four = add_places(&mut registry, 4, vec![with(&a, Value::Null)]);
    assert_eq!(said(&mut registry), " -", "nothing to say");
    registry.attend(2, &a, Wish::with_data(&json!("two again")).unwrap()).unwrap();
    assert_eq!(said(&mut registry), "a \"two again\"");
    registry.remove(2);
    assert_eq!(said(&mut registry), "a \"three\"");
    registry.remove(3);
    assert_eq!(said(&mut registry), "a true");
}

#[test]
fn changes_behind_one_that_is_not_answered_wait_and_only_the_last_is_said() {
    let (mut registry, _mailbox, a) = present();
    for data in 1..=3 {
        registry.attend(1, &a, Wish::with_data(&json!(data)).unwrap()).unwrap();
        if data == 1 {
            assert_eq!(asked(&mut registry, 2), "a 1");
        } else {
            assert_eq!(asked(&mut registry, 9), " -");
        }
    }
    registry.outcome(2, &a, subscribed(1));
    assert_eq!(asked(&mut registry, 3), "a 3");
    registry.outcome(3, &a, subscribed(1));
    assert!(!registry.has_idle());
}

#[test]
fn presence_is_changed_only_where_it_was_asked_for() {
    let (mut registry, _mailbox, a) = present();
    let _other = add_places(&mut registry, 2, vec![without(&a), without(&room("b"))]);
    for (id, room) in [(2, &a), (1, &room("b")), (1, &room("c"))] {
        let error = registry.attend(id, room, Wish::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn the_wish_is_withdrawn_with_the_last_who_has_it_and_stragglers_mean_nothing() {
    let (mut registry, _mailbox, a) = present();
    let (silent, _) = add_places(&mut registry, 2, vec![without(&a)]);
    let (late, _) = add_places(&mut registry, 3, vec![with(&a, Value::Null)]);
    registry.remove(1);
    assert!(!registry.has_idle(), "one still wants it");
    registry.remove(3);
    assert_eq!(asked(&mut registry, 2), "a -");
    joins(&mut registry, &a, "ben", json!(1));
    list(&mut registry, &a, &["ann", "ben"]);
    registry.outcome(2, &a, subscribed(1));
    assert!(registry.take_left().is_empty() && drain(&silent).is_empty());
    assert_eq!(drain(&late), ["ann"], "of when it was there");
    // And again: the list of then is not taken for that of now.
    let (again, _) = add_places(&mut registry, 4, vec![with(&a, Value::Null)]);
    assert!(drain(&again).is_empty());
    assert_eq!(asked(&mut registry, 3), "a true");
}

#[test]
fn a_reconnection_says_the_latest_wish_with_the_position_and_tells_the_list_behind_the_word() {
    let (mut registry, mailbox, a) = present();
    registry.attend(1, &a, Wish::with_data(&json!(5)).unwrap()).unwrap();
    registry.disconnected();
    let (late, _) = add_places(&mut registry, 2, vec![with(&a, Value::Null)]);
    leaves(&mut registry, &a, "ann");
    assert_eq!(mailbox.members(&a).unwrap().len(), 1, "nobody is said to have left");
    assert_eq!(asked(&mut registry, 2), "a@1 5");
    registry.outcome(2, &a, RoomOutcome::Recovered { position: at(1), recovered: 0, presence: None });
    list(&mut registry, &a, &["ben"]);
    assert_eq!(drain(&mailbox), ["resumed", "ben"]);
    assert_eq!(drain(&late), ["ben"]);
    assert!(!registry.has_idle());
}

#[test]
fn a_newcomer_with_a_position_is_told_how_it_goes_on_before_who_is_there() {
    let (mut registry, mailbox, a) = present();
    registry.route(frame(IssueUpdated::default(), &[(&a, 2)]));
    let place = Place { since: Some(at(1)), ..with(&a, Value::Null) };
    let (late, _) = add_places(&mut registry, 2, vec![place]);
    assert_eq!(asked(&mut registry, 2), "a@1 true");
    // Both are of before the answer.
    joins(&mut registry, &a, "ben", json!(1));
    list(&mut registry, &a, &["ann", "ben"]);
    registry.outcome(2, &a, RoomOutcome::Recovered { position: at(1), recovered: 1, presence: None });
    list(&mut registry, &a, &["ann", "cleo"]);
    registry.route(frame(IssueUpdated::default(), &[(&a, 2)]));
    assert_eq!(drain(&late), ["resumed", "ann,cleo", "event"]);
    assert_eq!(drain(&mailbox), ["event", "+ben=1", "ann,ben", "ann,cleo"]);
}

#[test]
fn a_denial_is_told_once_to_each_who_asked_and_overcome_by_another_answer() {
    let (mut registry, a) = (Registry::default(), room("a"));
    let (first, mut outcome) = add_places(&mut registry, 1, vec![with(&a, Value::Null)]);
    asked(&mut registry, 1);
    registry.outcome(1, &a, DENIED);
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))), "the room is joined all the same");
    assert_eq!(drain(&first), ["no presence"]);
    let (second, _) = add_places(&mut registry, 2, vec![with(&a, Value::Null)]);
    assert_eq!(asked(&mut registry, 2), "a true", "it may be granted by now");
    registry.outcome(2, &a, DENIED);
    assert_eq!((drain(&first), drain(&second)), (vec![], vec!["no presence".to_owned()]));
    registry.disconnected();
    asked(&mut registry, 3);
    registry.outcome(3, &a, DENIED);
    assert_eq!(drain(&first), ["resumed"]);
    registry.renewed();
    assert_eq!(asked(&mut registry, 4), "a true", "another token may grant it");
    registry.outcome(4, &a, subscribed(1));
    list(&mut registry, &a, &["ann"]);
    assert_eq!((drain(&first), drain(&second)), (vec!["ann".to_owned()], vec!["resumed".to_owned(), "ann".to_owned()]));
}

#[test]
fn a_refused_or_unanswered_wish_is_said_again_and_a_room_that_it_cost_is_resumed() {
    let (mut registry, mailbox, a) = present();
    registry.attend(1, &a, Wish::with_data(&json!(1)).unwrap()).unwrap();
    assert_eq!(asked(&mut registry, 2), "a 1");
    assert!(registry.ask_again(2));
    assert_eq!(asked(&mut registry, 3), "a 1");
    assert!(registry.outcome(3, &a, denied(ErrorCode::Unavailable)), "to be asked for again");
    assert_eq!(asked(&mut registry, 4), "a@1 1");
    registry.outcome(4, &a, RoomOutcome::Recovered { position: at(1), recovered: 0, presence: None });
    list(&mut registry, &a, &["ann"]);
    assert_eq!(drain(&mailbox), ["ann"]);
}

#[test]
fn an_expelled_subscription_knows_nothing_of_the_room_any_more() {
    let (mut registry, mailbox, a) = present();
    registry.lost(&a, ErrorCode::Forbidden);
    list(&mut registry, &a, &["ann", "ben"]);
    assert_eq!(drain(&mailbox), ["denied"]);
    assert!(mailbox.members(&a).is_none());
}
