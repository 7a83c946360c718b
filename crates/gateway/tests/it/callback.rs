//! Rooms that a token does not decide: the back end is asked, over a real socket, and may be anything.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use roomcast_gateway::{Config, Gateway, Secret};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::{Client, call, config, publish, request, start, token, with_header, with_token};

/// How a back end behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Says what it thinks.
    Honest,
    /// Not before it is told to.
    Slow,
    /// With this status, and a yes.
    Status(u16),
    /// With 200 and this text.
    Text(&'static str),
    /// Yes, and then far too much.
    Huge,
    /// Sends on to where it is yes.
    Redirect,
}

/// A back end, as its callers and its owner see it.
#[derive(Clone)]
struct BackEnd(Arc<Shared>);

struct Shared {
    mood: Mutex<Mood>,
    /// What is allowed, as "user room operation".
    allowed: Mutex<HashSet<String>>,
    asked: Mutex<Vec<String>>,
    shown: Mutex<Vec<Option<String>>>,
    redirected: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    go_on: Notify,
    address: Mutex<String>,
}

impl BackEnd {
    async fn start(allowed: &[&str]) -> Self {
        let shared = Shared {
            mood: Mutex::new(Mood::Honest),
            allowed: Mutex::new(allowed.iter().map(|text| (*text).to_owned()).collect()),
            asked: Mutex::default(),
            shown: Mutex::default(),
            redirected: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            go_on: Notify::new(),
            address: Mutex::default(),
        };
        let back_end = Self(Arc::new(shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        *back_end.0.address.lock().unwrap() = format!("http://{}/access", listener.local_addr().unwrap());
        let routes = axum::Router::new().route("/access", post(answer)).route("/yes", post(yes).get(yes));
        let routes = routes.with_state(back_end.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        back_end
    }

    fn config(&self) -> Config {
        let access_url = Some(self.0.address.lock().unwrap().clone());
        Config { access_url, access_timeout: Duration::from_secs(10), ..config() }
    }

    fn is(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    fn allow(&self, what: &str) {
        self.0.allowed.lock().unwrap().insert(what.into());
    }

    fn deny(&self, what: &str) {
        self.0.allowed.lock().unwrap().remove(what);
    }

    /// What was asked since this was last called.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.asked.lock().unwrap())
    }
}

async fn yes(State(BackEnd(shared)): State<BackEnd>) -> &'static str {
    shared.redirected.fetch_add(1, Ordering::SeqCst);
    r#"{"allowed":true}"#
}

async fn answer(State(BackEnd(shared)): State<BackEnd>, headers: HeaderMap, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let text = |name: &str| asked[name].as_str().unwrap().to_owned();
    let question = format!("{} {} {}", text("userId"), text("room"), text("operation"));
    shared.asked.lock().unwrap().push(question.clone());
    let shown = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    shared.shown.lock().unwrap().push(shown);
    let at_once = shared.at_once.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most_at_once.fetch_max(at_once, Ordering::SeqCst);
    let mood = *shared.mood.lock().unwrap();
    if mood == Mood::Slow {
        shared.go_on.notified().await;
    }
    tokio::task::yield_now().await;
    shared.at_once.fetch_sub(1, Ordering::SeqCst);
    let yes = r#"{"allowed":true}"#;
    match mood {
        Mood::Honest | Mood::Slow => {
            let allowed = shared.allowed.lock().unwrap().contains(&question);
            json!({"allowed": allowed, "why": "an honest answer may say more"}).to_string().into_response()
        }
        Mood::Status(status) => (StatusCode::from_u16(status).unwrap(), yes).into_response(),
        Mood::Text(text) => text.into_response(),
        Mood::Huge => format!("{yes}{}", " ".repeat(64 << 10)).into_response(),
        Mood::Redirect => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/yes")], yes).into_response(),
    }
}

async fn join(gateway: &Gateway, user: &str) -> Client {
    Client::join(gateway, user, json!({"team:granted": ["*"]})).await
}

#[tokio::test]
async fn the_back_end_decides_what_the_token_does_not_and_nothing_else() {
    let back_end = BackEnd::start(&["u team:a subscribe", "u team:a presence"]).await;
    let gateway = start(Config { access_token: Some(Secret::new("s3cret")), ..back_end.config() });
    let mut client = join(&gateway, "u").await;
    let rooms = client.subscribe(&["team:a", "team:b", "team:granted", "user:u", "nonsense"]).await;
    assert_eq!(rooms["team:a"]["status"], "subscribed", "{rooms}");
    assert_eq!(rooms["team:b"], json!({"status": "denied", "code": "FORBIDDEN"}));
    assert_eq!(rooms["team:granted"]["status"], "subscribed");
    assert_eq!(rooms["user:u"]["status"], "subscribed");
    let mut asked = back_end.asked();
    asked.sort();
    assert_eq!(asked, ["u team:a subscribe", "u team:b subscribe"]);
    assert_eq!(back_end.0.shown.lock().unwrap()[0].as_deref(), Some("Bearer s3cret"));

    let present = json!({"action": "subscribe", "rooms": ["team:a", "team:granted"], "presence": true});
    let answer = client.ask(present).await;
    assert_eq!(answer["payload"]["rooms"]["team:a"].get("presence"), None, "{answer}");
    assert_eq!(back_end.asked(), ["u team:a presence"], "the rest is known, or granted");
    publish(&gateway, json!({"type": "custom.event", "payload": 7, "rooms": ["team:a"]})).await;
    while client.receive().await["type"] != "custom.event" {}
    assert_eq!(back_end.asked(), [""; 0], "who may do everything is not asked about");
}

#[tokio::test]
async fn publishing_history_and_typing_are_asked_about_and_being_admin_is_not() {
    let allowed = ["u team:a publish:custom.event", "u team:a history", "u issue:i subscribe"];
    let back_end = BackEnd::start(&allowed).await;
    let gateway = start(back_end.config());
    let mut client = join(&gateway, "u").await;
    let frame = |event_type: &str| json!({"action": "publish", "event": {"type": event_type, "payload": 1}, "rooms": ["team:a"]});
    assert_eq!(client.ask(frame("custom.event")).await["type"], "publish.ack");
    client.send(frame("other.event")).await;
    client.is_refused("FORBIDDEN").await;
    client.subscribe(&["issue:i"]).await;
    let typing = json!({"issueId": "i", "userId": "x", "userEmail": "", "isTyping": true});
    let typing = json!({"action": "publish", "event": {"type": "user.typing", "payload": typing}});
    assert_eq!(client.ask(typing).await["type"], "publish.ack");

    let token = token(&gateway, "u", json!({"team:granted": ["subscribe"]}));
    let call = |method: &str, path: &str, body| {
        let request = request(method, path, Some(&token), body);
        async { call(&gateway, request).await.0 }
    };
    let event = |user: &str| json!({"type": "custom.event", "payload": 1, "rooms": ["team:a"], "userId": user});
    assert_eq!(call("POST", "/api/v1/events", event("somebody")).await, 200);
    assert_eq!(call("GET", "/api/v1/rooms/team:a/history", Value::Null).await, 200);
    assert_eq!(call("GET", "/api/v1/rooms/team:a/presence", Value::Null).await, 403);
    assert_eq!(call("GET", "/api/v1/ws/stats", Value::Null).await, 403);
    let asked = back_end.asked();
    assert!(!asked.iter().any(|asked| asked.contains("admin") || asked.contains("typing")), "{asked:?}");
    // Speaking for others is a grant's alone.
    let admin = crate::harness::token(&gateway, "admin", json!({"*": ["*"]}));
    let history = request("GET", "/api/v1/rooms/team:a/history", Some(&admin), Value::Null);
    let events = crate::harness::call(&gateway, history).await.2["events"].clone();
    assert_eq!(events[1]["userId"], "u", "{events}");
}

#[tokio::test]
async fn whatever_is_no_answer_is_no_right_and_the_connection_goes_on() {
    let back_end = BackEnd::start(&[]).await;
    let gateway = start(back_end.config());
    let mut client = join(&gateway, "u").await;
    let token = token(&gateway, "u", json!({}));
    let moods = [
        Mood::Status(500),
        Mood::Status(403),
        Mood::Status(204),
        Mood::Status(201),
        Mood::Redirect,
        Mood::Huge,
        Mood::Text(""),
        Mood::Text("true"),
        Mood::Text("null"),
        Mood::Text("[true]"),
        Mood::Text("{}"),
        Mood::Text(r#"{"allowed":"true"}"#),
        Mood::Text(r#"{"allowed":1}"#),
        Mood::Text(r#"{"allowed":null}"#),
        Mood::Text(r#"{"allowed":true"#),
        Mood::Text(r#"{"allowed":true,"allowed":true}"#),
        Mood::Text("<html>yes</html>"),
    ];
    for (number, mood) in moods.into_iter().enumerate() {
        back_end.is(mood);
        let room = format!("team:{number}");
        let rooms = client.subscribe(&[&room, "team:granted"]).await;
        assert_eq!(rooms[&room], json!({"status": "denied", "code": "UNAVAILABLE"}), "{mood:?}");
        assert_eq!(rooms["team:granted"]["status"], "subscribed", "{mood:?}");
        let path = format!("/api/v1/rooms/{room}/history");
        let (status, headers, problem) = call(&gateway, request("GET", &path, Some(&token), Value::Null)).await;
        assert_eq!((status, &problem["code"]), (503, &json!("UNAVAILABLE")), "{mood:?}");
        assert_eq!(headers["retry-after"], "1");
        client.is_quiet().await;
    }
    assert_eq!(back_end.0.redirected.load(Ordering::SeqCst), 0, "a redirect is not followed");
    let metrics = call(&gateway, request("GET", "/metrics", None, Value::Null)).await.2;
    assert!(
        metrics.as_str().unwrap().contains("roomcast_access_calls_total{answer=\"unavailable\"} 34\n"),
        "{metrics}"
    );

    let nobody = Config { access_url: Some("http://127.0.0.1:1/".into()), ..config() };
    let mut client = join(&start(nobody), "u").await;
    assert_eq!(client.subscribe(&["team:a"]).await["team:a"]["code"], "UNAVAILABLE");
}

#[tokio::test]
async fn a_back_end_that_takes_its_time_delays_nothing_but_the_answer_and_that_not_beyond_the_deadline() {
    let back_end = BackEnd::start(&[]).await;
    let deadline = Duration::from_millis(500);
    let gateway = start(Config { access_timeout: deadline, ..back_end.config() });
    let mut client = join(&gateway, "u").await;
    client.subscribe(&["team:granted"]).await;
    back_end.is(Mood::Slow);
    let begin = Instant::now();
    client.send(json!({"id": "1", "action": "subscribe", "rooms": ["team:a", "team:b"], "presence": true})).await;
    client.send(json!({"id": "2", "type": "ping"})).await;
    while back_end.0.at_once.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    publish(&gateway, json!({"type": "custom.event", "payload": 1, "rooms": ["team:granted"]})).await;
    assert_eq!(client.receive().await["type"], "custom.event", "what comes does not wait");
    let answer = client.receive().await;
    assert_eq!(
        (&answer["replyTo"], &answer["payload"]["rooms"]["team:a"]["code"]),
        (&json!("1"), &json!("UNAVAILABLE"))
    );
    assert!(begin.elapsed() < 3 * deadline, "{:?}", begin.elapsed());
    assert_eq!(client.receive().await["replyTo"], "2", "in their order");
}

#[tokio::test]
async fn who_asks_the_same_at_once_asks_once_and_not_too_much_is_asked_at_once() {
    let rooms: Vec<String> = (0..128).map(|number| format!("team:{number}")).collect();
    let allowed: Vec<String> = rooms.iter().map(|room| format!("u {room} subscribe")).collect();
    let back_end = BackEnd::start(&allowed.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let gateway = start(back_end.config());
    back_end.is(Mood::Slow);
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = join(&gateway, "u").await;
        client.send(json!({"action": "subscribe", "rooms": rooms})).await;
        clients.push(client);
    }
    while back_end.0.at_once.load(Ordering::SeqCst) < 64 {
        tokio::task::yield_now().await;
    }
    back_end.is(Mood::Honest);
    back_end.0.go_on.notify_waiters();
    for client in &mut clients {
        let answer = client.receive().await;
        let outcomes = answer["payload"]["rooms"].as_object().unwrap();
        assert!(outcomes.values().all(|outcome| outcome["status"] == "subscribed"), "{answer}");
    }
    assert_eq!(back_end.asked().len(), 128, "once for all five");
    assert_eq!(back_end.0.most_at_once.load(Ordering::SeqCst), 64);
}

#[tokio::test]
async fn an_answer_counts_for_its_time_whichever_way_it_goes() {
    let back_end = BackEnd::start(&["u team:a subscribe"]).await;
    let ttl = Duration::from_millis(700);
    let gateway = start(Config { access_ttl: ttl, ..back_end.config() });
    let mut client = join(&gateway, "u").await;
    let begin = Instant::now();
    client.subscribe(&["team:a", "team:b"]).await;
    back_end.deny("u team:a subscribe");
    back_end.allow("u team:b subscribe");
    let rooms = join(&gateway, "u").await.subscribe(&["team:a", "team:b"]).await;
    // Only a machine that stood still since has had to ask again.
    if begin.elapsed() < ttl {
        assert_eq!((&rooms["team:a"]["status"], &rooms["team:b"]["status"]), (&json!("subscribed"), &json!("denied")));
        assert_eq!(back_end.asked().len(), 2);
    }
    assert_eq!(join(&gateway, "v").await.subscribe(&["team:a"]).await["team:a"]["status"], "denied", "another user");
    tokio::time::sleep(ttl).await;
    let rooms = client.subscribe(&["team:a", "team:b"]).await;
    assert_eq!((&rooms["team:a"]["code"], &rooms["team:b"]["status"]), (&json!("FORBIDDEN"), &json!("subscribed")));
    // What is denied now is left, too.
    publish(&gateway, json!({"type": "custom.event", "payload": 1, "rooms": ["team:a"]})).await;
    client.is_quiet().await;
}

#[tokio::test]
async fn a_renewal_asks_anew_and_is_refused_when_nobody_can_say() {
    let back_end = BackEnd::start(&["u team:a subscribe", "u team:b subscribe"]).await;
    let gateway = start(back_end.config());
    let mut client = join(&gateway, "u").await;
    client.subscribe(&["team:a", "team:b", "team:granted"]).await;
    let renewal = json!({"action": "authenticate", "token": token(&gateway, "u", json!({"team:granted": ["*"]}))});
    back_end.is(Mood::Status(500));
    client.send(renewal.clone()).await;
    assert!(client.is_refused("UNAVAILABLE").await["payload"]["retryAfterMs"].as_u64().unwrap() > 0);
    publish(&gateway, json!({"type": "custom.event", "payload": 1, "rooms": ["team:a"]})).await;
    assert_eq!(client.receive().await["type"], "custom.event", "the old token stays in force");

    back_end.is(Mood::Honest);
    back_end.deny("u team:b subscribe");
    // What has failed a moment ago is not asked again at once.
    let answer = loop {
        let answer = client.ask(renewal.clone()).await;
        if answer["payload"]["code"] != "UNAVAILABLE" {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(answer["payload"]["lostRooms"], json!(["team:b"]), "{answer}");
    publish(&gateway, json!({"type": "custom.event", "payload": 1, "rooms": ["team:b"]})).await;
    client.is_quiet().await;
}

#[tokio::test]
async fn disconnecting_a_user_forgets_what_was_said_of_it() {
    let back_end = BackEnd::start(&["u team:a subscribe"]).await;
    let gateway = start(back_end.config());
    let mut client = join(&gateway, "u").await;
    client.subscribe(&["team:a"]).await;
    back_end.deny("u team:a subscribe");
    let admin = token(&gateway, "admin", json!({"*": ["admin"]}));
    call(&gateway, request("POST", "/api/v1/users/u/disconnect", Some(&admin), Value::Null)).await;
    assert_eq!(client.closed().await, 4501);
    let later = crate::harness::signed(&json!({"sub": "u", "exp": 4_000_000_000u32, "iat": 3_900_000_000u32}));
    let request = with_header(with_token(&later), "sec-websocket-protocol", "roomcast.v1");
    let mut client = Client::open(&gateway, request).await;
    client.receive().await;
    assert_eq!(client.subscribe(&["team:a"]).await["team:a"]["code"], "FORBIDDEN");
}

#[tokio::test]
async fn it_is_explained_that_the_back_end_decides() {
    let back_end = BackEnd::start(&["u team:a subscribe"]).await;
    let gateway = start(back_end.config());
    let admin = token(&gateway, "admin", json!({"*": ["admin"]}));
    let asked = token(&gateway, "u", json!({"team:granted": ["*"]}));
    let explain = async |room: &str, operation: &str| {
        let question = json!({"token": asked, "room": room, "operation": operation});
        call(&gateway, request("POST", "/api/v1/access/explain", Some(&admin), question)).await.2
    };
    let said = explain("team:a", "subscribe").await;
    assert_eq!((&said["allowed"], &said["rule"]), (&json!(true), &json!("callback")));
    assert_eq!(said["reason"], "the token does not decide, and the back end (ACCESS_URL) allows it");
    let said = explain("team:b", "subscribe").await;
    assert_eq!((&said["allowed"], &said["rule"]), (&json!(false), &json!("callback")));
    assert_eq!(explain("team:granted", "subscribe").await["rule"], "grant");
    assert_eq!(explain("team:a", "admin").await["rule"], "not granted");
    back_end.is(Mood::Status(500));
    let said = explain("team:c", "subscribe").await;
    assert_eq!(said["reason"], "the token does not decide, and the back end (ACCESS_URL) has not answered");
}

#[test]
fn only_https_or_this_machine_is_asked_and_a_token_alone_makes_no_sense() {
    let problem = |config: Config| config.validate().map_err(|error| (error.key, error.problem));
    let url = |url: &str| Config { access_url: Some(url.into()), ..config() };
    assert_eq!(problem(url("https://app.example.com/access")), Ok(()));
    for wrong in ["http://app.example.com/access", "ftp://127.0.0.1/", "access", "https://u:p@app.example.com/"] {
        assert_eq!(problem(url(wrong)).unwrap_err().0, "ACCESS_URL", "{wrong}");
    }
    let token = |token: &str, config: Config| Config { access_token: Some(Secret::new(token)), ..config };
    assert_eq!(problem(token("t", config())).unwrap_err().0, "ACCESS_TOKEN");
    let error = problem(token("a\nb", url("http://127.0.0.1/"))).unwrap_err();
    assert_eq!(error, ("ACCESS_TOKEN", "expected letters of one line".to_owned()));
}
