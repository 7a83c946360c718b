//! Publishing over HTTP.

use roomcast_gateway::Gateway;
use serde_json::{Value, json};

use crate::harness::{Client, call, config, publish, request, start, token};

async fn post(gateway: &Gateway, grants: Value, path: &str, body: Value) -> (u16, Value) {
    let token = token(gateway, "back_end", grants);
    let (status, headers, answer) = call(gateway, request("POST", path, Some(&token), body)).await;
    let expected = if status == 200 { "application/json" } else { "application/problem+json" };
    assert_eq!(headers["content-type"], expected, "{answer}");
    (status, answer)
}

async fn events(gateway: &Gateway, body: Value) -> (u16, Value) {
    post(gateway, json!({"*": ["*"]}), "/api/v1/events", body).await
}

async fn raw_events(gateway: &Gateway, body: &str) -> (u16, Value) {
    let token = token(gateway, "back_end", json!({"*": ["*"]}));
    let request = request("POST", "/api/v1/events", Some(&token), Value::Null).map(|_| body.to_owned());
    let (status, headers, answer) = call(gateway, request).await;
    assert!(status == 200 || headers["content-type"] == "application/problem+json", "{answer}");
    (status, answer)
}

fn custom(payload: impl Into<Value>) -> Value {
    json!({"type": "custom.event", "payload": payload.into(), "rooms": ["team:a"]})
}

async fn reader(gateway: &Gateway, room: &str) -> Client {
    let mut client = Client::join(gateway, "reader", json!({"*": ["subscribe"]})).await;
    client.subscribe(&[room]).await;
    client
}

#[tokio::test]
async fn an_event_is_answered_with_its_id_and_positions() {
    let gateway = start(config());
    let mut reader = reader(&gateway, "team:a").await;
    let body = json!({
        "type": "custom.event", "payload": {"a": [1, null, "ü"]}, "rooms": ["team:a", "team:b"],
        "eventId": "e:1", "userId": "user_9", "timestamp": "2024-01-15T11:30:00.5+01:00", "more": 1,
    });
    let (status, answer) = events(&gateway, body).await;
    assert_eq!(status, 200);
    let positions = answer["positions"].as_object().unwrap();
    assert_eq!(positions.keys().collect::<Vec<_>>(), ["team:a", "team:b"]);
    assert_eq!(answer, json!({"eventId": "e:1", "positions": positions}));
    let expected = json!({
        "type": "custom.event", "payload": {"a": [1, null, "ü"]}, "timestamp": "2024-01-15T10:30:00.500Z",
        "userId": "user_9", "eventId": "e:1", "positions": {"team:a": positions["team:a"]},
    });
    assert_eq!(reader.receive().await, expected);
}

#[tokio::test]
async fn a_batch_is_published_in_order_and_answered_one_by_one() {
    let gateway = start(config());
    let mut reader = reader(&gateway, "team:a").await;
    let no_rooms = json!({"type": "custom.event", "payload": 1});
    let array = json!(["custom.event", 1, null, ["team:a"]]);
    let body = json!({"events": [custom(1), no_rooms, custom(2), array, 7, {"type": "a.b"}, custom(3)]});
    let (status, answer) = events(&gateway, body).await;
    assert_eq!(status, 200);
    let results = answer["results"].as_array().unwrap();
    let codes: Vec<&Value> = results.iter().map(|result| &result["code"]).collect();
    let invalid = json!("INVALID_MESSAGE");
    let none = Value::Null;
    assert_eq!(codes, [&none, &json!("INVALID_PAYLOAD"), &none, &invalid, &invalid, &invalid, &none]);
    assert_eq!(results[1]["pointer"], "/rooms");
    for (payload, result) in [(1, 0), (2, 2), (3, 6)] {
        let frame = reader.receive().await;
        assert_eq!((&frame["payload"], &frame["eventId"]), (&json!(payload), &results[result]["eventId"]));
    }
    assert_eq!(events(&gateway, json!({"events": []})).await, (200, json!({"results": []})));
}

#[tokio::test]
async fn a_repeat_within_a_batch_is_a_duplicate() {
    let gateway = start(config());
    let mut event = custom(1);
    event["eventId"] = "once".into();
    let (_, answer) = events(&gateway, json!({"events": [event, event]})).await;
    assert_eq!(answer["results"][0].get("duplicate"), None);
    assert_eq!(answer["results"][1]["duplicate"], true);
    assert_eq!(answer["results"][0]["positions"], answer["results"][1]["positions"]);
}

