//! Close codes: why a connection ended, and what its client should do about it.

/// What a close code tells the client to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Come back, after `retryAfterMs` and with jitter, and resume.
    Reconnect,
    /// Stay away until something changed: another token, another program, a person's decision.
    StayAway,
}

macro_rules! close_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $reason:literal;)+) => {
        /// Why the gateway ended a connection. The range is the advice, so codes of later versions carry it too.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum CloseCode {
            $($(#[$doc])* $name,)+
            /// A code that this version does not name.
            Other(u16),
        }

        impl CloseCode {
            /// Every named code.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The number in the close frame (RFC 6455 section 7.4).
            #[must_use]
            pub fn code(self) -> u16 {
                match self { $(Self::$name => $code,)+ Self::Other(code) => code }
            }

            /// The words in the close frame.
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)+ Self::Other(_) => "closed" }
            }
        }

        impl From<u16> for CloseCode {
            fn from(code: u16) -> Self {
                match code { $($code => Self::$name,)+ other => Self::Other(other) }
            }
        }
    };
}

close_codes! {
    /// The client asked for it.
    Normal = 1000, "normal closure";
    /// A violation of RFC 6455.
    ProtocolError = 1002, "protocol error";
    /// A text that is not UTF-8.
    InvalidUtf8 = 1007, "invalid utf-8";
    /// A message over the limit.
    MessageTooBig = 1009, "message too big";
    /// The gateway failed.
    InternalError = 1011, "internal error";
    /// The gateway drains: another node, or this one soon, takes the client back.
    ServiceRestart = 1012, "service restart";
    /// The client read more slowly than its rooms speak.
    SlowConsumer = 4000, "slow consumer";
    /// No frame came within the heartbeat's time-out.
    HeartbeatTimeout = 4001, "heartbeat timeout";
    /// The token ran out and was not renewed.
    TokenExpired = 4002, "token expired";
    /// Refusals did not stop the client from sending.
    RateLimited = 4003, "rate limited";
    /// The load is spread anew over the nodes.
    Rebalance = 4004, "rebalance";
    /// No token, or not a good one.
    Unauthorized = 4500, "unauthorized";
    /// The operator or the back end ended the connection.
    Disconnected = 4501, "disconnected by the server";
    /// The client does not speak the protocol.
    TooManyInvalid = 4502, "too many invalid messages";
}

impl CloseCode {
    /// What the client should do. 4500 to 4999 say to stay away; everything else that a client did not ask for itself,
    /// a lost connection included, is a fault of the moment.
    #[must_use]
    pub fn advice(self) -> Advice {
        if (4500..=4999).contains(&self.code()) { Advice::StayAway } else { Advice::Reconnect }
    }
}
