//! Tokens: which are refused, and how that is said.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};

use crate::harness::{Client, EPOCH, SECRET, call, config, request, sign, signed, start_with_paused_clock, with_token};

const NOW: i64 = EPOCH;

/// Good claims, with changes: `null` takes a claim away.
fn claims(changes: Value) -> Value {
    let mut claims = json!({"sub": "user_1", "exp": NOW + 3600, "iat": NOW, "grants": {"*": ["*"]}});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn gateway() -> Gateway {
    start_with_paused_clock(Config { auth_attempts_per_minute: 1000, ..config() })
}

/// The token is refused by socket and HTTP alike, and its text comes back from neither.
async fn is_refused(gateway: &Gateway, what: &str, token: &str) {
    let mut client = Client::open(gateway, with_token(token)).await;
    let error = client.is_unauthorized().await;
    let (status, headers, problem) =
        call(gateway, request("POST", "/api/v1/events", Some(token), json!({"type": "a.b"}))).await;
    assert_eq!((status, &problem["code"]), (401, &json!("UNAUTHORIZED")), "{what}");
    assert_eq!(headers["www-authenticate"], "Bearer", "{what}");
    assert_eq!(headers["content-type"], "application/problem+json", "{what}");
    assert_eq!(error["payload"]["message"], problem["detail"], "{what}");
    assert!(token.is_empty() || !format!("{error}{problem}").contains(token), "{what}");
    assert_eq!(gateway.stats().total_clients, 0, "{what}");
}

async fn is_accepted(gateway: &Gateway, what: &str, token: &str) -> Value {
    let ack = Client::open(gateway, with_token(token)).await.receive().await;
    assert_eq!(ack["type"], "connection.ack", "{what}: {ack}");
    ack
}

#[tokio::test(start_paused = true)]
async fn tokens_that_nobody_signed_for_this_gateway_are_refused() {
    let gateway = gateway();
    let good = signed(&claims(json!({})));
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    let with_header = |header: Value| sign(&header, &claims(json!({})), SECRET);
    let unsigned = with_header(json!({"alg": "none"}));
    let other_claims = signed(&claims(json!({"sub": "user_2"})));
    let other_payload = other_claims.split('.').nth(1).unwrap();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let by_hs512 = jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims(json!({})), &key).unwrap();
    for (what, token) in [
        ("another key", sign(&json!({"alg": "HS256"}), &claims(json!({})), "another secret of 32 bytes and more!")),
        ("no signature", format!("{header}.{payload}.")),
        ("no algorithm and no signature", format!("{}.", unsigned.rsplit_once('.').unwrap().0)),
        ("no algorithm", unsigned),
        ("none in other letters", with_header(json!({"alg": "nOnE"}))),
        ("labelled RS256", with_header(json!({"alg": "RS256"}))),
        ("labelled HS512", with_header(json!({"alg": "HS512"}))),
        ("signed by HS512", by_hs512),
        ("labelled ES256", with_header(json!({"alg": "ES256"}))),
        ("labelled in lower case", with_header(json!({"alg": "hs256"}))),
        ("without a label", with_header(json!({"typ": "JWT"}))),
        ("other claims", format!("{header}.{other_payload}.{signature}")),
        ("cut short", good[..good.len() - 2].into()),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("empty parts", "..".into()),
        ("no JWT", "nonsense".into()),
        ("padded", format!("{good}=")),
        ("no claims", signed(&json!([]))),
        ("claims of another type", signed(&json!("user_1"))),
    ] {
        is_refused(&gateway, what, &token).await;
    }
    is_accepted(&gateway, "good", &good).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_outside_their_time_are_refused() {
    let gateway = gateway();
    for (what, changes) in [
        ("expired", json!({"exp": NOW - 6})),
        ("long expired", json!({"exp": 0})),
        ("a text", json!({"exp": (NOW + 3600).to_string()})),
        ("missing", json!({"exp": null})),
        ("negative", json!({"exp": -1})),
        ("beyond all years", json!({"exp": 1e300})),
        ("truth", json!({"exp": true})),
        ("a list", json!({"exp": [NOW + 3600]})),
        ("not yet valid", json!({"nbf": NOW + 60})),
        ("a text as its begin", json!({"nbf": (NOW - 60).to_string()})),
        ("a text as its time of issue", json!({"iat": "now"})),
    ] {
        is_refused(&gateway, what, &signed(&claims(changes))).await;
    }
    for (what, changes) in [
        ("part of a second", json!({"exp": NOW as f64 + 3600.5})),
        ("within the leeway", json!({"exp": NOW - 4})),
        ("begun", json!({"nbf": NOW - 60})),
        ("begins within the leeway", json!({"nbf": NOW + 4})),
        ("without a time of issue", json!({"iat": null})),
    ] {
        is_accepted(&gateway, what, &signed(&claims(changes))).await;
    }
    let ack = is_accepted(&gateway, "for ever", &signed(&claims(json!({"exp": i64::MAX})))).await;
    assert!(ack["payload"]["expiresAt"].as_str().unwrap().starts_with("9999-"), "{ack}");
}

#[tokio::test(start_paused = true)]
async fn tokens_of_unusable_claims_are_refused() {
    let gateway = gateway();
    let long = "x".repeat(129);
    for (what, changes) in [
        ("no user", json!({"sub": null})),
        ("an empty user", json!({"sub": ""})),
        ("a number as user", json!({"sub": 7})),
        ("a user that names no room", json!({"sub": "a user"})),
        ("a user with a colon", json!({"sub": "user:1"})),
        ("a user of other letters", json!({"sub": "jürgen"})),
        ("a user over the limit", json!({"sub": long})),
        ("a number as e-mail", json!({"email": 7})),
        ("a list as grants", json!({"grants": ["*"]})),
        ("a text as grants", json!({"grants": "*"})),
        ("a text as operations", json!({"grants": {"*": "subscribe"}})),
        ("a number as operation", json!({"grants": {"*": [7]}})),
        ("a pattern that is none", json!({"grants": {"team": ["subscribe"]}})),
        ("a pattern with a star inside", json!({"grants": {"team:a*": ["subscribe"]}})),
    ] {
        is_refused(&gateway, what, &signed(&claims(changes))).await;
    }
    for (what, changes) in [
        ("an unknown operation", json!({"grants": {"*": ["fly", "publish:"]}})),
        ("an unknown kind", json!({"grants": {"planet:*": ["subscribe"]}})),
        ("no grants", json!({"grants": null})),
        ("every letter of the grammar", json!({"sub": "aZ09_.@|~-"})),
        ("claims of others", json!({"aud": "somebody", "iss": "me", "jti": "1", "more": {"a": [1]}})),
    ] {
        is_accepted(&gateway, what, &signed(&claims(changes))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_over_8_kib_is_refused_unread() {
    let gateway = gateway();
    let of = |size: usize| signed(&claims(json!({"more": "x".repeat(size)})));
    is_refused(&gateway, "over 8 KiB", &of(6100)).await;
    let just = of(5900);
    assert!(just.len() > 7900 && just.len() <= 8192, "{}", just.len());
    is_accepted(&gateway, "just below", &just).await;
    let mut client = Client::open(&gateway, crate::harness::upgrade()).await;
    client.send(json!({"action": "authenticate", "token": of(30_000)})).await;
    client.is_unauthorized().await;
}

#[tokio::test(start_paused = true)]
async fn issuer_and_audience_are_checked_when_configured() {
    let gateway = start_with_paused_clock(Config {
        jwt_issuer: Some("issuer".into()),
        jwt_audience: Some("rooms".into()),
        auth_attempts_per_minute: 1000,
        ..config()
    });
    for (what, changes) in [
        ("neither", json!({})),
        ("no issuer", json!({"aud": "rooms"})),
        ("no audience", json!({"iss": "issuer"})),
        ("another issuer", json!({"iss": "Issuer", "aud": "rooms"})),
        ("another audience", json!({"iss": "issuer", "aud": "mail"})),
        ("other audiences", json!({"iss": "issuer", "aud": ["mail", "news"]})),
        ("a number as issuer", json!({"iss": 7, "aud": "rooms"})),
    ] {
        is_refused(&gateway, what, &signed(&claims(changes))).await;
    }
    for (what, changes) in
        [("one", json!({"iss": "issuer", "aud": "rooms"})), ("among", json!({"iss": "issuer", "aud": ["a", "rooms"]}))]
    {
        is_accepted(&gateway, what, &signed(&claims(changes))).await;
    }
    let minted = crate::harness::token(&gateway, "u", Value::Null);
    is_accepted(&gateway, "its own", &minted).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_token_is_told_how_to_bring_one() {
    let gateway = gateway();
    let (status, headers, problem) = call(&gateway, request("POST", "/api/v1/events", None, json!({}))).await;
    assert_eq!((status, &problem["code"]), (401, &json!("UNAUTHORIZED")));
    assert_eq!(headers["www-authenticate"], "Bearer");
    assert!(problem["detail"].as_str().unwrap().contains("Authorization: Bearer"));
}
