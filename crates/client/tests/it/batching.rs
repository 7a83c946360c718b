//! Calls of a publisher that come at once: what is sent together, in which order, and what becomes of those who leave.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use axum::middleware::{Next, from_fn};
use futures_util::future::join_all;
use roomcast_client::options::PUBLISH_QUEUE;
use roomcast_client::protocol::{Event, Published, Room, Service};
use roomcast_client::{Error, ErrorKind, Publisher};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinSet, unconstrained};
use tokio::time::Instant;

use crate::gateway::{DEADLINE, next_event, start};
use crate::http::{all_published, gated, numbered, requests};

/// Polls a call for the first time, which makes it.
fn begin<F: Future>(call: Pin<&mut F>) {
    assert!(call.poll(&mut Context::from_waker(Waker::noop())).is_pending(), "answered at once");
}

/// So many calls, all made in one poll: without tokio's budget for it, which would let others run between them.
fn at_once(publisher: &Publisher, count: u64) -> impl Future<Output = Vec<Result<Published, Error>>> {
    unconstrained(join_all((0..count).map(|number| publisher.publish(numbered(number)))))
}

/// The offset that an event got.
fn offset(outcome: &Result<Published, Error>) -> u64 {
    outcome.as_ref().unwrap().positions[&Room::team("a")].offset
}

#[tokio::test]
async fn calls_one_after_the_other_are_single_requests() {
    let server = gated(all_published).await;
    server.open();
    let publisher = server.builder().build().unwrap();
    for number in 0..3 {
        publisher.publish(numbered(number)).await.unwrap();
    }
    let seen = requests(&server.log);
    assert!(seen.len() == 3 && seen.iter().all(|seen| seen.body.get("events").is_none()), "{seen:?}");
}

#[tokio::test]
async fn calls_during_a_request_go_out_together_in_their_order() {
    let server = gated(all_published).await;
    let publisher = server.builder().build().unwrap();
    let calls = at_once(&publisher, 2500);
    let opening = async {
        server.until_asked(1).await;
        server.open();
    };
    let (outcomes, ()) = tokio::join!(calls, opening);
    assert!(outcomes.iter().enumerate().all(|(number, outcome)| offset(outcome) == number as u64));
    let seen = server.numbers();
    assert!(seen.concat().into_iter().eq(0..2500), "not in order");
    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
}

#[tokio::test]
async fn a_request_of_several_stays_below_what_a_gateway_takes() {
    let server = gated(|_| ("", "", String::new())).await;
    server.open();
    let publisher = server.builder().attempts(1).build().unwrap();
    let sizes = [1, 200_000, 200_000, 200_000, 700_000, 1];
    join_all(sizes.map(|size| {
        let note = Event::custom("note.added", json!({"number": 0, "text": "x".repeat(size)}));
        publisher.publish(note)
    }))
    .await;
    let seen: Vec<usize> = requests(&server.log).iter().map(|seen| seen.numbers().len()).collect();
    assert_eq!(seen, [3, 1, 1, 1]);
}

#[tokio::test]
async fn a_batch_of_ones_own_is_one_request_in_its_place() {
    let server = gated(all_published).await;
    let publisher = server.builder().build().unwrap();
    let mut first = pin!(publisher.publish(numbered(0)));
    begin(first.as_mut());
    server.until_asked(1).await;
    server.open();
    let (first, second, batch, last) = tokio::join!(
        biased;
        first,
        publisher.publish(numbered(1)),
        publisher.publish_batch(vec![numbered(2), numbered(3)]),
        publisher.publish(numbered(4)),
    );
    assert_eq!([offset(&first), offset(&second), offset(&last)], [0, 1, 4]);
    assert_eq!(batch.unwrap().iter().map(offset).collect::<Vec<_>>(), [2, 3]);
    let seen = server.numbers();
    assert_eq!(seen, [vec![0], vec![1], vec![2, 3], vec![4]]);
}

