//! What a client did wrong, and the close code for it.

/// A rule that a client has broken. Its connection must be failed: nothing behind it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Frames of a client are masked (section 5.1).
    #[error("an unmasked frame")]
    Unmasked,
    /// No extension was negotiated that gives these bits a meaning (section 5.2).
    #[error("a reserved bit is set")]
    ReservedBit,
    /// Section 5.2 names six opcodes.
    #[error("a reserved opcode")]
    ReservedOpcode,
    /// The shortest form of a length is the only one (section 5.2).
    #[error("a length in a longer form than it needs")]
    LongLength,
    /// Control frames are whole (section 5.5).
    #[error("a fragmented control frame")]
    FragmentedControl,
    /// Control frames carry at most 125 bytes (section 5.5).
    #[error("a control frame over 125 bytes")]
    LongControl,
    /// A continuation continues something (section 5.4).
    #[error("a continuation of no message")]
    NothingToContinue,
    /// Messages do not interleave (section 5.4).
    #[error("a message within a message")]
    NestedMessage,
    /// A close has no payload, or a code that may be sent (section 7.4), with or without a reason.
    #[error("a malformed close")]
    MalformedClose,
    /// Text, and the reason of a close, is UTF-8 (section 8.1).
    #[error("invalid UTF-8")]
    InvalidUtf8,
    /// Over [`Limits::message_bytes`](crate::Limits::message_bytes).
    #[error("a message over the limit")]
    TooManyBytes,
    /// Over [`Limits::message_frames`](crate::Limits::message_frames).
    #[error("a message of too many frames")]
    TooManyFrames,
    /// Over [`Limits::control_frames`](crate::Limits::control_frames).
    #[error("too many control frames within a message")]
    TooManyControlFrames,
}

impl Violation {
    /// The code to close with (section 7.4.1): 1002, 1007 or 1009.
    #[must_use]
    pub fn close_code(self) -> u16 {
        match self {
            Self::InvalidUtf8 => 1007,
            Self::TooManyBytes | Self::TooManyFrames | Self::TooManyControlFrames => 1009,
            _ => 1002,
        }
    }
}
