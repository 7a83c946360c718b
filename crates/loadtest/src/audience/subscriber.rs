//! One subscriber's socket: how far it has come, and the bytes that are not whole yet.

use std::io::{self, Read as _, Write as _};

use mio::net::TcpStream;

use crate::frames::{self, Kind};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stage {
    /// There is none: not begun, left, or ended.
    #[default]
    Gone,
    /// Waits for the answer to its upgrade.
    Upgrading,
    /// Waits for the server to say that it is accepted.
    Greeting,
    /// Waits for so many answers to its wish to join.
    Joining(u32),
    /// Is in its rooms.
    Live,
}

/// One subscriber.
#[derive(Default)]
pub(super) struct Subscriber {
    stream: Option<TcpStream>,
    pub(super) stage: Stage,
    /// What was read of a frame that is not whole.
    kept: Vec<u8>,
    /// What is still to be written.
    pub(super) out: Vec<u8>,
    /// When the connection was begun, in nanoseconds since the tool's start.
    pub(super) began: u64,
}

impl Subscriber {
    pub(super) fn new(stream: TcpStream, request: Vec<u8>, began: u64) -> Self {
        Self { stream: Some(stream), stage: Stage::Upgrading, kept: Vec::new(), out: request, began }
    }

    /// Puts what was kept at the front of the buffer, and says how much that is.
    pub(super) fn take_kept(&mut self, buffer: &mut [u8]) -> usize {
        let kept = self.kept.len();
        buffer[..kept].copy_from_slice(&self.kept);
        self.kept.clear();
        kept
    }

    /// Keeps what is not whole. The memory is given back when there is nothing to keep, so that an idle connection has none.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.kept = Vec::new();
        } else {
            self.kept.extend_from_slice(bytes);
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.as_mut().map_or(Ok(0), |stream| stream.read(buffer))
    }

    pub(super) fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), String> {
        frames::put(kind, payload, &mut self.out);
        self.write()
    }

    /// Writes what is to be written, as far as the socket takes it.
    pub(super) fn write(&mut self) -> Result<(), String> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while !self.out.is_empty() {
            match stream.write(&self.out) {
                Ok(written) => drop(self.out.drain(..written)),
                // Not connected yet, or full: the socket says when it is ready.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("lost: {}", error.kind())),
            }
        }
        self.out = Vec::new();
        Ok(())
    }
}

/// Takes the answer to an upgrade off the bytes; false when it is not whole.
pub(super) fn take_upgrade(bytes: &mut &[u8]) -> Result<bool, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
    let (head, rest) = bytes.split_at(end + 4);
    if !head.starts_with(b"HTTP/1.1 101") {
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        return Err(format!("not upgraded: {}", line.escape_ascii()));
    }
    *bytes = rest;
    Ok(true)
}
