//! What has begun and is not complete: a header, a frame, a message of several frames.

use std::borrow::Cow;

use crate::header::{self, Header, Opcode};
use crate::mask::unmask;
use crate::{Limits, Message, Violation};

/// The state between two pieces of bytes.
#[derive(Debug, Default)]
pub(super) struct Partial {
    /// The header that is coming.
    head: [u8; header::MAX],
    filled: usize,
    /// The frame whose header is complete, and how many bytes of its payload came.
    frame: Option<(Header, u64)>,
    /// The payload of a control frame, which may come within a message.
    control: Vec<u8>,
    message: Option<Assembly>,
}

/// A message so far.
#[derive(Debug)]
struct Assembly {
    opcode: Opcode,
    payload: Vec<u8>,
    /// How much of a text is known to be UTF-8: all but the beginning of a letter.
    checked: usize,
    frames: u32,
    control_frames: u32,
}

impl Partial {
    /// Whether nothing is incomplete.
    pub(super) fn is_idle(&self) -> bool {
        self.filled == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Takes bytes until a message is complete, or all of them.
    pub(super) fn advance<'a>(
        &mut self,
        limits: &Limits,
        bytes: &mut &'a mut [u8],
    ) -> Result<Option<Message<'a>>, Violation> {
        loop {
            let (header, before) = match self.frame {
                Some(frame) => frame,
                None => match self.header(limits, bytes)? {
                    Some(header) => (header, 0),
                    None => return Ok(None),
                },
            };
            let piece = take(bytes, header.length - before);
            // A payload of more than the address space is over any limit, and a piece is part of what is in memory.
            let offset = usize::try_from(before % 4).unwrap_or_default();
            unmask(piece, header.mask, offset);
            let came = before + piece.len() as u64;
            let is_complete = came == header.length;
            self.frame = (!is_complete).then_some((header, came));
            let decoded = match header.opcode.is_control() {
                true => self.control(header.opcode, piece, is_complete)?,
                false => self.data(piece, is_complete && header.is_final)?,
            };
            if decoded.is_some() || !is_complete {
                return Ok(decoded);
            }
        }
    }

    /// Completes the header, and checks that its frame may come now.
    fn header(&mut self, limits: &Limits, bytes: &mut &mut [u8]) -> Result<Option<Header>, Violation> {
        while !bytes.is_empty() {
            // Byte by byte, which for most headers is at most thirteen times; no byte of the payload is taken.
            let byte = take(bytes, 1);
            self.head[self.filled..=self.filled].copy_from_slice(byte);
            self.filled += 1;
            if let Some((header, _)) = Header::parse(&self.head[..self.filled])? {
                self.filled = 0;
                self.admit(limits, header)?;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    fn admit(&mut self, limits: &Limits, header: Header) -> Result<(), Violation> {
        let message = match (header.opcode, &mut self.message) {
            (opcode, message) if opcode.is_control() => {
                let Some(message) = message else { return Ok(()) };
                message.control_frames += 1;
                let is_over = message.control_frames > limits.control_frames;
                return if is_over { Err(Violation::TooManyControlFrames) } else { Ok(()) };
            }
            (Opcode::Continuation, None) => return Err(Violation::NothingToContinue),
            (Opcode::Continuation, Some(message)) => message,
            (_, Some(_)) => return Err(Violation::NestedMessage),
            (opcode, message @ None) => message.insert(Assembly::new(opcode)),
        };
        message.frames += 1;
        if header.length > (limits.message_bytes - message.payload.len()) as u64 {
            return Err(Violation::TooManyBytes);
        }
        if message.frames > limits.message_frames {
            return Err(Violation::TooManyFrames);
        }
        Ok(())
    }

    fn control<'a>(
        &mut self,
        opcode: Opcode,
        piece: &'a [u8],
        is_complete: bool,
    ) -> Result<Option<Message<'a>>, Violation> {
        let payload = match is_complete && self.control.is_empty() {
            true => Cow::Borrowed(piece),
            false => {
                self.control.extend_from_slice(piece);
                if !is_complete {
                    return Ok(None);
                }
                Cow::Owned(std::mem::take(&mut self.control))
            }
        };
        Message::of(opcode, payload).map(Some)
    }

    fn data(&mut self, piece: &[u8], is_last: bool) -> Result<Option<Message<'static>>, Violation> {
        // A data frame is admitted into a message.
        let Some(message) = &mut self.message else { return Ok(None) };
        message.extend(piece)?;
        match self.message.take_if(|_| is_last) {
            Some(message) => Message::of(message.opcode, Cow::Owned(message.payload)).map(Some),
            None => Ok(None),
        }
    }
}

impl Assembly {
    fn new(opcode: Opcode) -> Self {
        Self { opcode, payload: Vec::new(), checked: 0, frames: 0, control_frames: 0 }
    }

    /// Adds a piece. A byte that no text can have at its place is found at once; a letter may still be incomplete.
    fn extend(&mut self, piece: &[u8]) -> Result<(), Violation> {
        self.payload.extend_from_slice(piece);
        if self.opcode != Opcode::Text {
            return Ok(());
        }
        match std::str::from_utf8(&self.payload[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            Err(error) if error.error_len().is_some() => return Err(Violation::InvalidUtf8),
            Err(error) => self.checked += error.valid_up_to(),
        }
        Ok(())
    }
}

/// Takes at most so many bytes off the beginning.
fn take<'a>(bytes: &mut &'a mut [u8], most: u64) -> &'a mut [u8] {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    let (taken, rest) = std::mem::take(bytes).split_at_mut(length);
    *bytes = rest;
    taken
}
