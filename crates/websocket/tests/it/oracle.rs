//! Another implementation as the oracle: the same bytes give the same messages, or both refuse.

use std::io::{self, Read, Write};

use roomcast_websocket::{Message, Violation};
use tokio_tungstenite::tungstenite;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

use crate::frames::{LIMITS, decode_in};

/// Where the two differ on purpose: a length that is not in its shortest form, which RFC 6455 forbids, and close code 1014,
/// which was registered after it.
fn is_difference(messages: &[Message<'_>], violation: Option<Violation>) -> bool {
    let has_1014 = matches!(messages.last(), Some(Message::Close(Some(close))) if close.code == 1014);
    has_1014 || violation == Some(Violation::LongLength)
}

/// That the decoder, given the bytes in pieces that end at the cuts, agrees with the oracle.
pub(crate) fn agree(bytes: &[u8], cuts: &[usize]) {
    let (messages, violation) = decode_in(LIMITS, pieces(bytes, cuts));
    if is_difference(&messages, violation) {
        return;
    }
    let mut expected = oracle(bytes);
    if violation.is_some() && !expected.1 {
        // What is wrong shows before the frame is complete; the oracle looks at whole frames.
        expected = oracle(&completed(bytes));
    }
    let is_taken = expected.0.len() > messages.len() && expected.0.starts_with(&messages);
    if violation == Some(Violation::LongControl) && is_taken {
        // Its length shows to be short, in a form that is too long for any control frame.
        return;
    }
    assert_eq!((messages, violation.is_some()), expected, "{violation:?}");
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// The messages, and whether the bytes were refused.
fn oracle(bytes: &[u8]) -> (Vec<Message<'static>>, bool) {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(LIMITS.message_bytes))
        .max_frame_size(Some(LIMITS.message_bytes));
    let mut socket = WebSocket::from_raw_socket(Bytes(bytes), Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => match translated(message) {
                Some(message) => messages.push(message),
                None => return (messages, true),
            },
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (messages, false);
            }
            Err(tungstenite::Error::ConnectionClosed) => return (messages, false),
            Err(_) => return (messages, true),
        }
    }
}

/// `None` for a close that the oracle refuses by answering another one.
fn translated(message: tungstenite::Message) -> Option<Message<'static>> {
    Some(match message {
        tungstenite::Message::Text(text) => Message::Text(text.as_str().to_owned().into()),
        tungstenite::Message::Binary(bytes) => Message::Binary(bytes.to_vec().into()),
        tungstenite::Message::Ping(bytes) => Message::Ping(bytes.to_vec().into()),
        tungstenite::Message::Pong(bytes) => Message::Pong(bytes.to_vec().into()),
        tungstenite::Message::Close(None) => Message::Close(None),
        tungstenite::Message::Close(Some(close)) => {
            if close.reason.as_str() == "Protocol violation" {
                return None;
            }
            let (code, reason) = (close.code.into(), close.reason.as_str().to_owned());
            Message::Close(Some(roomcast_websocket::Close { code, reason }))
        }
        tungstenite::Message::Frame(_) => panic!("frames are not read"),
    })
}

/// The bytes, with others behind them to the end of their last frame.
fn completed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while let Some((missing, filler)) = missing(&bytes) {
        // More than the limit is refused by its announcement.
        if missing > LIMITS.message_bytes {
            break;
        }
        bytes.resize(bytes.len() + missing, filler);
    }
    bytes
}

/// How many bytes the last frame, or its header, is short of, and a byte to complete it with: a length must not become
/// shorter than the header says that it is.
fn missing(mut bytes: &[u8]) -> Option<(usize, u8)> {
    while !bytes.is_empty() {
        let Some(second) = bytes.get(1) else { return Some((1, 0)) };
        let extended = [0, 2, 8][match second & 0x7f {
            126 => 1,
            127 => 2,
            _ => 0,
        }];
        let header = 2 + extended + if second & 0x80 == 0 { 0 } else { 4 };
        let Some(rest) = bytes.get(header..) else { return Some((header - bytes.len(), 0xff)) };
        let length = match extended {
            0 => u64::from(second & 0x7f),
            _ => bytes[2..2 + extended].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(behind) = rest.get(length..) else { return Some((length - rest.len(), 0)) };
        bytes = behind;
    }
    None
}

/// A stream that has these bytes, and whose other side takes everything.
struct Bytes<'a>(&'a [u8]);

impl Read for Bytes<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(into) }
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
