//! An echo over the socket and the outbox that connections use, for test suites of WebSocket. It is no part of the gateway: a
//! feature that only `cargo xtask autobahn` switches on.

use std::future::poll_fn;

use roomcast_protocol::CloseCode;
use roomcast_websocket::Limits;
use tokio::net::TcpStream;

use super::socket::{Io, Socket};
use super::wire::Bare;
use crate::frame::Frame;
use crate::metrics::Metrics;
use crate::outbox::Outbox;

/// More than any suite sends.
const LIMITS: Limits = Limits { message_bytes: 64 << 20, message_frames: 1 << 20, control_frames: 1 << 20 };

/// Sends back what comes, until the client closes or breaks a rule.
pub(crate) async fn run(stream: TcpStream, read: Vec<u8>) {
    let (outbox, metrics) = (Outbox::new(usize::MAX), Metrics::new());
    let mut socket = Socket::within(LIMITS, Bare::new(stream, &outbox), read);
    let close = loop {
        match poll_fn(|cx| socket.poll(cx, true, &outbox, &metrics)).await {
            Io::Text(text) => {
                outbox.push(Frame::of_json(text.as_bytes()));
            }
            Io::Binary(bytes) => {
                outbox.push(Frame::of_binary(&bytes));
            }
            Io::Control | Io::Begun => {}
            Io::Closes(None) => break Frame::close(None, ""),
            Io::Closes(Some(close)) => break Frame::close(Some(CloseCode::from(close.code)), &close.reason),
            Io::Violates(violation) => break Frame::close(Some(CloseCode::from(violation.close_code())), ""),
            Io::Ended | Io::Broken => return,
        }
    };
    outbox.seal();
    outbox.push_last(close);
    socket.finish(&outbox, &metrics).await;
}
