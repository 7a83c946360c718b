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
