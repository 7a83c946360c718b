//! All subscribers of a run: what they are told, and what it adds up to.
//!
//! Owns the one read buffer that all connections share: a connection keeps bytes of its own only while a frame is not whole.
//! An event is counted where it was read, without being copied or parsed.

mod subscriber;

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use self::subscriber::{Stage, Subscriber};
use crate::error::{Error, Result};
use crate::frames::{self, Frame, Kind};
use crate::histogram::Histogram;
use crate::ledger::{Ledger, Seats, Seen, Verdict};
use crate::mark::{Finder, Mark};
use crate::protocol::{Heard, Protocol};
use crate::target::Target;
use crate::tokens::{Role, Tokens};

/// Holds hundreds of frames of a burst; no frame may be longer.
const BUFFER: usize = 256 << 10;

/// What of a publication is still on its way.
#[derive(Debug, Clone, Copy, Default)]
struct Awaited {
    room: u32,
    sequence: u32,
    members: u32,
}

/// The subscribers.
pub(crate) struct Audience {
    target: Target,
    protocol: Protocol,
    seats: Seats,
    /// From which position each room is joined; empty: from now on.
    pub(crate) since: Vec<String>,
    subscribers: Vec<Subscriber>,
    ledger: Ledger,
    awaited: Vec<Awaited>,
    /// Publishers whose publication has come to all members since this was taken last.
    pub(crate) arrived: Vec<u32>,
    finder: Finder,
    buffer: Vec<u8>,
    start: Instant,
    /// From when an event was due until it was read.
    pub(crate) latency: Histogram,
    /// From the beginning of a connection until it was ready.
    pub(crate) joining: Histogram,
    pub(crate) deliveries: u64,
    /// Reads that brought something: several events of one write come in one read.
    pub(crate) reads: u64,
    /// Connections that are ready.
    pub(crate) live: u32,
    /// Connections that are on their way to it.
    pub(crate) underway: u32,
    /// Connections that did not come to it, or ended; why, and how many.
    pub(crate) ended: BTreeMap<String, u64>,
}

impl Audience {
    pub(crate) fn new(target: Target, protocol: Protocol, seats: Seats, publishers: u32, start: Instant) -> Self {
        Self {
            target,
            protocol,
            seats,
            since: Vec::new(),
            subscribers: (0..seats.connections).map(|_| Subscriber::default()).collect(),
            ledger: Ledger::new(seats, publishers),
            awaited: vec![Awaited::default(); publishers as usize],
            arrived: Vec::new(),
            finder: Finder::default(),
            buffer: vec![0; BUFFER],
            start,
            latency: Histogram::new(),
            joining: Histogram::new(),
            deliveries: 0,
            reads: 0,
            live: 0,
            underway: 0,
            ended: BTreeMap::new(),
        }
    }

    pub(crate) fn verdict(&self, published: &[u32]) -> Verdict {
        self.ledger.verdict(published)
    }

    /// Begins a connection. What becomes of it shows in `live` and `ended`.
    pub(crate) fn open(&mut self, number: u32, tokens: &Tokens, registry: &Registry) -> Result {
        let address = self.target.address();
        let token = tokens.of(Role::Subscriber(number))?;
        let began = self.start.elapsed().as_nanos() as u64;
        let mut stream = TcpStream::connect(address).map_err(Error::system(format!("connect to {address}")))?;
        registry
            .register(&mut stream, Token(number as usize), Interest::READABLE | Interest::WRITABLE)
            .map_err(Error::system("watch a connection"))?;
        let request = self.protocol.upgrade(address, token.as_deref());
        self.subscribers[number as usize] = Subscriber::new(stream, request, began);
        self.underway += 1;
        Ok(())
    }

    /// Ends all connections, from this side.
    pub(crate) fn leave(&mut self) {
        self.subscribers.iter_mut().for_each(|subscriber| *subscriber = Subscriber::default());
        (self.live, self.underway) = (0, 0);
    }

    /// From now on a publication is awaited by so many connections.
    pub(crate) fn await_publication(&mut self, mark: &Mark, members: u32) {
        let Mark { room, sequence, .. } = *mark;
        self.awaited[mark.publisher as usize] = Awaited { room, sequence, members };
        if members == 0 {
            self.arrived.push(mark.publisher);
        }
    }

    /// Does what a socket is ready for.
    pub(crate) fn handle(&mut self, number: u32, event: &Event) {
        let subscriber = &mut self.subscribers[number as usize];
        if subscriber.stage == Stage::Gone {
            return;
        }
        let mut outcome = Ok(());
        if event.is_writable() {
            outcome = subscriber.write();
        }
        if outcome.is_ok() && (event.is_readable() || event.is_read_closed() || event.is_error()) {
            // Taken out while it is read into, so that what is read can be counted in the same place.
            let mut buffer = std::mem::take(&mut self.buffer);
            outcome = self.read(number, &mut buffer, event.is_read_closed());
            self.buffer = buffer;
        }
        if let Err(reason) = outcome {
            self.end(number, reason);
        }
    }

