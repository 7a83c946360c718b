//! Frames of the server: unmasked and whole.
//!
//! A frame is made once, header and payload in one piece, and may be written to any number of clients.

/// The longest header of a frame without a mask.
pub const MAX_HEADER: usize = 10;

/// The most bytes that a control frame carries.
const MAX_CONTROL: usize = 125;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// A text message of bytes that are UTF-8.
#[must_use]
pub fn text(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; MAX_HEADER];
    frame.extend_from_slice(payload);
    let begin = text_in_place(&mut frame);
    frame.drain(..begin);
    frame
}

/// A binary message.
#[must_use]
pub fn binary(payload: &[u8]) -> Vec<u8> {
    let (header, length) = header(BINARY, payload.len());
    [&header[..length], payload].concat()
}

/// Writes the header of a text message right before its payload, for which [`MAX_HEADER`] bytes were left free at the
/// beginning, and answers where the frame begins. So a text is encoded behind its header without being moved.
///
/// # Panics
/// When the bytes are fewer than those that should be free.
#[must_use]
pub fn text_in_place(bytes: &mut [u8]) -> usize {
    let (header, length) = header(TEXT, bytes.len() - MAX_HEADER);
    let begin = MAX_HEADER - length;
    bytes[begin..MAX_HEADER].copy_from_slice(&header[..length]);
    begin
}

/// How many bytes of a frame are its header.
#[must_use]
pub fn header_length(frame: &[u8]) -> usize {
    match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    }
}

/// Whether a frame is a text message.
#[must_use]
pub fn is_text(frame: &[u8]) -> bool {
    frame.first() == Some(&TEXT)
}

/// Whether a frame is a pong.
#[must_use]
pub fn is_pong(frame: &[u8]) -> bool {
    frame.first() == Some(&PONG)
}

/// A ping without bytes.
#[must_use]
pub fn ping() -> Vec<u8> {
    control(PING, &[])
}

/// The answer to a ping, with its bytes: at most 125, as a ping has.
#[must_use]
pub fn pong(payload: &[u8]) -> Vec<u8> {
    control(PONG, payload)
}

/// A close: without a code it has no reason either. A reason is cut to what fits, between two letters.
#[must_use]
pub fn close(code: Option<u16>, reason: &str) -> Vec<u8> {
    let Some(code) = code else { return control(CLOSE, &[]) };
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
    control(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

fn control(first: u8, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(MAX_CONTROL)];
    let mut frame = vec![first, payload.len() as u8];
    frame.extend_from_slice(payload);
    frame
}

/// A header in the shortest form of its length, and how long it is.
fn header(first: u8, payload: usize) -> ([u8; MAX_HEADER], usize) {
    let mut header = [0; MAX_HEADER];
    header[0] = first;
    match (u8::try_from(payload), u16::try_from(payload)) {
        (Ok(length @ 0..126), _) => {
            header[1] = length;
            (header, 2)
        }
        (_, Ok(length)) => {
            header[1] = 126;
            header[2..4].copy_from_slice(&length.to_be_bytes());
            (header, 4)
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(payload as u64).to_be_bytes());
            (header, MAX_HEADER)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_its_shortest_form() {
        for (payload, begin) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65535, vec![0x81, 126, 0xff, 0xff]),
            (65536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = text(&vec![b'x'; payload]);
            assert!(frame.starts_with(&begin), "{payload}");
            assert_eq!(frame.len(), begin.len() + payload);
            assert_eq!(header_length(&frame), begin.len());
        }
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut_between_letters() {
        let frame = close(Some(1000), &"ü".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert_eq!(std::str::from_utf8(&frame[4..]), Ok(&*"ü".repeat(61)));
        assert_eq!(close(None, "unsaid"), [0x88, 0]);
    }
}
