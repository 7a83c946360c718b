//! The telling cases of Autobahn's suite, by their numbers there: framing, control frames, reserved bits and opcodes,
//! fragmentation, UTF-8, closing.

use roomcast_websocket::{Message, encode};

use crate::frames::{LIMITS, decode, decode_in, frame, owned};

fn text(text: &str) -> Message<'_> {
    Message::Text(text.into())
}

fn ping(payload: &[u8]) -> Message<'_> {
    Message::Ping(payload.into())
}

/// The bytes as a whole, and one by one.
fn both(bytes: &[u8]) -> (Vec<Message<'static>>, Option<u16>) {
    let (messages, violation) = decode(bytes);
    let (singly, also) = decode_in(LIMITS, bytes.chunks(1));
    assert_eq!((&messages, violation), (&singly, also));
    (messages, violation.map(|violation| violation.close_code()))
}

fn is_taken(bytes: &[u8], messages: &[Message<'_>]) {
    assert_eq!(both(bytes), (messages.iter().cloned().map(owned).collect(), None));
}

fn is_refused(bytes: &[u8], code: u16) {
    assert_eq!(both(bytes).1, Some(code), "{bytes:x?}");
}

#[test]
fn framing_1_1_and_1_2_payloads_of_every_form_of_length() {
    for length in [0, 125, 126, 127, 128, 65535, 65536] {
        let payload = "*".repeat(length);
        is_taken(&frame(0x81, payload.as_bytes()), &[text(&payload)]);
        is_taken(&frame(0x82, payload.as_bytes()), &[Message::Binary(payload.as_bytes().into())]);
    }
}

#[test]
fn control_2_pings_and_pongs() {
    is_taken(&frame(0x89, b""), &[ping(b"")]);
    is_taken(&frame(0x89, &[0, 0xff, 0xfe, 0xfd]), &[ping(&[0, 0xff, 0xfe, 0xfd])]);
    is_taken(&frame(0x89, &[0xfe; 125]), &[ping(&[0xfe; 125])]);
    is_refused(&frame(0x89, &[0xfe; 126]), 1002);
    is_taken(&frame(0x8a, b"unsolicited"), &[Message::Pong(b"unsolicited"[..].into())]);
    assert_eq!(encode::pong(&[0xfe; 125]).len(), 127);
}

#[test]
fn reserved_3_and_4_bits_and_opcodes() {
    for bits in 1..8u8 {
        is_refused(&frame(0x80 | bits << 4 | 1, b"x"), 1002);
        is_refused(&frame(0x80 | bits << 4 | 9, b"x"), 1002);
        let (messages, code) = both(&[frame(0x81, b"before"), frame(0x80 | bits << 4 | 1, b"x")].concat());
        assert_eq!((messages, code), (vec![text("before")], Some(1002)), "what came before counts");
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        is_refused(&frame(0x80 | opcode, b""), 1002);
    }
}

#[test]
fn fragmentation_5() {
    is_refused(&[frame(0x09, b"frag"), frame(0x80, b"ment")].concat(), 1002);
    is_refused(&[frame(0x0a, b"frag"), frame(0x80, b"ment")].concat(), 1002);
    is_taken(&[frame(0x01, b"frag"), frame(0x80, b"ment")].concat(), &[text("fragment")]);
    let with_ping = [frame(0x01, b"frag"), frame(0x89, b"p"), frame(0x80, b"ment")].concat();
    is_taken(&with_ping, &[ping(b"p"), text("fragment")]);
    is_refused(&frame(0x80, b"of nothing"), 1002);
    is_refused(&[frame(0x00, b"of nothing"), frame(0x81, b"x")].concat(), 1002);
    is_refused(&[frame(0x81, b"whole"), frame(0x80, b"of nothing")].concat(), 1002);
    is_refused(&[frame(0x01, b"frag"), frame(0x81, b"another")].concat(), 1002);
    let many = [frame(0x01, b"1"), frame(0x89, b"p"), frame(0x00, b"2"), frame(0x89, b"q"), frame(0x80, b"3")].concat();
    is_taken(&many, &[ping(b"p"), ping(b"q"), text("123")]);
}

#[test]
fn utf8_6_text_in_fragments_that_cut_letters() {
    let greek = "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}";
    let mut fragments = vec![frame(0x01, b"")];
    fragments.extend(greek.bytes().map(|byte| frame(0x00, &[byte])));
    fragments.push(frame(0x80, b""));
    is_taken(&fragments.concat(), &[text(greek)]);
    is_taken(&[frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")].concat(), &[text("")]);
}

#[test]
fn utf8_6_what_is_none() {
    for bytes in [
        // 6.3: a surrogate within good letters.
        &b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64"[..],
        // 6.12 to 6.14: impossible bytes, continuations alone, letters cut short.
        b"\xfe",
        b"\xff",
        b"\xfe\xfe\xff\xff",
        b"\x80",
        b"\xbf",
        b"\x80\xbf\x80",
        b"\xc0 ",
        b"\xe0 ",
        b"\xf0 ",
        b"\xc3",
        b"\xe0\xa0",
        b"\xf0\x90\x80",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        // 6.16 to 6.21: overlong forms, surrogates, letters beyond the last.
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
    ] {
        is_refused(&frame(0x81, bytes), 1007);
        is_refused(&[frame(0x01, bytes), frame(0x80, b"")].concat(), 1007);
    }
    for letter in ["\u{7f}", "\u{7ff}", "\u{ffff}", "\u{10ffff}", "\u{d7ff}", "\u{e000}", "\u{fffd}", "\u{0}"] {
        is_taken(&frame(0x81, letter.as_bytes()), &[text(letter)]);
    }
}

#[test]
fn utf8_6_4_fails_with_the_first_wrong_byte() {
    let start = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4";
    let bytes = [frame(0x01, start), frame(0x00, b"\x90")].concat();
    is_refused(&bytes, 1007);
    assert_eq!(decode(&bytes[..bytes.len() - 1]).1, None, "and not before");
}

#[test]
fn closing_7() {
    let close = |code: u16, reason: &[u8]| frame(0x88, &[&code.to_be_bytes()[..], reason].concat());
    let closes = |bytes: &[u8]| both(bytes).1.is_none();
    assert!(closes(&frame(0x88, b"")));
    is_refused(&frame(0x88, b"\x03"), 1002);
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        assert!(closes(&close(code, b"")), "{code}");
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        is_refused(&close(code, b""), 1002);
    }
    assert!(closes(&close(1000, &[b'x'; 123])));
    is_refused(&close(1000, &[b'x'; 124]), 1002);
    is_refused(&close(1000, b"\xce\xba\xed\xa0\x80"), 1007);
    let (messages, _) = both(&[close(1000, b""), frame(0x81, b"late"), frame(0x89, b"")].concat());
    assert_eq!(messages.len(), 1, "nothing behind a close");
}
