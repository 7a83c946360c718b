//! The callback: what the back end says of a room that a token does not decide.
//!
//! Owns the question to `ACCESS_URL` and how long an answer counts: one call at a time for the same question, so many at a time
//! for all, each with an end, and an answer kept for a while, whichever way it goes. What is not answered, or not as it should
//! be, is not allowed. Refuses to know when to ask: that is [`rights`](crate::node)'s.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use roomcast_protocol::{Operation, Room, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, InvalidConfig};
use crate::metrics::{AccessCalls, Metrics};
use crate::outbound::{self, Outbound};

/// Calls at a time: what a back end of a few workers takes without a queue of its own.
const MOST_CALLS: usize = 64;

/// Questions that are under way or wait for their call. The session of one connection asks 128 at once.
const MOST_ASKED: usize = 4096;

/// Answers that are kept. When there are more, all of them are asked for again.
const MOST_KEPT: usize = 100_000;

/// How long nobody asks again after a call that has failed: what is down is not helped by being asked more.
const PAUSE: Duration = Duration::from_secs(1);

/// Bytes of an answer: it says yes or no.
const MOST_BYTES: usize = 4096;

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub user: UserId,
    pub room: Room,
    pub operation: Operation,
}

/// How it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ruling {
    Allowed,
    Forbidden,
    /// Nobody could say, so it is not allowed now.
    Unavailable,
}

/// Whether an answer may be one that was given before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// One that is kept does.
    Kept,
    /// Only one that is given now.
    Anew,
}

