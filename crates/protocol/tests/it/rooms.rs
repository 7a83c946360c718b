//! The grammar of rooms.

use proptest::prelude::*;
use roomcast_protocol::Room;

#[test]
fn the_constructors_name_the_kinds_of_the_original_system() {
    let rooms = [
        Room::workspace("1"),
        Room::team("1"),
        Room::issue("1"),
        Room::project("1"),
        Room::cycle("1"),
        Room::user("1"),
    ];
    assert_eq!(rooms.each_ref().map(Room::kind), Room::KINDS);
    assert_eq!(Room::team("team_456").as_str(), "team:team_456");
}

#[test]
fn a_room_has_a_kind_and_an_id() {
    let room: Room = "team:a.b@c|d~e-f_G9".parse().unwrap();
    assert_eq!((room.kind(), room.id()), ("team", "a.b@c|d~e-f_G9"));
}

#[test]
fn names_outside_the_grammar_are_refused() {
    let long_id = format!("team:{}", "a".repeat(129));
    let long_kind = format!("{}:a", "k".repeat(33));
    let names = [
        "", ":", "team", "team:", ":a", "Team:a", "team:a:b", "team:a b", "team:é", " team:a", "team:a ", "team:a\n",
        "1team:a", "_t:a", "te-am:a", "team:*", "*", &long_id, &long_kind,
    ];
    for name in names {
        assert!(name.parse::<Room>().is_err(), "{name:?}");
    }
}

#[test]
fn the_longest_names_fit() {
    let name = format!("{}:{}", "k".repeat(Room::MAX_KIND), "a".repeat(Room::MAX_ID));
    assert_eq!(name.parse::<Room>().unwrap().as_str(), name);
}

#[test]
#[should_panic(expected = "team:a b")]
fn a_constructor_by_kind_panics_on_an_id_outside_the_grammar() {
    let _ = Room::team("a b");
}

proptest! {
    #[test]
    fn any_room_reads_back_as_itself(kind in "[a-z][a-z0-9_]{0,31}", id in "[A-Za-z0-9_.@|~-]{1,128}") {
        let room = Room::new(&kind, &id).unwrap();
        prop_assert_eq!((room.kind(), room.id()), (&*kind, &*id));
        prop_assert_eq!(&room.to_string().parse::<Room>().unwrap(), &room);
        let json = serde_json::to_string(&room).unwrap();
        prop_assert_eq!(serde_json::from_str::<Room>(&json).unwrap(), room);
    }

    #[test]
    fn any_text_is_a_room_exactly_when_its_halves_are(text in r"[a-zA-Z0-9_.@|~:\- é]{0,40}") {
        let halves = text.split_once(':').is_some_and(|(kind, id)| Room::new(kind, id).is_ok());
        prop_assert_eq!(text.parse::<Room>().is_ok(), halves);
    }
}
