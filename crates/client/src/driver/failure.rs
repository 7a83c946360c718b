//! Why there is no connection, or no longer, and what to do about it.
//!
//! Owns the decision between coming back and staying away. Faults of the network always mean coming back. What the gateway
//! says decides by its close code ([`CloseCode::advice`]), and before the upgrade by its HTTP status:
//!
//! | status | verdict |
//! |---|---|
//! | 401 | as close code 4500: a fresh token, once. A gateway does not send it, a proxy may |
//! | 400, 403, 426 | stay away: this program, from here, is not wanted, and repeating changes nothing |
//! | 429, 503 and all others | come back, after `Retry-After`: also a 404, which a proxy gives while it is set up anew |

use std::time::Duration;

use http::StatusCode;
use roomcast_protocol::{Advice, CloseCode};

use crate::Error;

/// An attempt or a connection that ended.
#[derive(Debug)]
pub(super) struct Failure {
    /// For the state while the client comes back.
    pub(super) error: Error,
    /// For the state when it does not.
    pub(super) reason: String,
    pub(super) verdict: Verdict,
    /// The gateway said goodbye, which is to be answered.
    pub(super) goodbye: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Come back.
    Retry {
        /// After this time at least.
        hint: Option<Duration>,
    },
    /// Come back with another token, if there is one and it was not tried before.
    FreshToken,
    /// End.
    StayAway {
        /// The close code that said so.
        code: Option<CloseCode>,
    },
}

impl Failure {
    /// A fault of the moment.
    pub(super) fn lost(error: Error) -> Self {
        Self::lost_with_hint(error, None)
    }

    /// A fault of the moment, after the gateway said when to come back.
    pub(super) fn lost_with_hint(error: Error, hint: Option<Duration>) -> Self {
        Self::new(error, Verdict::Retry { hint })
    }

    fn new(error: Error, verdict: Verdict) -> Self {
        Self { reason: error.to_string(), error, verdict, goodbye: false }
    }

    /// The gateway closed the connection; `hint` is what it said before.
    pub(super) fn closed(code: CloseCode, hint: Option<Duration>) -> Self {
        let reason = format!("closed by the gateway: {} {}", code.code(), code.reason());
        let verdict = match code.advice() {
            Advice::StayAway => Verdict::StayAway { code: Some(code) },
            Advice::Reconnect => Verdict::Retry { hint },
        };
        let error = Error::disconnected(format!("keep the connection: {reason}")).after(hint);
        Self { error, reason, verdict, goodbye: true }
    }

    /// The gateway closed the connection instead of acknowledging it.
    pub(super) fn closed_at_connect(code: CloseCode, hint: Option<Duration>) -> Self {
        let failure = Self::closed(code, hint);
        if code == CloseCode::Unauthorized { Self { verdict: Verdict::FreshToken, ..failure } } else { failure }
    }

    /// The upgrade was refused.
    pub(super) fn refused(status: StatusCode, hint: Option<Duration>) -> Self {
        let verdict = match status.as_u16() {
            401 => Verdict::FreshToken,
            400 | 403 | 426 => Verdict::StayAway { code: None },
            _ => Verdict::Retry { hint },
        };
        Self::new(Error::connect(format!("open the websocket: refused with http status {status}")).after(hint), verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_are_obeyed_by_their_range() {
        let hint = Some(Duration::from_secs(3));
        for code in [1000, 1001, 1006, 1011, 1012, 4000, 4001, 4002, 4003, 4499, 5000] {
            assert_eq!(Failure::closed(code.into(), hint).verdict, Verdict::Retry { hint }, "{code}");
        }
        for code in [4500, 4501, 4502, 4999] {
            let stay_away = Verdict::StayAway { code: Some(code.into()) };
            assert_eq!(Failure::closed(code.into(), hint).verdict, stay_away, "{code}");
        }
    }

    #[test]
    fn a_refused_token_is_worth_one_more_question_at_connect_only() {
        assert_eq!(Failure::closed_at_connect(CloseCode::Unauthorized, None).verdict, Verdict::FreshToken);
        assert!(matches!(Failure::closed(CloseCode::Unauthorized, None).verdict, Verdict::StayAway { .. }));
    }

    #[test]
    fn http_refusals_are_sorted() {
        let hint = Some(Duration::from_secs(3));
        let verdict = |status| Failure::refused(StatusCode::from_u16(status).unwrap(), hint).verdict;
        for status in [404, 408, 429, 500, 502, 503, 504, 302, 200] {
            assert_eq!(verdict(status), Verdict::Retry { hint }, "{status}");
        }
        for status in [400, 403, 426] {
            assert_eq!(verdict(status), Verdict::StayAway { code: None }, "{status}");
        }
        assert_eq!(verdict(401), Verdict::FreshToken);
    }
}
