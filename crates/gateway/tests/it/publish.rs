//! Publishing from a client.

use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};

use crate::harness::{Client, EPOCH, config, publish, signed, start, start_with_paused_clock, with_header, with_token};

fn typing(issue: &str) -> Value {
    json!({"type": "user.typing", "payload": {"issueId": issue, "isTyping": true}})
}

async fn writer(gateway: &Gateway, user: &str) -> Client {
    Client::join(gateway, user, json!({"*": ["subscribe", "publish"]})).await
}

async fn reader(gateway: &Gateway, user: &str, rooms: &[&str]) -> Client {
    let mut client = Client::join(gateway, user, json!({"*": ["subscribe"]})).await;
    client.subscribe(rooms).await;
    client
}

/// Publishes an event, and takes the answer.
async fn ask(client: &mut Client, event: Value) -> Value {
    client.ask(json!({"action": "publish", "event": event, "id": "p"})).await
}

#[tokio::test(start_paused = true)]
async fn typing_is_stamped_with_the_user_of_the_token() {
    let gateway = start_with_paused_clock(config());
    let claims =
        json!({"sub": "u", "exp": EPOCH + 3600, "email": "u@example.com", "grants": {"issue:*": ["subscribe"]}});
    let request = with_header(with_token(&signed(&claims)), "sec-websocket-protocol", "roomcast.v1");
    let mut sender = Client::open(&gateway, request).await;
    sender.receive().await;
    sender.subscribe(&["issue:1"]).await;
    let mut other = reader(&gateway, "other", &["issue:1"]).await;
    let payload =
        json!({"issueId": "1", "isTyping": true, "userId": "mallory", "userEmail": "m@example.com", "more": 1});
    let event =
        json!({"type": "user.typing", "payload": payload, "userId": "mallory", "timestamp": "1999-01-01T00:00:00Z"});
    let ack = ask(&mut sender, event).await;
    assert_eq!((&ack["type"], &ack["replyTo"]), (&json!("publish.ack"), &json!("p")), "{ack}");
    assert_eq!(ack["payload"], json!({"eventId": ack["payload"]["eventId"], "positions": {}}));
    let expected = json!({
        "type": "user.typing",
        "payload": {"issueId": "1", "userId": "u", "userEmail": "u@example.com", "isTyping": true, "more": 1},
        "timestamp": "2023-11-14T22:13:20.000Z",
        "userId": "u",
        "eventId": ack["payload"]["eventId"],
    });
    assert_eq!(other.receive().await, expected);
}

#[tokio::test]
async fn typing_has_no_echo_but_the_users_other_connections_get_it() {
    let gateway = start(config());
    let mut sender = reader(&gateway, "u", &["issue:1"]).await;
    let mut own = reader(&gateway, "u", &["issue:1"]).await;
    assert_eq!(ask(&mut sender, typing("1")).await["type"], "publish.ack");
    let event = own.receive().await;
    assert_eq!(event["payload"], json!({"issueId": "1", "userId": "u", "userEmail": "", "isTyping": true}));
    assert_eq!(event.get("positions"), None, "ephemeral events have none");
    sender.is_quiet().await;
}

#[tokio::test]
async fn typing_leaves_no_trace_in_the_rooms_stream() {
    let gateway = start(config());
    let mut sender = reader(&gateway, "u", &["issue:1"]).await;
    let before = sender.subscribe(&["issue:1"]).await["issue:1"]["position"].clone();
    ask(&mut sender, typing("1")).await;
    assert_eq!(sender.subscribe(&["issue:1"]).await["issue:1"]["position"], before);
}

#[tokio::test]
async fn who_types_is_in_the_issues_room() {
    let gateway = start(config());
    let mut sender = reader(&gateway, "u", &["issue:1", "team:1"]).await;
    let error = ask(&mut sender, typing("2")).await;
    assert_eq!((&error["payload"]["code"], &error["replyTo"]), (&json!("FORBIDDEN"), &json!("p")));
    sender.ask(json!({"action": "unsubscribe", "rooms": ["issue:1"]})).await;
    assert_eq!(ask(&mut sender, typing("1")).await["payload"]["code"], "FORBIDDEN");
    let mut granted = Client::join(&gateway, "u", json!({"issue:*": ["publish:user.typing"]})).await;
    assert_eq!(ask(&mut granted, typing("1")).await["type"], "publish.ack");
}

#[tokio::test]
async fn typing_goes_to_the_room_of_its_issue_only() {
    let gateway = start(config());
    let mut sender = writer(&gateway, "u").await;
    sender.subscribe(&["issue:1", "issue:2", "team:1"]).await;
    let with_rooms = |rooms: Value| json!({"action": "publish", "event": typing("1"), "rooms": rooms});
    assert_eq!(sender.ask(with_rooms(json!(["issue:1"]))).await["type"], "publish.ack");
    for rooms in [json!(["issue:2"]), json!(["team:1"]), json!(["issue:1", "issue:2"]), json!([])] {
        sender.send(with_rooms(rooms.clone())).await;
        assert_eq!(sender.is_refused("INVALID_PAYLOAD").await["payload"]["pointer"], "/rooms", "{rooms}");
    }
}

