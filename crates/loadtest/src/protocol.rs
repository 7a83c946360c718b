//! What is said to a server: Roomcast's own protocol, and by small adapters those of its peers.
//!
//! Owns the bytes that go out and the meaning of those that come in, other than events. It holds no socket.

mod pusher;
mod signature;

use std::fmt::Write as _;
use std::net::SocketAddr;

use clap::ValueEnum;
use serde::Serialize;

use crate::frames::{self, Kind};
use crate::mark::{self, Mark};

/// The protocol of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Roomcast: tokens, acknowledgements, positions.
    Roomcast,
    /// The simplest that does the same work: `{"action":"subscribe","rooms":[…]}`, answered by a subscription.ack, and
    /// `POST /publish/ROOM` with the event, which members get as it is.
    Plain,
    /// Pusher's, as Sockudo speaks it, with its demonstration application.
    Pusher,
}

/// What a text of the server that is no event means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The connection is accepted.
    Greeting,
    /// A request to join was granted.
    Joined,
    /// Something was refused.
    Refused,
    /// Nothing that matters here.
    Other,
}

impl Protocol {
    /// How a room is called.
    pub(crate) fn room(self, number: u32) -> String {
        match self {
            Self::Roomcast | Self::Plain => format!("team:bench-{number}"),
            Self::Pusher => format!("bench-{number}"),
        }
    }

    /// The request that opens a WebSocket.
    pub(crate) fn upgrade(self, address: SocketAddr, token: Option<&str>) -> Vec<u8> {
        let path = if self == Self::Pusher { pusher::PATH } else { "/ws" };
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: cm9vbWNhc3QtbG9hZHRlcw==\r\nSec-WebSocket-Version: 13\r\n"
        );
        if self == Self::Roomcast {
            request.push_str("Sec-WebSocket-Protocol: roomcast.v1\r\n");
        }
        with_token(&mut request, token);
        request.push_str("\r\n");
        request.into_bytes()
    }

    /// Whether the server speaks first, and nothing is to be asked before.
    pub(crate) fn greets(self) -> bool {
        self != Self::Plain
    }

    /// Adds the frames that join rooms, from a position on where there is one; says how many answers they get.
    pub(crate) fn subscribe(self, rooms: &[String], since: &[String], to: &mut Vec<u8>) -> u32 {
        if self == Self::Pusher {
            for room in rooms {
                frames::put(Kind::Text, pusher::subscribe(room).as_bytes(), to);
            }
            return rooms.len() as u32;
        }
        let mut text = format!("{{\"action\":\"subscribe\",\"rooms\":[\"{}\"]", rooms.join("\",\""));
        if !since.is_empty() {
            let positions: Vec<String> =
                rooms.iter().zip(since).map(|(room, position)| format!("\"{room}\":\"{position}\"")).collect();
            // A string takes whatever is written to it.
            let _ = write!(text, ",\"since\":{{{}}}", positions.join(","));
        }
        text.push('}');
        frames::put(Kind::Text, text.as_bytes(), to);
        1
    }

    /// What a text says.
    pub(crate) fn hear(self, text: &[u8]) -> Heard {
        if self == Self::Pusher {
            return pusher::hear(text);
        }
        if text.starts_with(b"{\"type\":\"connection.ack\"") {
            Heard::Greeting
        } else if text.starts_with(b"{\"type\":\"subscription.ack\"") {
            let refused = [&b"\"denied\""[..], b"\"gap\""].iter().any(|word| contains(text, word));
            if refused { Heard::Refused } else { Heard::Joined }
        } else if text.starts_with(b"{\"type\":\"error\"") {
            Heard::Refused
        } else {
            Heard::Other
        }
    }

    /// Adds the request that publishes an event of so many bytes.
    pub(crate) fn publish(self, letter: &Letter<'_>, to: &mut Vec<u8>) {
        let room = self.room(letter.mark.room);
        let mut body = letter.event();
        let path = match self {
            Self::Roomcast => {
                // Beside type and payload: where it goes.
                body.pop();
                body.extend(format!(",\"rooms\":[\"{room}\"]}}").as_bytes());
                "/api/v1/events".to_owned()
            }
            Self::Plain => format!("/publish/{room}"),
            Self::Pusher => {
                body = pusher::body(&room, &body);
                pusher::publish_path(&body)
            }
        };
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            letter.address,
            body.len()
        );
        with_token(&mut head, letter.token);
        head.push_str("\r\n");
        to.extend(head.as_bytes());
        to.extend(body);
    }

    /// The request for what a room has had since a position, up to a thousand events of it.
    pub(crate) fn history(self, address: SocketAddr, room: u32, since: Option<&str>, token: Option<&str>) -> Vec<u8> {
        let room = self.room(room);
        let since = since.map(|position| format!("&since={position}")).unwrap_or_default();
        let mut head = format!("GET /api/v1/rooms/{room}/history?limit=1000{since} HTTP/1.1\r\nHost: {address}\r\n");
        with_token(&mut head, token);
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// An event to be published.
pub(crate) struct Letter<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<&'a str>,
    pub(crate) mark: Mark,
    /// Bytes of the event's text, filled up to this number.
    pub(crate) bytes: usize,
}

