//! Calls of a publisher that were sent together and went wrong: whose error is whose, and what is repeated when.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::{OptionFuture, join_all};
use roomcast_client::protocol::{ErrorCode, Published, Service};
use roomcast_client::{Error, ErrorKind, Publisher};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::http::{Answer, Gated, Seen, all_published, gated, numbered, problem, requests, unless_refused};

type Outcome = Result<Published, Error>;

/// Publishes notes 0 up to `count` at once, of which the first goes alone, and gives the outcomes.
async fn publish_at_once(server: &Gated, publisher: &Publisher, count: u64) -> Vec<Outcome> {
    publish_in_turns(server, publisher, count, None).await.0
}

/// The same, and publishes one more when the others are under way, before they have their answer.
async fn publish_in_turns(
    server: &Gated,
    publisher: &Publisher,
    count: u64,
    later: Option<u64>,
) -> (Vec<Outcome>, Option<Outcome>) {
    let first = publisher.publish(numbered(0));
    let others = async {
        server.until_asked(1).await;
        let calls = join_all((1..count).map(|number| publisher.publish(numbered(number))));
        let opening = async { server.open_once() };
        tokio::join!(biased; calls, opening).0
    };
    let later = async {
        server.until_asked(2).await;
        let call = OptionFuture::from(later.map(|number| publisher.publish(numbered(number))));
        let opening = async { server.open() };
        tokio::join!(biased; call, opening).0
    };
    let (first, others, later) = tokio::join!(first, others, later);
    (std::iter::once(first).chain(others).collect(), later)
}

/// A server that refuses each of these notes the first time.
async fn refusing_once(refused: &'static [u64], refusal: Value) -> (Gated, Publisher) {
    let left = Mutex::new(refused.to_vec());
    let server = gated(move |seen| {
        unless_refused(seen, |number| {
            let mut left = left.lock().unwrap();
            let place = left.iter().position(|refused| *refused == number)?;
            left.remove(place);
            Some(refusal.clone())
        })
    })
    .await;
    let publisher = server.builder().build().unwrap();
    (server, publisher)
}

#[tokio::test]
async fn each_caller_has_its_own_outcome() {
    let server = gated(|seen| {
        unless_refused(seen, |number| match number {
            2 => Some(json!({"code": "FORBIDDEN", "message": "not yours"})),
            4 => Some(json!({"code": "INVALID_PAYLOAD", "message": "no number", "pointer": "/payload/number"})),
            _ => None,
        })
    })
    .await;
    let outcomes = publish_at_once(&server, &server.builder().build().unwrap(), 6).await;
    let kinds: Vec<Option<ErrorKind>> = outcomes.iter().map(|outcome| Some(outcome.as_ref().err()?.kind())).collect();
    let denied = |code| Some(ErrorKind::Denied { code });
    let expected = [None, None, denied(ErrorCode::Forbidden), None, denied(ErrorCode::InvalidPayload), None];
    assert_eq!(kinds, expected);
    assert_eq!(outcomes[4].as_ref().unwrap_err().pointer(), Some("/payload/number"));
    assert_eq!(server.numbers(), [vec![0], vec![1, 2, 3, 4, 5]], "what is refused for good is not repeated");
}

#[tokio::test]
async fn a_request_that_is_refused_for_the_moment_is_repeated_as_a_whole_before_what_came_later() {
    let answers = Mutex::new(vec![
        ("", "", String::new()),
        problem("503 Service Unavailable", "Retry-After: 1\r\n", "UNAVAILABLE"),
    ]);
    let server = gated(move |seen| {
        let is_first = seen.body.get("events").is_none();
        let refusal = if is_first { None } else { answers.lock().unwrap().pop() };
        refusal.unwrap_or_else(|| all_published(seen))
    })
    .await;
    let publisher = server.builder().build().unwrap();
    let before = Instant::now();
    let (outcomes, later) = publish_in_turns(&server, &publisher, 4, Some(4)).await;
    assert!(outcomes.iter().chain(&later).all(Result::is_ok));
    assert!(before.elapsed() >= Duration::from_secs(1));
    let seen = server.numbers();
    assert!(seen[0] == [0] && seen[1] == [1, 2, 3], "{seen:?}");
    assert!(seen.len() >= 4 && seen[2..].iter().all(|numbers| *numbers == [1, 2, 3, 4]), "{seen:?}");
    let ids = |seen: &Seen| -> Vec<Value> {
        seen.body["events"].as_array().unwrap()[..3].iter().map(|event| event["eventId"].clone()).collect()
    };
    let seen = requests(&server.log);
    assert!(seen[2..].iter().all(|repeat| ids(repeat) == ids(&seen[1])), "an id changed");
}

