//! Event types, payloads and the rooms that they imply.

use proptest::prelude::*;
use roomcast_protocol::event::{EventType, InvalidEventType};
use roomcast_protocol::{Event, Room};
use serde_json::{Value, json};

use crate::raw;

fn decode(event_type: &str, payload: &Value) -> Event {
    Event::decode(event_type, &raw(&payload.to_string())).unwrap()
}

fn rooms(event_type: &str, payload: &Value) -> Vec<String> {
    decode(event_type, payload).rooms().unwrap().iter().map(Room::to_string).collect()
}

/// A payload that fits every registered type: what one does not name, it keeps.
fn payload() -> Value {
    json!({
        "id": "x", "identifier": "ENG-1", "title": "t", "teamId": "t", "status": "s", "priority": "p", "changes": {},
        "issueId": "i", "userId": "u", "userEmail": "", "isTyping": true, "body": "b",
    })
}

#[test]
fn every_type_goes_where_the_contract_says() {
    let wanted: &[(&str, &[&str])] = &[
        ("issue.created", &["team:t"]),
        ("issue.updated", &["team:t", "issue:x"]),
        ("issue.deleted", &["team:t", "issue:x"]),
        ("issue.archived", &["team:t", "issue:x"]),
        ("comment.created", &["issue:i", "team:t"]),
        ("comment.updated", &["issue:i", "team:t"]),
        ("comment.deleted", &["issue:i", "team:t"]),
        ("project.updated", &["team:t", "project:x"]),
        ("cycle.updated", &["team:t", "cycle:x"]),
        ("user.typing", &["issue:i"]),
        ("notification.new", &[]),
    ];
    assert_eq!(wanted.iter().map(|(name, _)| *name).collect::<Vec<_>>(), Event::TYPES);
    for (event_type, rooms_of_type) in wanted {
        assert_eq!(rooms(event_type, &payload()), *rooms_of_type, "{event_type}");
    }
}

#[test]
fn a_workspace_in_the_payload_is_one_more_room() {
    let mut payload = payload();
    payload["workspaceId"] = "w".into();
    for event_type in Event::TYPES.iter().filter(|name| **name != "notification.new") {
        assert_eq!(rooms(event_type, &payload).last().unwrap(), "workspace:w", "{event_type}");
    }
}

#[test]
fn a_type_without_rooms_of_its_own_gets_none_from_a_workspace() {
    assert!(rooms("notification.new", &json!({"workspaceId": "w"})).is_empty());
    assert!(rooms("custom.event", &json!({"workspaceId": "w"})).is_empty());
}

#[test]
fn a_workspace_that_cannot_name_a_room_is_refused_at_its_place() {
    for workspace in [json!(7), json!(null), json!(""), json!("a b")] {
        let mut payload = payload();
        payload["workspaceId"] = workspace;
        assert_eq!(decode("issue.deleted", &payload).rooms().unwrap_err().pointer, "/payload/workspaceId");
    }
}

#[test]
fn every_field_of_every_type_is_required() {
    for event_type in Event::TYPES.iter().filter(|name| **name != "notification.new") {
        let full = decode(event_type, &payload());
        let names = match serde_json::from_str::<Value>(&full.payload().to_string()).unwrap() {
            Value::Object(fields) => fields.into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
            other => panic!("{other}"),
        };
        assert_eq!(names.len(), 12, "unknown fields are kept");
        let refused = names.iter().filter(|name| {
            let mut less = payload();
            less.as_object_mut().unwrap().remove(*name);
            let Err(error) = Event::decode(event_type, &raw(&less.to_string())) else { return false };
            assert_eq!(error.pointer, format!("/payload/{name}"));
            true
        });
        assert!(refused.count() >= 2, "{event_type}");
    }
}

#[test]
fn a_notification_takes_any_object_and_nothing_else() {
    decode("notification.new", &json!({}));
    decode("notification.new", &json!({"message": "hello", "deep": {"er": [1]}}));
    for payload in ["7", "null", "[]", "\"hello\""] {
        assert_eq!(Event::decode("notification.new", &raw(payload)).unwrap_err().pointer, "/payload");
    }
}

#[test]
fn a_custom_payload_is_kept_as_it_came() {
    for payload in [json!(null), json!(7), json!([1, {"a": "b"}]), json!({"z": 1, "a": 2})] {
        assert_eq!(decode("custom.event", &payload).payload(), payload);
    }
}

#[test]
fn a_payload_nested_too_deeply_is_refused_and_not_changed() {
    let deep = raw(&("[".repeat(30_000) + &"]".repeat(30_000)));
    assert_eq!(Event::decode("custom.event", &deep).unwrap_err().pointer, "/payload");
    let deep = raw(&format!(r#"{{"id":"x","teamId":"t","later":{}}}"#, deep.get()));
    assert!(Event::decode("issue.deleted", &deep).is_err());
}

#[test]
fn a_message_about_a_payload_says_no_place_in_bytes() {
    let error = Event::decode("issue.deleted", &raw(r#"{"id":7}"#)).unwrap_err();
    assert!(!error.to_string().contains(" line "), "{error}");
}

#[test]
fn only_typing_is_ephemeral_among_the_registered_types() {
    let ephemeral: Vec<_> = Event::TYPES.iter().filter(|name| Event::is_ephemeral_type(name)).collect();
    assert_eq!(ephemeral, [&"user.typing"]);
}

#[test]
fn event_types_are_two_or_more_lower_case_words() {
    for name in [
        "custom.event",
        "a.b",
        "a.b.c",
        "a1_.0",
        "issue.created",
        "errors.x",
        "error.x",
        &format!("a.{}", "b".repeat(62)),
    ] {
        assert_eq!(name.parse::<EventType>().unwrap().as_str(), name);
    }
    for name in [
        "",
        "a",
        "a.",
        ".a",
        "a..b",
        "1.a",
        "_.a",
        "A.b",
        "a.B",
        "a b.c",
        "a.b ",
        "é.a",
        "a-b.c",
        &format!("a.{}", "b".repeat(63)),
    ] {
        assert_eq!(name.parse::<EventType>(), Err(InvalidEventType::Grammar), "{name:?}");
    }
}

#[test]
fn the_names_of_the_protocol_are_reserved() {
    for name in ["connection.ack", "subscription.x", "publish.ack", "auth.x", "presence.state", "error", "connection."]
    {
        assert_eq!(name.parse::<EventType>(), Err(InvalidEventType::Reserved), "{name:?}");
    }
    Event::TYPES.iter().for_each(|name| assert!(name.parse::<EventType>().is_ok(), "{name}"));
}

proptest! {
    #[test]
    fn any_name_of_the_grammar_is_an_event_type(name in r"x[a-z][a-z0-9_]{0,20}(\.[a-z0-9_]{1,10}){1,3}") {
        prop_assert_eq!(name.parse::<EventType>().unwrap().to_string(), name);
    }

    #[test]
    fn any_text_is_judged_without_a_panic(name in ".{0,80}") {
        let _ = name.parse::<EventType>();
    }
}