#[tokio::test]
async fn a_batch_has_at_most_a_thousand_events() {
    let gateway = start(config());
    let batch = |count: usize| json!({"events": vec![custom(1); count]});
    let (status, problem) = events(&gateway, batch(1001)).await;
    assert_eq!((status, &problem["code"]), (413, &json!("LIMIT_EXCEEDED")));
    let (status, answer) = events(&gateway, batch(1000)).await;
    assert_eq!((status, answer["results"].as_array().unwrap().len()), (200, 1000));
}

#[tokio::test]
async fn a_body_has_at_most_1_mib_and_a_payload_64_kib() {
    let gateway = start(config());
    let padded = |size: usize| {
        let text = custom(1).to_string();
        format!("{text}{}", " ".repeat(size - text.len()))
    };
    assert_eq!(raw_events(&gateway, &padded(1 << 20)).await.0, 200);
    let (status, problem) = raw_events(&gateway, &padded((1 << 20) + 1)).await;
    assert_eq!((status, &problem["code"], &problem["status"]), (413, &json!("LIMIT_EXCEEDED"), &json!(413)));
    assert_eq!(events(&gateway, custom("x".repeat(65534))).await.0, 200);
    let (status, problem) = events(&gateway, custom("x".repeat(65535))).await;
    assert_eq!((status, &problem["pointer"]), (413, &json!("/payload")));
}

#[tokio::test]
async fn what_is_no_event_is_refused() {
    let gateway = start(config());
    for body in [
        "",
        "null",
        "[]",
        "{",
        "{}",
        "7",
        r#"["custom.event",{},null,["team:a"]]"#,
        r#"{"type":"custom.event","rooms":["team:a"]}"#,
        r#"{"type":7,"payload":{},"rooms":["team:a"]}"#,
        r#"{"type":"custom.event","payload":{},"rooms":"team:a"}"#,
        r#"{"type":"custom.event","payload":{},"rooms":[7]}"#,
        r#"{"type":"custom.event","payload":{},"rooms":["team:a"],"userId":7}"#,
        r#"{"events":{}}"#,
        r#"{"events":null}"#,
        r#"{"type":"custom.event","payload":{},"rooms":["team:a"]} trailing"#,
    ] {
        let (status, problem) = raw_events(&gateway, body).await;
        assert_eq!((status, &problem["code"]), (400, &json!("INVALID_MESSAGE")), "{body}");
    }
    for (change, code, pointer) in [
        (json!({"type": "connection.ack"}), "INVALID_PAYLOAD", "/type"),
        (json!({"rooms": []}), "INVALID_PAYLOAD", "/rooms"),
        (json!({"rooms": ["team:a", "nowhere"]}), "INVALID_ROOM", "/rooms/1"),
        (json!({"eventId": "a b"}), "INVALID_PAYLOAD", "/eventId"),
        (json!({"userId": "a b"}), "INVALID_PAYLOAD", "/userId"),
        (json!({"timestamp": "yesterday"}), "INVALID_PAYLOAD", "/timestamp"),
        (json!({"type": "issue.deleted", "payload": {"id": "i"}}), "INVALID_PAYLOAD", "/payload/teamId"),
    ] {
        let mut body = custom(1);
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, problem) = events(&gateway, body).await;
        let expected = json!({
            "type": "about:blank", "title": "Unprocessable Entity", "status": 422,
            "detail": problem["detail"], "code": code, "pointer": pointer,
        });
        assert_eq!((status, &problem), (422, &expected), "{change}");
        assert!(problem["detail"].is_string());
    }
}

#[tokio::test]
async fn publishing_needs_its_grant_on_every_room_and_is_all_or_nothing() {
    let gateway = start(config());
    let mut reader = reader(&gateway, "team:a").await;
    let mut both = custom(1);
    both["rooms"] = json!(["team:a", "team:b"]);
    for grants in [
        json!({"team:a": ["publish"]}),
        json!({"team:a": ["*"], "team:b": ["subscribe"]}),
        json!({"team:a": ["publish"], "team:b": ["publish:other.event"]}),
        json!({"*": ["subscribe", "history", "presence", "admin"]}),
        Value::Null,
    ] {
        let (status, problem) = post(&gateway, grants.clone(), "/api/v1/events", both.clone()).await;
        assert_eq!((status, &problem["code"]), (403, &json!("FORBIDDEN")), "{grants}");
    }
    reader.is_quiet().await;
    let grants = json!({"team:a": ["publish:custom.event"], "team:*": ["publish"]});
    assert_eq!(post(&gateway, grants, "/api/v1/events", both).await.0, 200);
}

