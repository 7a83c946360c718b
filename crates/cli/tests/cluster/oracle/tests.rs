//! Tests of the oracle: what it must find, and what it must let pass.

use super::*;

fn room() -> Room {
    Room::team("a")
}

fn id(number: u64) -> EventId {
    format!("e{number}").parse().unwrap()
}

fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch(epoch), offset }
}

/// Event and offset are the same number.
fn event(epoch: u64, number: u64) -> Told {
    named(number, at(epoch, number))
}

fn named(number: u64, position: Position) -> Told {
    Told::Event { id: id(number), positions: [(room(), position)].into() }
}

/// Judges a reader of a stream of five events.
fn judged(told: Vec<Told>) -> Verdict {
    judged_until(at(1, 5), told)
}

fn judged_until(end: Position, told: Vec<Told>) -> Verdict {
    let mut truth = Truth::default();
    (1..=5).for_each(|number| truth.note(&room(), at(1, number), &id(number)));
    let journal = Journal { start: [(room(), at(1, 0))].into(), told };
    judge(&mut truth, &[journal], &[(room(), end)].into())
}

fn found(verdict: &Verdict) -> [usize; 5] {
    [verdict.lost, verdict.doubled, verdict.disordered, verdict.reused, verdict.silent]
}

#[test]
fn a_whole_stream_is_clean() {
    let verdict = judged((1..=5).map(|number| event(1, number)).collect());
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!((verdict.deliveries, verdict.gaps), (5, 0));
}

#[test]
fn a_lost_event_is_found_wherever_it_is() {
    for lost in 1..=5 {
        let told = (1..=5).filter(|number| *number != lost).map(|number| event(1, number)).collect();
        assert_eq!(found(&judged(told)), [1, 0, 0, 0, 0], "{lost}");
    }
    assert_eq!(found(&judged(Vec::new())), [5, 0, 0, 0, 0]);
}

#[test]
fn a_doubled_event_is_found_also_at_another_position() {
    let told = [1, 2, 3, 2, 4, 5].map(|number| event(1, number)).into();
    assert_eq!(found(&judged(told)), [0, 1, 0, 0, 0]);
    let mut told: Vec<_> = (1..=5).map(|number| event(1, number)).collect();
    told.push(named(5, at(1, 6)));
    let verdict = judged(told);
    assert_eq!((verdict.doubled, verdict.reused), (1, 1), "it was published twice, too: {verdict}");
}

#[test]
fn swapped_events_are_out_of_order_and_not_lost() {
    let told = [1, 3, 2, 4, 5].map(|number| event(1, number)).into();
    assert_eq!(found(&judged(told)), [0, 0, 1, 0, 0]);
}

#[test]
fn a_position_that_names_two_events_is_found_also_between_two_readers() {
    let mut told: Vec<_> = (1..=4).map(|number| event(1, number)).collect();
    told.push(named(9, at(1, 5)));
    assert_eq!(judged(told).reused, 1);
    let journal = |number| Journal { start: [(room(), at(1, 0))].into(), told: vec![named(number, at(1, 1))] };
    let verdict = judge(&mut Truth::default(), &[journal(1), journal(2)], &[(room(), at(1, 1))].into());
    assert_eq!(verdict.reused, 1, "{verdict}");
}

#[test]
fn a_gap_excuses_what_lies_before_its_position_only() {
    let gap = |offset| Told::Gap { room: room(), position: at(1, offset), reason: None };
    let told = vec![event(1, 1), gap(3), event(1, 4), event(1, 5)];
    let verdict = judged(told);
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!(verdict.gaps, 1);
    assert_eq!(found(&judged(vec![event(1, 1), gap(3), event(1, 5)])), [1, 0, 0, 0, 0]);
    assert_eq!(judged(vec![event(1, 1), event(1, 2), gap(1)]).disordered, 1);
}

#[test]
fn a_new_epoch_needs_a_word_and_begins_anew() {
    let new = |number, offset| named(number, at(2, offset));
    let silent = vec![event(1, 1), new(7, 1), new(8, 2)];
    assert_eq!(found(&judged_until(at(2, 2), silent)), [0, 0, 0, 0, 1]);
    let gap = Told::Gap { room: room(), position: at(2, 0), reason: None };
    let told = vec![event(1, 1), gap.clone(), new(7, 1), new(8, 2)];
    let verdict = judged_until(at(2, 2), told);
    assert!(verdict.is_clean(), "{verdict}");
    assert_eq!(found(&judged_until(at(2, 3), vec![gap, new(7, 1), new(8, 2)])), [1, 0, 0, 0, 0]);
    assert_eq!(found(&judged_until(at(2, 0), vec![event(1, 1)])), [1, 0, 0, 0, 0], "it has never heard of it");
    let gap = |position| Told::Gap { room: room(), position, reason: None };
    let told = vec![event(1, 1), gap(at(2, 0)), new(7, 1), gap(at(1, 1)), gap(at(2, 1))];
    assert_eq!(found(&judged_until(at(2, 1), told)), [0, 0, 2, 0, 0], "there and back");
}

#[test]
fn what_a_reader_has_had_need_not_come_again_where_it_was_repeated() {
    let mut truth = Truth::default();
    truth.note(&room(), at(1, 1), &id(1));
    truth.note(&room(), at(2, 1), &id(1));
    truth.note(&room(), at(2, 2), &id(2));
    let gap = Told::Gap { room: room(), position: at(2, 0), reason: None };
    let told = vec![event(1, 1), gap, event(2, 2)];
    let journal = Journal { start: [(room(), at(1, 0))].into(), told };
    let verdict = judge(&mut truth, &[journal], &[(room(), at(2, 2))].into());
    assert!(verdict.is_clean(), "{verdict}");
}
