//! The task that sends a publisher's calls: one request at a time, with all that wait.
//!
//! Owns what goes into one request, and what its answer means for each call in it. Refuses to run without need: it is
//! started by a call that finds none, and ends when nothing waits or the last handle of its publisher is dropped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roomcast_protocol::http::{BatchAnswer, BatchResult};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::call::{Answer, Call, Limits, parse};
use super::exchange::{Exchange, Failed, Next};
use super::line::{Line, Taken};
use crate::{Error, ErrorKind};

/// The task's share of a publisher.
pub(super) struct Sender {
    pub(super) line: Arc<Line>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) limits: Limits,
    /// It has left the line in order.
    pub(super) is_done: bool,
}

impl Sender {
    /// Sends until nothing waits, or until the other end of `handles` is gone.
    pub(super) async fn run(mut self, mut handles: watch::Receiver<()>) {
        tokio::select! {
            biased;
            _ = handles.changed() => {}
            () = self.serve() => {}
        }
    }

    async fn serve(&mut self) {
        loop {
            match self.line.take() {
                Taken::Request(calls) => {
                    let outcomes = self.send(&calls).await;
                    let hold = self.settle(calls, outcomes);
                    if !hold.is_zero() {
                        sleep(hold).await;
                    }
                }
                Taken::Later(due) => tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.line.news() => {}
                },
                Taken::Nothing => {
                    self.is_done = true;
                    return;
                }
            }
        }
    }

    /// One attempt for all of these; an outcome for each.
    async fn send(&self, calls: &[Call]) -> Vec<Result<Answer, Failed>> {
        // As long as anybody waits; a caller whose time is over sooner leaves by itself.
        let now = Instant::now();
        let left = calls.iter().map(|call| call.end().saturating_duration_since(now)).max().unwrap_or_default();
        let answer = self.exchange.post(body(calls), left.min(self.limits.request_timeout)).await;
        match answer.and_then(|answer| read(calls, &answer)) {
            Ok(outcomes) => outcomes,
            Err(failed) => calls.iter().map(|_| Err(failed.clone())).collect(),
        }
    }

    /// Tells each caller its outcome, or keeps its call for another attempt. Returns for how long to send nothing: what was
    /// refused for the moment with nothing published behind it keeps its place before everything else, and what was
    /// overtaken already is repeated in its own time.
    fn settle(&self, calls: Vec<Call>, outcomes: Vec<Result<Answer, Failed>>) -> Duration {
        let last_published = outcomes.iter().rposition(Result::is_ok);
        let outage = match outcomes.last() {
            Some(Err(failed)) if failed.is_for_the_moment() => Some(failed.error.clone()),
            _ => None,
        };
        // One place in the window for all, so that they stay together.
        let (place, can_renew, now) = (rand::random(), self.exchange.can_renew(), Instant::now());
        let (mut again, mut hold) = (Vec::new(), Duration::ZERO);
        for (index, (call, outcome)) in calls.into_iter().zip(outcomes).enumerate() {
            let failed = match outcome {
                Ok(answer) => {
                    call.tell(Ok(answer));
                    continue;
                }
                Err(failed) => failed,
            };
            let wants_token = failed.next == Next::FreshToken;
            let Some((mut call, wait)) = call.again(failed, place, can_renew, &self.limits) else { continue };
            if wants_token {
                self.exchange.forget_token();
            }
            if last_published.is_some_and(|last| index < last) {
                call.repeat_at(now + wait);
            } else {
                hold = hold.max(wait);
            }
            again.push(call);
        }
        self.line.put_back(again, outage);
        hold
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.is_done {
            self.line.abandon();
        }
    }
}

/// One call as it is, several as a batch.
fn body(calls: &[Call]) -> Bytes {
    if let [call] = calls {
        return call.content().body().clone();
    }
    let bytes: usize = calls.iter().map(|call| call.content().body().len() + 1).sum();
    let mut body = Vec::with_capacity(bytes + 16);
    body.extend_from_slice(b"{\"events\":[");
    for (index, call) in calls.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(call.content().body());
    }
    body.extend_from_slice(b"]}");
    body.into()
}

fn read(calls: &[Call], answer: &[u8]) -> Result<Vec<Result<Answer, Failed>>, Failed> {
    if let [call] = calls {
        return Ok(vec![call.read(answer)]);
    }
    let BatchAnswer { results } = parse(answer)?;
    if results.len() != calls.len() {
        let message = format!("publish: {} results for {} events", results.len(), calls.len());
        return Err(Failed::for_good(Error::new(ErrorKind::Protocol, message)));
    }
    let outcomes = results.into_iter().map(|result| match result {
        BatchResult::Published(published) => Ok(Answer::Event(published)),
        BatchResult::Refused(refusal) => Err(Failed::event(&refusal)),
    });
    Ok(outcomes.collect())
}
