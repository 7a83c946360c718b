//! Identifiers and points in time.

use proptest::prelude::*;
use roomcast_protocol::{EventId, RequestId, Timestamp, UserId};

#[test]
fn an_event_id_is_1_to_64_of_its_letters() {
    for id in ["a", "0190b5f0-7c1a-7d3e-9f00-2b6f0c9a1e11", "A_b.c:d-9", &"x".repeat(64)] {
        assert_eq!(id.parse::<EventId>().unwrap().as_str(), id);
    }
    for id in ["", "a b", "é", "a/b", "a|b", "a\n", &"x".repeat(65)] {
        assert!(id.parse::<EventId>().is_err(), "{id:?}");
    }
}

#[test]
fn a_request_id_is_counted_in_characters() {
    assert!("é".repeat(64).parse::<RequestId>().is_ok());
    assert!("🎉".repeat(64).parse::<RequestId>().is_ok());
    assert!("é".repeat(65).parse::<RequestId>().is_err());
    assert!("".parse::<RequestId>().is_err());
}

#[test]
fn a_user_id_names_the_users_room() {
    let user: UserId = "auth0|5f7c-8e@x.y~z".parse().unwrap();
    assert_eq!(user.room().as_str(), "user:auth0|5f7c-8e@x.y~z");
    for id in ["", "a b", "a:b", "*", &"x".repeat(129)] {
        assert!(id.parse::<UserId>().is_err(), "{id:?}");
    }
}

#[test]
fn an_error_says_what_an_id_looks_like() {
    let message = "a b".parse::<EventId>().unwrap_err().to_string();
    assert!(message.starts_with("an event id is"), "{message}");
}

#[test]
fn a_time_is_written_in_utc_with_milliseconds() {
    for (read, written) in [
        ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00.000Z"),
        ("2024-01-15T12:30:00.5+02:00", "2024-01-15T10:30:00.500Z"),
        ("2024-01-15T10:30:00.123999Z", "2024-01-15T10:30:00.123Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(read.parse::<Timestamp>().unwrap().to_string(), written);
    }
}

#[test]
fn what_is_no_point_in_time_is_refused() {
    for text in [
        "",
        "now",
        "2024-01-15",
        "2024-01-15T10:30:00",
        "2024-13-01T00:00:00Z",
        "1705314600000",
        "10000-01-01T00:00:00Z",
    ] {
        assert!(text.parse::<Timestamp>().is_err(), "{text:?}");
    }
}

#[test]
fn two_equal_texts_are_two_equal_times() {
    let one: Timestamp = "2024-01-15T10:30:00.123999Z".parse().unwrap();
    assert_eq!(one, one.to_string().parse().unwrap());
}

proptest! {
    #[test]
    fn any_time_reads_back_as_itself(millis in -62_167_219_200_000_i64..=253_402_207_200_999) {
        let time = Timestamp::from_millis(millis).unwrap();
        prop_assert_eq!(time.as_millis(), millis);
        prop_assert_eq!(time.to_string().parse(), Ok(time));
    }

    #[test]
    fn any_number_is_judged_without_a_panic(millis: i64) {
        let _ = Timestamp::from_millis(millis);
    }
}
