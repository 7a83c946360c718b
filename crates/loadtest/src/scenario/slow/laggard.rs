//! The slow reader: joins a room, reads nothing, and then sees what has become of it.
//!
//! Owns its socket, which blocks: it is used between the runs only. Everything that it got, and everything that it recovers,
//! must be the room's events one after the other.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::frames::{self, Kind};
use crate::options::Options;
use crate::protocol::Protocol;
use crate::tokens::Role;

/// How long anything may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Its token is of a user of its own, however many others there are.
const NUMBER: u32 = u32::MAX;

/// What became of a slow reader.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// The code with which it was closed, 1006 without one; `None`: it was not closed.
    pub(super) code: Option<u16>,
    /// Events that it got when it came back.
    pub(super) recovered: u32,
    /// Whether these and those before are all, each once and in order.
    pub(super) is_whole: bool,
}

/// A connection that reads only when it is told to.
pub(super) struct Laggard {
    stream: TcpStream,
    read: Vec<u8>,
    /// How far it has come in the room.
    position: String,
}

enum Came {
    Text(Value),
    Close(u16),
}

impl Laggard {
    /// Joins the first room.
    pub(super) fn join(options: &Options) -> Result<Self> {
        Self::join_since(options, &[]).map(|(laggard, _)| laggard)
    }

    /// Reads what there is until it is closed, and comes back to what it has missed.
    pub(super) fn come_back(mut self, options: &Options) -> Result<End> {
        let (mut is_whole, mut code) = (true, None);
        while code.is_none() {
            match self.next() {
                Ok(Came::Text(frame)) => is_whole &= self.follow(&frame),
                Ok(Came::Close(found)) => code = Some(found),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
                Err(_) => code = Some(1006),
            }
        }
        let (mut again, ack) = Self::join_since(options, std::slice::from_ref(&self.position))?;
        let recovered = ack["recovered"].as_u64().and_then(|recovered| u32::try_from(recovered).ok());
        let Some(recovered) = recovered else { return Ok(End { code, recovered: 0, is_whole: false }) };
        let mut left = recovered;
        while left > 0 {
            match again.next().map_err(Error::system("recover what was missed"))? {
                Came::Text(frame) => is_whole &= again.follow(&frame),
                Came::Close(_) => return Ok(End { code, recovered, is_whole: false }),
            }
            left -= 1;
        }
        // Nothing is published meanwhile, so who joins now begins where all is known.
        is_whole &= Self::join(options)?.position == again.position;
        Ok(End { code, recovered, is_whole })
    }

    /// Whether the event is the next one of the room.
    fn follow(&mut self, frame: &Value) -> bool {
        let room = Protocol::Roomcast.room(0);
        let Some(position) = frame["positions"][room.as_str()].as_str() else {
            return frame["type"] == "connection.closing";
        };
        let offset = |position: &str| position.rsplit_once(':').and_then(|(_, offset)| offset.parse::<u64>().ok());
        let is_next = offset(position) == offset(&self.position).map(|offset| offset + 1);
        position.clone_into(&mut self.position);
        is_next
    }

    fn join_since(options: &Options, since: &[String]) -> Result<(Self, Value)> {
        let joined = || -> io::Result<(Self, Value)> {
            let address = options.url.address();
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let mut laggard = Self { stream, read: Vec::new(), position: since.first().cloned().unwrap_or_default() };
            let tokens = options.tokens().map_err(io::Error::other)?;
            let token = tokens.of(Role::Subscriber(NUMBER)).map_err(io::Error::other)?;
            laggard.stream.write_all(&Protocol::Roomcast.upgrade(address, token.as_deref()))?;
            laggard.pass_head()?;
            laggard.answer("connection.ack")?;
            let (room, mut request) = (Protocol::Roomcast.room(0), Vec::new());
            Protocol::Roomcast.subscribe(std::slice::from_ref(&room), since, &mut request);
            laggard.stream.write_all(&request)?;
            let mut ack = laggard.answer("subscription.ack")?["payload"]["rooms"][room.as_str()].take();
            if let (true, Value::String(position)) = (since.is_empty(), ack["position"].take()) {
                laggard.position = position;
            }
            Ok((laggard, ack))
        };
        joined().map_err(Error::system("join with a slow reader"))
    }

    fn pass_head(&mut self) -> io::Result<()> {
        loop {
            if let Some(end) = self.read.windows(4).position(|part| part == b"\r\n\r\n") {
                self.read.drain(..end + 4);
                return Ok(());
            }
            self.read_more()?;
        }
    }

    fn answer(&mut self, wanted: &str) -> io::Result<Value> {
        match self.next()? {
            Came::Text(frame) if frame["type"] == wanted => Ok(frame),
            Came::Text(frame) => Err(io::Error::other(format!("the server said {frame}"))),
            Came::Close(code) => Err(io::Error::other(format!("the server closed with {code}"))),
        }
    }

    /// The next frame that says something.
    fn next(&mut self) -> io::Result<Came> {
        loop {
            let mut bytes = &self.read[..];
            let found = frames::take(&mut bytes).map_err(io::Error::other)?.map(|frame| match frame.kind {
                Kind::Text => serde_json::from_slice(frame.payload).ok().map(Came::Text),
                Kind::Close => {
                    let code = frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    Some(Came::Close(code))
                }
                _ => None,
            });
            let taken = self.read.len() - bytes.len();
            self.read.drain(..taken);
            match found {
                Some(Some(came)) => return Ok(came),
                Some(None) => {}
                None => self.read_more()?,
            }
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut part = [0; 16 << 10];
        match self.stream.read(&mut part)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.read.extend_from_slice(&part[..count]);
                Ok(())
            }
        }
    }
}
