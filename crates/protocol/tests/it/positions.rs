//! Positions: one text a place, and an order within one life of a stream.

use proptest::prelude::*;
use roomcast_protocol::{Epoch, Position};

fn position(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch(epoch), offset }
}

#[test]
fn a_position_is_written_as_the_contract_shows_it() {
    let position: Position = "k3x9:12".parse().unwrap();
    assert_eq!((position.epoch, position.offset), (Epoch(u64::from_str_radix("k3x9", 36).unwrap()), 12));
    assert_eq!(position.to_string(), "k3x9:12");
}

#[test]
fn the_ends_of_both_numbers_are_held() {
    assert_eq!(position(0, 0).to_string(), "0:0");
    let last = position(u64::MAX, u64::MAX);
    assert_eq!(last.to_string().parse(), Ok(last));
}

#[test]
fn every_other_spelling_is_refused() {
    let texts = [
        "",
        ":",
        "1",
        "a:",
        ":1",
        "a:-1",
        "a:+1",
        "a:01",
        "00:1",
        "0a:1",
        "A:1",
        "a:1 ",
        " a:1",
        "a:b",
        "a:b:1",
        "é:1",
        "a:1.0",
        "a:18446744073709551616",
        "3w5e11264sgsg:1",
        "zzzzzzzzzzzzzz:1",
    ];
    for text in texts {
        assert!(text.parse::<Position>().is_err(), "{text:?}");
    }
}

#[test]
fn positions_of_two_lives_have_no_order() {
    assert_eq!(position(1, 1).is_before(&position(2, 2)), None);
    assert_eq!(position(1, 1).is_before(&position(1, 2)), Some(true));
    assert_eq!(position(1, 2).is_before(&position(1, 2)), Some(false));
    assert_eq!(position(1, 3).is_before(&position(1, 2)), Some(false));
}

proptest! {
    #[test]
    fn any_position_reads_back_as_itself(epoch: u64, offset: u64) {
        let position = position(epoch, offset);
        prop_assert_eq!(position.to_string().parse(), Ok(position));
        let json = serde_json::to_string(&position).unwrap();
        prop_assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
    }

    #[test]
    fn what_reads_as_a_position_is_its_only_spelling(text in "[0-9a-z]{0,14}:[0-9]{0,21}") {
        if let Ok(position) = text.parse::<Position>() {
            prop_assert_eq!(position.to_string(), text);
        }
    }

    #[test]
    fn the_order_is_that_of_the_integers_behind_the_colon(epoch: u64, one: u64, other: u64) {
        prop_assert_eq!(position(epoch, one).is_before(&position(epoch, other)), Some(one < other));
    }
}