#[tokio::test]
async fn an_open_gateway_lets_everybody_type_and_nobody_publish() {
    let gateway = start(Config { room_access: roomcast_gateway::RoomAccess::Open, ..config() });
    let mut client = Client::join(&gateway, "u", Value::Null).await;
    client.subscribe(&["issue:1"]).await;
    assert_eq!(ask(&mut client, typing("1")).await["type"], "publish.ack");
    let event = json!({"type": "custom.event", "payload": 1});
    let answer = client.ask(json!({"action": "publish", "event": event, "rooms": ["issue:1"]})).await;
    assert_eq!(answer["payload"]["code"], "FORBIDDEN");
}

#[tokio::test]
async fn other_types_need_their_grant_on_every_room() {
    let gateway = start(config());
    let grants = json!({"team:a": ["publish:issue.deleted"], "issue:1": ["publish"], "*": ["subscribe"]});
    let mut client = Client::join(&gateway, "u", grants).await;
    let deleted = |id: &str| json!({"type": "issue.deleted", "payload": {"id": id, "teamId": "a"}});
    assert_eq!(ask(&mut client, deleted("1")).await["type"], "publish.ack");
    let error = ask(&mut client, deleted("2")).await;
    assert_eq!(error["payload"]["code"], "FORBIDDEN");
    assert!(error["payload"]["message"].as_str().unwrap().contains("issue:2"), "{error}");
    let archived = json!({"type": "issue.archived", "payload": {"id": "1", "teamId": "a"}});
    assert_eq!(ask(&mut client, archived).await["payload"]["code"], "FORBIDDEN");
}

#[tokio::test]
async fn a_kept_event_comes_back_to_its_sender_behind_the_acknowledgement() {
    let gateway = start(config());
    let mut sender = writer(&gateway, "u").await;
    sender.subscribe(&["team:a", "issue:1"]).await;
    let event =
        json!({"type": "issue.updated", "payload": {"id": "1", "changes": {}, "teamId": "a"}, "userId": "mallory"});
    let ack = ask(&mut sender, event).await;
    assert_eq!(ack["type"], "publish.ack");
    assert_eq!(ack["payload"].get("duplicate"), None);
    let own = sender.receive().await;
    assert_eq!(own["positions"], ack["payload"]["positions"]);
    assert_eq!(own["eventId"], ack["payload"]["eventId"]);
    assert_eq!(own["userId"], "u", "the token's user, whatever the frame says");
    sender.is_quiet().await;
}

#[tokio::test]
async fn a_repeated_event_is_not_delivered_again() {
    let gateway = start(config());
    let mut sender = writer(&gateway, "u").await;
    let mut other = reader(&gateway, "v", &["team:a"]).await;
    let event = |payload: u32| json!({"type": "custom.event", "payload": payload, "eventId": "my-event:1"});
    let send = |payload: u32| json!({"action": "publish", "event": event(payload), "rooms": ["team:a"]});
    let first = sender.ask(send(1)).await["payload"].clone();
    assert_eq!((&first["eventId"], first.get("duplicate")), (&json!("my-event:1"), None));
    let again = sender.ask(send(2)).await["payload"].clone();
    assert_eq!(again, json!({"eventId": "my-event:1", "positions": first["positions"], "duplicate": true}));
    let body = json!({"type": "custom.event", "payload": 3, "rooms": ["team:a"], "eventId": "my-event:1"});
    assert_eq!(publish(&gateway, body).await, again, "over HTTP it is the same event");
    assert_eq!(other.receive().await["payload"], 1);
    other.is_quiet().await;
}

