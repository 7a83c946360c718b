//! The registry without a driver: sharing, first outcomes, positions, and where events go.

use futures_util::FutureExt;
use futures_util::future::poll_fn;
use roomcast_protocol::event::{IssueUpdated, UserTyping};
use roomcast_protocol::server::{GapReason, Limits};
use roomcast_protocol::{Epoch, Event, EventFrame, Timestamp};
use tokio::sync::oneshot;

use super::*;
use crate::ErrorKind;

type Outcome = oneshot::Receiver<Result<(), Error>>;

fn room(id: &str) -> Room {
    Room::team(id)
}

fn at(offset: u64) -> Position {
    Position { epoch: Epoch(7), offset }
}

fn subscribed(offset: u64) -> RoomOutcome {
    RoomOutcome::Subscribed { position: at(offset), presence: None }
}

fn denied(code: ErrorCode) -> RoomOutcome {
    RoomOutcome::Denied { code }
}

fn add(registry: &mut Registry, id: SubscriptionId, rooms: &[Room]) -> (Arc<Mailbox>, Outcome) {
    let rooms: Vec<RoomSince> = rooms.iter().map(|room| (room.clone(), None)).collect();
    add_since(registry, id, &rooms)
}

fn add_since(registry: &mut Registry, id: SubscriptionId, rooms: &[RoomSince]) -> (Arc<Mailbox>, Outcome) {
    add_places(registry, id, rooms.iter().cloned().map(|(room, since)| Place { room, since, wish: None }).collect())
}

fn add_places(registry: &mut Registry, id: SubscriptionId, places: Vec<Place>) -> (Arc<Mailbox>, Outcome) {
    let mailbox = Arc::new(Mailbox::new(16));
    let (reply, outcome) = oneshot::channel();
    registry.add(id, places, mailbox.clone(), reply);
    (mailbox, outcome)
}

fn limits(max_rooms_per_message: u64) -> Limits {
    let rates = BTreeMap::new();
    Limits { messages_per_minute: 100, max_message_bytes: 1 << 16, max_rooms: 128, max_rooms_per_message, rates }
}

/// What the request of this number asks for, of at most so many rooms.
fn ask_some(registry: &mut Registry, rooms: u64, request: u64) -> Vec<RoomSince> {
    registry.ask(Portion::of(&limits(rooms)), request).rooms
}

fn ask(registry: &mut Registry, request: u64) -> Vec<RoomSince> {
    ask_some(registry, 100, request)
}

/// A registry whose only subscription is in these rooms, each at offset 1.
fn joined(rooms: &[Room]) -> (Registry, Arc<Mailbox>) {
    let mut registry = Registry::default();
    let (mailbox, mut outcome) = add(&mut registry, 1, rooms);
    ask(&mut registry, 1);
    rooms.iter().for_each(|room| assert!(!registry.outcome(1, room, subscribed(1))));
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))));
    (registry, mailbox)
}

fn next(mailbox: &Mailbox) -> Option<Delivery> {
    poll_fn(|cx| mailbox.poll_next(cx)).now_or_never().flatten()
}

fn frame(event: impl Into<Event>, positions: &[(&Room, u64)]) -> Box<EventFrame> {
    Box::new(EventFrame {
        event: event.into(),
        timestamp: Timestamp::from_millis(0).unwrap(),
        user_id: None,
        event_id: None,
        positions: positions.iter().map(|(room, offset)| ((*room).clone(), at(*offset))).collect(),
    })
}

fn is_event(delivery: Option<Delivery>) -> bool {
    matches!(delivery, Some(Delivery::Event(_)))
}

#[test]
fn a_shared_room_is_asked_for_once_and_left_with_the_last() {
    let (mut registry, _mailbox) = joined(&[room("a")]);
    let (_, mut outcome) = add(&mut registry, 2, &[room("a")]);
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))), "a joined room needs no request");
    assert!(!registry.has_idle());
    registry.remove(1);
    assert!(registry.take_left().is_empty());
    registry.remove(2);
    assert_eq!(registry.take_left(), BTreeSet::from([room("a")]));
}

#[test]
fn a_room_that_was_never_asked_for_is_not_left() {
    let mut registry = Registry::default();
    let _subscription = add(&mut registry, 1, &[room("a")]);
    registry.remove(1);
    assert!(registry.take_left().is_empty());
    assert!(ask(&mut registry, 1).is_empty());
}

#[test]
fn an_answer_to_another_request_says_nothing() {
    let mut registry = Registry::default();
    let (_, mut outcome) = add(&mut registry, 1, &[room("a")]);
    ask(&mut registry, 1);
    registry.remove(1);
    let (_, mut second) = add(&mut registry, 2, &[room("a")]);
    assert_eq!(ask(&mut registry, 2), [(room("a"), None)]);
    registry.outcome(1, &room("a"), denied(ErrorCode::Forbidden));
    assert!(outcome.try_recv().is_err() && second.try_recv().is_err());
    registry.outcome(2, &room("a"), subscribed(1));
    assert!(matches!(second.try_recv(), Ok(Ok(()))));
}

#[test]
fn rooms_are_asked_for_in_portions() {
    let mut registry = Registry::default();
    let rooms: Vec<Room> = (0..5).map(|number| room(&number.to_string())).collect();
    let _subscription = add(&mut registry, 1, &rooms);
    let portions: Vec<usize> = (1..=4).map(|request| ask_some(&mut registry, 2, request).len()).collect();
    assert_eq!(portions, [2, 2, 1, 0]);
}

