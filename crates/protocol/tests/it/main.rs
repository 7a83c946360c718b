//! The wire from outside: every frame against its golden, and the grammars and rules that need nothing but a value.

#![allow(clippy::unwrap_used, reason = "in a test, what cannot go on fails")]

mod client_frames;
mod codes;
mod events;
mod goldens;
mod grants;
mod ids;
mod positions;
mod rooms;
mod server_frames;
mod service;

use serde_json::value::RawValue;

/// JSON as a frame holds it.
fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.into()).unwrap()
}
