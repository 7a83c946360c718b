//! The mark that every published event carries: who published it into which room, as which one, and when it was due.
//!
//! Owns its form and how it is found again in whatever a server makes of the event. It has fixed width and no character that
//! JSON escapes, so it is found by its place, without parsing what is around it.

use std::io::Write as _;

/// `~rc~` and the four numbers, each in its width, each followed by a tilde.
pub(crate) const BYTES: usize = START.len() + (ROOM + 1) + (PUBLISHER + 1) + (SEQUENCE + 1) + (DUE + 1);
pub(crate) const START: &[u8] = b"~rc~";
const ROOM: usize = 6;
const PUBLISHER: usize = 4;
const SEQUENCE: usize = 9;
/// Nanoseconds since the tool's start: enough for a thousand days.
const DUE: usize = 17;

/// What an event says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The room's number.
    pub(crate) room: u32,
    /// The publisher's number.
    pub(crate) publisher: u32,
    /// Which one of this publisher into this room it is, from 1.
    pub(crate) sequence: u32,
    /// When it was to be published, in nanoseconds since the tool's start: latency counts from here, also when the
    /// publisher came to it late.
    pub(crate) due: u64,
}

impl Mark {
    pub(crate) fn write(self, to: &mut Vec<u8>) {
        let Self { room, publisher, sequence, due } = self;
        // A vector takes whatever is written to it.
        let _ = write!(to, "~rc~{room:06}~{publisher:04}~{sequence:09}~{due:017}~");
    }

    /// Reads the mark at the beginning of a text.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let mut rest = text.get(..BYTES)?.strip_prefix(START)?;
        let mut number = |width: usize| {
            let (digits, behind) = rest.split_at(width);
            rest = behind.strip_prefix(b"~")?;
            digits
                .iter()
                .try_fold(0_u64, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
        };
        Some(Self {
            room: number(ROOM)? as u32,
            publisher: number(PUBLISHER)? as u32,
            sequence: number(SEQUENCE)? as u32,
            due: number(DUE)?,
        })
    }
}

/// Finds marks in events: first where the last one was, since a server makes the same of every event.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    place: usize,
}

impl Finder {
    pub(crate) fn find(&mut self, event: &[u8]) -> Option<Mark> {
        if let Some(mark) = event.get(self.place..).and_then(Mark::read) {
            return Some(mark);
        }
        let place = event.windows(START.len()).position(|window| window == START)?;
        let mark = Mark::read(&event[place..])?;
        self.place = place;
        Some(mark)
    }
}

/// How many marks a text has: the events of a page of history.
pub(crate) fn count(text: &[u8]) -> usize {
    let mut count = 0;
    let mut rest = text;
    while let Some(place) = rest.windows(START.len()).position(|window| window == START) {
        count += usize::from(Mark::read(&rest[place..]).is_some());
        rest = &rest[place + START.len()..];
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { room: 499, publisher: 15, sequence: 123_456_789, due: 98_765_432_109_876_543 };

    fn written(mark: Mark) -> Vec<u8> {
        let mut text = Vec::new();
        mark.write(&mut text);
        text
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let text = written(MARK);
        assert_eq!(text.len(), BYTES);
        assert_eq!(Mark::read(&text), Some(MARK));
        assert_eq!(Mark::read(&text[..BYTES - 1]), None);
        assert_eq!(Mark::read(&text[1..]), None);
    }

    #[test]
    fn a_mark_is_found_wherever_a_server_puts_it() {
        let mut finder = Finder::default();
        for front in ["{\"mark\":\"", "{\"a longer one\":1,\"mark\":\"", "x", "{\"mark\":\"~rc~not one"] {
            let text = [front.as_bytes(), &written(MARK), b"\"}"].concat();
            let wanted = (!front.contains(START.escape_ascii().to_string().as_str())).then_some(MARK);
            assert_eq!(finder.find(&text), wanted, "{front}");
        }
        assert_eq!(finder.find(b"{\"type\":\"connection.ack\"}"), None);
    }

    #[test]
    fn the_events_of_a_page_are_counted() {
        let page = [&written(MARK)[..], b"~rc~ not one ", &written(MARK), &written(MARK)].concat();
        assert_eq!(count(&page), 3);
        assert_eq!(count(b""), 0);
    }
}
