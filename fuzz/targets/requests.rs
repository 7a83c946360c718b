//! Any text as a client's frame: it is understood or refused, and nothing else.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _ = roomcast_protocol::Request::parse(text);
});
