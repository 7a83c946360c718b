//! The calls, as the page makes them, without a network. The gateway of these tests is not there: changes wait for it.

use axum::body::to_bytes;
use axum::http::Request;
use tower::ServiceExt as _;

use super::*;

const SECRET: &str = "a secret for tests alone, 32 bytes and more";

/// The page's folder, as Vite would leave it, with a file that nobody asked for.
fn page() -> Page {
    let name = format!("roomcast-demo-{}-{:?}", std::process::id(), std::thread::current().id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(folder.join("assets")).unwrap();
    for file in ["index.html", "assets/main.js", "assets/notes.txt"] {
        std::fs::write(folder.join(file), file).unwrap();
    }
    let page = Page::read(&folder, "ws://127.0.0.1:1");
    std::fs::remove_dir_all(&folder).unwrap();
    page.unwrap()
}

/// The routes, and a token of Ann.
fn application() -> (Router, String) {
    let tokens = Arc::new(Tokens::new(SECRET).unwrap());
    let token = tokens.of(Person::Ann).unwrap();
    let announcer = Announcer::start("http://127.0.0.1:1", tokens.clone()).unwrap();
    let gateway = Gateway::at("http://127.0.0.1:1").unwrap();
    let board = Mutex::new(Board::with_some_work());
    (routes(Arc::new(Application { board, announcer, tokens, gateway, page: page() })), token)
}

async fn call(router: &Router, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", format!("Bearer {token}")).header("content-type", "application/json");
    let answer = router.clone().oneshot(request.body(axum::body::Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn what_is_not_as_it_must_be_is_refused_with_words() {
    let (router, token) = application();
    let long = format!(r#"{{"title":"{}","priority":"low"}}"#, "x".repeat(MAX_BODY));
    for (method, path, body, expected) in [
        ("POST", "/api/issues", "", 400),
        ("POST", "/api/issues", "[", 400),
        ("POST", "/api/issues", r#"{"title":"a"}"#, 422),
        ("POST", "/api/issues", r#"{"title":" ","priority":"low"}"#, 422),
        ("POST", "/api/issues", r#"{"title":"a","priority":"low","id":"issue_1"}"#, 422),
        ("POST", "/api/issues", &long, 413),
        ("PATCH", "/api/issues/issue_1", "{}", 409),
        ("PATCH", "/api/issues/issue_1", r#"{"status":"gone"}"#, 422),
        ("PATCH", "/api/issues/issue_99", r#"{"status":"done"}"#, 404),
        ("DELETE", "/api/issues/..%2F..", "", 404),
        ("POST", "/api/issues/issue_1/comments", r#"{"body":""}"#, 422),
        ("GET", "/api/issues/issue_99/comments", "", 404),
        ("POST", "/api/connections/..%2Fx/cut", "", 404),
        ("POST", "/api/connections/abc/cut", "", 502),
        ("POST", "/api/token", r#"{"person":"mallory"}"#, 422),
    ] {
        let (status, answer) = call(&router, &token, method, path, body).await;
        assert_eq!(status, expected, "{method} {path} {body}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(!answer["error"].as_str().unwrap().is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn whoever_has_no_token_gets_and_changes_nothing() {
    let (router, _) = application();
    for (method, path) in [
        ("GET", "/api/issues"),
        ("POST", "/api/issues"),
        ("PATCH", "/api/issues/issue_1"),
        ("DELETE", "/api/issues/issue_1"),
        ("GET", "/api/issues/issue_1/comments"),
        ("POST", "/api/issues/issue_1/comments"),
        ("POST", "/api/busy"),
        ("POST", "/api/connections/abc/cut"),
    ] {
        assert_eq!(call(&router, "not.a.token", method, path, "{}").await.0, 401, "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_made_though_the_gateway_is_away_and_none_beyond_what_may_wait_for_it() {
    let (router, token) = application();
    let draft = r#"{"title":"New","priority":"low"}"#;
    assert_eq!(call(&router, &token, "POST", "/api/issues", draft).await.0, 201);
    let snapshot: Value = serde_json::from_str(&call(&router, &token, "GET", "/api/issues", "").await.1).unwrap();
    assert_eq!((&snapshot["revision"], &snapshot["issues"][4]["title"]), (&json!(1), &json!("New")));
    let mut made = 1;
    while call(&router, &token, "POST", "/api/busy", "").await.0 == 202 {
        made += BUSY;
    }
    assert_eq!(call(&router, &token, "POST", "/api/busy", "").await.0, 503);
    let snapshot: Value = serde_json::from_str(&call(&router, &token, "GET", "/api/issues", "").await.1).unwrap();
    assert_eq!(snapshot["revision"], json!(made));
}

#[tokio::test]
async fn only_the_pages_own_files_are_served() {
    let (router, _) = application();
    assert_eq!(call(&router, "", "GET", "/", "").await, (200, "index.html".into()));
    assert_eq!(call(&router, "", "GET", "/?person=ann", "").await.0, 200);
    assert_eq!(call(&router, "", "GET", "/assets/main.js", "").await.0, 200);
    for path in ["/assets/notes.txt", "/assets/", "/../Cargo.toml", "/assets/..%2f..%2fCargo.toml", "/index.html/"] {
        assert_eq!(call(&router, "", "GET", path, "").await.0, 404, "{path}");
    }
}
