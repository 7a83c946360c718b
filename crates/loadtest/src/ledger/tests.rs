//! The verdict on runs that are made up: each fault is found, and named as what it is.

use super::*;

const ROOM: Seats = Seats { connections: 3, rooms: 1, per_connection: 1 };

fn mark(room: u32, publisher: u32, sequence: u32) -> Mark {
    Mark { room, publisher, sequence, due: 0 }
}

/// What three members of one room got, as (publisher, sequence); two publishers published two events each.
fn verdict(members: [&[(u32, u32)]; 3]) -> Verdict {
    let mut ledger = Ledger::new(ROOM, 2);
    for (connection, events) in (0..).zip(members) {
        for (publisher, sequence) in events {
            ledger.record(connection, &mark(0, *publisher, *sequence));
        }
    }
    ledger.verdict(&[2, 2])
}

const GOOD: &[(u32, u32)] = &[(0, 1), (1, 1), (0, 2), (1, 2)];
const CLEAN: Verdict = Verdict { losses: 0, duplicates: 0, order_violations: 0, strangers: 0 };

#[test]
fn a_run_in_which_everybody_got_everything_in_one_order_is_clean() {
    assert_eq!(verdict([GOOD, GOOD, GOOD]), CLEAN);
    assert!(CLEAN.is_clean());
}

#[test]
fn an_event_that_never_came_is_a_loss_wherever_it_stood() {
    let first: &[_] = &[(1, 1), (0, 2), (1, 2)];
    let middle: &[_] = &[(0, 1), (0, 2), (1, 2)];
    let last: &[_] = &[(0, 1), (1, 1), (0, 2)];
    assert_eq!(verdict([first, middle, last]), Verdict { losses: 3, ..CLEAN });
    assert_eq!(verdict([GOOD, GOOD, &[]]), Verdict { losses: 4, ..CLEAN });
}

#[test]
fn an_event_that_came_twice_is_a_duplicate_and_makes_up_for_no_loss() {
    let twice: &[_] = &[(0, 1), (1, 1), (1, 1), (0, 2), (1, 2)];
    assert_eq!(verdict([GOOD, twice, GOOD]), Verdict { duplicates: 1, ..CLEAN });
    let twice_and_lost: &[_] = &[(0, 1), (0, 1), (1, 1), (0, 2)];
    assert_eq!(verdict([GOOD, twice_and_lost, GOOD]), Verdict { losses: 1, duplicates: 1, ..CLEAN });
}

#[test]
fn an_event_behind_a_later_one_of_its_publisher_is_out_of_order_and_no_loss() {
    let late: &[_] = &[(0, 2), (1, 1), (0, 1), (1, 2)];
    let verdict = verdict([GOOD, GOOD, late]);
    // Once as an event that came late, once as a member who saw another order.
    assert_eq!(verdict, Verdict { order_violations: 2, ..CLEAN });
}

#[test]
fn two_publishers_whose_events_come_in_another_order_to_one_member_are_found() {
    let other: &[_] = &[(1, 1), (0, 1), (0, 2), (1, 2)];
    assert_eq!(verdict([GOOD, GOOD, other]), Verdict { order_violations: 1, ..CLEAN });
    // Any order will do if all see the same.
    assert_eq!(verdict([other, other, other]), CLEAN);
}

#[test]
fn an_event_of_a_room_that_a_connection_is_not_in_is_a_stranger() {
    let seats = Seats { connections: 4, rooms: 4, per_connection: 2 };
    let mut ledger = Ledger::new(seats, 1);
    // Connection 0 is in the rooms 0 and 2.
    assert_eq!(ledger.record(0, &mark(2, 0, 1)), Seen::Next);
    assert_eq!(ledger.record(0, &mark(1, 0, 1)), Seen::Stranger);
    assert_eq!(ledger.record(0, &mark(9, 0, 1)), Seen::Stranger);
    assert_eq!(ledger.record(0, &mark(0, 7, 1)), Seen::Stranger);
    assert_eq!(ledger.verdict(&[0, 0, 0, 0]).strangers, 3);
}

#[test]
fn seats_are_spread_evenly_and_found_again() {
    for (connections, rooms, per_connection) in
        [(1000, 1, 1), (1000, 100, 1), (2000, 500, 8), (15_000, 15_000, 3), (7, 5, 5)]
    {
        let seats = Seats { connections, rooms, per_connection };
        let members = seats.members();
        let (least, most) = (members.iter().min().unwrap(), members.iter().max().unwrap());
        assert!(most - least <= per_connection, "{seats:?}: {least} to {most}");
        let mut taken = HashSet::new();
        for connection in 0..connections {
            for room in seats.rooms_of(connection) {
                assert!(taken.insert(seats.seat(connection, room).unwrap()), "{seats:?}");
            }
        }
        assert_eq!(taken.len(), (connections * per_connection) as usize);
    }
}