#[tokio::test]
async fn what_is_wrong_with_an_event_is_pointed_at() {
    let gateway = start(config());
    let mut client = writer(&gateway, "u").await;
    let long = format!("a.{}", "b".repeat(63));
    let updated = |payload: Value| json!({"type": "issue.updated", "payload": payload});
    let mut cases = vec![
        (updated(json!({"id": "1", "changes": {}})), "/payload/teamId"),
        (updated(json!({"id": "1", "changes": [], "teamId": "a"})), "/payload/changes"),
        (updated(json!({"id": "1", "changes": {}, "teamId": 7})), "/payload/teamId"),
        (updated(json!({"id": "1", "changes": {}, "teamId": "a team"})), "/payload/teamId"),
        (updated(json!({"id": "", "changes": {}, "teamId": "a"})), "/payload/id"),
        (updated(json!({"id": "1", "changes": {}, "teamId": "a", "workspaceId": 7})), "/payload/workspaceId"),
        (updated(json!([])), "/payload"),
        (updated(json!(null)), "/payload"),
        (json!({"type": "custom.event", "payload": 1}), "/rooms"),
        (json!({"type": "notification.new", "payload": {}}), "/rooms"),
        (json!({"type": "user.typing", "payload": 7}), "/payload"),
        (json!({"type": "user.typing", "payload": {"isTyping": true}}), "/payload/issueId"),
        (json!({"type": "custom.event", "payload": 1, "eventId": ""}), "/eventId"),
        (json!({"type": "custom.event", "payload": 1, "eventId": "a b"}), "/eventId"),
        (json!({"type": "custom.event", "payload": 1, "eventId": "x".repeat(65)}), "/eventId"),
    ];
    for name in [
        "connection.ack",
        "subscription.ack",
        "publish.ack",
        "auth.ack",
        "presence.joined",
        "error",
        "",
        "custom",
        "Custom.event",
        ".a",
        "a.",
        "a..b",
        "7a.b",
        "a-b.c",
        "a.B",
        "a b.c",
        "ä.b",
        &long,
    ] {
        cases.push((json!({"type": name, "payload": {}}), "/type"));
    }
    for (event, pointer) in cases {
        let error = ask(&mut client, event.clone()).await;
        assert_eq!(error["payload"]["code"], "INVALID_PAYLOAD", "{event}: {error}");
        assert_eq!((&error["payload"]["pointer"], &error["replyTo"]), (&json!(pointer), &json!("p")), "{event}");
    }
    client.is_quiet().await;
}

#[tokio::test]
async fn rooms_that_are_named_are_checked_each() {
    let gateway = start(config());
    let mut client = writer(&gateway, "u").await;
    let to =
        |rooms: Value| json!({"action": "publish", "event": {"type": "custom.event", "payload": 1}, "rooms": rooms});
    client.send(to(json!([]))).await;
    assert_eq!(client.is_refused("INVALID_PAYLOAD").await["payload"]["pointer"], "/rooms");
    client.send(to(json!(["team:a", "no such room!"]))).await;
    assert_eq!(client.is_refused("INVALID_ROOM").await["payload"]["pointer"], "/rooms/1");
    client.send(to(json!(["planet:earth"]))).await;
    assert_eq!(client.is_refused("INVALID_ROOM").await["payload"]["pointer"], "/rooms/0");
    let many: Vec<String> = (0..129).map(|index| format!("team:{index}")).collect();
    client.send(to(json!(many))).await;
    assert_eq!(client.is_refused("LIMIT_EXCEEDED").await["payload"]["pointer"], "/rooms");
    let ack = client.ask(to(json!(many[..128]))).await;
    assert_eq!(ack["payload"]["positions"].as_object().unwrap().len(), 128);
    let ack = client.ask(to(json!(["team:x", "team:x"]))).await;
    assert_eq!(ack["payload"]["positions"].as_object().unwrap().len(), 1);
}

/// The rooms of the type, as the contract lists them.
#[tokio::test]
async fn an_event_goes_to_the_rooms_of_its_type_unless_it_names_others() {
    let gateway = start(config());
    let issue = json!({"id": "i", "identifier": "E-1", "title": "t", "teamId": "t", "status": "s", "priority": "p"});
    let changed = json!({"id": "i", "changes": {}, "teamId": "t"});
    let gone = json!({"id": "i", "teamId": "t"});
    let comment = json!({"id": "c", "issueId": "i", "teamId": "t", "userId": "u", "body": "b"});
    for (name, payload, rooms) in [
        ("issue.created", issue, vec!["team:t"]),
        ("issue.updated", changed.clone(), vec!["issue:i", "team:t"]),
        ("issue.deleted", gone.clone(), vec!["issue:i", "team:t"]),
        ("issue.archived", gone, vec!["issue:i", "team:t"]),
        ("comment.created", comment.clone(), vec!["issue:i", "team:t"]),
        ("comment.updated", comment.clone(), vec!["issue:i", "team:t"]),
        ("comment.deleted", comment, vec!["issue:i", "team:t"]),
        ("project.updated", changed.clone(), vec!["project:i", "team:t"]),
        ("cycle.updated", changed, vec!["cycle:i", "team:t"]),
    ] {
        let rooms_of = async |body: Value| -> Vec<String> {
            publish(&gateway, body).await["positions"].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(rooms_of(json!({"type": name, "payload": payload})).await, rooms, "{name}");
        let mut with_workspace = payload.clone();
        with_workspace["workspaceId"] = "w".into();
        let more: Vec<&str> = rooms.iter().copied().chain(["workspace:w"]).collect();
        assert_eq!(rooms_of(json!({"type": name, "payload": with_workspace})).await, more, "{name}");
        let named = json!({"type": name, "payload": with_workspace, "rooms": ["user:u"]});
        assert_eq!(rooms_of(named).await, ["user:u"], "{name}");
    }
}