#[tokio::test]
async fn one_event_that_is_refused_for_the_moment_is_repeated_by_itself_after_its_hint() {
    let refusal = json!({"code": "RATE_LIMIT_EXCEEDED", "message": "later", "retryAfterMs": 400});
    let (server, publisher) = refusing_once(&[2], refusal).await;
    let before = Instant::now();
    let (outcomes, later) = publish_in_turns(&server, &publisher, 4, Some(9)).await;
    assert!(outcomes.iter().chain(&later).all(Result::is_ok));
    assert!(before.elapsed() >= Duration::from_millis(400));
    assert_eq!(server.numbers(), [vec![0], vec![1, 2, 3], vec![9], vec![2]]);
}

#[tokio::test]
async fn events_that_nothing_has_overtaken_keep_their_place() {
    let refusal = json!({"code": "UNAVAILABLE", "message": "the outcome is unknown"});
    let (server, publisher) = refusing_once(&[2, 3], refusal).await;
    let (outcomes, later) = publish_in_turns(&server, &publisher, 4, Some(9)).await;
    assert!(outcomes.iter().chain(&later).all(Result::is_ok));
    assert_eq!(server.numbers(), [vec![0], vec![1, 2, 3], vec![2, 3, 9]]);
}

#[tokio::test]
async fn one_event_that_never_gets_through_ends_by_its_own_attempts_and_holds_up_the_others_once() {
    let refusal = || Some(json!({"code": "UNAVAILABLE", "message": "the outcome is unknown"}));
    let server = gated(move |seen| unless_refused(seen, |number| if number == 3 { refusal() } else { None })).await;
    let publisher = server.builder().attempts(3).build().unwrap();
    let (outcomes, later) = publish_in_turns(&server, &publisher, 4, Some(9)).await;
    let error = outcomes[3].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied { code: ErrorCode::Unavailable });
    assert!(later.is_some_and(|later| later.is_ok()));
    let seen = server.numbers();
    assert_eq!(seen[..3], [vec![0], vec![1, 2, 3], vec![3, 9]]);
    let tries = seen.concat().into_iter().filter(|number| *number == 3).count();
    assert_eq!(tries, 3, "{seen:?}");
}

#[tokio::test]
async fn a_gateway_that_is_away_gives_each_caller_its_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let builder = Publisher::builder(&url).token("t").attempts(3).first_retry(Duration::from_millis(1));
    let publisher = builder.build().unwrap();
    let outcomes = join_all((0..2500).map(|number| publisher.publish(numbered(number)))).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err().kind() == ErrorKind::Connect));
}

#[tokio::test]
async fn callers_of_a_gateway_that_refuses_everything_have_their_errors_within_their_time() {
    let refusal: fn(&Seen) -> Answer = |_| problem("503 Service Unavailable", "", "UNAVAILABLE");
    let server = gated(refusal).await;
    server.open();
    let total = Duration::from_secs(1);
    let publisher =
        server.builder().attempts(1000).total_timeout(total).first_retry(Duration::from_millis(50)).build().unwrap();
    let before = Instant::now();
    let outcomes = join_all((0..2500).map(|number| publisher.publish(numbered(number)))).await;
    assert!(before.elapsed() < 3 * total, "{:?}", before.elapsed());
    let unavailable = ErrorKind::Denied { code: ErrorCode::Unavailable };
    // Those that were under way at the end have no answer to their last attempt.
    let is_its_error = |error: &Error| error.kind() == unavailable || error.kind() == ErrorKind::Timeout;
    assert!(outcomes.iter().all(|outcome| is_its_error(outcome.as_ref().unwrap_err())));
    assert!(outcomes.iter().any(|outcome| outcome.as_ref().unwrap_err().kind() == unavailable));
}

#[tokio::test]
async fn a_refused_token_is_replaced_for_all_that_were_sent_together() {
    let server = gated(|seen| {
        if seen.authorization == "Bearer t0" && seen.body.get("events").is_some() {
            return problem("401 Unauthorized", "", "UNAUTHORIZED");
        }
        all_published(seen)
    })
    .await;
    let number = std::sync::atomic::AtomicUsize::new(0);
    let provider = move || {
        let token = format!("t{}", number.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        async move { Ok::<_, std::convert::Infallible>(token) }
    };
    let publisher = server.builder().token_provider(provider).build().unwrap();
    let outcomes = publish_at_once(&server, &publisher, 4).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(server.numbers(), [vec![0], vec![1, 2, 3], vec![1, 2, 3]]);
}
