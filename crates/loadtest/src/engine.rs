//! The one loop of a run: one thread, all sockets.
//!
//! Owns when sockets are asked, which is always. It never sleeps: a tool that waits in the system is woken by each write of
//! the server, and the server pays for it.

use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::audience::Audience;
use crate::error::{Error, Result};
use crate::ledger::Seats;
use crate::mark::Mark;
use crate::options::Options;
use crate::protocol::{Letter, Protocol};
use crate::publishers::Publishers;
use crate::tokens::{Role, Tokens};

/// Sockets that are asked for at once.
const EVENTS: usize = 1024;

/// How long connections may take to be opened, for each thousand of them, and at least.
const OPENING: Duration = Duration::from_secs(20);

/// All sockets of a run, and what it has published.
pub(crate) struct Engine {
    poll: Poll,
    events: Events,
    pub(crate) audience: Audience,
    pub(crate) publishers: Publishers,
    protocol: Protocol,
    tokens: Tokens,
    writers: Vec<Option<String>>,
    seats: Seats,
    members: Vec<u32>,
    /// For each room and publisher: how many events.
    pub(crate) published: Vec<u32>,
    /// Deliveries that what was published must lead to, if everybody is there.
    pub(crate) expected: u64,
    start: Instant,
    /// Processor time of turns in which there was something to do.
    busy: Duration,
}

impl Engine {
    pub(crate) fn new(options: &Options, seats: Seats, publishers: u32) -> Result<Self> {
        if seats.per_connection > seats.rooms {
            return Err(Error::Usage("a connection cannot be in more rooms than there are".into()));
        }
        let tokens = options.tokens()?;
        let writers = (0..publishers).map(|number| tokens.of(Role::Publisher(number))).collect::<Result<_>>()?;
        let start = Instant::now();
        let publish_to = options.publish_url.unwrap_or(options.url).address();
        Ok(Self {
            poll: Poll::new().map_err(Error::system("watch sockets"))?,
            events: Events::with_capacity(EVENTS),
            audience: Audience::new(options.url, options.protocol, seats, publishers, start),
            publishers: Publishers::new(publish_to, publishers, seats.connections as usize),
            protocol: options.protocol,
            tokens,
            writers,
            seats,
            members: seats.members(),
            published: vec![0; (seats.rooms * publishers) as usize],
            expected: 0,
            start,
            busy: Duration::ZERO,
        })
    }

    /// Nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Processor time of turns in which there was something to do, up to now: what the tool costs, as it never waits.
    pub(crate) fn busy(&self) -> Duration {
        self.busy
    }

    /// Asks all sockets once, and does what they are ready for.
    pub(crate) fn turn(&mut self) -> Result {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome.map_err(Error::system("ask sockets"))?,
        }
        if self.events.is_empty() {
            return Ok(());
        }
        let began = processor_time();
        for event in &self.events {
            let token = event.token().0 as u32;
            match token.checked_sub(self.seats.connections) {
                None => self.audience.handle(token, event),
                Some(publisher) => self.publishers.handle(publisher, event),
            }
        }
        self.busy += processor_time().saturating_sub(began);
        Ok(())
    }

    /// Turns until a condition holds, at most for a time; says whether it did.
    pub(crate) fn until(&mut self, limit: Duration, mut holds: impl FnMut(&mut Self) -> bool) -> Result<bool> {
        let end = Instant::now() + limit;
        loop {
            self.turn()?;
            if holds(self) {
                return Ok(true);
            }
            if Instant::now() > end {
                return Ok(false);
            }
        }
    }

    /// Opens all connections, so many at once, and waits until they are in their rooms.
    pub(crate) fn open_all(&mut self, at_once: u32) -> Result {
        let count = self.seats.connections;
        let mut next = 0;
        let limit = OPENING * (1 + count / 1000);
        let done = self.until_each(limit, |engine| {
            while next < count && engine.audience.underway < at_once {
                engine.audience.open(next, &engine.tokens, engine.poll.registry())?;
                next += 1;
            }
            Ok(next == count && engine.audience.underway == 0)
        })?;
        let live = self.audience.live;
        if done && live == count {
            return Ok(());
        }
        let ended = &self.audience.ended;
        Err(Error::Server(format!("only {live} of {count} connections could be opened in time: {ended:?}")))
    }

    /// The same as `until`, for a condition that may fail.
    pub(crate) fn until_each(
        &mut self,
        limit: Duration,
        mut holds: impl FnMut(&mut Self) -> Result<bool>,
    ) -> Result<bool> {
        let mut outcome = Ok(());
        let held = self.until(limit, |engine| match holds(engine) {
            Ok(holds) => holds,
            Err(error) => {
                outcome = Err(error);
                true
            }
        })?;
        outcome.map(|()| held)
    }

    /// Publishes the next event of a publisher into a room.
    pub(crate) fn publish(&mut self, publisher: u32, room: u32, bytes: usize, due: u64) -> Result {
        let place = room as usize * self.writers.len() + publisher as usize;
        self.published[place] += 1;
        let mark = Mark { room, publisher, sequence: self.published[place], due };
        let members = self.members[room as usize];
        self.expected += u64::from(members);
        self.audience.await_publication(&mark, members);
        let token = self.writers[publisher as usize].as_deref();
        let letter = Letter { address: self.publishers.address(), token, mark, bytes };
        let protocol = self.protocol;
        self.publishers.send(publisher, self.poll.registry(), |request| protocol.publish(&letter, request))
    }

    /// The rooms of a connection.
    pub(crate) fn rooms_of(&self, connection: u32) -> Vec<u32> {
        self.seats.rooms_of(connection).collect()
    }

    /// Asks for the history of a room over a publisher's connection.
    pub(crate) fn ask_history(&mut self, publisher: u32, room: u32, since: Option<&str>) -> Result {
        let token = self.writers[publisher as usize].as_deref();
        let request = self.protocol.history(self.publishers.address(), room, since, token);
        self.publishers.send(publisher, self.poll.registry(), |to| to.extend(request))
    }
}

/// Processor time of this thread: other than the time of day, it stands still while something else has the processor.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
