//! Frames: messages encoded once with their WebSocket header, shared by everybody who gets them.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU64;
use std::sync::{Arc, LazyLock};

use roomcast_protocol::server::{Reply, ReplyFrame};
use roomcast_protocol::{CloseCode, RequestId, Timestamp};
use roomcast_websocket::encode as websocket;
use serde::Serialize;

/// A message to a client, as it is written. Cheap to clone; the bytes are shared.
#[derive(Debug, Clone)]
pub struct Frame {
    bytes: Arc<[u8]>,
    /// Set for what a later one of the same subject makes worthless.
    subject: Option<Subject>,
}

/// What an ephemeral event is about: its rooms, user and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject(NonZeroU64);

static SUBJECTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Subject {
    /// The subject of these; two that differ are the same once in 2^64 pairs.
    pub(crate) fn of(parts: impl Hash) -> Self {
        Self(NonZeroU64::new(SUBJECTS.hash_one(parts)).unwrap_or(NonZeroU64::MIN))
    }
}

impl Frame {
    /// A frame of an answer, or of news of the connection itself.
    #[must_use]
    pub fn reply(reply_to: Option<RequestId>, reply: Reply, timestamp: Timestamp) -> Self {
        let mut bytes = Self::beginning(256);
        write(&mut bytes, &ReplyFrame { reply_to, reply, timestamp });
        Self::of_beginning(bytes)
    }

    /// A frame of JSON that is encoded already.
    #[must_use]
    pub fn of_json(json: &[u8]) -> Self {
        Self::of_bytes(&websocket::text(json))
    }

    /// A binary message, which the protocol has none of.
    #[cfg(feature = "echo")]
    pub(crate) fn of_binary(bytes: &[u8]) -> Self {
        Self::of_bytes(&websocket::binary(bytes))
    }

    /// The beginning of a frame: its text is to be written behind it.
    pub(crate) fn beginning(capacity: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(websocket::MAX_HEADER + capacity);
        bytes.resize(websocket::MAX_HEADER, 0);
        bytes
    }

    /// A frame of a beginning and the text that was written behind it.
    pub(crate) fn of_beginning(mut bytes: Vec<u8>) -> Self {
        let begin = websocket::text_in_place(&mut bytes);
        Self::of_bytes(&bytes[begin..])
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), subject: None }
    }

    /// The same, as the latest word on a subject.
    pub(crate) fn about(self, subject: Option<Subject>) -> Self {
        Self { subject, ..self }
    }

    /// What this is the latest word on.
    pub(crate) fn subject(&self) -> Option<Subject> {
        self.subject
    }

    /// A ping.
    pub(crate) fn ping() -> Self {
        static PING: LazyLock<Frame> = LazyLock::new(|| Frame::of_bytes(&websocket::ping()));
        PING.clone()
    }

    /// The answer to a ping.
    pub(crate) fn pong(payload: &[u8]) -> Self {
        Self::of_bytes(&websocket::pong(payload))
    }

    /// A close; without a code where the client gave none.
    pub(crate) fn close(code: Option<CloseCode>, reason: &str) -> Self {
        Self::of_bytes(&websocket::close(code.map(CloseCode::code), reason))
    }

    /// How many bytes the text has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text().len()
    }

    /// Whether there is no text, which no frame of the protocol is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text().is_empty()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.text()).unwrap_or_default()
    }

    /// What is written: the header and the text.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether this is a message of the protocol, and no control frame.
    pub(crate) fn is_text(&self) -> bool {
        websocket::is_text(&self.bytes)
    }

    /// Whether this answers a ping.
    pub(crate) fn is_pong(&self) -> bool {
        websocket::is_pong(&self.bytes)
    }

    /// The text's bytes.
    pub(crate) fn text(&self) -> &[u8] {
        self.bytes.get(websocket::header_length(&self.bytes)..).unwrap_or_default()
    }
}

/// The protocol's types have string keys and no failing serializers, so encoding them cannot fail.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// The same, behind what is there.
fn write<T: Serialize>(bytes: &mut Vec<u8>, value: &T) {
    // Writing to a vector does not fail either.
    let _ = serde_json::to_writer(bytes, value);
}
