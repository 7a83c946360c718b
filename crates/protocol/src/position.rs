//! Positions: where in a room's stream a client stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// The life of a stream: 64 random bits, new whenever a stream is made anew. Written in base 36.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

/// A place in the stream of one room, written `epoch:offset`.
///
/// Two positions of one room compare only within one epoch, by their offsets; see [`Position::is_before`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
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

/// The text of a position, made without memory of its own: each event has one for each of its rooms.
#[derive(Clone, Copy)]
pub struct PositionText {
    bytes: [u8; Self::MAX],
    start: u8,
}

impl PositionText {
    /// 36^13 > 2^64 and 10^20 > 2^64, so this holds every epoch, the colon and every offset.
    const MAX: usize = 13 + 1 + 20;

    const EMPTY: Self = Self { bytes: [0; Self::MAX], start: Self::MAX as u8 };

    /// Puts a number before what is there.
    fn put<const RADIX: u64>(&mut self, mut number: u64) {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        loop {
            self.put_byte(DIGITS[(number % RADIX) as usize]);
            number /= RADIX;
            if number == 0 {
                break;
            }
        }
    }

    fn put_byte(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[usize::from(self.start)] = byte;
    }

    /// The text's bytes, which are ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl Position {
    /// The position as the wire writes it.
    #[must_use]
    pub fn text(&self) -> PositionText {
        let mut text = PositionText::EMPTY;
        text.put::<10>(self.offset);
        text.put_byte(b':');
        text.put::<36>(self.epoch.0);
        text
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = PositionText::EMPTY;
        text.put::<36>(self.0);
        out.write_str(text.as_str())
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

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text().as_str())
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.text().as_str())
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
