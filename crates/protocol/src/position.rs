//! Positions: where in a room's stream a client stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The life of a stream: 64 random bits, new whenever a stream is made anew. Written in base 36.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// A place in the stream of one room, written `epoch:offset`.
///
/// Two positions of one room compare only within one epoch, by their offsets; see [`Position::is_before`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position {
    /// The life of the stream.
    pub epoch: Epoch,
    /// The number of the last event before this place; the first event of a stream has offset 1.
    pub offset: u64,
}

/// The text is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position is epoch:offset, as the gateway gave it")]
pub struct InvalidPosition;

impl Position {
    /// Whether `self` comes before `other`; `None` when they belong to different lives of the stream.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> Option<bool> {
        (self.epoch == other.epoch).then_some(self.offset < other.offset)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        // 36^13 > 2^64, so 13 digits hold every value.
        let (mut text, mut start, mut rest) = ([0u8; 13], 13, self.0);
        loop {
            start -= 1;
            text[start] = DIGITS[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        out.write_str(std::str::from_utf8(&text[start..]).unwrap_or_default())
    }
}

impl FromStr for Epoch {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'));
        if !digits || !is_canonical(text) {
            return Err(InvalidPosition);
        }
        u64::from_str_radix(text, 36).map(Self).map_err(|_| InvalidPosition)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.epoch, self.offset)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (epoch, offset) = text.rsplit_once(':').ok_or(InvalidPosition)?;
        if !offset.bytes().all(|byte| byte.is_ascii_digit()) || !is_canonical(offset) {
            return Err(InvalidPosition);
        }
        Ok(Self { epoch: epoch.parse()?, offset: offset.parse().map_err(|_| InvalidPosition)? })
    }
}

/// One spelling a number: so that two equal positions are equal texts.
fn is_canonical(digits: &str) -> bool {
    digits == "0" || !(digits.is_empty() || digits.starts_with('0'))
}

impl TryFrom<String> for Position {
    type Error = InvalidPosition;

    fn try_from(text: String) -> Result<Self, InvalidPosition> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}
