//! One call of a publisher: what it posts, how far it has come, and who waits for its outcome.
//!
//! Owns the bounds of a call: whether a failure goes to the caller or is worth another attempt is decided for each call by
//! itself, whether it was sent alone or among others. Refuses to know of those others.

use std::time::Duration;

use bytes::Bytes;
use roomcast_protocol::Published;
use roomcast_protocol::http::BatchAnswer;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::exchange::{Failed, Next};
use crate::backoff::Backoff;
use crate::options::LONGEST_RETRY;
use crate::{Error, ErrorKind};

/// The bounds of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) request_timeout: Duration,
    pub(super) attempts: u32,
    pub(super) total_timeout: Duration,
    pub(super) first_retry: Duration,
}

/// What is posted, as JSON.
pub(super) enum Content {
    /// An event, which may be sent together with others.
    Event(Bytes),
    /// A whole request of so many events, which is sent as it is.
    Batch(Bytes, u32),
}

/// What the gateway says to a content.
pub(super) enum Answer {
    /// To an event.
    Event(Published),
    /// To a whole request.
    Batch(BatchAnswer),
}

/// What a caller gets.
pub(super) type Outcome = Result<Answer, Error>;

/// A call that waits or is under way.
pub(super) struct Call {
    /// Its place in the order of all calls.
    pub(super) ticket: u64,
    content: Content,
    /// When its caller waits no longer.
    end: Instant,
    /// How often it was tried, and how long it waits.
    backoff: Backoff,
    /// A refused token is replaced once in a call.
    has_asked_for_token: bool,
    /// Not before then, when it is to be repeated by itself.
    due: Option<Instant>,
    /// What came of the last attempt.
    failure: Option<Error>,
    caller: oneshot::Sender<Outcome>,
}

impl Content {
    pub(super) fn body(&self) -> &Bytes {
        let (Self::Event(body) | Self::Batch(body, _)) = self;
        body
    }

    /// How many places it takes.
    pub(super) fn events(&self) -> u32 {
        match self {
            Self::Event(_) => 1,
            Self::Batch(_, events) => *events,
        }
    }

    pub(super) fn is_event(&self) -> bool {
        matches!(self, Self::Event(_))
    }
}

impl Call {
    /// A call, and where its outcome comes.
    pub(super) fn new(
        ticket: u64,
        content: Content,
        end: Instant,
        limits: &Limits,
    ) -> (Self, oneshot::Receiver<Outcome>) {
        let (caller, outcome) = oneshot::channel();
        let backoff = Backoff::new(limits.first_retry, LONGEST_RETRY);
        (Self { ticket, content, end, backoff, has_asked_for_token: false, due: None, failure: None, caller }, outcome)
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    pub(super) fn end(&self) -> Instant {
        self.end
    }

    /// When it is to be repeated, if that is not with the next request.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn repeat_at(&mut self, due: Instant) {
        self.due = Some(due);
    }

    /// What came of its last attempt.
    pub(super) fn into_failure(self) -> Option<Error> {
        self.failure
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_left(&self) -> bool {
        self.caller.is_closed()
    }

    /// The answer to it alone.
    pub(super) fn read(&self, answer: &[u8]) -> Result<Answer, Failed> {
        match self.content {
            Content::Event(_) => parse(answer).map(Answer::Event),
            Content::Batch(..) => parse(answer).map(Answer::Batch),
        }
    }

    /// The end of it.
    pub(super) fn tell(self, outcome: Outcome) {
        // A caller that has gone wants no answer.
        let _ = self.caller.send(outcome);
    }

    /// Itself with how long to wait, if another attempt is worth it and inside its bounds; else its caller is told. `place`
    /// is where in the window of the wait, from 0 up to 1.
    pub(super) fn again(
        mut self,
        failed: Failed,
        place: f64,
        can_renew: bool,
        limits: &Limits,
    ) -> Option<(Self, Duration)> {
        let wait = match failed.next {
            Next::FreshToken if can_renew && !self.has_asked_for_token => {
                self.has_asked_for_token = true;
                Some(Duration::ZERO)
            }
            Next::FreshToken | Next::GiveUp => None,
            Next::Retry(hint) => {
                let wait = self.backoff.next_at(hint, place);
                let is_inside = self.backoff.attempt() < limits.attempts && Instant::now() + wait < self.end;
                is_inside.then_some(wait)
            }
        };
        let Some(wait) = wait else {
            self.tell(Err(failed.error));
            return None;
        };
        tracing::debug!(error = %failed.error, ?wait, "trying again");
        self.due = None;
        self.failure = Some(failed.error);
        Some((self, wait))
    }
}

/// What the gateway's answer says.
pub(super) fn parse<A: DeserializeOwned>(answer: &[u8]) -> Result<A, Failed> {
    serde_json::from_slice(answer).map_err(|error| {
        let message = format!("understand the gateway's answer: {error}");
        Failed::for_good(Error::new(ErrorKind::Protocol, message))
    })
}
