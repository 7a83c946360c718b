//! The HTTP connections of a run: each has one request outstanding at most.
//!
//! Owns their sockets and the reading of answers. A connection that the server closes is opened again with the next request.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::error::{Error, Result};

/// An answer may be no longer: a page of history has a thousand events.
const MAX_ANSWER: usize = 8 << 20;

/// One HTTP connection.
#[derive(Default)]
struct Publisher {
    stream: Option<TcpStream>,
    /// The request under way, and how much of it is written.
    request: Vec<u8>,
    written: usize,
    answer: Vec<u8>,
    busy: bool,
}

/// A request that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) publisher: u32,
    /// The status; 0 when the connection was lost instead.
    pub(crate) status: u16,
}

/// All HTTP connections.
pub(crate) struct Publishers {
    address: SocketAddr,
    first_token: usize,
    publishers: Vec<Publisher>,
    /// What was answered since this was taken last.
    pub(crate) answered: Vec<Answered>,
    /// Statuses other than 2xx, and how many.
    pub(crate) refused: BTreeMap<u16, u64>,
}

impl Publishers {
    pub(crate) fn new(address: SocketAddr, count: u32, first_token: usize) -> Self {
        let publishers = (0..count).map(|_| Publisher::default()).collect();
        Self { address, first_token, publishers, answered: Vec::new(), refused: BTreeMap::new() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request, which `write` appends, over a connection that has none outstanding.
    pub(crate) fn send(&mut self, number: u32, registry: &Registry, write: impl FnOnce(&mut Vec<u8>)) -> Result {
        let publisher = &mut self.publishers[number as usize];
        publisher.request.clear();
        publisher.answer.clear();
        publisher.written = 0;
        publisher.busy = true;
        write(&mut publisher.request);
        if publisher.stream.is_none() {
            let failed = format!("connect to {}", self.address);
            let mut stream = TcpStream::connect(self.address).map_err(Error::system(failed))?;
            registry
                .register(
                    &mut stream,
                    Token(self.first_token + number as usize),
                    Interest::READABLE | Interest::WRITABLE,
                )
                .map_err(Error::system("watch a connection"))?;
            publisher.stream = Some(stream);
        }
        self.go_on(number, Publisher::write);
        Ok(())
    }

    /// Ends a connection, so that the next request opens a new one.
    pub(crate) fn hang_up(&mut self, number: u32) {
        self.publishers[number as usize].stream = None;
    }

    /// The last answer of a connection, with its head.
    pub(crate) fn answer(&self, number: u32) -> &[u8] {
        &self.publishers[number as usize].answer
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.publishers.iter().any(|publisher| publisher.busy)
    }

    /// Does what a socket is ready for.
    pub(crate) fn handle(&mut self, number: u32, event: &Event) {
        if event.is_writable() {
            self.go_on(number, Publisher::write);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.go_on(number, Publisher::read);
        }
    }

    fn go_on(&mut self, number: u32, step: impl FnOnce(&mut Publisher) -> io::Result<Option<u16>>) {
        let publisher = &mut self.publishers[number as usize];
        let status = match step(publisher) {
            Ok(None) => return,
            Ok(Some(status)) => status,
            Err(_) => {
                publisher.stream = None;
                if !publisher.busy {
                    return;
                }
                0
            }
        };
        publisher.busy = false;
        if !(200..300).contains(&status) {
            *self.refused.entry(status).or_default() += 1;
        }
        self.answered.push(Answered { publisher: number, status });
    }
}

impl Publisher {
    fn write(&mut self) -> io::Result<Option<u16>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        while self.written < self.request.len() {
            match stream.write(&self.request[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn read(&mut self) -> io::Result<Option<u16>> {
        let mut part = [0; 16 << 10];
        let mut status = None;
        loop {
            let Some(stream) = &mut self.stream else { return Ok(status) };
            match stream.read(&mut part) {
                // Whoever answers and closes has answered.
                Ok(0) => {
                    self.stream = None;
                    return if self.busy && status.is_none() {
                        Err(io::ErrorKind::UnexpectedEof.into())
                    } else {
                        Ok(status)
                    };
                }
                Ok(read) if self.answer.len() + read <= MAX_ANSWER => self.answer.extend_from_slice(&part[..read]),
                Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(status),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if let (true, Some(answer)) = (status.is_none(), parse(&self.answer)) {
                status = Some(answer.status);
                if answer.closes {
                    self.stream = None;
                }
            }
        }
    }
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    closes: bool,
}

/// Reads an answer, if it is whole.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?.to_ascii_lowercase();
    let body = &bytes[end + 4..];
    let status = head.get(9..12)?.parse().ok()?;
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let is_whole = match field("content-length:") {
        Some(length) => body.len() >= length.parse().ok()?,
        None if field("transfer-encoding:") == Some("chunked") => body.ends_with(b"0\r\n\r\n"),
        None => true,
    };
    is_whole.then(|| Answer { status, closes: field("connection:") == Some("close") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(parse(answer), Some(Answer { status: 200, closes: false }));
        for end in 0..answer.len() {
            assert_eq!(parse(&answer[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_body_in_parts_ends_with_an_empty_one() {
        let answer =
            b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        assert_eq!(parse(answer), Some(Answer { status: 202, closes: true }));
        assert_eq!(parse(&answer[..answer.len() - 5]), None);
    }

    #[test]
    fn an_answer_without_a_body_is_whole() {
        assert_eq!(parse(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(Answer { status: 204, closes: false }));
    }
}
