//! Every frame has a golden: a file written by hand, which the types read and write back as the same JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use roomcast_protocol::client::{ClientEvent, PresenceOptions, Publish, Subscribe};
use roomcast_protocol::event::{CommentCreated, IssueCreated, UserTyping};
use roomcast_protocol::http::{Batch, BatchAnswer, EventBody, Problem};
use roomcast_protocol::server::{
    AuthAck, ConnectionAck, ConnectionClosing, ErrorPayload, GapReason, Pong, PresenceChange, PresenceMember, Reply,
    ReplyFrame, RoomOutcome, SubscriptionAck,
};
use roomcast_protocol::{
    ClientMessage, ErrorCode, Event, EventFrame, NewEvent, Position, Published, Request, Room, ServerMessage, Timestamp,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::raw;

/// The goldens of a group: name (with its variant behind `--`) and text.
fn goldens(group: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens").join(group);
    fs::read_dir(folder)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn golden(group: &str, name: &str) -> Value {
    json(&goldens(group)[name])
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn written(value: &impl Serialize) -> Value {
    json(&serde_json::to_string(value).unwrap())
}

fn frame_type(name: &str) -> &str {
    name.split("--").next().unwrap()
}

fn time() -> Timestamp {
    "2024-01-15T10:30:00.000Z".parse().unwrap()
}

fn position(text: &str) -> Position {
    text.parse().unwrap()
}

fn read_and_written<T: Serialize + DeserializeOwned>(text: &str) -> Value {
    written(&serde_json::from_str::<T>(text).unwrap())
}

#[test]
fn every_reply_is_read_and_written_back_the_same() {
    for (name, text) in goldens("replies") {
        let ServerMessage::Reply(frame) = ServerMessage::parse(&text).unwrap() else { panic!("{name} is no reply") };
        assert_eq!(frame.reply.frame_type(), frame_type(&name));
        assert_eq!(written(&frame), json(&text), "{name}");
    }
}

#[test]
fn every_event_is_read_and_written_back_the_same() {
    for (name, text) in goldens("events") {
        let ServerMessage::Event(frame) = ServerMessage::parse(&text).unwrap() else { panic!("{name} is no event") };
        assert_eq!(frame.event.event_type(), frame_type(&name));
        let registered = Event::TYPES.contains(&frame_type(&name));
        assert_eq!(registered, !matches!(frame.event, Event::Custom(_)), "{name} is typed when its type is registered");
        assert_eq!(written(&frame), json(&text), "{name}");
    }
}

#[test]
fn every_client_frame_is_read_and_written_back_the_same() {
    for (name, text) in goldens("client") {
        let request = Request::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(written(&request), json(&text), "{name}");
    }
}

#[test]
fn every_http_body_is_read_and_written_back_the_same() {
    for (name, text) in goldens("http") {
        let again = match frame_type(&name) {
            "event" => read_and_written::<EventBody>(&text),
            "batch" => read_and_written::<Batch>(&text),
            "published" => read_and_written::<Published>(&text),
            "batch-answer" => read_and_written::<BatchAnswer>(&text),
            "problem" => read_and_written::<Problem>(&text),
            other => panic!("{other} is no body"),
        };
        assert_eq!(again, json(&text), "{name}");
    }
}

#[test]
fn every_registered_type_has_a_golden_under_its_plain_name() {
    let (replies, events, client) = (goldens("replies"), goldens("events"), goldens("client"));
    Reply::TYPES.iter().for_each(|name| assert!(replies.contains_key(*name), "{name} has no golden"));
    Event::TYPES.iter().for_each(|name| assert!(events.contains_key(*name), "{name} has no golden"));
    for name in ["ping", "authenticate", "subscribe", "unsubscribe", "publish"] {
        assert!(client.contains_key(name), "{name} has no golden");
    }
}

#[test]
fn every_error_code_and_every_outcome_of_a_room_has_a_golden() {
    let all = goldens("replies");
    let errors = all.iter().filter(|(name, _)| frame_type(name) == "error").map(|(_, text)| json(text));
    let codes: Vec<String> = errors.map(|frame| frame["payload"]["code"].as_str().unwrap().to_owned()).collect();
    ErrorCode::ALL.iter().for_each(|code| assert!(codes.iter().any(|known| known == code.as_str()), "{code}"));
    let acks: String =
        all.iter().filter(|(name, _)| frame_type(name) == "subscription.ack").map(|(_, text)| &**text).collect();
    for status in ["subscribed", "recovered", "gap", "denied", "unsubscribed"] {
        assert!(acks.contains(&format!("\"status\": \"{status}\"")), "{status}");
    }
    for reason in [GapReason::EpochChanged, GapReason::HistoryTruncated, GapReason::TooManyMissed] {
        assert!(acks.contains(&format!("\"reason\": {}", written(&reason))), "{reason:?}");
    }
}

#[test]
fn replies_made_in_code_are_as_their_goldens() {
    let reply =
        |id: Option<&str>, reply| ReplyFrame { reply_to: id.map(|id| id.parse().unwrap()), reply, timestamp: time() };
    let pong = Pong { message: "pong".into(), timestamp: time() };
    let frame = reply(Some("p-1"), Reply::ConnectionAck(ConnectionAck::Pong(pong)));
    assert_eq!(written(&frame), golden("replies", "connection.ack--pong-to-id"));

    let closing =
        ConnectionClosing { code: 1012, reason: "service restart".into(), retry_after_ms: Some(1500), resumable: true };
    assert_eq!(written(&reply(None, Reply::ConnectionClosing(closing))), golden("replies", "connection.closing"));

    let ack = AuthAck {
        user_id: "user_789".parse().unwrap(),
        expires_at: "2024-01-15T12:30:00Z".parse().unwrap(),
        lost_rooms: vec![Room::team("team_456")],
    };
    assert_eq!(written(&reply(Some("renew-1"), Reply::AuthAck(ack))), golden("replies", "auth.ack"));

    let mut error = ErrorPayload::new(ErrorCode::InvalidPayload, "missing field `teamId`");
    error.pointer = Some("/payload/teamId".into());
    assert_eq!(written(&reply(Some("14"), Reply::Error(error))), golden("replies", "error--pointer"));

    let member = PresenceMember { user_id: "user_999".parse().unwrap(), data: Some("reading".into()), connections: 1 };
    let joined = PresenceChange { room: Room::issue("issue_123"), member };
    assert_eq!(written(&reply(None, Reply::PresenceJoined(joined))), golden("replies", "presence.joined"));
}

#[test]
fn an_acknowledgement_made_in_code_is_as_its_golden() {
    let rooms = BTreeMap::from([
        ("team:team_456".into(), RoomOutcome::Subscribed { position: position("k3x9:42"), presence: None }),
        (
            "issue:issue_1".into(),
            RoomOutcome::Recovered { position: position("k3x9:54"), recovered: 3, presence: None },
        ),
        (
            "cycle:c_1".into(),
            RoomOutcome::Gap { position: position("z1aa:9"), reason: GapReason::EpochChanged, presence: None },
        ),
        ("project:p_9".into(), RoomOutcome::Denied { code: ErrorCode::Forbidden }),
        ("no such room!".into(), RoomOutcome::Denied { code: ErrorCode::InvalidRoom }),
        ("team:team_7".into(), RoomOutcome::Unsubscribed),
    ]);
    let reply = Reply::SubscriptionAck(SubscriptionAck { rooms });
    let frame = ReplyFrame { reply_to: Some("7".parse().unwrap()), reply, timestamp: time() };
    assert_eq!(written(&frame), golden("replies", "subscription.ack"));
}

#[test]
fn events_made_in_code_are_as_their_goldens() {
    let created = IssueCreated {
        id: "issue_123".into(),
        identifier: "ENG-42".into(),
        title: "Fix login bug".into(),
        team_id: "team_456".into(),
        status: "todo".into(),
        priority: "high".into(),
        ..IssueCreated::default()
    };
    let frame = EventFrame {
        event: created.into(),
        timestamp: time(),
        user_id: Some("user_789".parse().unwrap()),
        event_id: Some("0190b5f0-7c1a-7d3e-9f00-2b6f0c9a1e15".parse().unwrap()),
        positions: BTreeMap::from([(Room::team("team_456"), position("k3x9:44"))]),
    };
    assert_eq!(written(&frame), golden("events", "issue.created"));

    let typing = UserTyping {
        issue_id: "issue_123".into(),
        user_id: "user_789".into(),
        user_email: "john@example.com".into(),
        is_typing: true,
        ..UserTyping::default()
    };
    let payload = golden("events", "user.typing")["payload"].clone();
    assert_eq!(Event::from(typing).payload(), payload);

    let frame = EventFrame {
        event: Event::custom("custom.event", Value::Null),
        timestamp: time(),
        user_id: None,
        event_id: None,
        positions: BTreeMap::new(),
    };
    assert_eq!(written(&frame), golden("events", "custom.event--null-payload"));
}

#[test]
fn client_frames_made_in_code_are_as_their_goldens() {
    let request = |id: Option<&str>, message| Request { id: id.map(|id| id.parse().unwrap()), message };
    assert_eq!(written(&request(None, ClientMessage::Ping)), golden("client", "ping"));

    let subscribe = Subscribe {
        rooms: vec!["team:team_456".into(), "issue:issue_1".into()],
        since: BTreeMap::from([
            ("team:team_456".into(), position("k3x9:42")),
            ("issue:issue_1".into(), position("k3x9:54")),
        ]),
        presence: None,
    };
    assert_eq!(written(&request(Some("7"), ClientMessage::Subscribe(subscribe))), golden("client", "subscribe--since"));

    let presence = Some(PresenceOptions { data: Some(raw(r#"{"cursor":4}"#)) });
    let subscribe = Subscribe { rooms: vec!["team:team_456".into()], since: BTreeMap::new(), presence };
    assert_eq!(
        written(&request(Some("9"), ClientMessage::Subscribe(subscribe))),
        golden("client", "subscribe--presence-data")
    );

    let payload = raw(r#"{"issueId":"issue_123","isTyping":true}"#);
    let event = ClientEvent { event_type: "user.typing".into(), payload, event_id: None };
    let publish = ClientMessage::Publish(Publish { event, rooms: None });
    assert_eq!(written(&request(Some("10"), publish)), golden("client", "publish"));
}

#[test]
fn a_new_event_is_posted_as_its_golden() {
    let golden = golden("http", "event--all-fields");
    let event = Event::decode("issue.updated", &raw(&golden["payload"].to_string())).unwrap();
    let mut new = NewEvent::from(event)
        .to([Room::team("team_456")])
        .by(&"user_789".parse().unwrap())
        .with_id("mine:3".parse().unwrap());
    new.timestamp = Some(time());
    assert_eq!(written(&EventBody::try_from(&new).unwrap()), golden);
    let bare = NewEvent::from(CommentCreated::default());
    let body = written(&EventBody::try_from(&bare).unwrap());
    assert_eq!(body.as_object().unwrap().len(), 2, "what is not set is left out: {body}");
}