#[tokio::test]
async fn a_thousand_calls_at_once_reach_the_gateway_in_order_by_few_requests() {
    let running = start().await;
    let mut team = running.client(json!({"*": ["subscribe"]})).subscribe(Room::team("a")).await.unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let counted = from_fn(move |request, next: Next| {
        counter.fetch_add(1, Ordering::SeqCst);
        next.run(request)
    });
    let routes = running.gateway.router().layer(counted).into_make_service_with_connect_info::<std::net::SocketAddr>();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let token = running.token("service", json!({"*": ["publish"]}));
    let publisher = Publisher::builder(&url).token(token).build().unwrap();
    let outcomes = at_once(&publisher, 1000).await;
    assert!(outcomes.iter().zip(1..).all(|(outcome, place)| offset(outcome) == place));
    for number in 0..1000 {
        assert_eq!(next_event(&mut team).await.payload()["number"], number);
    }
    assert!(count.load(Ordering::SeqCst) <= 10, "{count:?} requests");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clones_on_several_threads_have_all_their_events_published_once_and_each_in_its_order() {
    let server = gated(all_published).await;
    server.open();
    let (publisher, mut tasks) = (server.builder().build().unwrap(), JoinSet::new());
    for task in 0..8 {
        let publisher = publisher.clone();
        tasks.spawn(async move {
            for number in (0..200).map(|number| 1000 * task + number) {
                assert_eq!(offset(&publisher.publish(numbered(number)).await), number);
            }
        });
    }
    while let Some(end) = tasks.join_next().await {
        end.unwrap();
    }
    let mut numbers = server.numbers().concat();
    numbers.sort_by_key(|number| number / 1000);
    assert!(numbers.into_iter().eq((0..8).flat_map(|task| (0..200).map(move |number| 1000 * task + number))));
}

#[tokio::test]
async fn a_caller_who_leaves_takes_only_its_own_event_with_it() {
    let server = gated(all_published).await;
    let publisher = server.builder().build().unwrap();
    let mut under_way = Box::pin(publisher.publish(numbered(0)));
    begin(under_way.as_mut());
    server.until_asked(1).await;
    let (mut waits, mut leaves) = (pin!(publisher.publish(numbered(1))), Box::pin(publisher.publish(numbered(2))));
    begin(waits.as_mut());
    begin(leaves.as_mut());
    drop((under_way, leaves));
    server.open();
    assert_eq!(offset(&waits.await), 1);
    assert_eq!(offset(&publisher.publish(numbered(3)).await), 3);
    let seen = server.numbers();
    assert_eq!(seen, [[0], [1], [3]]);
}

#[tokio::test]
async fn a_caller_who_stops_polling_holds_up_nobody() {
    let server = gated(all_published).await;
    let publisher = server.builder().build().unwrap();
    let mut forgotten = pin!(publisher.publish(numbered(0)));
    begin(forgotten.as_mut());
    server.open();
    assert_eq!(offset(&publisher.publish(numbered(1)).await), 1);
    assert_eq!(offset(&forgotten.await), 0);
}

#[tokio::test]
async fn who_finds_no_place_waits_for_one_and_keeps_its_turn() {
    let server = gated(all_published).await;
    let publisher = server.builder().build().unwrap();
    let count = PUBLISH_QUEUE as u64 + 1500;
    let calls = at_once(&publisher, count);
    let opening = async {
        server.until_asked(1).await;
        server.open();
    };
    let (outcomes, ()) = tokio::join!(calls, opening);
    assert!(outcomes.iter().zip(0..).all(|(outcome, number)| offset(outcome) == number));
    assert!(server.numbers().concat().into_iter().eq(0..count), "not in order");
}

#[tokio::test]
async fn who_finds_no_place_in_time_is_told_so() {
    let server = gated(all_published).await;
    let total = Duration::from_secs(1);
    let publisher = server.builder().total_timeout(total).build().unwrap();
    let before = Instant::now();
    let count = PUBLISH_QUEUE as u64 + 500;
    let outcomes = at_once(&publisher, count).await;
    assert!(before.elapsed() < 3 * total, "{:?}", before.elapsed());
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err().kind() == ErrorKind::Timeout));
    server.open();
    assert_eq!(offset(&publisher.publish(numbered(count)).await), count, "the places are free again");
}

#[tokio::test]
async fn nothing_goes_on_behind_the_last_clone() {
    let server = gated(all_published).await;
    let alive = Arc::new(());
    let watched: Weak<()> = Arc::downgrade(&alive);
    let provider = move || {
        let _alive = &alive;
        async { Ok::<_, std::convert::Infallible>("t".to_owned()) }
    };
    // Longer than the test waits: only the last clone can end it.
    let long = 10 * DEADLINE;
    let builder = server.builder().request_timeout(long).total_timeout(long);
    let publisher = builder.token_provider(provider).build().unwrap();
    let clone = publisher.clone();
    let mut call = Box::pin(publisher.publish(numbered(0)));
    begin(call.as_mut());
    server.until_asked(1).await;
    drop(call);
    drop(publisher);
    tokio::task::yield_now().await;
    assert!(watched.upgrade().is_some(), "a clone is left");
    drop(clone);
    tokio::time::timeout(DEADLINE, async {
        while watched.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the task lives on");
}

#[test]
fn a_publisher_outlives_the_runtime_that_it_was_used_in() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (serving, first) = (runtime(), runtime());
    let server = serving.block_on(gated(all_published));
    let publisher = server.builder().build().unwrap();
    let mut cut = Box::pin(publisher.publish(numbered(0)));
    first.block_on(async {
        begin(cut.as_mut());
        // Its task has begun, and cannot get far: nobody serves.
        tokio::task::yield_now().await;
    });
    drop(first);
    server.open();
    serving.block_on(async {
        assert_eq!(cut.await.unwrap_err().kind(), ErrorKind::Disconnected);
        assert_eq!(offset(&publisher.publish(numbered(1)).await), 1);
    });
    assert_eq!(requests(&server.log).last().unwrap().numbers(), [1]);
}
