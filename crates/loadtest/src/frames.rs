//! WebSocket frames as a server sends them, counted where they were read.
//!
//! Owns where a frame ends; it copies nothing. Refuses what a server must not send, or what this tool does not ask for:
//! masked frames, fragments, extensions.

/// The most that one frame may hold: more is a mistake, and not to be kept.
const MAX_PAYLOAD: u64 = 16 << 20;

/// What kind of frame it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// A whole frame in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    pub(crate) payload: &'a [u8],
}

/// A peer that breaks the framing, and how.
pub(crate) type Broken = &'static str;

/// Takes the first frame off the bytes; `None` when it is not whole yet.
pub(crate) fn take<'a>(bytes: &mut &'a [u8]) -> Result<Option<Frame<'a>>, Broken> {
    let [first, second, rest @ ..] = *bytes else { return Ok(None) };
    let kind = kind(*first)?;
    if second & 0x80 != 0 {
        return Err("the server masks its frames");
    }
    let (length, rest) = match second & 0x7f {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        },
        length => (u64::from(length), rest),
    };
    if length > MAX_PAYLOAD {
        return Err("a frame is longer than any that was asked for");
    }
    let Some((payload, behind)) = rest.split_at_checked(length as usize) else { return Ok(None) };
    *bytes = behind;
    Ok(Some(Frame { kind, payload }))
}

fn kind(first: u8) -> Result<Kind, Broken> {
    match first {
        0x81 => Ok(Kind::Text),
        0x82 => Ok(Kind::Binary),
        0x88 => Ok(Kind::Close),
        0x89 => Ok(Kind::Ping),
        0x8a => Ok(Kind::Pong),
        0x00..=0x0f | 0x80 => Err("the server sends a message in fragments"),
        _ => Err("the server uses an extension, or an unknown kind of frame"),
    }
}

/// Adds a frame as a client sends it. The mask hides nothing on loopback; any four bytes do.
pub(crate) fn put(kind: Kind, payload: &[u8], to: &mut Vec<u8>) {
    const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x9e];
    to.push(match kind {
        Kind::Text => 0x81,
        Kind::Binary => 0x82,
        Kind::Close => 0x88,
        Kind::Ping => 0x89,
        Kind::Pong => 0x8a,
    });
    match payload.len() {
        length @ 0..126 => to.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            to.push(0x80 | 126);
            to.extend((length as u16).to_be_bytes());
        }
        length => {
            to.push(0x80 | 127);
            to.extend((length as u64).to_be_bytes());
        }
    }
    to.extend(MASK);
    to.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: &str) -> Vec<u8> {
        let length = payload.len();
        let mut frame = vec![0x81];
        match length {
            0..126 => frame.push(length as u8),
            126..=0xffff => frame.extend([&[126], &(length as u16).to_be_bytes()[..]].concat()),
            _ => frame.extend([&[127], &(length as u64).to_be_bytes()[..]].concat()),
        }
        frame.extend(payload.as_bytes());
        frame
    }

    #[test]
    fn frames_of_every_length_are_counted_however_the_bytes_were_cut() {
        let payloads = ["", "short", &"m".repeat(126), &"l".repeat(0x1_0000)];
        let all: Vec<u8> = payloads.iter().flat_map(|payload| text(payload)).collect();
        for cut in [1, 2, 3, 7, 130, 200, all.len() - 1, all.len()] {
            let (mut kept, mut seen) = (Vec::new(), Vec::new());
            for part in all.chunks(cut) {
                kept.extend(part);
                let mut rest = &kept[..];
                while let Some(frame) = take(&mut rest).unwrap() {
                    assert_eq!(frame.kind, Kind::Text);
                    seen.push(String::from_utf8(frame.payload.to_vec()).unwrap());
                }
                let left = rest.len();
                kept.drain(..kept.len() - left);
            }
            assert_eq!(seen, payloads, "cut every {cut} bytes");
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_named() {
        for (bytes, word) in [
            (vec![0x81, 0x80], "masks"),
            (vec![0x01, 0x00], "fragments"),
            (vec![0x80, 0x00], "fragments"),
            (vec![0xc1, 0x00], "extension"),
            (vec![0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0], "longer"),
        ] {
            let broken = take(&mut &bytes[..]).unwrap_err();
            assert!(broken.contains(word), "{bytes:?}: {broken}");
        }
    }

    #[test]
    fn a_frame_of_ours_is_masked_and_says_its_length() {
        for length in [0, 125, 126, 0xffff, 0x1_0000] {
            let payload = vec![b'x'; length];
            let mut frame = Vec::new();
            put(Kind::Text, &payload, &mut frame);
            let head = frame.len() - length;
            let (mask, masked) = frame[head - 4..].split_at(4);
            let unmasked: Vec<u8> = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            assert_eq!(unmasked, payload);
            // Without its mask it is a frame of a server, which `take` reads.
            let mut plain = frame[..head - 4].to_vec();
            plain[1] &= 0x7f;
            plain.extend(&unmasked);
            assert_eq!(take(&mut &plain[..]).unwrap(), Some(Frame { kind: Kind::Text, payload: &payload }));
        }
    }
}
