//! Disconnecting users and revoking tokens.

use std::time::Duration;

use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, EPOCH, call, config, request, signed, start, start_with_paused_clock, token, with_token};

async fn admin(gateway: &Gateway, path: &str) -> (u16, Value) {
    let token = token(gateway, "the_admin", json!({"*": ["admin"]}));
    let (status, _, answer) = call(gateway, request("POST", path, Some(&token), Value::Null)).await;
    (status, answer)
}

/// A token issued so many seconds after the test's beginning.
fn issued_at(user: &str, after: i64) -> String {
    signed(&json!({"sub": user, "iat": EPOCH + after, "exp": EPOCH + 100_000}))
}

async fn connect(gateway: &Gateway, token: &str) -> Client {
    let mut client = Client::open(gateway, with_token(token)).await;
    assert_eq!(client.receive().await["type"], "connection.ack");
    client
}

async fn is_refused(gateway: &Gateway, token: &str) {
    let error = Client::open(gateway, with_token(token)).await.is_unauthorized().await;
    assert_eq!(error["payload"]["message"], "the token has been revoked");
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_user_stays_away_until_it_has_a_later_token() {
    let gateway = start_with_paused_clock(config());
    let (mut laptop, mut phone) =
        (connect(&gateway, &issued_at("anna", 0)).await, connect(&gateway, &issued_at("anna", 7)).await);
    let mut other = connect(&gateway, &issued_at("ben", 0)).await;
    assert_eq!(admin(&gateway, "/api/v1/users/anna/disconnect").await, (200, json!({"disconnected": 2})));
    for client in [&mut laptop, &mut phone] {
        let notice = client.is_closed_with_notice(4501).await;
        assert_eq!(notice["resumable"], false, "{notice}");
    }
    other.is_quiet().await;
    for token in [issued_at("anna", -1), issued_at("anna", 0), signed(&json!({"sub": "anna", "exp": EPOCH + 100_000}))]
    {
        is_refused(&gateway, &token).await;
        let history = request("GET", "/api/v1/rooms/user:anna/history", Some(&token), Value::Null);
        assert_eq!(call(&gateway, history).await.0, 401);
    }
    connect(&gateway, &issued_at("anna", 1)).await.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn one_token_is_revoked_by_its_id() {
    let gateway = start_with_paused_clock(config());
    let of = |id: Value| signed(&json!({"sub": "anna", "jti": id, "exp": EPOCH + 100_000}));
    let (mut revoked, mut kept) =
        (connect(&gateway, &of(json!("a b/1"))).await, connect(&gateway, &of(json!("2"))).await);
    assert_eq!(admin(&gateway, "/api/v1/tokens/a%20b%2F1/revoke").await, (200, json!({"disconnected": 1})));
    revoked.is_closed_with_notice(4501).await;
    kept.is_quiet().await;
    is_refused(&gateway, &of(json!("a b/1"))).await;
    // An id that is no text is malformed, and not merely another one.
    let error = Client::open(&gateway, with_token(&of(json!(2)))).await.is_unauthorized().await;
    assert_eq!(error["payload"]["message"], "the token's jti claim is missing or not valid");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_neither_renews_nor_stays_when_it_renewed_before() {
    let gateway = start_with_paused_clock(config());
    let of = |id: &str| signed(&json!({"sub": "anna", "jti": id, "exp": EPOCH + 100_000}));
    let mut client = connect(&gateway, &of("1")).await;
    assert_eq!(client.ask(json!({"action": "authenticate", "token": of("2")})).await["type"], "auth.ack");
    assert_eq!(admin(&gateway, "/api/v1/tokens/1/revoke").await.1, json!({"disconnected": 0}), "not in force any more");
    client.send(json!({"action": "authenticate", "token": of("1")})).await;
    client.is_refused("UNAUTHORIZED").await;
    client.is_quiet().await;
    assert_eq!(admin(&gateway, "/api/v1/tokens/2/revoke").await.1, json!({"disconnected": 1}));
    client.is_closed_with_notice(4501).await;
}

#[tokio::test(start_paused = true)]
async fn a_revocation_is_forgotten_after_its_time() {
    let gateway = start_with_paused_clock(Config { revocation_ttl: Duration::from_secs(60), ..config() });
    admin(&gateway, "/api/v1/users/anna/disconnect").await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    is_refused(&gateway, &issued_at("anna", 0)).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    connect(&gateway, &issued_at("anna", 0)).await.is_quiet().await;
}

#[tokio::test]
async fn what_names_no_user_and_no_token_is_refused() {
    let gateway = start(config());
    assert_eq!(admin(&gateway, "/api/v1/users/an%20na/disconnect").await.1["code"], "INVALID_ROOM");
    let long = "x".repeat(1025);
    let (status, problem) = admin(&gateway, &format!("/api/v1/tokens/{long}/revoke")).await;
    assert_eq!((status, &problem["code"]), (400, &json!("INVALID_MESSAGE")));
    assert_eq!(admin(&gateway, "/api/v1/users/nobody/disconnect").await, (200, json!({"disconnected": 0})));
}

#[tokio::test]
async fn a_user_that_is_disconnected_while_it_connects_does_not_stay() {
    let gateway = start(Config { auth_attempts_per_minute: 1000, ..config() });
    for count in 0..100 {
        let user = format!("user_{count}");
        let token = token(&gateway, &user, Value::Null);
        let connecting = async {
            let mut client = Client::open(&gateway, with_token(&token)).await;
            loop {
                match client.next().await {
                    Message::Close(frame) => return u16::from(frame.unwrap().code),
                    Message::Text(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        let path = format!("/api/v1/users/{user}/disconnect");
        let disconnecting = async {
            for _ in 0..count % 10 {
                tokio::task::yield_now().await;
            }
            admin(&gateway, &path).await
        };
        let (code, _) = tokio::join!(connecting, disconnecting);
        assert!([4500, 4501].contains(&code), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_with_every_call_is_refused_from_its_revocation_or_its_end_on() {
    let gateway = start_with_paused_clock(config());
    let of = |id: &str| signed(&json!({"sub": "anna", "jti": id, "exp": EPOCH + 60, "grants": {"*": ["history"]}}));
    let status = async |token: &str| {
        call(&gateway, request("GET", "/api/v1/rooms/team:a/history", Some(token), Value::Null)).await.0
    };
    for token in [of("1"), of("2"), of("1"), of("2")] {
        assert_eq!(status(&token).await, 200);
    }
    admin(&gateway, "/api/v1/tokens/1/revoke").await;
    assert_eq!((status(&of("1")).await, status(&of("2")).await), (401, 200));
    // A leeway of five seconds.
    tokio::time::sleep(Duration::from_secs(64)).await;
    assert_eq!(status(&of("2")).await, 200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(status(&of("2")).await, 401);
}
