//! Any bytes, in any pieces: the decoder makes of them what the oracle makes of them.
#![no_main]

#[path = "../../crates/websocket/tests/it/frames.rs"]
mod frames;
#[path = "../../crates/websocket/tests/it/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&[count, seed], bytes)) = input.split_first_chunk() else { return };
    let cuts: Vec<usize> = (0..usize::from(count % 8)).map(|cut| cut * usize::from(seed)).collect();
    oracle::agree(bytes, &cuts);
});
