//! The decoder: bytes as they come, in pieces of any size, become messages.
//!
//! Owns what is incomplete between two pieces, and the bounds on it. A frame that lies whole in a piece is unmasked in place
//! and handed out from there; only what is incomplete is kept, as far as it has come and never by the length that it
//! announces. Between messages the decoder owns no memory beyond itself.

mod partial;

use std::borrow::Cow;

use crate::header::Header;
use crate::mask::unmask;
use crate::{Limits, Message, Violation};
use partial::Partial;

/// Decodes what one client sends.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    /// What has begun and is not complete; behind a pointer, since most clients are silent at most times.
    partial: Option<Box<Partial>>,
    /// Whether a close or a violation was the last that counts.
    is_over: bool,
}

impl Decoder {
    /// A decoder at the beginning of a client's frames.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, partial: None, is_over: false }
    }

    /// Takes the next message off the beginning of the bytes; `None` when they are used up. Behind a close or a violation all
    /// bytes are dropped.
    ///
    /// # Errors
    /// The rule that the client has broken, as soon as the bytes show it.
    pub fn next<'a>(&mut self, bytes: &mut &'a mut [u8]) -> Result<Option<Message<'a>>, Violation> {
        let decoded = if self.is_over { Ok(None) } else { self.decode(bytes) };
        if matches!(decoded, Err(_) | Ok(Some(Message::Close(_)))) {
            self.is_over = true;
            self.partial = None;
        }
        if self.is_over {
            *bytes = &mut [];
        }
        decoded
    }

    /// Whether a message or a frame has begun and is not complete.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.partial.is_some()
    }

    /// Whether a close or a violation has come: nothing more will be decoded.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    fn decode<'a>(&mut self, bytes: &mut &'a mut [u8]) -> Result<Option<Message<'a>>, Violation> {
        if self.partial.is_none()
            && let Some(message) = whole(&self.limits, bytes)?
        {
            return Ok(Some(message));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let mut partial = self.partial.take().unwrap_or_default();
        let decoded = partial.advance(&self.limits, bytes)?;
        if !partial.is_idle() {
            self.partial = Some(partial);
        }
        Ok(decoded)
    }
}

/// The message at the beginning of the bytes, if one frame that lies in them as a whole is all of it.
fn whole<'a>(limits: &Limits, bytes: &mut &'a mut [u8]) -> Result<Option<Message<'a>>, Violation> {
    let Some((header, begin)) = Header::parse(bytes)? else { return Ok(None) };
    let Ok(length) = usize::try_from(header.length) else { return Ok(None) };
    let is_message = header.is_final && header.opcode != crate::header::Opcode::Continuation;
    let fits = header.opcode.is_control() || length <= limits.message_bytes;
    if !is_message || !fits || bytes.len() - begin < length {
        return Ok(None);
    }
    let (frame, rest) = std::mem::take(bytes).split_at_mut(begin + length);
    *bytes = rest;
    let payload = &mut frame[begin..];
    unmask(payload, header.mask, 0);
    Message::of(header.opcode, Cow::Borrowed(payload)).map(Some)
}
