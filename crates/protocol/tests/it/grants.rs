//! What a token allows.

use proptest::prelude::*;
use roomcast_protocol::{Grants, Operation, Room};
use serde_json::json;

fn grants(claim: serde_json::Value) -> Grants {
    serde_json::from_value(claim).unwrap()
}

fn publish(event_type: &str) -> Operation {
    Operation::PublishType(event_type.parse().unwrap())
}

#[test]
fn no_grants_allow_nothing() {
    assert!(!Grants::default().allows(&Room::team("a"), &Operation::Subscribe));
    assert!(!Grants::default().is_admin());
}

#[test]
fn a_pattern_is_a_room_a_kind_or_everything() {
    let of = |pattern: &str| grants(json!({pattern: ["subscribe"]}));
    let allows = |pattern: &str, room: Room| of(pattern).allows(&room, &Operation::Subscribe);
    assert!(
        allows("team:a", Room::team("a")) && !allows("team:a", Room::team("b")) && !allows("team:a", Room::issue("a"))
    );
    assert!(allows("team:*", Room::team("b")) && !allows("team:*", Room::issue("b")));
    assert!(allows("*", Room::team("b")) && allows("*", Room::user("u")));
}

#[test]
fn grants_are_a_union() {
    let grants = grants(json!({"team:a": ["presence"], "team:*": ["subscribe"], "*": ["history"]}));
    for operation in [Operation::Presence, Operation::Subscribe, Operation::History] {
        assert!(grants.allows(&Room::team("a"), &operation), "{operation}");
    }
    assert!(!grants.allows(&Room::team("b"), &Operation::Presence));
    assert!(!grants.allows(&Room::issue("a"), &Operation::Subscribe));
}

#[test]
fn publish_covers_every_type_and_a_type_only_itself() {
    let all = grants(json!({"team:a": ["publish"]}));
    let one = grants(json!({"team:a": ["publish:issue.updated"]}));
    let room = Room::team("a");
    assert!(all.allows(&room, &publish("issue.updated")) && all.allows(&room, &Operation::Publish));
    assert!(one.allows(&room, &publish("issue.updated")));
    assert!(!one.allows(&room, &publish("issue.deleted")) && !one.allows(&room, &Operation::Publish));
}

#[test]
fn one_operation_does_not_imply_another() {
    let room = Room::team("a");
    let all = [Operation::Subscribe, Operation::History, Operation::Presence, Operation::Publish];
    for given in &all {
        let grants = grants(json!({"team:a": [given.to_string()]}));
        for wanted in &all {
            assert_eq!(grants.allows(&room, wanted), given == wanted, "{given} {wanted}");
        }
    }
}

#[test]
fn admin_counts_only_under_the_pattern_of_everything() {
    assert!(grants(json!({"*": ["admin"]})).is_admin());
    assert!(grants(json!({"*": ["*"]})).is_admin());
    assert!(Grants::everything().is_admin());
    for claim in [
        json!({"team:*": ["admin"]}),
        json!({"team:*": ["*"]}),
        json!({"team:a": ["*", "admin"]}),
        json!({"*": ["subscribe"]}),
    ] {
        let grants = grants(claim.clone());
        assert!(!grants.is_admin(), "{claim}");
        assert!(!grants.allows(&Room::team("a"), &Operation::Admin), "{claim}");
    }
}

#[test]
fn a_star_is_every_other_operation_on_its_rooms() {
    let grants = grants(json!({"team:*": ["*"]}));
    for operation in [Operation::Subscribe, Operation::History, Operation::Presence, Operation::Publish, publish("a.b")]
    {
        assert!(
            grants.allows(&Room::team("a"), &operation) && !grants.allows(&Room::user("a"), &operation),
            "{operation}"
        );
    }
}

#[test]
fn unknown_operations_and_kinds_are_ignored() {
    let claim =
        json!({"galaxy:*": ["subscribe"], "team:a": ["fly", "publish:", "publish:nodots", "subscribe:x", "subscribe"]});
    let grants = grants(claim);
    assert!(grants.allows(&Room::team("a"), &Operation::Subscribe));
    assert!(!grants.allows(&Room::team("a"), &Operation::Publish));
}

#[test]
fn a_malformed_claim_is_refused() {
    for claim in [
        json!([]),
        json!("*"),
        json!(7),
        json!({"team": ["subscribe"]}),
        json!({"": []}),
        json!({"team:a b": []}),
        json!({"*:a": []}),
        json!({"team:**": []}),
        json!({"Team:*": []}),
        json!({"team:a": "subscribe"}),
        json!({"team:a": [7]}),
        json!({"team:a": null}),
    ] {
        assert!(serde_json::from_value::<Grants>(claim.clone()).is_err(), "{claim}");
    }
}

#[test]
fn the_deciding_pattern_is_the_widest() {
    let grants = grants(json!({"team:a": ["subscribe"], "team:*": ["subscribe"]}));
    assert_eq!(grants.deciding(&Room::team("a"), &Operation::Subscribe).unwrap().to_string(), "team:*");
    assert!(grants.deciding(&Room::issue("a"), &Operation::Subscribe).is_none());
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![Just("*".to_owned()), "(team|issue|user):(\\*|[a-c])"]
}

fn operation() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*"),
        Just("subscribe"),
        Just("history"),
        Just("presence"),
        Just("publish"),
        Just("publish:a.b"),
        Just("admin")
    ]
    .prop_map(ToOwned::to_owned)
}

fn entries() -> impl Strategy<Value = Vec<(String, Vec<String>)>> {
    prop::collection::vec((pattern(), prop::collection::vec(operation(), 0..4)), 0..5)
}

fn questions() -> Vec<(Room, Operation)> {
    let operations = [
        Operation::Subscribe,
        Operation::History,
        Operation::Presence,
        Operation::Publish,
        publish("a.b"),
        Operation::Admin,
    ];
    let rooms = ["team:a", "team:b", "issue:a", "user:c"].map(|room| room.parse::<Room>().unwrap());
    rooms.iter().flat_map(|room| operations.iter().map(|operation| (room.clone(), operation.clone()))).collect()
}

proptest! {
    #[test]
    fn more_entries_never_take_anything_away(one in entries(), more in entries()) {
        let few = Grants::parse(one.clone()).unwrap();
        let many = Grants::parse(one.into_iter().chain(more)).unwrap();
        for (room, operation) in questions() {
            prop_assert!(!few.allows(&room, &operation) || many.allows(&room, &operation), "{} {}", room, operation);
        }
        prop_assert!(!few.is_admin() || many.is_admin());
    }

    #[test]
    fn grants_read_back_as_themselves(entries in entries()) {
        let grants = Grants::parse(entries).unwrap();
        let json = serde_json::to_string(&grants).unwrap();
        prop_assert_eq!(serde_json::from_str::<Grants>(&json).unwrap(), grants);
    }

    #[test]
    fn what_is_allowed_has_an_entry_that_says_so(entries in entries()) {
        let grants = Grants::parse(entries.clone()).unwrap();
        for (room, operation) in questions() {
            let said = entries.iter().any(|(pattern, operations)| {
                let matches = pattern == "*" || pattern == room.as_str() || *pattern == format!("{}:*", room.kind());
                let admin = operation == Operation::Admin;
                matches && operations.iter().any(|given| {
                    (given == "*" || *given == operation.to_string() || (given == "publish" && operation.to_string().starts_with("publish:")))
                        && (!admin || pattern == "*")
                })
            });
            prop_assert_eq!(grants.allows(&room, &operation), said, "{} {}", room, operation);
        }
    }
}