/// The callback of one node.
pub(crate) struct Callback {
    address: Uri,
    authorization: Option<HeaderValue>,
    outbound: Outbound,
    timeout: Duration,
    ttl: Duration,
    calls: Semaphore,
    asked: Semaphore,
    answers: Mutex<HashMap<Question, Known>>,
    /// Numbers the calls, so that one that was forgotten meanwhile does not answer for a later one.
    next: AtomicU64,
    /// Whether the last call has failed: the log is told of a change only.
    is_failing: AtomicBool,
    counts: AccessCalls,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What is known of a question.
#[derive(Debug, Clone)]
enum Known {
    Asked { call: u64, answer: watch::Receiver<Option<Ruling>> },
    Answered { ruling: Ruling, until: Instant },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    user_id: &'a str,
    room: &'a str,
    operation: String,
}

#[derive(Deserialize)]
struct Answer {
    allowed: bool,
}

impl Callback {
    /// The configured one; `None` when there is none. Its calls are among the `tasks`, and end with `stop`.
    ///
    /// # Errors
    /// [`InvalidConfig`] when it cannot be called.
    pub(crate) fn new(
        config: &Config,
        metrics: &Metrics,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Option<Arc<Self>>, InvalidConfig> {
        let Some(Target { address, authorization }) = Target::of(config)? else { return Ok(None) };
        let outbound = Outbound::new(config.access_timeout, MOST_BYTES);
        let outbound = outbound.map_err(|error| InvalidConfig { key: "ACCESS_URL", problem: error.to_string() })?;
        Ok(Some(Arc::new(Self {
            address,
            authorization,
            outbound,
            timeout: config.access_timeout,
            ttl: config.access_ttl,
            calls: Semaphore::new(MOST_CALLS),
            asked: Semaphore::new(MOST_ASKED),
            answers: Mutex::default(),
            next: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            counts: metrics.access_calls.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        })))
    }

    /// Asks, unless it is known or being asked. Takes no longer than the configured time.
    pub(crate) async fn ask(self: &Arc<Self>, question: Question, asking: Asking) -> Ruling {
        let mut answer = match self.look_up(question, asking) {
            Known::Answered { ruling, .. } => return ruling,
            Known::Asked { answer, .. } => answer,
        };
        let answered = answer.wait_for(Option::is_some);
        let answered = tokio::time::timeout(self.timeout, answered).await;
        answered.ok().and_then(Result::ok).and_then(|ruling| *ruling).unwrap_or(Ruling::Unavailable)
    }

    /// Forgets what was said of the user, whose rights have changed.
    pub(crate) fn forget(&self, user: &UserId) {
        self.lock().retain(|question, _| question.user != *user);
    }

    /// Forgets what does not count any more.
    pub(crate) fn sweep(&self) {
        forget_old(&mut self.lock());
    }

    /// What is known, or will be by a call that begins now.
    fn look_up(self: &Arc<Self>, question: Question, asking: Asking) -> Known {
        let mut answers = self.lock();
        match answers.get(&question) {
            Some(known @ Known::Asked { .. }) => return known.clone(),
            Some(known @ Known::Answered { ruling, until }) => {
                let is_good = asking == Asking::Kept || *ruling == Ruling::Unavailable;
                if is_good && Instant::now() < *until {
                    return known.clone();
                }
            }
            None => {}
        }
        let Ok(place) = self.asked.try_acquire() else {
            return Known::Answered { ruling: Ruling::Unavailable, until: Instant::now() };
        };
        place.forget();
        if answers.len() >= MOST_KEPT {
            forget_old(&mut answers);
        }
        if answers.len() >= MOST_KEPT {
            answers.retain(|_, known| matches!(known, Known::Asked { .. }));
        }
        let (tell, answer) = watch::channel(None);
        let known = Known::Asked { call: self.next.fetch_add(1, Ordering::Relaxed), answer };
        answers.insert(question.clone(), known.clone());
        drop(answers);
        self.begin(question, &known, tell);
        known
    }

    /// Calls in a task of its own, so that whoever asked may go meanwhile.
    fn begin(self: &Arc<Self>, question: Question, known: &Known, tell: watch::Sender<Option<Ruling>>) {
        let &Known::Asked { call, .. } = known else { return };
        let callback = self.clone();
        self.tasks.spawn(async move {
            let asked = callback.stop.run_until_cancelled(callback.call(&question)).await;
            let ruling = asked.unwrap_or(Ruling::Unavailable);
            let ttl = if ruling == Ruling::Unavailable { PAUSE } else { callback.ttl };
            let mut answers = callback.lock();
            if let Some(place) = answers.get_mut(&question)
                && matches!(place, Known::Asked { call: latest, .. } if *latest == call)
            {
                *place = Known::Answered { ruling, until: Instant::now() + ttl };
            }
            drop(answers);
            callback.asked.add_permits(1);
            let _ = tell.send(Some(ruling));
        });
    }

    async fn call(&self, question: &Question) -> Ruling {
        let called = async {
            let _permit = self.calls.acquire().await.map_err(|error| error.to_string())?;
            let body = self.outbound.call(self.request(question)?).await.map_err(|failure| failure.to_string())?;
            // A derived struct would also take an array, field by field.
            let object: &[u8] = if body.trim_ascii_start().starts_with(b"{") { &body } else { b"" };
            serde_json::from_slice::<Answer>(object)
                .map_err(|_| r#"its answer is not {"allowed": true} or {"allowed": false}"#.to_owned())
        };
        let called = tokio::time::timeout(self.timeout, called).await;
        let ruling = match called.unwrap_or_else(|_| Err("no answer in time".into())) {
            Ok(Answer { allowed }) => {
                self.is_failing.store(false, Ordering::Relaxed);
                if allowed { Ruling::Allowed } else { Ruling::Forbidden }
            }
            Err(reason) => {
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    let host = self.address.host().unwrap_or_default();
                    tracing::warn!(host, %reason, "ACCESS_URL does not answer, and what it would decide is denied");
                }
                Ruling::Unavailable
            }
        };
        self.counts.count(ruling.name());
        ruling
    }

    fn request(&self, question: &Question) -> Result<Request<Bytes>, String> {
        let (user_id, room) = (question.user.as_str(), question.room.as_str());
        let asked = Asked { user_id, room, operation: question.operation.to_string() };
        let body = serde_json::to_vec(&asked).map_err(|error| error.to_string())?;
        let mut request = Request::post(&self.address)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request.body(Bytes::from(body)).map_err(|error| error.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Question, Known>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ruling {
    /// Of what the token or the back end says.
    pub(crate) fn of(is_allowed: bool) -> Self {
        if is_allowed { Self::Allowed } else { Self::Forbidden }
    }

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
        }
    }
}

fn forget_old(answers: &mut HashMap<Question, Known>) {
    let now = Instant::now();
    answers.retain(|_, known| match known {
        Known::Asked { .. } => true,
        Known::Answered { until, .. } => now < *until,
    });
}

/// Where the back end is asked, and what is shown to it.
pub(crate) struct Target {
    address: Uri,
    /// `Authorization`, where an operator wants it.
    authorization: Option<HeaderValue>,
}

impl Target {
    /// The configured one; `None` when there is none.
    ///
    /// # Errors
    /// [`InvalidConfig`] when it cannot be called.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, InvalidConfig> {
        let invalid = |key, problem: &str| InvalidConfig { key, problem: problem.into() };
        let Some(url) = &config.access_url else {
            let unused = || Err(invalid("ACCESS_TOKEN", "set without ACCESS_URL, where it would be shown"));
            return config.access_token.as_ref().map_or(Ok(None), |_| unused());
        };
        let address = outbound::address(url);
        let address = address.map_err(|expected| invalid("ACCESS_URL", &format!("expected {expected}")))?;
        let header = config.access_token.as_ref().map(|token| {
            let mut value = HeaderValue::try_from([b"Bearer ", token.as_bytes()].concat())?;
            value.set_sensitive(true);
            Ok::<_, http::header::InvalidHeaderValue>(value)
        });
        let authorization = header.transpose();
        let authorization = authorization.map_err(|_| invalid("ACCESS_TOKEN", "expected letters of one line"))?;
        Ok(Some(Self { address, authorization }))
    }
}
