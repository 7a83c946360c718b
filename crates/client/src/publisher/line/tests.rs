//! The line by itself: nothing is sent here.

use std::time::Duration;

use bytes::Bytes;
use roomcast_protocol::ErrorCode;
use roomcast_protocol::server::ErrorPayload;

use super::super::call::{Content, Limits};
use super::super::exchange::Failed;
use super::*;

const LIMITS: Limits = Limits {
    request_timeout: Duration::from_secs(1),
    attempts: 5,
    total_timeout: Duration::from_secs(10),
    first_retry: Duration::from_millis(1),
};

fn event(bytes: usize) -> Content {
    Content::Event(Bytes::from(vec![b'x'; bytes]))
}

/// Puts a content into the line, and gives its caller's hold.
fn enter(line: &Line, content: Content) -> Waiting<'_> {
    let ticket = line.ticket();
    let (call, outcome) = Call::new(ticket, content, end(), &LIMITS);
    line.enter(call);
    line.wait(ticket, outcome)
}

fn end() -> Instant {
    Instant::now() + LIMITS.total_timeout
}

fn unavailable() -> Failed {
    Failed::event(&ErrorPayload::new(ErrorCode::Unavailable, "not now"))
}

fn calls(line: &Line) -> Vec<Call> {
    match line.take() {
        Taken::Request(calls) => calls,
        Taken::Later(_) | Taken::Nothing => Vec::new(),
    }
}

fn tickets(calls: &[Call]) -> Vec<u64> {
    calls.iter().map(|call| call.ticket).collect()
}

async fn kind(waiting: Waiting<'_>) -> ErrorKind {
    waiting.until(end()).await.err().unwrap().kind()
}

#[tokio::test(start_paused = true)]
async fn a_request_has_as_many_events_as_fit_and_a_batch_goes_by_itself() {
    let line = Line::new();
    let sizes = [1, MAX_BYTES / 2, MAX_BYTES / 2, 2 * MAX_BYTES, 1];
    let mut waiting: Vec<_> = sizes.map(|size| enter(&line, event(size))).into();
    waiting.push(enter(&line, Content::Batch(Bytes::new(), 7)));
    waiting.extend((0..=MAX_BATCH).map(|_| enter(&line, event(1))));
    let lengths: Vec<usize> = std::iter::from_fn(|| Some(calls(&line).len()).filter(|length| *length > 0)).collect();
    assert_eq!(lengths, [2, 1, 1, 1, 1, MAX_BATCH, 1]);
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn what_is_put_back_has_its_old_place_and_what_was_left_has_none() {
    let line = Line::new();
    let mut waiting: Vec<_> = (0..3).map(|_| enter(&line, event(1))).collect();
    let taken = calls(&line);
    waiting.push(enter(&line, event(1)));
    drop(waiting.remove(1));
    line.put_back(taken, None);
    assert_eq!(tickets(&calls(&line)), [1, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_to_be_repeated_later_stops_nobody() {
    let line = Line::new();
    let _first = enter(&line, event(1));
    let mut taken = calls(&line);
    let due = Instant::now() + Duration::from_secs(1);
    taken[0].repeat_at(due);
    line.put_back(taken, None);
    let _second = enter(&line, event(1));
    assert_eq!(tickets(&calls(&line)), [2]);
    assert!(matches!(line.take(), Taken::Later(time) if time == due));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(tickets(&calls(&line)), [1]);
    assert!(matches!(line.take(), Taken::Nothing));
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_time_is_over_has_its_own_last_error_or_that_of_the_outage() {
    let line = Line::new();
    let tried = enter(&line, event(1));
    let taken = calls(&line);
    let (under_way, behind) = (enter(&line, event(1)), enter(&line, event(1)));
    let again = taken.into_iter().filter_map(|call| Some(call.again(unavailable(), 0.0, false, &LIMITS)?.0)).collect();
    line.put_back(again, Some(Error::new(ErrorKind::Connect, "nobody there")));
    let unavailable = ErrorKind::Denied { code: ErrorCode::Unavailable };
    assert_eq!(kind(tried).await, unavailable);
    assert_eq!(kind(behind).await, ErrorKind::Connect);
    let _taken = calls(&line);
    assert_eq!(kind(under_way).await, ErrorKind::Timeout);
    let places = line.place(1000, end()).await.ok();
    let rest = line.place(PUBLISH_QUEUE as u32 - 1000, end()).await.ok();
    assert!(places.is_some() && rest.is_some());
    assert_eq!(line.place(1, end()).await.err().unwrap().kind(), ErrorKind::Connect);
    line.put_back(Vec::new(), None);
    assert_eq!(line.place(1, end()).await.err().unwrap().kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_ends_before_its_time_leaves_nobody_waiting() {
    let line = Line::new();
    let waiting = enter(&line, event(1));
    line.abandon();
    assert_eq!(kind(waiting).await, ErrorKind::Disconnected);
    let ticket = line.ticket();
    assert!(line.enter(Call::new(ticket, event(1), end(), &LIMITS).0), "the next call asks for a sender");
}
