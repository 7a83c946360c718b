//! Publishing over HTTP, against a server that answers as the test says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roomcast_client::protocol::event::{IssueDeleted, NotificationNew};
use roomcast_client::protocol::{ErrorCode, EventId, Service, UserId};
use roomcast_client::{ErrorKind, Publisher};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::http::{note, problem, published, requests, server};

#[tokio::test]
async fn an_event_is_posted_with_an_id_and_all_that_it_says() {
    let (builder, log) = server(vec![published("e-1")]).await;
    let publisher = builder.token("t").build().unwrap();
    let user: UserId = "u-1".parse().unwrap();
    assert_eq!(publisher.publish(note().by(&user)).await.unwrap().event_id.as_str(), "e-1");
    let deleted = IssueDeleted { id: "i".into(), team_id: "a".into(), ..IssueDeleted::default() };
    publisher.issue_deleted(deleted, Some(&user)).await.unwrap();
    let seen = requests(&log);
    assert_eq!((seen[0].path.as_str(), seen[0].authorization.as_str()), ("/api/v1/events", "Bearer t"));
    let mut body = seen[0].body.clone();
    let id: EventId = body["eventId"].take().as_str().unwrap().parse().unwrap();
    assert_eq!(id.as_str().len(), 36);
    let expected = json!({
        "type": "note.added", "payload": {"number": 0}, "userId": "u-1", "rooms": ["team:a"], "eventId": null,
    });
    assert_eq!(body, expected);
    assert_eq!(seen[1].body["type"], "issue.deleted");
    assert!(seen[1].body.get("rooms").is_none());
}

#[tokio::test]
async fn a_notification_goes_to_its_users_room() {
    let (builder, log) = server(vec![published("e-1")]).await;
    let publisher = builder.token("t").build().unwrap();
    publisher.notify_user(&"auth0|7".parse().unwrap(), NotificationNew::default()).await.unwrap();
    let seen = requests(&log);
    assert_eq!((seen[0].path.as_str(), &seen[0].body["rooms"]), ("/api/v1/events", &json!(["user:auth0|7"])));
}

#[tokio::test]
async fn a_retry_repeats_the_same_id_after_the_hint() {
    let answers = vec![
        problem("503 Service Unavailable", "Retry-After: 1\r\n", "UNAVAILABLE"),
        ("", "", String::new()),
        ("502 Bad Gateway", "", "<html>".into()),
        published("e-1"),
    ];
    let (builder, log) = server(answers).await;
    let before = tokio::time::Instant::now();
    builder.token("t").build().unwrap().publish(note()).await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
    let ids: Vec<Value> = requests(&log).iter().map(|seen| seen.body["eventId"].clone()).collect();
    assert!(ids.len() >= 4 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn an_events_own_id_is_kept() {
    let (builder, log) = server(vec![published("mine")]).await;
    builder.token("t").build().unwrap().publish(note().with_id("mine".parse().unwrap())).await.unwrap();
    assert_eq!(requests(&log)[0].body["eventId"], "mine");
}

#[tokio::test]
async fn a_refusal_is_not_repeated_and_says_why() {
    let (builder, log) = server(vec![problem("403 Forbidden", "", "FORBIDDEN")]).await;
    let error = builder.token("t").build().unwrap().publish(note()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied { code: ErrorCode::Forbidden });
    assert!(error.to_string().contains("not like this"), "{error}");
    assert_eq!(requests(&log).len(), 1);
}

#[tokio::test]
async fn attempts_are_bounded() {
    let (builder, log) = server(vec![problem("429 Too Many Requests", "", "RATE_LIMIT_EXCEEDED")]).await;
    let error = builder.token("t").attempts(3).build().unwrap().publish(note()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied { code: ErrorCode::RateLimitExceeded });
    assert_eq!(requests(&log).len(), 3);
}

#[tokio::test]
async fn a_wait_beyond_the_total_time_is_not_begun() {
    let refusal = problem("503 Service Unavailable", "Retry-After: 3600\r\n", "UNAVAILABLE");
    let (builder, log) = server(vec![refusal]).await;
    let error = builder.token("t").build().unwrap().publish(note()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(requests(&log).len(), 1);
}

#[tokio::test]
async fn no_gateway_at_all_is_a_connection_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let builder = Publisher::builder(&url).token("t").attempts(2).first_retry(Duration::from_millis(1));
    let error = builder.build().unwrap().publish(note()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert!(error.to_string().to_lowercase().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let builder = Publisher::builder(&url).token("t").attempts(2).first_retry(Duration::from_millis(1));
    let publisher = builder.request_timeout(Duration::from_millis(50)).build().unwrap();
    assert_eq!(publisher.publish(note()).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let unauthorized = || problem("401 Unauthorized", "", "UNAUTHORIZED");
    let (builder, log) = server(vec![unauthorized(), published("e-1"), unauthorized()]).await;
    let number = AtomicUsize::new(0);
    let provider = move || {
        let token = format!("t{}", number.fetch_add(1, Ordering::SeqCst));
        async move { Ok::<_, std::convert::Infallible>(token) }
    };
    let publisher = builder.token_provider(provider).build().unwrap();
    publisher.publish(note()).await.unwrap();
    let error = publisher.publish(note()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied { code: ErrorCode::Unauthorized });
    let tokens: Vec<String> = requests(&log).into_iter().map(|seen| seen.authorization).collect();
    assert_eq!(tokens, ["Bearer t0", "Bearer t1", "Bearer t1", "Bearer t2"]);
}

#[tokio::test]
async fn a_batch_has_an_outcome_for_each_event() {
    let results = json!({"results": [
        {"eventId": "e-1", "positions": {}}, {"code": "FORBIDDEN", "message": "no"}, {"eventId": "e-3", "positions": {}, "duplicate": true},
    ]});
    let (builder, log) = server(vec![("200 OK", "", results.to_string())]).await;
    let publisher = builder.token("t").build().unwrap();
    let outcomes = publisher.publish_batch(vec![note(), note(), note()]).await.unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap().event_id.as_str(), "e-1");
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind(), ErrorKind::Denied { code: ErrorCode::Forbidden });
    assert!(outcomes[2].as_ref().unwrap().duplicate);
    assert_eq!(requests(&log)[0].body["events"].as_array().unwrap().len(), 3);
    assert!(publisher.publish_batch(Vec::new()).await.unwrap().is_empty());
    assert_eq!(publisher.publish_batch(vec![note(); 1001]).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(publisher.publish_batch(vec![note()]).await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn options_that_cannot_work_are_refused() {
    for url in ["ws://localhost", "localhost:3001", "http://localhost/?token=secret"] {
        let error = Publisher::builder(url).token("t").build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Options);
        assert!(!error.to_string().contains("secret"));
    }
    let never = Publisher::builder("http://localhost").token("t").total_timeout(Duration::MAX);
    assert_eq!(never.build().unwrap_err().kind(), ErrorKind::Options);
    assert_eq!(Publisher::builder("http://localhost").build().unwrap_err().kind(), ErrorKind::Options);
}
