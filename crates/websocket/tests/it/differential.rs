//! The same bytes, in pieces of any size, give what another implementation makes of them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::frames::masked;
use crate::oracle::agree;

/// Lengths where the form of a header changes, and around the limit.
const LENGTHS: &[usize] = &[0, 1, 2, 3, 7, 8, 9, 124, 125, 126, 127, 1000, 65535, 65536, 65537];

/// Half a letter, an overlong form, a surrogate, a letter beyond the last, a byte of no letter.
const NO_ENDS: &[&[u8]] = &[b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xed\xa0", b"\xf4\x90", b"\xff"];

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let letters = prop_oneof![Just('a'), Just('"'), Just('ü'), Just('\u{20ac}'), Just('\u{1f600}'), any::<char>()];
    let text = || vec(letters.clone(), 0..40).prop_map(|letters| letters.into_iter().collect::<String>().into_bytes());
    prop_oneof![
        8 => text(),
        2 => vec(any::<u8>(), 0..140),
        1 => select(LENGTHS).prop_map(|length| vec![b'x'; length]),
        1 => (text(), select(NO_ENDS))
            .prop_map(|(text, end)| [&text, end].concat()),
    ]
}

/// A message of several fragments, with control frames between them.
fn fragmented() -> impl Strategy<Value = Vec<u8>> {
    let parts = (payload(), vec(any::<Index>(), 0..4), select(&[1u8, 2][..]), vec(any::<[u8; 4]>(), 5));
    (parts, any::<bool>()).prop_map(|((payload, cuts, opcode, masks), has_ping)| {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.extend([0, payload.len()]);
        cuts.sort_unstable();
        let last = cuts.len() - 2;
        let mut bytes = Vec::new();
        for (index, pair) in cuts.windows(2).enumerate() {
            let first = if index == 0 { opcode } else { 0 } | if index == last { 0x80 } else { 0 };
            bytes.extend(masked(first, &payload[pair[0]..pair[1]], masks[index]));
            if has_ping && index < last {
                bytes.extend(masked(0x89, b"between", masks[index]));
            }
        }
        bytes
    })
}

/// A frame that may come at a wrong time, or be none.
fn single() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => select(&[0x81u8, 0x82, 0x89, 0x8a, 0x01, 0x02, 0x00, 0x80][..]),
        1 => any::<u8>(),
    ];
    (first, payload(), any::<[u8; 4]>()).prop_map(|(first, payload, mask)| masked(first, &payload, mask))
}

fn close() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![
        select(&[1000u16, 1001, 1004, 1005, 1006, 1011, 1012, 1015, 2999, 3000, 4999, 5000][..]),
        any::<u16>()
    ];
    let framed = |payload: Vec<u8>| masked(0x88, &payload, [1, 2, 3, 4]);
    prop_oneof![
        (code, payload()).prop_map(move |(code, reason)| framed([&code.to_be_bytes()[..], &reason].concat())),
        select(&[0usize, 1]).prop_map(move |length| framed(vec![3; length])),
    ]
}

fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![5 => fragmented(), 4 => single(), 1 => close()];
    vec(part, 1..8).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn conversations_are_understood_alike(bytes in conversation(), cuts in vec(any::<usize>(), 0..12)) {
        agree(&bytes, &cuts);
    }

    #[test]
    fn spoilt_conversations_are_refused_alike(
        bytes in conversation(),
        spoilt in vec((any::<Index>(), any::<u8>()), 1..4),
        cuts in vec(any::<usize>(), 0..12),
    ) {
        let mut bytes = bytes;
        for (place, bits) in spoilt {
            let place = place.index(bytes.len());
            bytes[place] ^= bits;
        }
        agree(&bytes, &cuts);
    }

    #[test]
    fn noise_is_refused_alike(bytes in vec(any::<u8>(), 0..64), cuts in vec(any::<usize>(), 0..8)) {
        agree(&bytes, &cuts);
    }
}

#[test]
fn every_cut_of_a_conversation_gives_the_same() {
    let parts = [
        masked(0x01, "gr\u{fc}".as_bytes(), [1, 2, 3, 4]),
        masked(0x89, b"ping", [5, 6, 7, 8]),
        masked(0x00, b"", [0; 4]),
        masked(0x80, "\u{1f600}".as_bytes(), [9, 9, 9, 9]),
        masked(0x82, &[7; 130], [1, 0, 1, 0]),
        masked(0x88, &[&1000u16.to_be_bytes()[..], b"bye"].concat(), [4, 3, 2, 1]),
    ];
    let bytes = parts.concat();
    for cut in 0..=bytes.len() {
        agree(&bytes, &[cut]);
    }
    agree(&bytes, &(0..bytes.len()).collect::<Vec<_>>());
}
