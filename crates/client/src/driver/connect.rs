//! One attempt to connect: a token, a byte stream, the upgrade, the acknowledgement.
//!
//! Owns the deadlines of each step. What a failed attempt means is said in [`Failure`].

use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::ServerMessage;
use roomcast_protocol::server::{Connected, ConnectionAck, Reply};
use tokio::time::timeout;

use super::failure::Failure;
use super::link::Link;
use crate::Error;
use crate::options::Options;
use crate::transport::{Incoming, OpenError, Transport};

/// Connects, until the gateway has acknowledged.
pub(super) async fn connect(options: Arc<Options>) -> Result<Link, Failure> {
    let token = options.token.get().await.map_err(Failure::lost)?;
    let opening = Transport::open(&options.dial, &options.url, &token);
    let mut transport = match timeout(options.connect_timeout, opening).await {
        Ok(Ok(transport)) => transport,
        Ok(Err(OpenError::Failed(error))) => return Err(Failure::lost(error)),
        Ok(Err(OpenError::Refused { status, retry_after })) => return Err(Failure::refused(status, retry_after)),
        Err(_) => return Err(Failure::lost(Error::connect("connect to the gateway: timed out"))),
    };
    match timeout(options.handshake_timeout, acknowledgement(&mut transport)).await {
        Ok(Ok(connected)) => Ok(Link::new(transport, *connected, &options)),
        Ok(Err(failure)) => {
            if failure.goodbye {
                transport.close().await;
            }
            Err(failure)
        }
        Err(_) => Err(Failure::lost(Error::connect("connect to the gateway: it did not acknowledge in time"))),
    }
}

/// Waits for the gateway's first word.
async fn acknowledgement(transport: &mut Transport) -> Result<Box<Connected>, Failure> {
    let mut hint = None;
    loop {
        match transport.next().await.map_err(Failure::lost)? {
            Incoming::Message(ServerMessage::Reply(frame)) => match frame.reply {
                Reply::ConnectionAck(ConnectionAck::Connected(connected)) => return Ok(connected),
                Reply::ConnectionClosing(closing) => hint = closing.retry_after_ms.map(Duration::from_millis),
                Reply::Error(error) => hint = error.retry_after_ms.map(Duration::from_millis).or(hint),
                _ => {}
            },
            Incoming::Closed(code) => return Err(Failure::closed_at_connect(code, hint)),
            Incoming::Message(_) | Incoming::Alive | Incoming::Writable => {}
        }
    }
}
