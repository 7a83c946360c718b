//! Messages: what a client says with one or several frames.

use std::borrow::Cow;

use crate::Violation;
use crate::header::Opcode;

/// A whole message, or a control frame. Borrows from the bytes that were fed where it lay in them as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
    /// A question whether the server lives; its answer is a pong with the same bytes.
    Ping(Cow<'a, [u8]>),
    /// The answer to a ping, or a sign of life.
    Pong(Cow<'a, [u8]>),
    /// The client closes. Nothing behind it is decoded.
    Close(Option<Close>),
}

/// Why a client closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// A code that may be sent (section 7.4).
    pub code: u16,
    /// For whoever reads logs; usually empty.
    pub reason: String,
}

impl<'a> Message<'a> {
    /// The message of a whole, unmasked payload.
    pub(crate) fn of(opcode: Opcode, payload: Cow<'a, [u8]>) -> Result<Self, Violation> {
        match opcode {
            Opcode::Text => text(payload).map(Self::Text),
            Opcode::Binary | Opcode::Continuation => Ok(Self::Binary(payload)),
            Opcode::Ping => Ok(Self::Ping(payload)),
            Opcode::Pong => Ok(Self::Pong(payload)),
            Opcode::Close => close(&payload).map(Self::Close),
        }
    }
}

fn text(payload: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Violation> {
    match payload {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| Violation::InvalidUtf8),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| Violation::InvalidUtf8),
    }
}

fn close(payload: &[u8]) -> Result<Option<Close>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(Violation::MalformedClose) };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(Violation::MalformedClose);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::InvalidUtf8)?;
    Ok(Some(Close { code, reason: reason.into() }))
}

/// Whether a code may stand in a close frame: those of RFC 6455, those registered since, and those for applications.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
