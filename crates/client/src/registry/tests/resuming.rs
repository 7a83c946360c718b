//! Going on behind positions: which one is asked for, what the answer means for each seat, and what comes once.

use super::*;

fn recovered(since: u64, recovered: u64) -> RoomOutcome {
    RoomOutcome::Recovered { position: at(since), recovered, presence: None }
}

fn gap(offset: u64, reason: GapReason) -> RoomOutcome {
    RoomOutcome::Gap { position: at(offset), reason, presence: None }
}

/// An event by its id, with its offset in each of its rooms.
fn event(id: &str, positions: &[(&Room, u64)]) -> Box<EventFrame> {
    Box::new(EventFrame { event_id: id.parse().ok(), ..*frame(IssueUpdated::default(), positions) })
}

fn since(room: &Room, offset: u64) -> RoomSince {
    (room.clone(), Some(at(offset)))
}

/// Everything that lies in a mailbox, in short words.
fn drain(mailbox: &Mailbox) -> Vec<String> {
    let word = |delivery| match delivery {
        Delivery::Event(frame) => frame.event_id.map_or("event".into(), String::from),
        Delivery::Resumed { room, recovered } => format!("{} resumed {recovered}", room.id()),
        Delivery::Gap { room, reason } => format!("{} gap {reason:?}", room.id()),
        other => format!("{other:?}"),
    };
    std::iter::from_fn(|| next(mailbox)).map(word).collect()
}

#[test]
fn a_room_is_resumed_behind_what_was_delivered_and_what_follows_comes_once() {
    let a = room("a");
    let (mut registry, mailbox) = joined(std::slice::from_ref(&a));
    registry.route(event("e2", &[(&a, 2)]));
    registry.disconnected();
    assert_eq!(ask(&mut registry, 1), [since(&a, 2)]);
    registry.outcome(1, &a, recovered(2, 1));
    for (id, offset) in [("e2", 2), ("e3", 3), ("e3", 3), ("e4", 4)] {
        registry.route(event(id, &[(&a, offset)]));
    }
    assert_eq!(drain(&mailbox), ["e2", "a resumed 1", "e3", "e4"]);
    assert_eq!(mailbox.position(&a), Some(at(4)));
}

#[test]
fn what_comes_between_since_and_its_answer_is_left_to_the_replay() {
    let a = room("a");
    let (mut registry, mailbox) = joined(std::slice::from_ref(&a));
    registry.disconnected();
    ask(&mut registry, 1);
    registry.route(event("e3", &[(&a, 3)]));
    registry.outcome(1, &a, recovered(1, 2));
    registry.route(event("e2", &[(&a, 2)]));
    registry.route(event("e3", &[(&a, 3)]));
    assert_eq!(drain(&mailbox), ["a resumed 2", "e2", "e3"]);
}

#[test]
fn a_gap_moves_the_position() {
    let a = room("a");
    let (mut registry, mailbox) = joined(std::slice::from_ref(&a));
    registry.disconnected();
    ask(&mut registry, 1);
    registry.outcome(1, &a, gap(9, GapReason::HistoryTruncated));
    registry.news(&a, gap(20, GapReason::TooManyMissed));
    assert_eq!(drain(&mailbox), ["a gap Some(HistoryTruncated)", "a gap Some(TooManyMissed)"]);
    assert_eq!(mailbox.position(&a), Some(at(20)));
    registry.disconnected();
    assert_eq!(ask(&mut registry, 1), [since(&a, 20)]);
}

#[test]
fn a_position_of_another_epoch_counts_as_new() {
    let a = room("a");
    let (mut registry, mailbox) = joined(std::slice::from_ref(&a));
    let other = Position { epoch: Epoch(8), offset: 1 };
    registry.news(&a, RoomOutcome::Gap { position: other, reason: GapReason::EpochChanged, presence: None });
    let mut next = event("f2", &[]);
    next.positions.insert(a.clone(), Position { offset: 2, ..other });
    registry.route(next);
    assert_eq!(drain(&mailbox), ["a gap Some(EpochChanged)", "f2"]);
    registry.disconnected();
    assert_eq!(ask(&mut registry, 1), [(a, Some(Position { offset: 2, ..other }))]);
}

#[test]
fn a_newcomer_to_a_joined_room_starts_where_the_room_is_and_disturbs_nobody() {
    let a = room("a");
    let (mut registry, mailbox) = joined(std::slice::from_ref(&a));
    registry.route(event("e2", &[(&a, 2)]));
    let (newcomer, mut outcome) = add(&mut registry, 2, std::slice::from_ref(&a));
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))) && !registry.has_idle());
    assert_eq!(newcomer.position(&a), Some(at(2)));
    registry.route(event("e3", &[(&a, 3)]));
    assert_eq!((drain(&mailbox), drain(&newcomer)), (vec!["e2".into(), "e3".into()], vec!["e3".into()]));
}

