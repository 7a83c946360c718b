//! The edges of what a client can send.

use std::fmt::Write as _;

use roomcast_protocol::client::{InvalidMessage, Subscribe};
use roomcast_protocol::{ClientMessage, Request};

fn refused(text: &str) -> InvalidMessage {
    Request::parse(text).expect_err(text)
}

fn subscribe(text: &str) -> Subscribe {
    match Request::parse(text).unwrap().message {
        ClientMessage::Subscribe(subscribe) => subscribe,
        other => panic!("{other:?}"),
    }
}

fn reply_to(text: &str) -> Option<String> {
    refused(text).reply_to.map(|id| id.to_string())
}

#[test]
fn a_frame_with_a_token_shows_it_to_no_log_and_no_panic() {
    let request = Request::parse(r#"{"id":"1","action":"authenticate","token":"CANARY"}"#).unwrap();
    let shown = format!("{request:?} {request:#?}");
    assert!(shown.contains("Authenticate") && !shown.contains("CANARY"), "{shown}");
}

#[test]
fn a_frame_with_both_type_and_action_is_refused_under_its_id() {
    assert_eq!(reply_to(r#"{"id":"1","type":"ping","action":"subscribe","rooms":["team:a"]}"#).as_deref(), Some("1"));
    refused(r#"{"type":null,"action":"subscribe","rooms":["team:a"]}"#);
    refused(r#"{"type":"ping","action":null}"#);
}

#[test]
fn a_frame_with_neither_type_nor_action_is_refused() {
    refused("{}");
    assert_eq!(reply_to(r#"{"id":"1"}"#).as_deref(), Some("1"));
}

#[test]
fn an_id_is_a_string_of_1_to_64_characters() {
    for id in ["a".into(), "é".repeat(64), "🎉".repeat(64), " ".into()] {
        let request = Request::parse(&format!(r#"{{"type":"ping","id":"{id}"}}"#)).unwrap();
        assert_eq!(request.id.unwrap().as_str(), id);
    }
    for id in [format!("{:?}", "a".repeat(65)), "\"\"".into(), "7".into(), "null".into(), "{}".into(), "true".into()] {
        let error = refused(&format!(r#"{{"type":"ping","id":{id}}}"#));
        assert_eq!(error.reply_to, None, "{id}");
        assert!(error.message.starts_with("id: "), "{}", error.message);
    }
}

#[test]
fn an_escaped_id_comes_back_as_the_text_that_it_means() {
    let request = Request::parse(r#"{"type":"ping","id":"\u0041\n"}"#).unwrap();
    assert_eq!(request.id.unwrap().as_str(), "A\n");
}

#[test]
fn anything_but_an_object_is_refused() {
    for text in
        ["", " ", "null", "7", "\"ping\"", "[]", r#"["7","ping"]"#, r#"[null,"ping",null,null,null,null,null,null]"#]
    {
        assert_eq!(refused(text).reply_to, None);
    }
}

#[test]
fn text_that_is_not_one_json_value_is_refused() {
    for text in
        ["{", r#"{"type":"ping"}{"type":"ping"}"#, r#"{"type":"ping",}"#, r#"{'type':'ping'}"#, "{\"type\":\"ping\0\"}"]
    {
        refused(text);
    }
}

#[test]
fn a_field_given_twice_is_refused() {
    refused(r#"{"type":"ping","type":"ping"}"#);
    refused(r#"{"action":"subscribe","rooms":["team:a"],"rooms":["team:b"]}"#);
    refused(r#"{"action":"publish","event":{"type":"a.b","type":"a.c","payload":1}}"#);
}

#[test]
fn fields_that_are_not_known_are_ignored() {
    let text = r#" {"action":"subscribe","rooms":["team:a"],"later":{"deep":[1,2]},"later":1,"token":7}"#;
    assert_eq!(subscribe(text).rooms, ["team:a"]);
}

#[test]
fn unknown_types_and_actions_are_refused_under_their_id() {
    for text in [
        r#"{"id":"1","type":"pong"}"#,
        r#"{"id":"1","action":"leave"}"#,
        r#"{"id":"1","action":7}"#,
        r#"{"id":"1","type":{}}"#,
    ] {
        assert_eq!(reply_to(text).as_deref(), Some("1"), "{text}");
    }
}

#[test]
fn rooms_are_a_list_of_strings_that_is_not_empty() {
    for rooms in ["[]", "null", "\"team:a\"", "[7]", "[null]", "{}"] {
        for action in ["subscribe", "unsubscribe"] {
            refused(&format!(r#"{{"action":"{action}","rooms":{rooms}}}"#));
        }
    }
    refused(r#"{"action":"subscribe"}"#);
    refused(r#"{"action":"unsubscribe"}"#);
}

#[test]
fn a_name_that_is_no_room_and_a_name_given_twice_are_for_the_gateway_to_answer() {
    assert_eq!(subscribe(r#"{"action":"subscribe","rooms":["no such room!","","a","a"]}"#).rooms.len(), 4);
}

#[test]
fn since_for_a_room_that_is_not_asked_for_is_ignored_even_if_malformed() {
    let text = r#"{"action":"subscribe","rooms":["team:a"],"since":{"team:a":"k3x9:1","team:b":"k3x9:2","team:c":"what?","x":7}}"#;
    let subscribe = subscribe(text);
    assert_eq!(subscribe.since.len(), 1);
    assert_eq!(subscribe.since["team:a"].to_string(), "k3x9:1");
}

#[test]
fn a_malformed_since_is_refused() {
    for since in [r#"{"team:a":"what?"}"#, r#"{"team:a":7}"#, r#"{"team:a":null}"#, "[]", "null", "\"k3x9:1\""] {
        refused(&format!(r#"{{"action":"subscribe","rooms":["team:a"],"since":{since}}}"#));
    }
}

#[test]
fn presence_is_a_boolean_or_an_object_with_data() {
    let presence =
        |json: &str| subscribe(&format!(r#"{{"action":"subscribe","rooms":["team:a"],"presence":{json}}}"#)).presence;
    assert!(presence("true").unwrap().data.is_none());
    assert!(presence("false").is_none());
    assert!(presence("{}").unwrap().data.is_none());
    assert!(presence(r#"{"later":1}"#).unwrap().data.is_none());
    assert_eq!(presence(r#"{"data":[1, 2]}"#).unwrap().data.unwrap().get(), "[1, 2]");
    for json in ["null", "7", "\"yes\"", "[]", "[1]"] {
        refused(&format!(r#"{{"action":"subscribe","rooms":["team:a"],"presence":{json}}}"#));
    }
}

#[test]
fn a_token_is_a_string() {
    for frame in [
        r#"{"action":"authenticate"}"#,
        r#"{"action":"authenticate","token":null}"#,
        r#"{"action":"authenticate","token":["t"]}"#,
    ] {
        refused(frame);
    }
}

#[test]
fn a_published_event_needs_a_type_and_a_payload_which_may_be_null() {
    for event in ["null", "[]", "{}", r#"{"type":"a.b"}"#, r#"{"payload":1}"#, r#"{"type":7,"payload":1}"#] {
        refused(&format!(r#"{{"action":"publish","event":{event}}}"#));
    }
    refused(r#"{"action":"publish"}"#);
    refused(r#"{"action":"publish","event":{"type":"a.b","payload":1},"rooms":"team:a"}"#);
    let request = Request::parse(r#"{"action":"publish","event":{"type":"a.b","payload":null}}"#).unwrap();
    let ClientMessage::Publish(publish) = request.message else { panic!("{request:?}") };
    assert_eq!((publish.event.payload.get(), publish.rooms), ("null", None));
}

#[test]
fn a_payload_keeps_its_very_bytes() {
    let payload = r#"{ "n": 1.10, "big": 123456789012345678901234567890, "é": "\u00e9" }"#;
    let request =
        Request::parse(&format!(r#"{{"action":"publish","event":{{"type":"a.b","payload":{payload}}}}}"#)).unwrap();
    let ClientMessage::Publish(publish) = request.message else { panic!("{request:?}") };
    assert_eq!(publish.event.payload.get(), payload);
}

#[test]
fn deep_nesting_neither_overflows_nor_hides_the_frame() {
    let deep = "[".repeat(32_000) + &"]".repeat(32_000);
    for text in [
        deep.clone(),
        format!(r#"{{"type":"ping","id":{deep}}}"#),
        format!(r#"{{"action":"subscribe","rooms":{deep}}}"#),
        format!(r#"{{"action":"subscribe","rooms":["a"],"presence":{deep}}}"#),
        format!(r#"{{"action":"subscribe","rooms":["a"],"since":{{"a":{deep}}}}}"#),
    ] {
        refused(&text);
    }
    Request::parse(&format!(r#"{{"type":"ping","later":{deep}}}"#)).unwrap();
    Request::parse(&format!(r#"{{"action":"publish","event":{{"type":"a.b","payload":{deep}}}}}"#)).unwrap();
}

#[test]
fn a_frame_full_of_rooms_and_positions_is_read_at_once() {
    let mut since = String::new();
    let rooms: Vec<String> = (0..5000).map(|room| format!("\"{room}\"")).collect();
    (0..5000).for_each(|room| write!(since, ",\"x{room}\":1").unwrap());
    let text = format!(r#"{{"action":"subscribe","rooms":[{}],"since":{{{}}}}}"#, rooms.join(","), &since[1..]);
    assert!(subscribe(&text).since.is_empty());
}

#[test]
fn a_reason_speaks_of_the_field_and_not_of_a_place_inside_it() {
    let message = refused(r#"{"action":"subscribe","rooms":[7]}"#).message;
    assert!(message.starts_with("rooms: ") && !message.contains(" line "), "{message}");
}
