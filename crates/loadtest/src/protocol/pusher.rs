//! Pusher's protocol, as far as a run needs it: public channels, and events over the HTTP API.
//!
//! Owns its words and the signature of a request. The application is the one that Sockudo's documents use.

use std::time::{SystemTime, UNIX_EPOCH};

use super::signature::{hmac_sha256_hex, md5_hex};
use super::{Heard, contains};

pub(super) const PATH: &str = "/app/app-key?protocol=7&client=roomcast-loadtest&version=1";
const KEY: &str = "app-key";
const SECRET: &str = "app-secret";
const EVENTS: &str = "/apps/app-id/events";

pub(super) fn subscribe(channel: &str) -> String {
    format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"{channel}"}}}}"#)
}

pub(super) fn hear(text: &[u8]) -> Heard {
    if contains(text, b"pusher:connection_established") {
        Heard::Greeting
    } else if contains(text, b"pusher_internal:subscription_succeeded") {
        Heard::Joined
    } else if contains(text, b"pusher:error") || contains(text, b"subscription_error") {
        Heard::Refused
    } else {
        Heard::Other
    }
}

/// The body of a publish: the event is a string in it, as this protocol has it.
pub(super) fn body(channel: &str, event: &[u8]) -> Vec<u8> {
    let data = String::from_utf8_lossy(event);
    serde_json::json!({"name": "load.event", "channel": channel, "data": data}).to_string().into_bytes()
}

/// The path of a publish, signed.
pub(super) fn publish_path(body: &[u8]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let query = format!("auth_key={KEY}&auth_timestamp={now}&auth_version=1.0&body_md5={}", md5_hex(body));
    let signature = hmac_sha256_hex(SECRET, &format!("POST\n{EVENTS}\n{query}"));
    format!("{EVENTS}?{query}&auth_signature={signature}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_understood() {
        assert_eq!(hear(br#"{"event":"pusher:connection_established","data":"{}"}"#), Heard::Greeting);
        let joined = br#"{"event":"pusher_internal:subscription_succeeded","channel":"bench-1","data":"{}"}"#;
        assert_eq!(hear(joined), Heard::Joined);
        assert_eq!(hear(br#"{"event":"pusher:error","data":{"code":4004}}"#), Heard::Refused);
        assert_eq!(hear(br#"{"event":"pusher:subscription_error","channel":"x"}"#), Heard::Refused);
        assert_eq!(hear(br#"{"event":"pusher:pong"}"#), Heard::Other);
    }

    #[test]
    fn an_event_is_a_string_in_the_body_and_the_path_is_signed_for_it() {
        let body = body("bench-1", br#"{"type":"load.event"}"#);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["data"], r#"{"type":"load.event"}"#);
        let path = publish_path(&body);
        assert!(path.contains(&format!("&body_md5={}&auth_signature=", md5_hex(&body))), "{path}");
        assert_eq!(path.rsplit_once("auth_signature=").unwrap().1.len(), 64);
    }
}
