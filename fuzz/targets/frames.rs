//! Frames that are well formed as such, in any order and in any pieces: the decoder makes of them what the oracle makes.
#![no_main]

#[path = "../../crates/websocket/tests/it/frames.rs"]
mod frames;
#[path = "../../crates/websocket/tests/it/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&[count, seed], mut rest)) = input.split_first_chunk() else { return };
    let mut bytes = Vec::new();
    while let Some((&[first, length, mask], behind)) = rest.split_first_chunk() {
        let (payload, behind) = behind.split_at(usize::from(length).min(behind.len()));
        bytes.extend(frames::masked(first, payload, [mask, mask ^ 0x55, 0, mask]));
        rest = behind;
    }
    let cuts: Vec<usize> = (0..usize::from(count % 8)).map(|cut| cut * usize::from(seed)).collect();
    oracle::agree(&bytes, &cuts);
});