#[test]
fn a_newcomer_to_a_room_that_is_being_resumed_starts_at_its_answer() {
    let a = room("a");
    let (mut registry, mailbox) = joined(std::slice::from_ref(&a));
    registry.disconnected();
    let (newcomer, mut outcome) = add(&mut registry, 2, std::slice::from_ref(&a));
    assert_eq!(ask(&mut registry, 1), [since(&a, 1)]);
    registry.outcome(1, &a, recovered(1, 1));
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))));
    assert_eq!(newcomer.position(&a), Some(at(1)));
    registry.route(event("e2", &[(&a, 2)]));
    assert_eq!(drain(&mailbox), ["a resumed 1", "e2"]);
    assert_eq!(drain(&newcomer), ["e2"], "it missed nothing, so it is told nothing");
}

#[test]
fn a_subscription_from_a_position_is_told_how_it_goes_on() {
    let (a, b) = (room("a"), room("b"));
    let mut registry = Registry::default();
    let (mailbox, mut outcome) = add_since(&mut registry, 1, &[since(&a, 5), since(&b, 5)]);
    assert_eq!(ask(&mut registry, 1), [since(&a, 5), since(&b, 5)]);
    registry.outcome(1, &a, recovered(5, 1));
    registry.outcome(1, &b, gap(9, GapReason::EpochChanged));
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))));
    assert_eq!(mailbox.position(&b), Some(at(5)), "until the gap is read");
    registry.route(event("e6", &[(&a, 6)]));
    assert_eq!(drain(&mailbox), ["a resumed 1", "b gap Some(EpochChanged)", "e6"]);
    assert_eq!(mailbox.positions(), BTreeMap::from([(a, at(6)), (b, at(9))]));
}

#[test]
fn a_subscription_from_just_where_a_joined_room_is_needs_no_request() {
    let a = room("a");
    let (mut registry, _mailbox) = joined(std::slice::from_ref(&a));
    let (same, mut outcome) = add_since(&mut registry, 2, &[since(&a, 1)]);
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))) && !registry.has_idle());
    assert_eq!(drain(&same), ["a resumed 0"]);
}

#[test]
fn a_joined_room_is_put_back_for_one_that_missed_more_and_the_others_do_not_notice() {
    let a = room("a");
    let (mut registry, mailbox) = joined(std::slice::from_ref(&a));
    registry.route(event("e2", &[(&a, 2)]));
    registry.route(event("e3", &[(&a, 3)]));
    let (late, mut outcome) = add_since(&mut registry, 2, &[since(&a, 1)]);
    registry.route(event("e4", &[(&a, 4)]));
    assert_eq!(ask(&mut registry, 2), [since(&a, 1)]);
    // Left to the replay, for both.
    registry.route(event("e5", &[(&a, 5)]));
    registry.outcome(2, &a, recovered(1, 4));
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))) && !registry.has_idle());
    for (id, offset) in [("e2", 2), ("e3", 3), ("e4", 4), ("e5", 5), ("e6", 6)] {
        registry.route(event(id, &[(&a, offset)]));
    }
    assert_eq!(drain(&mailbox), ["e2", "e3", "e4", "e5", "e6"]);
    assert_eq!(drain(&late), ["a resumed 4", "e2", "e3", "e4", "e5", "e6"]);
}

#[test]
fn a_gap_for_one_that_missed_more_is_none_for_the_others() {
    let a = room("a");
    let (mut registry, mailbox) = joined(std::slice::from_ref(&a));
    let foreign = Position { epoch: Epoch(8), offset: 1 };
    let (late, mut outcome) = add_since(&mut registry, 2, &[(a.clone(), Some(foreign))]);
    assert_eq!(ask(&mut registry, 2), [(a.clone(), Some(foreign))]);
    registry.route(event("e2", &[(&a, 2)]));
    registry.outcome(2, &a, gap(2, GapReason::EpochChanged));
    assert!(matches!(outcome.try_recv(), Ok(Ok(()))));
    assert_eq!(ask(&mut registry, 3), [since(&a, 1)], "the other one's turn");
    registry.outcome(3, &a, recovered(1, 1));
    registry.route(event("e2", &[(&a, 2)]));
    registry.route(event("e3", &[(&a, 3)]));
    assert!(!registry.has_idle());
    assert_eq!(drain(&mailbox), ["e2", "e3"]);
    assert_eq!(drain(&late), ["a gap Some(EpochChanged)", "e3"]);
}

