//! What a client may ask to be kept, and what an idle decoder keeps.

use roomcast_websocket::{Decoder, Limits, Message, Violation, encode};

use crate::frames::{LIMITS, decode, decode_in, frame};

const SMALL: Limits = Limits { message_bytes: 10, message_frames: 3, control_frames: 2 };

fn refusal(bytes: &[u8]) -> Option<Violation> {
    decode_in(SMALL, [bytes]).1
}

#[test]
fn a_message_may_have_as_many_bytes_as_the_limit_and_no_more() {
    assert_eq!(refusal(&frame(0x81, &[b'x'; 10])), None);
    assert_eq!(refusal(&frame(0x81, &[b'x'; 11])), Some(Violation::TooManyBytes));
    let fragments = |last| [frame(0x01, &[b'x'; 6]), frame(0x80, &vec![b'x'; last])].concat();
    assert_eq!(refusal(&fragments(4)), None);
    assert_eq!(refusal(&fragments(5)), Some(Violation::TooManyBytes));
}

#[test]
fn a_length_over_the_limit_is_refused_by_its_announcement() {
    let announced = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    assert_eq!(decode(&announced).1, Some(Violation::TooManyBytes));
    assert_eq!(decode(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4]).1, Some(Violation::TooManyBytes));
}

#[test]
fn empty_fragments_count() {
    let of = |empty: usize| [frame(0x01, b""), frame(0x00, b"").repeat(empty), frame(0x80, b"x")].concat();
    assert_eq!(refusal(&of(1)), None);
    assert_eq!(refusal(&of(2)), Some(Violation::TooManyFrames));
    assert_eq!(Violation::TooManyFrames.close_code(), 1009);
}

#[test]
fn control_frames_within_a_message_count_and_those_between_messages_do_not() {
    let of = |pings: usize| [frame(0x01, b"x"), frame(0x89, b"").repeat(pings), frame(0x80, b"x")].concat();
    assert_eq!(refusal(&of(2)), None);
    assert_eq!(refusal(&of(3)), Some(Violation::TooManyControlFrames));
    assert_eq!(refusal(&frame(0x89, b"").repeat(100)), None);
}

#[test]
fn a_length_in_a_longer_form_than_it_needs_is_refused() {
    assert_eq!(decode(&[0x81, 0xfe, 0, 125, 1, 2, 3, 4]).1, Some(Violation::LongLength));
    assert_eq!(decode(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]).1, Some(Violation::LongLength));
}

#[test]
fn what_is_wrong_is_refused_before_it_is_complete() {
    let head = |first, payload: &[u8], came| frame(first, payload)[..came].to_vec();
    assert_eq!(decode(&head(0x8b, b"", 2)).1, Some(Violation::ReservedOpcode));
    assert_eq!(decode(&head(0x89, &[0; 126], 2)).1, Some(Violation::LongControl));
    assert_eq!(decode(&head(0x81, b"a\xffand more", 8)).1, Some(Violation::InvalidUtf8));
    assert_eq!(decode(&head(0x01, b"\xed\xa0\x80", 8)).1, Some(Violation::InvalidUtf8), "a surrogate shows early");
    assert_eq!(decode(&head(0x01, b"\xf4\x90\x80\x80", 8)).1, Some(Violation::InvalidUtf8), "beyond the last letter");
    assert_eq!(decode(&head(0x01, b"\xf4\x8f\xbf\xbf", 9)).1, None, "the last letter, not yet complete");
}

#[test]
fn a_decoder_knows_whether_something_is_incomplete() {
    let bytes = [frame(0x01, b"a"), frame(0x89, b"b"), frame(0x80, b"c")].concat();
    let mut decoder = Decoder::new(LIMITS);
    assert!(!decoder.is_incomplete());
    for (index, byte) in bytes.iter().enumerate() {
        let mut byte = [*byte];
        let mut piece = &mut byte[..];
        while decoder.next(&mut piece).unwrap().is_some() {}
        assert_eq!(decoder.is_incomplete(), index + 1 < bytes.len(), "at {index}");
    }
}

#[test]
fn nothing_behind_a_close_or_a_violation_is_decoded() {
    for bytes in [frame(0x88, b""), vec![0x83, 0x80]] {
        let mut decoder = Decoder::new(LIMITS);
        let mut bytes = [bytes, frame(0x81, b"late")].concat();
        let mut piece = &mut bytes[..];
        assert!(matches!(decoder.next(&mut piece), Ok(Some(Message::Close(None))) | Err(Violation::ReservedOpcode)));
        assert_eq!(decoder.next(&mut piece), Ok(None));
        assert!(piece.is_empty() && !decoder.is_incomplete());
    }
}

#[test]
fn a_message_that_came_as_a_whole_is_handed_out_without_a_copy() {
    let mut bytes = [frame(0x81, b"text"), frame(0x82, b"bytes")].concat();
    let range = bytes.as_ptr_range();
    let mut piece = &mut bytes[..];
    let mut decoder = Decoder::new(LIMITS);
    while let Some(message) = decoder.next(&mut piece).unwrap() {
        let begin = match &message {
            Message::Text(text) => text.as_ptr(),
            Message::Binary(bytes) => bytes.as_ptr(),
            other => panic!("{other:?}"),
        };
        assert!(range.contains(&begin));
    }
}

#[test]
fn what_the_server_writes_a_decoder_of_masked_frames_refuses() {
    assert_eq!(decode(&encode::text(b"{}")).1, Some(Violation::Unmasked));
    assert_eq!(decode(&encode::close(Some(1000), "")).1, Some(Violation::Unmasked));
}
