//! Reading what a gateway sends, of this version and of later ones.

use roomcast_protocol::server::{Reply, ReplyFrame};
use roomcast_protocol::{ErrorCode, Event, EventFrame, ServerMessage};

const TIME: &str = "2024-01-15T10:30:00.000Z";

fn frame(frame_type: &str, rest: &str) -> String {
    format!(r#"{{"type":"{frame_type}","timestamp":"{TIME}",{rest}}}"#)
}

fn event(text: &str) -> EventFrame {
    match ServerMessage::parse(text).unwrap() {
        ServerMessage::Event(frame) => *frame,
        other => panic!("{other:?}"),
    }
}

fn reply(text: &str) -> ReplyFrame {
    match ServerMessage::parse(text).unwrap() {
        ServerMessage::Reply(frame) => *frame,
        other => panic!("{other:?}"),
    }
}

fn unknown(text: &str) -> String {
    match ServerMessage::parse(text).unwrap() {
        ServerMessage::Unknown { frame_type } => frame_type,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_frame_of_a_later_version_is_kept_as_unknown() {
    assert_eq!(unknown(&frame("connection.moved", r#""payload":{"to":"elsewhere"}"#)), "connection.moved");
    assert_eq!(unknown(&frame("hello", r#""payload":1"#)), "hello");
}

#[test]
fn an_unknown_frame_may_use_the_names_of_fields_for_other_things() {
    assert_eq!(unknown(r#"{"type":"hello","timestamp":7,"payload":1,"positions":[],"userId":{}}"#), "hello");
    assert_eq!(unknown(r#"{"type":"presence.query","replyTo":7}"#), "presence.query");
}

#[test]
fn a_frame_without_a_payload_or_a_time_is_unknown() {
    assert_eq!(unknown(r#"{"type":"hello"}"#), "hello");
    assert_eq!(unknown(r#"{"type":"issue.deleted","payload":{"id":"i","teamId":"t"}}"#), "issue.deleted");
}

#[test]
fn what_is_no_frame_is_an_error() {
    for text in ["", "[]", "7", "{}", r#"{"type":7}"#, r#"{"payload":{}}"#] {
        assert!(ServerMessage::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_known_frame_with_a_field_of_the_wrong_type_is_an_error() {
    assert!(ServerMessage::parse(&frame("error", r#""payload":{"code":7,"message":"m"}"#)).is_err());
    assert!(ServerMessage::parse(&frame("issue.deleted", r#""payload":{},"positions":{"team:a":"what?"}"#)).is_err());
}

#[test]
fn a_code_of_a_later_version_is_read_as_unknown_error() {
    let frame = reply(&frame("error", r#""payload":{"code":"TEAPOT","message":"m","later":1},"replyTo":"1""#));
    let Reply::Error(error) = frame.reply else { panic!("{frame:?}") };
    assert_eq!(error.code, ErrorCode::UnknownError);
    assert_eq!(frame.reply_to.unwrap().as_str(), "1");
}

#[test]
fn a_null_payload_of_a_custom_event_is_a_payload() {
    let frame = event(&frame("build.finished", r#""payload":null"#));
    assert_eq!(frame.event, Event::custom("build.finished", serde_json::Value::Null));
}

#[test]
fn a_known_event_with_another_payload_is_kept_untyped() {
    let frame = event(&frame("issue.deleted", r#""payload":{"id":7}"#));
    assert_eq!(frame.event, Event::custom("issue.deleted", serde_json::json!({"id": 7})));
}

#[test]
fn unknown_fields_of_an_event_and_of_its_frame_do_no_harm() {
    let frame = event(&frame("issue.deleted", r#""payload":{"id":"i","teamId":"t","later":[1]},"later":{"x":1}"#));
    let Event::IssueDeleted(payload) = &frame.event else { panic!("{frame:?}") };
    assert_eq!(payload.extra["later"], serde_json::json!([1]));
}

#[test]
fn the_acknowledgement_of_the_original_system_is_read() {
    let text = frame(
        "connection.ack",
        &format!(r#""payload":{{"message":"Connected to WebSocket server","timestamp":"{TIME}"}}"#),
    );
    assert!(matches!(reply(&text).reply, Reply::ConnectionAck(_)));
}

#[test]
fn an_event_nested_too_deeply_for_a_value_still_arrives() {
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    let frame = event(&frame("build.finished", &format!(r#""payload":{deep}"#)));
    assert_eq!(frame.event.payload(), serde_json::Value::String(deep));
}
