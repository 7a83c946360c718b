//! The gateway's half of a WebSocket, as far as the fake gateway needs one.
//!
//! Owns the proof of the handshake, and the turn from messages to texts and back. Refuses to decide when a connection ends.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use roomcast_protocol::CloseCode;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::ByteStream;

/// How long a client may take to answer a goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The answer to the key of an upgrade (RFC 6455 section 4.2.2).
pub(crate) fn accept_key(key: &[u8]) -> String {
    derive_accept_key(key)
}

/// An accepted WebSocket.
pub(crate) struct Served {
    socket: WebSocketStream<Box<dyn ByteStream>>,
}

/// What a client has sent.
#[derive(Debug)]
pub(crate) enum Received {
    /// A message.
    Text(String),
    /// A message that the protocol has no use for.
    Binary,
    /// A control frame, which is answered where it needs to be.
    Alive,
    /// A message over the limit.
    TooLarge,
}

impl Served {
    /// A stream whose upgrade has been answered.
    pub(crate) async fn new(stream: Box<dyn ByteStream>, max_message: usize) -> Self {
        let config = WebSocketConfig::default().max_message_size(Some(max_message)).max_frame_size(Some(max_message));
        Self { socket: WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await }
    }

    /// The next thing from the client; `None` at the end. May be dropped at any time without loss.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        match self.socket.next().await? {
            Ok(Message::Text(text)) => Some(Received::Text(text.as_str().to_owned())),
            Ok(Message::Binary(_)) => Some(Received::Binary),
            Ok(_) => Some(Received::Alive),
            Err(Error::Capacity(_)) => Some(Received::TooLarge),
            Err(_) => None,
        }
    }

    /// Sends a message; answers false when the client is gone.
    pub(crate) async fn send(&mut self, text: String) -> bool {
        self.socket.send(Message::text(text)).await.is_ok()
    }

    /// Says goodbye, and waits a moment for the answer.
    pub(crate) async fn close(mut self, code: CloseCode) {
        let goodbye = async {
            let frame = CloseFrame { code: code.code().into(), reason: code.reason().into() };
            self.socket.close(Some(frame)).await?;
            while self.socket.next().await.transpose()?.is_some() {}
            Ok::<(), Error>(())
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
    }
}