#[tokio::test]
async fn only_who_may_publish_anything_speaks_for_others() {
    let gateway = start(config());
    let mut reader = Client::join(&gateway, "reader", json!({"*": ["subscribe"]})).await;
    reader.subscribe(&["team:a", "team:b", "issue:1"]).await;
    let mut body = custom(1);
    body["userId"] = "somebody".into();
    body["rooms"] = json!(["team:a", "team:b"]);
    for (grants, user) in [
        (json!({"*": ["*"]}), "somebody"),
        (json!({"team:*": ["publish"]}), "somebody"),
        (json!({"team:*": ["publish:custom.event"]}), "back_end"),
        (json!({"team:a": ["publish"], "team:b": ["publish:custom.event"]}), "back_end"),
    ] {
        assert_eq!(post(&gateway, grants.clone(), "/api/v1/events", body.clone()).await.0, 200);
        assert_eq!(reader.receive().await["userId"], user, "{grants}");
    }
    body.as_object_mut().unwrap().remove("userId");
    publish(&gateway, body).await;
    assert_eq!(reader.receive().await.get("userId"), None, "a back end need not name anybody");

    let payload = json!({"issueId": "1", "isTyping": true, "userId": "somebody", "userEmail": "s@example.com"});
    let typing = json!({"type": "user.typing", "payload": payload});
    for (grants, user, email) in
        [(json!({"*": ["*"]}), "somebody", "s@example.com"), (json!({"issue:*": ["subscribe"]}), "back_end", "")]
    {
        assert_eq!(post(&gateway, grants, "/api/v1/events", typing.clone()).await.0, 200);
        let frame = reader.receive().await;
        assert_eq!((&frame["payload"]["userId"], &frame["payload"]["userEmail"]), (&json!(user), &json!(email)));
    }
}

#[tokio::test]
async fn an_event_for_a_user_reaches_the_connections_in_the_users_room() {
    let gateway = start(config());
    let mut one = reader(&gateway, "user:reader").await;
    let mut two = reader(&gateway, "user:reader").await;
    let mut elsewhere = reader(&gateway, "team:a").await;
    let grants = json!({"user:*": ["publish:notification.new"]});
    let body = json!({"type": "notification.new", "payload": {"message": "hello"}});
    let (status, answer) = post(&gateway, grants.clone(), "/api/v1/users/reader/events", body.clone()).await;
    assert_eq!(status, 200);
    for client in [&mut one, &mut two] {
        let frame = client.receive().await;
        assert_eq!(frame["payload"], json!({"message": "hello"}));
        assert_eq!(frame["positions"], answer["positions"]);
    }
    elsewhere.is_quiet().await;
    let own = json!({"user:other": ["publish"]});
    let (status, problem) = post(&gateway, own, "/api/v1/users/reader/events", body.clone()).await;
    assert_eq!((status, &problem["code"]), (403, &json!("FORBIDDEN")));
}

#[tokio::test]
async fn a_user_that_cannot_be_and_rooms_beside_the_user_are_refused() {
    let gateway = start(config());
    let everything = || json!({"*": ["*"]});
    let body = json!({"type": "notification.new", "payload": {}});
    for user in ["a%20b", "a:b", "%C3%BC", &"x".repeat(129)] {
        let (status, problem) =
            post(&gateway, everything(), &format!("/api/v1/users/{user}/events"), body.clone()).await;
        assert_eq!((status, &problem["code"]), (422, &json!("INVALID_ROOM")), "{user}");
    }
    let (status, problem) = post(&gateway, everything(), "/api/v1/users/%ff/events", body.clone()).await;
    assert_eq!((status, &problem["code"]), (422, &json!("INVALID_ROOM")), "a name that is no text");
    let with_rooms = json!({"type": "notification.new", "payload": {}, "rooms": ["user:u"]});
    let (status, problem) = post(&gateway, everything(), "/api/v1/users/u/events", with_rooms).await;
    assert_eq!((status, &problem["pointer"]), (422, &json!("/rooms")));
}