const FRONT: &[u8] = b"{\"type\":\"load.event\",\"payload\":{\"mark\":\"";
const MIDDLE: &[u8] = b"\",\"fill\":\"";
const END: &[u8] = b"\"}}";
/// An event cannot be shorter than this.
pub(crate) const LEAST_BYTES: usize = FRONT.len() + mark::BYTES + MIDDLE.len() + END.len();

impl Letter<'_> {
    /// The event's text: a type, and a payload with the mark.
    fn event(&self) -> Vec<u8> {
        let mut event = Vec::with_capacity(self.bytes + 64);
        event.extend(FRONT);
        self.mark.write(&mut event);
        event.extend(MIDDLE);
        event.resize(self.bytes.max(LEAST_BYTES) - END.len(), b'x');
        event.extend(END);
        event
    }
}

fn with_token(head: &mut String, token: Option<&str>) {
    if let Some(token) = token {
        head.push_str("Authorization: Bearer ");
        head.push_str(token);
        head.push_str("\r\n");
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(bytes: usize) -> Letter<'static> {
        let mark = Mark { room: 7, publisher: 1, sequence: 2, due: 3 };
        Letter { address: ([127, 0, 0, 1], 3001).into(), token: Some("T"), mark, bytes }
    }

    #[test]
    fn an_event_has_as_many_bytes_as_was_asked_for_and_is_json() {
        for bytes in [LEAST_BYTES, 250, 4096] {
            let event = letter(bytes).event();
            assert_eq!(event.len(), bytes);
            let value: serde_json::Value = serde_json::from_slice(&event).unwrap();
            assert_eq!(value["type"], "load.event");
            let mark = value["payload"]["mark"].as_str().unwrap();
            assert_eq!(Mark::read(mark.as_bytes()), Some(letter(bytes).mark));
        }
    }

    #[test]
    fn a_publish_says_how_long_its_body_is_and_names_its_room() {
        for protocol in [Protocol::Roomcast, Protocol::Plain, Protocol::Pusher] {
            let mut request = Vec::new();
            protocol.publish(&letter(250), &mut request);
            let text = String::from_utf8(request).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
            assert!(head.contains("\r\nAuthorization: Bearer T"), "{head}");
            let _: serde_json::Value = serde_json::from_str(body).unwrap();
            assert!(text.contains("bench-7"), "{text}");
        }
    }

    #[test]
    fn what_a_server_says_is_understood() {
        let hear = |text: &str| Protocol::Roomcast.hear(text.as_bytes());
        assert_eq!(hear(r#"{"type":"connection.ack","payload":{}}"#), Heard::Greeting);
        let ack = r#"{"type":"subscription.ack","payload":{"rooms":{"team:a":{"status":"STATUS"}}}}"#;
        assert_eq!(hear(&ack.replace("STATUS", "subscribed")), Heard::Joined);
        assert_eq!(hear(&ack.replace("STATUS", "recovered")), Heard::Joined);
        assert_eq!(hear(&ack.replace("STATUS", "denied")), Heard::Refused);
        assert_eq!(hear(&ack.replace("STATUS", "gap")), Heard::Refused);
        assert_eq!(hear(r#"{"type":"error","payload":{}}"#), Heard::Refused);
        assert_eq!(hear(r#"{"type":"auth.expiring"}"#), Heard::Other);
    }

    #[test]
    fn joining_from_positions_names_each_room_with_its_own() {
        let rooms = ["team:a".to_owned(), "team:b".to_owned()];
        let since = ["e:1".to_owned(), "e:2".to_owned()];
        let mut frame = Vec::new();
        assert_eq!(Protocol::Roomcast.subscribe(&rooms, &since, &mut frame), 1);
        // A short frame has its mask behind two bytes.
        let (mask, masked) = frame[2..].split_at(4);
        let text: Vec<u8> = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["since"], serde_json::json!({"team:a": "e:1", "team:b": "e:2"}));
    }
}
