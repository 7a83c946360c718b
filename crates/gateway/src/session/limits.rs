//! Limits of a connection's requests: what is counted, what is announced, and what becomes of one that is over.
//!
//! Owns the order: the connection's messages first, then everything that `LIMITS` names. Refuses to know how it is counted.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use roomcast_protocol::client::InvalidMessage;
use roomcast_protocol::server::{ErrorPayload, Limits, Rate};
use roomcast_protocol::{ClientMessage, CloseCode, ErrorCode, Request, RequestId, UserId};
use tokio::time::Instant;

use super::{Outcome, Session, millis};
use crate::limits::meters::{Accounts, Meters};
use crate::limits::{Kind, Raised, Scope};
use crate::outbox::Closing;
use crate::rate_limit::{FixedWindow, Verdict};

/// Refused messages in one window that are patience enough.
const MOST_REFUSED: u32 = 100;

/// That window, for refusals of a user's or an address's limit, which have windows that others began.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a connection's requests are counted, and how often they were refused.
pub(super) struct Dues {
    accounts: Accounts,
    refused: FixedWindow,
}

impl Dues {
    /// Those of a new connection; `None` when nothing is limited.
    pub(super) fn of_connection(meters: &Meters, address: IpAddr) -> Option<Box<Self>> {
        let accounts = (!meters.is_idle()).then(|| meters.of_connection(address))?;
        Some(Box::new(Self { accounts, refused: FixedWindow::default() }))
    }

    /// From now on the user's limits count too.
    pub(super) fn identify(&mut self, meters: &Meters, user: &UserId) {
        meters.identify(&mut self.accounts, user);
    }
}

impl Session {
    /// Counts a message.
    ///
    /// # Errors
    /// What becomes of the connection, when the message is over a limit: it is answered then, and not carried out.
    pub(super) fn count(
        &mut self,
        id: &Option<RequestId>,
        request: &Result<Request, InvalidMessage>,
        bytes: usize,
    ) -> Result<(), Outcome> {
        let (config, identity, unraised) = (&self.admission.node.config, self.identity.clone(), Raised::default());
        let raised = identity.as_ref().map_or(&unraised, |identity| &identity.raised);
        let most = raised.over(config.messages_per_minute, Scope::Connection, Kind::Messages);
        if let Verdict::Limited { retry_after, refused } = self.handle_of().count_message(most, config.message_window) {
            let names = (Scope::Connection.name(), Kind::Messages.name());
            return Err(self.over_limit(id, names, retry_after, refused >= MOST_REFUSED));
        }
        let Some(dues) = &mut self.dues else { return Ok(()) };
        let costs = costs(request.as_ref().ok(), bytes);
        let Err(exceeded) = self.admission.node.meters.charge(&dues.accounts, raised, &costs) else { return Ok(()) };
        // One less may be refused than closes.
        let is_abuse = dues.refused.hit(MOST_REFUSED - 1, PATIENCE, Instant::now()) != Verdict::Allowed;
        Err(self.over_limit(id, (exceeded.scope.name(), exceeded.kind.name()), exceeded.retry_after, is_abuse))
    }

    fn over_limit(
        &self,
        id: &Option<RequestId>,
        (scope, kind): (&'static str, &'static str),
        retry_after: Duration,
        is_abuse: bool,
    ) -> Outcome {
        self.admission.node.metrics.rate_limited(scope, kind);
        self.error(id.clone(), rate_limit_exceeded(retry_after));
        is_abuse.then_some(Closing { code: CloseCode::RateLimited, retry_after_ms: Some(millis(retry_after)) })
    }

    /// What the connection is told of its limits.
    pub(super) fn limits(&self, raised: &Raised) -> Limits {
        let config = &self.admission.node.config;
        let messages = raised.over(config.messages_per_minute, Scope::Connection, Kind::Messages);
        let per_minute = u128::from(messages) * 60_000 / config.message_window.as_millis().max(1);
        let rate = |(scope, kind, rate): (Scope, Kind, crate::limits::Rate)| {
            let count = u64::from(raised.over(rate.count, scope, kind));
            (format!("{}.{}", scope.name(), kind.name()), Rate { count, window_ms: millis(rate.window) })
        };
        Limits {
            messages_per_minute: u64::try_from(per_minute).unwrap_or(u64::MAX),
            max_message_bytes: config.max_message_bytes as u64,
            max_rooms: config.max_rooms as u64,
            max_rooms_per_message: config.max_rooms_per_message as u64,
            rates: config.limits.iter().map(rate).collect(),
        }
    }
}

/// What a message is counted as.
fn costs(request: Option<&Request>, bytes: usize) -> Vec<(Kind, usize)> {
    let mut costs = vec![(Kind::Messages, 1), (Kind::Bytes, bytes)];
    match request.map(|request| &request.message) {
        Some(ClientMessage::Publish(_)) => costs.push((Kind::Publishes, 1)),
        Some(ClientMessage::Subscribe(subscribe)) => {
            // A room that is named twice counts once.
            let rooms = subscribe.rooms.iter().collect::<BTreeSet<_>>().len();
            costs.push((Kind::Subscriptions, rooms));
            if subscribe.presence.is_some() {
                costs.push((Kind::Presence, rooms));
            }
        }
        _ => {}
    }
    costs
}

/// Over a limit, in words of the original.
pub(crate) fn rate_limit_exceeded(retry_after: Duration) -> ErrorPayload {
    let message = format!("Rate limit exceeded. Try again in {} seconds.", seconds(retry_after));
    refusal(message, retry_after)
}

/// The same, of something that a client is told the name of.
pub(super) fn too_many(what: &str, retry_after: Duration) -> ErrorPayload {
    let message = format!("Rate limit exceeded: too many {what}. Try again in {} seconds.", seconds(retry_after));
    refusal(message, retry_after)
}

fn seconds(retry_after: Duration) -> u128 {
    retry_after.as_millis().div_ceil(1000)
}

fn refusal(message: String, retry_after: Duration) -> ErrorPayload {
    let refusal = ErrorPayload::new(ErrorCode::RateLimitExceeded, message);
    ErrorPayload { retry_after_ms: Some(millis(retry_after)), ..refusal }
}