#[test]
fn a_gateway_that_does_not_recover_leaves_a_gap_unless_nothing_was_missed() {
    let (mut registry, mailbox) = joined(&[room("a"), room("b")]);
    registry.route(frame(IssueUpdated::default(), &[(&room("a"), 2)]));
    assert!(is_event(next(&mailbox)));
    registry.disconnected();
    assert_eq!(ask(&mut registry, 1).len(), 2);
    registry.outcome(1, &room("a"), subscribed(2));
    registry.outcome(1, &room("b"), subscribed(2));
    assert!(matches!(next(&mailbox), Some(Delivery::Resumed { room, recovered: 0 }) if room.id() == "a"));
    assert!(matches!(next(&mailbox), Some(Delivery::Gap { room, reason: None }) if room.id() == "b"));
    assert!(next(&mailbox).is_none());
}

#[test]
fn the_gateways_own_word_of_a_gap_is_passed_on() {
    let (mut registry, mailbox) = joined(&[room("a")]);
    let gap = RoomOutcome::Gap { position: at(9), reason: GapReason::HistoryTruncated, presence: None };
    registry.news(&room("a"), gap);
    assert!(matches!(next(&mailbox), Some(Delivery::Gap { reason: Some(GapReason::HistoryTruncated), .. })));
}

#[test]
fn one_denied_room_of_several_is_told_in_the_stream() {
    let mut registry = Registry::default();
    let (mailbox, mut outcome) = add(&mut registry, 1, &[room("a"), room("b")]);
    ask(&mut registry, 1);
    registry.outcome(1, &room("a"), denied(ErrorCode::Forbidden));
    assert!(outcome.try_recv().is_err(), "the other room has no outcome yet");
    registry.outcome(1, &room("b"), subscribed(1));
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))));
    assert!(matches!(next(&mailbox), Some(Delivery::Denied { code: ErrorCode::Forbidden, .. })));
    assert!(!registry.wants(&room("a")) && registry.take_left().is_empty());
}

#[test]
fn a_subscription_whose_rooms_are_all_denied_fails() {
    let mut registry = Registry::default();
    let (mailbox, mut outcome) = add(&mut registry, 1, &[room("a")]);
    ask(&mut registry, 1);
    registry.outcome(1, &room("a"), denied(ErrorCode::InvalidRoom));
    let error = outcome.try_recv().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied { code: ErrorCode::InvalidRoom });
    assert!(mailbox.is_finished());
}

#[test]
fn a_member_outlasts_a_broker_that_is_away_and_a_newcomer_is_told() {
    let (mut registry, mailbox) = joined(&[room("a")]);
    registry.disconnected();
    let (_, mut newcomer) = add(&mut registry, 2, &[room("a")]);
    ask(&mut registry, 1);
    assert!(registry.outcome(1, &room("a"), denied(ErrorCode::Unavailable)), "to be asked for again");
    assert!(newcomer.try_recv().unwrap().is_err());
    assert!(next(&mailbox).is_none() && !mailbox.is_finished());
    assert_eq!(ask(&mut registry, 2), [(room("a"), Some(at(1)))], "with the position that it had");
}

#[test]
fn a_room_that_the_token_lost_ends_the_subscription_that_has_no_other() {
    let (mut registry, mailbox) = joined(&[room("a")]);
    registry.lost(&room("a"), ErrorCode::Forbidden);
    assert!(matches!(next(&mailbox), Some(Delivery::Denied { .. })));
    assert!(mailbox.is_finished() && registry.take_left().is_empty());
}

#[test]
fn an_event_of_two_rooms_comes_once_to_each_subscription() {
    let (mut registry, both) = joined(&[room("a"), room("b")]);
    let (one, _) = add(&mut registry, 2, &[room("a")]);
    registry.route(frame(IssueUpdated::default(), &[(&room("a"), 2), (&room("b"), 2)]));
    for mailbox in [both, one] {
        assert!(is_event(next(&mailbox)));
        assert!(next(&mailbox).is_none());
    }
}

#[test]
fn nothing_of_a_room_comes_before_its_acknowledgement() {
    let mut registry = Registry::default();
    let (mailbox, _outcome) = add(&mut registry, 1, &[room("a")]);
    ask(&mut registry, 1);
    registry.route(frame(IssueUpdated::default(), &[(&room("a"), 2)]));
    assert!(next(&mailbox).is_none());
}

#[test]
fn typing_goes_to_its_issue_and_nowhere_else() {
    let (mut registry, issue) = joined(&[Room::issue("i")]);
    let (other, _outcome) = add(&mut registry, 2, &[room("a")]);
    let typing = |issue: &str| frame(UserTyping { issue_id: issue.into(), ..UserTyping::default() }, &[]);
    registry.route(typing("i"));
    registry.route(typing("elsewhere"));
    assert!(is_event(next(&issue)) && next(&issue).is_none() && next(&other).is_none());
}

#[test]
fn an_ephemeral_event_that_implies_no_room_goes_to_all() {
    let (mut registry, first) = joined(&[room("a")]);
    let (second, _outcome) = add(&mut registry, 2, &[room("a")]);
    registry.route(frame(Event::custom("cursor.moved", serde_json::json!({})), &[]));
    assert!(is_event(next(&first)) && is_event(next(&second)));
}

mod presence;
mod resuming;
