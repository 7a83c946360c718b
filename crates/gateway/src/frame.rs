//! Frames: messages encoded once, shared by everybody who gets them.

use bytes::Bytes;
use roomcast_protocol::server::{Reply, ReplyFrame};
use roomcast_protocol::{RequestId, Timestamp};
use serde::Serialize;

/// The text of a message to a client. Cheap to clone; the bytes are shared.
#[derive(Debug, Clone)]
pub struct Frame(Bytes);

impl Frame {
    /// A frame of an answer, or of news of the connection itself.
    #[must_use]
    pub fn reply(reply_to: Option<RequestId>, reply: Reply, timestamp: Timestamp) -> Self {
        Self(encode(&ReplyFrame { reply_to, reply, timestamp }).into())
    }

    /// A frame of JSON that is encoded already.
    #[must_use]
    pub fn of_json(json: Vec<u8>) -> Self {
        Self(json.into())
    }

    /// How many bytes the text has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text, which no frame of the protocol is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, valid UTF-8.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The protocol's types have string keys and no failing serializers, so encoding them cannot fail.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
