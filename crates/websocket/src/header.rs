//! The header of a client's frame (section 5.2).
//!
//! Owns the rules that a header alone can break; they are checked with its first two bytes. What depends on the frames before
//! it is the decoder's.

use crate::Violation;

/// The longest header: two bytes, eight of length, four of mask.
pub(crate) const MAX: usize = 14;

/// The most that a control frame carries.
const MAX_CONTROL: usize = 125;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    /// Whether the frame stands for itself and may come between the fragments of a message.
    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame that was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) is_final: bool,
    pub(crate) opcode: Opcode,
    pub(crate) mask: [u8; 4],
    /// Bytes of the payload, as announced; nothing is kept for them before they come.
    pub(crate) length: u64,
}

impl Header {
    /// Reads a header from the beginning of the bytes, and says how long it is; `None` while it is incomplete.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let &[first, second, ..] = bytes else { return Ok(None) };
        let (is_final, opcode) = kind(first)?;
        check(is_final, opcode, second)?;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(&mask) = bytes.get(2 + extended..).and_then(|bytes| bytes.first_chunk()) else { return Ok(None) };
        let length = match extended {
            0 => u64::from(second & 0x7f),
            _ => bytes[2..2 + extended].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let least = match extended {
            0 => 0,
            2 => 126,
            _ => 1 << 16,
        };
        if length < least {
            return Err(Violation::LongLength);
        }
        Ok(Some((Self { is_final, opcode, mask, length }, 2 + extended + 4)))
    }
}

fn kind(first: u8) -> Result<(bool, Opcode), Violation> {
    if first & 0x70 != 0 {
        return Err(Violation::ReservedBit);
    }
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(Violation::ReservedOpcode),
    };
    Ok((first & 0x80 != 0, opcode))
}

fn check(is_final: bool, opcode: Opcode, second: u8) -> Result<(), Violation> {
    if second & 0x80 == 0 {
        return Err(Violation::Unmasked);
    }
    if opcode.is_control() && !is_final {
        return Err(Violation::FragmentedControl);
    }
    if opcode.is_control() && usize::from(second & 0x7f) > MAX_CONTROL {
        return Err(Violation::LongControl);
    }
    Ok(())
}
