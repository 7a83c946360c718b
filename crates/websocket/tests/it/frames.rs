//! Frames as clients write them, right and wrong.

use roomcast_websocket::{Decoder, Limits, Message, Violation};

pub(crate) const LIMITS: Limits = Limits { message_bytes: 64 << 10, message_frames: 10_000, control_frames: 10_000 };

/// A masked frame; `first` is its first byte: FIN, RSV and the opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload, [0x12, 0x34, 0x56, 0x78])
}

pub(crate) fn masked(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What a decoder makes of bytes that come in these pieces.
pub(crate) fn decode_in<'a>(
    limits: Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Message<'static>>, Option<Violation>) {
    let (mut decoder, mut messages) = (Decoder::new(limits), Vec::new());
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut bytes = &mut piece[..];
        loop {
            match decoder.next(&mut bytes) {
                Ok(Some(message)) => messages.push(owned(message)),
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation)),
            }
        }
        assert!(bytes.is_empty(), "all bytes are used up");
    }
    (messages, None)
}

pub(crate) fn decode(bytes: &[u8]) -> (Vec<Message<'static>>, Option<Violation>) {
    decode_in(LIMITS, [bytes])
}

/// The same, whatever it was borrowed from.
pub(crate) fn owned(message: Message<'_>) -> Message<'static> {
    match message {
        Message::Text(text) => Message::Text(text.into_owned().into()),
        Message::Binary(bytes) => Message::Binary(bytes.into_owned().into()),
        Message::Ping(bytes) => Message::Ping(bytes.into_owned().into()),
        Message::Pong(bytes) => Message::Pong(bytes.into_owned().into()),
        Message::Close(close) => Message::Close(close),
    }
}