    fn end(&mut self, number: u32, reason: String) {
        let subscriber = &mut self.subscribers[number as usize];
        match subscriber.stage {
            Stage::Gone => {}
            Stage::Live => self.live -= 1,
            _ => self.underway -= 1,
        }
        *subscriber = Subscriber::default();
        *self.ended.entry(reason).or_default() += 1;
    }

    /// Reads until the socket has no more. A read that did not fill the buffer has emptied it: another would only ask again.
    fn read(&mut self, number: u32, buffer: &mut [u8], closes: bool) -> std::result::Result<(), String> {
        loop {
            let kept = self.subscribers[number as usize].take_kept(buffer);
            if kept == buffer.len() {
                return Err("a message is longer than any that was asked for".into());
            }
            let read = match self.subscribers[number as usize].read(&mut buffer[kept..]) {
                Ok(0) => return Err("closed without a close frame".into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.subscribers[number as usize].keep(&buffer[..kept]);
                    return Ok(());
                }
                Err(error) => return Err(format!("lost: {}", error.kind())),
            };
            self.reads += 1;
            let mut bytes = &buffer[..kept + read];
            self.take(number, &mut bytes)?;
            self.subscribers[number as usize].keep(bytes);
            if kept + read < buffer.len() && read > 0 && !closes {
                return Ok(());
            }
        }
    }

    /// Takes what is whole off the bytes of a connection.
    fn take(&mut self, number: u32, bytes: &mut &[u8]) -> std::result::Result<(), String> {
        if self.subscribers[number as usize].stage == Stage::Upgrading {
            if !subscriber::take_upgrade(bytes)? {
                return Ok(());
            }
            self.subscribers[number as usize].stage = Stage::Greeting;
            if !self.protocol.greets() {
                self.join(number)?;
            }
        }
        let now = self.start.elapsed().as_nanos() as u64;
        while let Some(frame) = frames::take(bytes)? {
            self.frame(number, frame, now)?;
        }
        Ok(())
    }

    fn frame(&mut self, number: u32, frame: Frame<'_>, now: u64) -> std::result::Result<(), String> {
        match frame.kind {
            Kind::Text => match self.finder.find(frame.payload) {
                Some(mark) => self.count(number, &mark, now),
                None => self.hear(number, frame.payload)?,
            },
            Kind::Ping => self.subscribers[number as usize].send(Kind::Pong, frame.payload)?,
            Kind::Close => {
                let code = frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                return Err(format!("closed with {code}"));
            }
            Kind::Binary | Kind::Pong => {}
        }
        Ok(())
    }

    fn count(&mut self, number: u32, mark: &Mark, now: u64) {
        let seen = self.ledger.record(number, mark);
        if matches!(seen, Seen::Again | Seen::Stranger) {
            return;
        }
        self.deliveries += 1;
        self.latency.record(now.saturating_sub(mark.due));
        let awaited = &mut self.awaited[mark.publisher as usize];
        if (awaited.room, awaited.sequence) == (mark.room, mark.sequence) {
            awaited.members = awaited.members.saturating_sub(1);
            if awaited.members == 0 {
                self.arrived.push(mark.publisher);
            }
        }
    }

    fn hear(&mut self, number: u32, text: &[u8]) -> std::result::Result<(), String> {
        let stage = self.subscribers[number as usize].stage;
        match (self.protocol.hear(text), stage) {
            (Heard::Greeting, Stage::Greeting) => self.join(number),
            (Heard::Joined, Stage::Joining(1)) => {
                self.ready(number);
                Ok(())
            }
            (Heard::Joined, Stage::Joining(answers)) => {
                self.subscribers[number as usize].stage = Stage::Joining(answers - 1);
                Ok(())
            }
            (Heard::Refused, _) => Err("refused".into()),
            _ => Ok(()),
        }
    }

    /// Asks for the rooms of a connection that is accepted.
    fn join(&mut self, number: u32) -> std::result::Result<(), String> {
        let numbers: Vec<u32> = self.seats.rooms_of(number).collect();
        if numbers.is_empty() {
            self.ready(number);
            return Ok(());
        }
        let rooms: Vec<String> = numbers.iter().map(|room| self.protocol.room(*room)).collect();
        let since: Vec<String> = numbers.iter().filter_map(|room| self.since.get(*room as usize).cloned()).collect();
        let subscriber = &mut self.subscribers[number as usize];
        let answers = self.protocol.subscribe(&rooms, &since, &mut subscriber.out);
        subscriber.stage = Stage::Joining(answers);
        subscriber.write()
    }

    fn ready(&mut self, number: u32) {
        let subscriber = &mut self.subscribers[number as usize];
        subscriber.stage = Stage::Live;
        self.joining.record((self.start.elapsed().as_nanos() as u64).saturating_sub(subscriber.began));
        self.underway -= 1;
        self.live += 1;
    }
}
