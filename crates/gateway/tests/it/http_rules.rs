//! What all HTTP calls have in common: unknown paths, other methods, other origins.

use http::Request;
use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};

use crate::harness::{call, config, request, start, token};

fn dev() -> Config {
    Config { jwt_secret: config().jwt_secret, ..Config::dev() }
}

#[tokio::test]
async fn unknown_paths_and_other_methods_are_problems() {
    let gateway = start(config());
    for path in ["/", "/api/v1", "/api/v1/events/1", "/api/v2/events", "/dev/token"] {
        for method in ["GET", "POST", "DELETE"] {
            let (status, headers, problem) = call(&gateway, request(method, path, None, Value::Null)).await;
            assert_eq!(
                (status, &headers["content-type"]),
                (404, &"application/problem+json".parse().unwrap()),
                "{path}"
            );
            assert_eq!((&problem["status"], &problem["title"]), (&json!(404), &json!("Not Found")));
            assert_eq!(problem["code"], "INVALID_MESSAGE", "every problem has a code");
        }
    }
    for (method, path, allowed) in [
        ("GET", "/api/v1/events", "POST"),
        ("PUT", "/api/v1/users/u/events", "POST"),
        ("POST", "/api/v1/ws/stats", "GET,HEAD"),
        ("POST", "/metrics", "GET,HEAD"),
        ("GET", "/api/v1/ws/rate-limits/1", "DELETE"),
        ("POST", "/ws", "GET,HEAD"),
    ] {
        let (status, headers, problem) = call(&gateway, request(method, path, None, Value::Null)).await;
        assert_eq!((status, &problem["status"]), (405, &json!(405)), "{method} {path}");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["allow"], allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn a_call_brings_its_token_in_the_header_and_nowhere_else() {
    let gateway = start(config());
    let token = token(&gateway, "u", json!({"*": ["*"]}));
    let path = format!("/api/v1/ws/stats?token={token}");
    assert_eq!(call(&gateway, request("GET", &path, None, Value::Null)).await.0, 401);
    let with = async |value: String| {
        let mut request = request("GET", "/api/v1/ws/stats", None, Value::Null);
        request.headers_mut().insert("authorization", value.parse().unwrap());
        call(&gateway, request).await.0
    };
    assert_eq!(with(format!("bearer {token}")).await, 200);
    for value in [token.clone(), format!("Basic {token}"), "Bearer".into(), format!("Bearer {token} {token}")] {
        assert_eq!(with(value).await, 401);
    }
}

#[tokio::test]
async fn history_needs_its_grant_and_a_room() {
    let gateway = start(config());
    let get = async |grants: Value, path: &str| {
        let token = token(&gateway, "u", grants);
        let (status, _, answer) = call(&gateway, request("GET", path, Some(&token), Value::Null)).await;
        (status, answer["code"].clone())
    };
    let path = "/api/v1/rooms/team:a/history";
    assert_eq!(get(json!({"team:a": ["history"]}), path).await, (200, Value::Null));
    for grants in [json!({"team:a": ["subscribe", "publish", "presence"]}), json!({"team:b": ["*"]}), Value::Null] {
        assert_eq!(get(grants, path).await, (403, json!("FORBIDDEN")));
    }
    let all = || json!({"*": ["*"]});
    for room in ["nowhere", "team:", "planet:earth", "team:a%20b", "%ff"] {
        let path = format!("/api/v1/rooms/{room}/history");
        assert_eq!(get(all(), &path).await, (422, json!("INVALID_ROOM")), "{room}");
    }
    for query in ["since=", "since=nonsense", "limit=0", "limit=1001", "limit=-1", "limit=many"] {
        assert_eq!(get(all(), &format!("{path}?{query}")).await, (400, json!("INVALID_MESSAGE")), "{query}");
    }
    assert_eq!(call(&gateway, request("GET", path, None, Value::Null)).await.0, 401);
}

#[tokio::test]
async fn the_schema_is_for_everybody() {
    let gateway = start(config());
    let (status, headers, schema) = call(&gateway, request("GET", "/schema/schema.json", None, Value::Null)).await;
    assert_eq!((status, &headers["content-type"]), (200, &"application/schema+json".parse().unwrap()));
    assert!(schema["$defs"].is_object());
}

async fn from_origin(gateway: &Gateway, method: &str, path: &str, origin: &str) -> (u16, http::HeaderMap) {
    let token = token(gateway, "u", json!({"*": ["*"]}));
    let mut request = request(method, path, Some(&token), json!({"type": "a.b", "payload": 1, "rooms": ["team:a"]}));
    request.headers_mut().insert("origin", origin.parse().unwrap());
    let (status, headers, _) = call(gateway, request).await;
    (status, headers)
}

async fn preflight(gateway: &Gateway, path: &str, origin: &str) -> http::HeaderMap {
    let request = Request::options(path)
        .header("host", "gateway.test")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type")
        .body(String::new());
    let (status, headers, _) = call(gateway, request.unwrap()).await;
    assert_eq!(status, 200);
    headers
}

const ALLOW_ORIGIN: &str = "access-control-allow-origin";

#[tokio::test]
async fn pages_of_listed_origins_may_call_and_others_may_not() {
    let listed = vec!["https://app.example.com".parse().unwrap()];
    let gateway = start(Config { frontend_url: Some(listed), ..config() });
    let (status, headers) = from_origin(&gateway, "POST", "/api/v1/events", "https://app.example.com").await;
    assert_eq!((status, &headers[ALLOW_ORIGIN]), (200, &"https://app.example.com".parse().unwrap()));
    assert!(headers["vary"].to_str().unwrap().to_ascii_lowercase().contains("origin"));
    let headers = preflight(&gateway, "/api/v1/events", "https://app.example.com").await;
    assert_eq!(headers[ALLOW_ORIGIN], "https://app.example.com");
    let text = |name: &str| headers[name].to_str().unwrap().to_ascii_lowercase();
    assert!(text("access-control-allow-methods").contains("post"));
    assert!(text("access-control-allow-headers").contains("authorization"));
    assert!(!headers.contains_key("access-control-allow-credentials"), "no cookies are used");
    for origin in ["https://evil.test", "http://app.example.com", "https://app.example.com:8443", "null"] {
        let (_, headers) = from_origin(&gateway, "POST", "/api/v1/events", origin).await;
        assert!(!headers.contains_key(ALLOW_ORIGIN), "{origin}");
        assert!(!preflight(&gateway, "/api/v1/events", origin).await.contains_key(ALLOW_ORIGIN), "{origin}");
    }
}

#[tokio::test]
async fn pages_can_read_why_a_call_was_refused() {
    let gateway = start(Config { frontend_url: Some(vec!["https://app.example.com".parse().unwrap()]), ..config() });
    let mut request = request("POST", "/api/v1/events", Some("bad"), json!({}));
    request.headers_mut().insert("origin", "https://app.example.com".parse().unwrap());
    let (status, headers, _) = call(&gateway, request).await;
    assert_eq!((status, &headers[ALLOW_ORIGIN]), (401, &"https://app.example.com".parse().unwrap()));
    assert_eq!(headers["access-control-expose-headers"], "retry-after");
}

#[tokio::test]
async fn without_a_list_serve_answers_its_own_pages_and_dev_those_of_the_machine() {
    let serve = start(config());
    assert!(!preflight(&serve, "/api/v1/events", "http://localhost:3000").await.contains_key(ALLOW_ORIGIN));
    assert!(preflight(&serve, "/api/v1/events", "http://gateway.test").await.contains_key(ALLOW_ORIGIN));
    let dev = start(dev());
    assert!(preflight(&dev, "/dev/token", "http://localhost:3000").await.contains_key(ALLOW_ORIGIN));
    assert!(!preflight(&dev, "/dev/token", "https://evil.test").await.contains_key(ALLOW_ORIGIN));
}

#[tokio::test]
async fn a_developer_gets_tokens_for_the_asking() {
    let gateway = start(dev());
    let mint = async |body: Value| call(&gateway, request("POST", "/dev/token", None, body)).await;
    let (status, headers, answer) = mint(json!({"userId": "u", "grants": {"team:a": ["publish"]}})).await;
    assert_eq!((status, &headers["content-type"]), (200, &"application/json".parse().unwrap()));
    let token = answer["token"].as_str().unwrap();
    let event = json!({"type": "a.b", "payload": 1, "rooms": ["team:a"]});
    assert_eq!(call(&gateway, request("POST", "/api/v1/events", Some(token), event)).await.0, 200);
    let (_, _, answer) = mint(json!({"userId": "u", "email": "u@example.com"})).await;
    let mut client =
        crate::harness::Client::open(&gateway, crate::harness::with_token(answer["token"].as_str().unwrap())).await;
    assert_eq!(client.receive().await["payload"]["userId"], "u");
    assert_eq!(client.subscribe(&["team:a"]).await["team:a"]["status"], "subscribed", "rooms are open in dev");
    for body in
        [json!({}), json!({"userId": "a b"}), json!({"userId": 7}), json!(["u"]), json!({"userId": "u", "grants": []})]
    {
        let (status, _, problem) = mint(body.clone()).await;
        assert_eq!((status, &problem["code"]), (400, &json!("INVALID_MESSAGE")), "{body}");
    }
}

#[tokio::test]
async fn a_foreign_page_gets_no_token() {
    let gateway = start(dev());
    for (origin, expected) in
        [("https://evil.test", 403), ("null", 403), ("http://gateway.test", 403), ("http://localhost:5173", 200)]
    {
        let mut request = request("POST", "/dev/token", None, json!({"userId": "u"}));
        request.headers_mut().insert("origin", origin.parse().unwrap());
        let (status, _, answer) = call(&gateway, request).await;
        assert_eq!((status, answer["token"].is_string()), (expected, expected == 200), "{origin}");
    }
}