#[test]
fn a_position_ahead_of_the_room_is_asked_about_too() {
    let a = room("a");
    let (mut registry, mailbox) = joined(std::slice::from_ref(&a));
    let (ahead, _outcome) = add_since(&mut registry, 2, &[since(&a, 3)]);
    assert_eq!(ask(&mut registry, 2), [since(&a, 3)]);
    registry.outcome(2, &a, recovered(3, 1));
    registry.route(event("e4", &[(&a, 4)]));
    assert_eq!(drain(&mailbox), [""; 0], "its own missed events come first");
    assert_eq!(ask(&mut registry, 3), [since(&a, 1)]);
    registry.outcome(3, &a, recovered(1, 3));
    for (id, offset) in [("e2", 2), ("e3", 3), ("e4", 4)] {
        registry.route(event(id, &[(&a, offset)]));
    }
    assert_eq!(drain(&mailbox), ["e2", "e3", "e4"]);
    assert_eq!(drain(&ahead), ["a resumed 1", "e4"]);
}

#[test]
fn a_refused_request_loses_nothing_of_a_room_that_was_joined() {
    let a = room("a");
    let (mut registry, mailbox) = joined(std::slice::from_ref(&a));
    let (_late, _outcome) = add_since(&mut registry, 2, &[(a.clone(), Some(at(0)))]);
    ask(&mut registry, 2);
    registry.route(event("e2", &[(&a, 2)]));
    assert!(registry.ask_again(2));
    registry.route(event("e3", &[(&a, 3)]));
    assert_eq!(ask(&mut registry, 3), [since(&a, 0)]);
    registry.outcome(3, &a, recovered(0, 3));
    for (id, offset) in [("e1", 1), ("e2", 2), ("e3", 3)] {
        registry.route(event(id, &[(&a, offset)]));
    }
    assert_eq!(drain(&mailbox), ["e2", "e3"]);
    registry.remove(1);
    registry.remove(2);
    assert_eq!(registry.take_left(), BTreeSet::from([a]));
}

#[test]
fn an_event_that_comes_again_through_another_room_is_delivered_once_to_each() {
    let (a, b) = (room("a"), room("b"));
    let (mut registry, both) = joined(&[a.clone(), b.clone()]);
    let (only_b, _outcome) = add(&mut registry, 2, std::slice::from_ref(&b));
    registry.disconnected();
    assert_eq!(ask_some(&mut registry, 1, 1), [since(&a, 1)]);
    registry.outcome(1, &a, recovered(1, 1));
    registry.route(event("shared", &[(&a, 2), (&b, 3)]));
    assert_eq!(both.position(&b), Some(at(1)));
    assert_eq!(ask(&mut registry, 2), [since(&b, 1)]);
    registry.outcome(2, &b, recovered(1, 2));
    registry.route(event("b2", &[(&b, 2)]));
    registry.route(event("shared", &[(&b, 3)]));
    assert_eq!(drain(&both), ["a resumed 1", "shared", "b resumed 2", "b2"]);
    assert_eq!(drain(&only_b), ["b resumed 2", "b2", "shared"]);
    assert_eq!(both.positions(), BTreeMap::from([(a, at(2)), (b, at(3))]));
}

#[test]
fn a_frame_does_not_name_a_position_that_the_subscription_has_not_reached() {
    let (a, b) = (room("a"), room("b"));
    let (mut registry, mailbox) = joined(&[a.clone(), b.clone()]);
    registry.disconnected();
    ask_some(&mut registry, 1, 1);
    registry.outcome(1, &a, recovered(1, 0));
    next(&mailbox);
    registry.route(event("shared", &[(&a, 2), (&b, 3)]));
    let Some(Delivery::Event(frame)) = next(&mailbox) else { panic!("no event") };
    assert_eq!(frame.positions, BTreeMap::from([(a, at(2))]));
}

#[test]
fn an_event_whose_rooms_were_all_passed_is_a_duplicate_even_without_an_id() {
    let (a, b) = (room("a"), room("b"));
    let (mut registry, mailbox) = joined(&[a.clone(), b.clone()]);
    registry.route(frame(IssueUpdated::default(), &[(&a, 2), (&b, 2)]));
    registry.route(frame(IssueUpdated::default(), &[(&a, 2), (&b, 1)]));
    assert_eq!(drain(&mailbox), ["event"]);
    registry.route(frame(IssueUpdated::default(), &[(&a, 2), (&b, 3)]));
    assert_eq!(drain(&mailbox), ["event"]);
}
