//! The calls that wait to be sent, in the order in which they were made.
//!
//! Owns the places and the order, and what a caller is told whose time runs out. Refuses to send, and to keep a call that
//! nobody waits for: what stands here belongs to a caller who can be told.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot};
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout_at};

use super::MAX_BATCH;
use super::call::{Call, Outcome};
use crate::options::PUBLISH_QUEUE;
use crate::{Error, ErrorKind};

/// Bytes of several events in one request: half of what a gateway takes. A larger event goes alone.
const MAX_BYTES: usize = 512 << 10;

/// The calls of one publisher and its clones.
pub(super) struct Line {
    /// For calls that wait or are under way; given in the order of the calls.
    places: Semaphore,
    state: Mutex<State>,
    /// That there is a new call, for a sender that waits for the time of a repeat.
    news: Notify,
}

#[derive(Default)]
struct State {
    /// By ticket, so that what is put back has its old place.
    waiting: BTreeMap<u64, Call>,
    tickets: u64,
    /// Whether a sender is at work. It leaves only when nothing waits.
    is_served: bool,
    /// Why nothing gets through, as long as nothing does.
    outage: Option<Error>,
}

/// What a sender is to do next.
pub(super) enum Taken {
    /// Send these as one request; more than one are all single events.
    Request(Vec<Call>),
    /// Wait until then, or for a new call.
    Later(Instant),
    /// Leave: nothing waits, and the next call asks for a new sender.
    Nothing,
}

/// A caller's hold on its call. Dropped, it takes the call out of the line, if it is not under way.
pub(super) struct Waiting<'a> {
    line: &'a Line,
    ticket: u64,
    outcome: oneshot::Receiver<Outcome>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { places: Semaphore::new(PUBLISH_QUEUE), state: Mutex::default(), news: Notify::new() }
    }

    /// The next place in the order.
    pub(super) fn ticket(&self) -> u64 {
        let mut state = self.lock();
        state.tickets += 1;
        state.tickets
    }

    /// Room for so many events.
    ///
    /// # Errors
    /// When there is none before `end`: why nothing gets through, or [`ErrorKind::Timeout`].
    pub(super) async fn place(&self, events: u32, end: Instant) -> Result<SemaphorePermit<'_>, Error> {
        // Without tokio's budget for one poll of a task, which would put some of many calls of one task behind the others.
        match unconstrained(timeout_at(end, self.places.acquire_many(events))).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(self.lock().outage.clone().unwrap_or_else(timed_out)),
        }
    }

    /// Puts a call into the line, and says whether a sender is needed.
    pub(super) fn enter(&self, call: Call) -> bool {
        let mut state = self.lock();
        state.waiting.insert(call.ticket, call);
        let is_needed = !std::mem::replace(&mut state.is_served, true);
        drop(state);
        if !is_needed {
            self.news.notify_one();
        }
        is_needed
    }

    /// Waits for a call's outcome.
    pub(super) fn wait(&self, ticket: u64, outcome: oneshot::Receiver<Outcome>) -> Waiting<'_> {
        Waiting { line: self, ticket, outcome }
    }

    /// The calls of the next request: from the front, as many as fit.
    pub(super) fn take(&self) -> Taken {
        let mut state = self.lock();
        let now = Instant::now();
        let (mut tickets, mut bytes) = (Vec::new(), 0);
        for (ticket, call) in state.waiting.iter().filter(|(_, call)| call.due().is_none_or(|due| due <= now)) {
            let content = call.content();
            bytes += content.body().len() + 1;
            let is_full = tickets.len() == MAX_BATCH || bytes > MAX_BYTES || !content.is_event();
            if is_full && !tickets.is_empty() {
                break;
            }
            tickets.push(*ticket);
            if is_full {
                break;
            }
        }
        if !tickets.is_empty() {
            return Taken::Request(tickets.iter().filter_map(|ticket| state.waiting.remove(ticket)).collect());
        }
        match state.waiting.values().filter_map(Call::due).min() {
            Some(due) => Taken::Later(due),
            None => {
                state.is_served = false;
                Taken::Nothing
            }
        }
    }

    /// Gives calls their places back, except those that were left; and says why nothing gets through, if nothing does.
    pub(super) fn put_back(&self, calls: Vec<Call>, outage: Option<Error>) {
        let mut state = self.lock();
        state.outage = outage;
        for call in calls.into_iter().filter(|call| !call.is_left()) {
            state.waiting.insert(call.ticket, call);
        }
    }

    /// Comes about when a call enters.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// The sender has ended before its time: whoever waits is told so, and the next call asks for a new one.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.is_served = false;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting<'_> {
    /// The outcome.
    ///
    /// # Errors
    /// When there is none before `end`: what came of the last attempt, if the call waits for another; why nothing gets
    /// through, if it waits for its first; and else [`ErrorKind::Timeout`].
    pub(super) async fn until(mut self, end: Instant) -> Outcome {
        match timeout_at(end, &mut self.outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                Err(Error::disconnected("publish: the task that sends has ended, with its runtime or by a panic"))
            }
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> Error {
        let mut state = self.line.lock();
        let call = state.waiting.remove(&self.ticket);
        let reason = call.and_then(|call| call.into_failure().or_else(|| state.outage.clone()));
        reason.unwrap_or_else(timed_out)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // First, so that a sender that is about to put the call back sees that it is left.
        self.outcome.close();
        self.line.lock().waiting.remove(&self.ticket);
    }
}

fn timed_out() -> Error {
    Error::new(ErrorKind::Timeout, "publish: no answer in time")
}

#[cfg(test)]
mod tests;
