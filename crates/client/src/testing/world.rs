//! Everything behind the connections of the fake: streams, presence, who is connected, and what the test has asked for.
//!
//! Owns the one lock, under which each change is one step, and who is told that there was one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{CloseCode, Position, Room, UserId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Refusal;
use super::builder::Settings;
use super::clock::Clock;
use super::outbox::Turn;
use super::presence::{News, Presence};
use super::record::{Publication, UsedToken};
use super::session::{Session, SessionId};
use super::streams::Streams;

/// The latest tokens that a test can look at.
const MOST_TOKENS: usize = 1_000;

/// Connections at a time; one more is refused.
const MOST_CONNECTIONS: usize = 10_000;

/// What the tasks of a fake gateway and the test share.
#[derive(Debug)]
pub(super) struct Shared {
    world: Mutex<World>,
    /// Changes with everything that a test may wait for.
    pub(super) news: watch::Sender<u64>,
    /// Changes when every byte stream breaks.
    pub(super) line: watch::Sender<u64>,
    /// True when the gateway is gone.
    pub(super) closed: watch::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) streams: Streams,
    pub(super) presence: Presence,
    /// Users who were sent away, and the second up to which their tokens are refused.
    pub(super) disconnected: BTreeMap<UserId, i64>,
    pub(super) refusals: VecDeque<Refusal>,
    pub(super) publish_refusals: VecDeque<ErrorPayload>,
    pub(super) publications: VecDeque<Publication>,
    pub(super) tokens: VecDeque<UsedToken>,
    /// Connections so far.
    pub(super) connected: u64,
    /// Tokens made so far.
    pub(super) minted: u64,
    /// The broker is away: nothing can be joined or published.
    pub(super) is_away: bool,
    /// Nobody can connect.
    pub(super) is_down: bool,
    /// Nothing passes.
    pub(super) is_stalled: bool,
    pub(super) delay: Duration,
    /// What the tasks of connections wait for beside their own.
    told_due: Option<Instant>,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        let world = World {
            clock: Clock::new(),
            sessions: BTreeMap::new(),
            streams: Streams::new(settings.history_size),
            presence: Presence::new(settings.presence_grace),
            settings,
            disconnected: BTreeMap::new(),
            refusals: VecDeque::new(),
            publish_refusals: VecDeque::new(),
            publications: VecDeque::new(),
            tokens: VecDeque::new(),
            connected: 0,
            minted: 0,
            is_away: false,
            is_down: false,
            is_stalled: false,
            delay: Duration::ZERO,
            told_due: None,
        };
        let (news, line, closed) = (watch::Sender::new(0), watch::Sender::new(0), watch::Sender::new(false));
        Self { world: Mutex::new(world), news, line, closed }
    }

    /// Changes something, which those who wait may want to know.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        let (result, _) = self.lock(act);
        self.tell();
        result
    }

    /// Looks at something. What has become due by time is done before.
    pub(super) fn look<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        let (result, is_changed) = self.lock(act);
        if is_changed {
            self.tell();
        }
        result
    }

    fn lock<R>(&self, act: impl FnOnce(&mut World) -> R) -> (R, bool) {
        let mut world: MutexGuard<'_, World> = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let is_changed = world.tick(Instant::now());
        let result = act(&mut world);
        world.tell_due();
        (result, is_changed)
    }

    fn tell(&self) {
        self.news.send_modify(|news| *news = news.wrapping_add(1));
    }

    /// Breaks every byte stream.
    pub(super) fn break_line(&self) {
        self.line.send_modify(|line| *line = line.wrapping_add(1));
    }
}

impl World {
    // Time.

    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.sessions.values().filter_map(Session::next_due).chain(self.presence.next_due()).min()
    }

    /// Does what is due; answers whether there was anything.
    fn tick(&mut self, now: Instant) -> bool {
        let mut is_changed = false;
        while self.next_due().is_some_and(|due| due <= now) {
            is_changed = true;
            let due: Vec<SessionId> = self.sessions.keys().copied().collect();
            due.into_iter().for_each(|id| self.tick_session(id, now));
            let news = self.presence.give_up(now);
            self.tell(news);
        }
        is_changed
    }

    /// Has everybody look at the time again, when something is due at another one.
    fn tell_due(&mut self) {
        let due = self.next_due();
        if due != self.told_due {
            self.told_due = due;
            self.sessions.values().for_each(|session| session.outbox.wake());
        }
    }

    /// When a frame of now may be sent.
    pub(super) fn ready(&self) -> Instant {
        Instant::now() + self.delay
    }

    // Connections.

    /// What becomes of an upgrade, if it is refused.
    pub(super) fn refusal(&mut self) -> Option<Refusal> {
        let is_full = self.sessions.len() >= MOST_CONNECTIONS;
        let full = || is_full.then_some(Refusal::Unavailable { retry_after: Duration::from_secs(1) });
        self.refusals.pop_front().or_else(full)
    }

    /// What the task of a connection has to do.
    pub(super) fn turn(&mut self, id: SessionId) -> Turn {
        let is_stalled = self.is_stalled;
        let session = self.sessions.get_mut(&id);
        session.map_or(Turn::Cut, |session| session.outbox.turn(is_stalled, Instant::now()))
    }

    pub(super) fn close_if_slow(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(&id).filter(|session| session.is_live() && session.outbox.is_full());
        if let Some(session) = session {
            session.outbox.clear();
            self.shut(id, CloseCode::SlowConsumer, Duration::ZERO);
        }
    }

    pub(super) fn tell(&mut self, news: News) {
        for (id, reply) in news {
            self.say(id, None, reply);
        }
    }

    pub(super) fn remember_token(&mut self, token: &str, user: Option<UserId>) {
        self.tokens.push_back(UsedToken { text: token.into(), user });
        if self.tokens.len() > MOST_TOKENS {
            self.tokens.pop_front();
        }
    }

    // Rooms.

    /// Takes a seat in the room; answers where delivery starts.
    pub(super) fn join(&mut self, id: SessionId, room: &Room) -> Position {
        self.make_place(room);
        let position = self.streams.position(room);
        match self.sessions.get_mut(&id) {
            Some(session) => *session.rooms.entry(room.clone()).or_insert(position),
            None => position,
        }
    }

    pub(super) fn start_at(&mut self, id: SessionId, room: &Room, position: Position) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.rooms.insert(room.clone(), position);
        }
    }

    pub(super) fn leave(&mut self, id: SessionId, room: &Room) {
        self.leave_presence(id, room);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.rooms.remove(room);
        if session.typing.remove(room).is_some()
            && let Some(claims) = session.claims.clone()
        {
            self.say_stopped(id, &claims, room);
        }
    }

    pub(super) fn leave_presence(&mut self, id: SessionId, room: &Room) {
        let user = self.sessions.get(&id).and_then(Session::user).cloned();
        if let Some(user) = user {
            let news = self.presence.leave(room, &user, id);
            self.tell(news);
        }
    }

    pub(super) fn make_place(&mut self, room: &Room) {
        if self.streams.peek(room).is_none() {
            let sessions = &self.sessions;
            self.streams.make_place(|room| sessions.values().any(|session| session.rooms.contains_key(room)));
        }
    }
}
