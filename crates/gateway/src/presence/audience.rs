//! The audience: which connections of this node are told who is in a room.
//!
//! Owns when they are told and that each is told once and in order: a connection that asks is on hold until it has got the
//! list, and is told of what is newer than its list. Knows nothing of how the record is kept. It never waits while it is
//! told of a change, keeps one entry for each user that changed, and gives up changes for a fresh list when they are many.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use roomcast_protocol::{Room, UserId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Change, Member, Presence, Roster, frames, is_same};
use crate::clock::Clock;
use crate::frame::Frame;
use crate::hub::ConnectionId;
use crate::outbox::Outbox;

/// Users whose changes are told one by one in a turn of a room; more are told as a list. Far above what a room of people
/// does, far below what a deploy does.
pub(crate) const MOST_CHANGES: usize = 64;

/// How long a room rests after a turn, for each connection that was told: 500 of them are told once a second.
const REST: Duration = Duration::from_millis(2);

/// The connections of this node that are told of presence.
#[derive(Debug)]
pub(crate) struct Audience {
    clock: Clock,
    state: Mutex<State>,
    /// Wakes [`Audience::run`] when a room has something to tell.
    is_due: Notify,
}

/// What there is to do.
enum Next {
    /// Tell this room.
    Turn(Room),
    /// Nothing until then.
    At(Instant),
    Nothing,
}

#[derive(Debug, Default)]
struct State {
    rooms: HashMap<Room, Listeners>,
    by_connection: HashMap<ConnectionId, BTreeSet<Room>>,
    /// Rooms with something to tell, and when they may.
    due: BTreeSet<(Instant, Room)>,
}

/// A room in which somebody listens.
#[derive(Debug, Default)]
struct Listeners {
    listeners: HashMap<ConnectionId, Listener>,
    pending: BTreeMap<UserId, Pending>,
    /// Until when nothing is told, after the last turn.
    rests_until: Option<Instant>,
    is_due: bool,
}

#[derive(Debug)]
struct Listener {
    user: UserId,
    outbox: Arc<Outbox>,
    /// What it knows: it is told of newer changes only. `None`: nothing yet.
    version: Option<u64>,
    /// The last change that it was not told of; newer than its version, it needs a list.
    missed: Option<u64>,
    /// Changes that came before its list was sent.
    hold: Option<Vec<Pending>>,
}

/// What has changed about a user since the last turn.
#[derive(Debug, Clone)]
struct Pending {
    /// Of the first change.
    first: u64,
    /// Of the last.
    last: u64,
    before: Option<Member>,
    after: Option<Member>,
    /// Encoded when the first listener needs it.
    frame: Option<Frame>,
}

impl Pending {
    fn user(&self) -> Option<&UserId> {
        self.after.as_ref().or(self.before.as_ref()).map(|member| &member.user)
    }

    /// Whether a listener that knows this version would see a difference.
    fn is_news(&self, version: Option<u64>) -> bool {
        let has_seen_none = version < Some(self.first);
        Some(self.last) > version && !(has_seen_none && is_same(self.before.as_ref(), self.after.as_ref()))
    }

    fn encode(&mut self, room: &Room, clock: &Clock) {
        self.frame = match (&self.after, &self.before) {
            (Some(member), _) => Some(frames::joined(room, member, clock.now())),
            (None, Some(member)) => Some(frames::left(room, member, clock.now())),
            (None, None) => None,
        };
    }
}

impl Listener {
    fn is_stale(&self) -> bool {
        self.missed > self.version
    }

    fn miss(&mut self, version: u64) {
        self.missed = self.missed.max(Some(version));
    }

    fn tell(&self, changes: &[Pending]) {
        for change in changes.iter().filter(|change| change.user() != Some(&self.user)) {
            if change.is_news(self.version)
                && let Some(frame) = &change.frame
            {
                self.outbox.push(frame.clone());
            }
        }
        self.outbox.flush();
    }
}

impl Audience {
    /// Nobody, yet.
    #[must_use]
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default(), is_due: Notify::new() }
    }

    /// From now on the connection misses nothing in the room; it is told when it is [released](Audience::release).
    pub(crate) fn hold(&self, connection: ConnectionId, user: &UserId, outbox: &Arc<Outbox>, room: &Room) {
        let mut state = self.lock();
        state.by_connection.entry(connection).or_default().insert(room.clone());
        let listeners = &mut state.rooms.entry(room.clone()).or_default().listeners;
        let new = || Listener { user: user.clone(), outbox: outbox.clone(), version: None, missed: None, hold: None };
        listeners.entry(connection).or_insert_with(new).hold = Some(Vec::new());
    }

    /// Sends the list to the connection, which is on hold in that room.
    pub(crate) fn tell_state(&self, connection: ConnectionId, room: &Room, roster: &Roster) {
        let frame = frames::state(room, roster, self.clock.now());
        if let Some(listener) = self.lock().listener(connection, room) {
            listener.version = Some(roster.version);
            listener.outbox.send(frame);
        }
    }

    /// The list could not be had: it will be told as soon as it can.
    pub(crate) fn owe_state(&self, connection: ConnectionId, room: &Room) {
        if let Some(listener) = self.lock().listener(connection, room) {
            listener.version = None;
            listener.miss(0);
        }
    }

    /// Everybody is told the lists anew: changes may have been lost, and versions may have begun anew.
    pub(crate) fn owe_everybody(&self) {
        let mut state = self.lock();
        for listeners in state.rooms.values_mut() {
            for listener in listeners.listeners.values_mut() {
                (listener.version, listener.missed) = (None, Some(0));
            }
        }
        let rooms: Vec<Room> = state.rooms.keys().cloned().collect();
        rooms.iter().for_each(|room| state.schedule(room));
        drop(state);
        self.is_due.notify_one();
    }

    /// Ends the hold: what came since the list was sent is told now.
    pub(crate) fn release(&self, connection: ConnectionId, room: &Room) {
        let mut state = self.lock();
        let Some(listener) = state.listener(connection, room) else { return };
        let changes = listener.hold.take().unwrap_or_default();
        if listener.is_stale() {
            state.schedule(room);
            self.is_due.notify_one();
        } else {
            listener.tell(&changes);
        }
    }

    /// The connection is told nothing more of the room. Answers false when it was not anyway.
    pub(crate) fn leave(&self, connection: ConnectionId, room: &Room) -> bool {
        let mut state = self.lock();
        let Some(rooms) = state.by_connection.get_mut(&connection) else { return false };
        let was_there = rooms.remove(room);
        if rooms.is_empty() {
            state.by_connection.remove(&connection);
        }
        state.unlisten(connection, room);
        was_there
    }

    /// The connection is gone; answers the rooms in which it was.
    pub(crate) fn remove(&self, connection: ConnectionId) -> Vec<Room> {
        let mut state = self.lock();
        let rooms: Vec<Room> = state.by_connection.remove(&connection).into_iter().flatten().collect();
        for room in &rooms {
            state.unlisten(connection, room);
        }
        rooms
    }

    /// The rooms in which the connection is told of presence.
    pub(crate) fn rooms_of(&self, connection: ConnectionId) -> Vec<Room> {
        self.lock().by_connection.get(&connection).into_iter().flatten().cloned().collect()
    }

    /// Takes note of a change, to be told in the room's next turn.
    pub(crate) fn note(&self, change: Change) {
        let mut state = self.lock();
        let Some(listeners) = state.rooms.get_mut(&change.room) else { return };
        listeners.note(&change);
        state.schedule(&change.room);
        drop(state);
        self.is_due.notify_one();
    }

    /// Tells what is to be told, for ever.
    pub(crate) async fn run(&self, record: &dyn Presence) {
        loop {
            // Made before looking: what comes meanwhile is not slept over.
            let is_due = self.is_due.notified();
            let next = self.lock().next_due(Instant::now());
            match next {
                Next::Turn(room) => {
                    self.turn(record, &room).await;
                    // Many rooms may be due; others have work too.
                    tokio::task::yield_now().await;
                }
                Next::At(at) => drop(tokio::time::timeout_at(at, is_due).await),
                Next::Nothing => is_due.await,
            }
        }
    }

    /// Tells a room what has changed, and lets it rest.
    async fn turn(&self, record: &dyn Presence, room: &Room) {
        let needs_state = self.lock().begin_turn(room, &self.clock);
        if !needs_state {
            return;
        }
        let Ok(roster) = record.roster(room).await else {
            // Once more after a rest.
            return self.lock().schedule(room);
        };
        let frame = frames::state(room, &roster, self.clock.now());
        let mut state = self.lock();
        if state.rooms.get_mut(room).is_some_and(|listeners| listeners.refresh(&roster, &frame)) {
            state.schedule(room);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn listener(&mut self, connection: ConnectionId, room: &Room) -> Option<&mut Listener> {
        self.rooms.get_mut(room)?.listeners.get_mut(&connection)
    }

    fn unlisten(&mut self, connection: ConnectionId, room: &Room) {
        let Some(listeners) = self.rooms.get_mut(room) else { return };
        listeners.listeners.remove(&connection);
        // One that has something to tell is forgotten in its turn.
        if listeners.listeners.is_empty() && !listeners.is_due {
            self.rooms.remove(room);
        }
    }

    /// The room has something to tell.
    fn schedule(&mut self, room: &Room) {
        let now = Instant::now();
        let Some(listeners) = self.rooms.get_mut(room) else { return };
        if !std::mem::replace(&mut listeners.is_due, true) {
            let at = listeners.rests_until.map_or(now, |until| until.max(now));
            self.due.insert((at, room.clone()));
        }
    }

    fn next_due(&mut self, now: Instant) -> Next {
        match self.due.first() {
            None => Next::Nothing,
            Some((at, _)) if *at > now => Next::At(*at),
            Some(_) => self.due.pop_first().map_or(Next::Nothing, |(_, room)| Next::Turn(room)),
        }
    }

    /// Tells a room its changes; answers whether somebody needs a list.
    fn begin_turn(&mut self, room: &Room, clock: &Clock) -> bool {
        let Some(listeners) = self.rooms.get_mut(room) else { return false };
        listeners.is_due = false;
        if listeners.listeners.is_empty() {
            self.rooms.remove(room);
            return false;
        }
        let rest = REST * u32::try_from(listeners.listeners.len()).unwrap_or(u32::MAX);
        listeners.rests_until = Some(Instant::now() + rest);
        listeners.tell(room, clock);
        listeners.listeners.values().any(|listener| listener.is_stale() && listener.hold.is_none())
    }
}

impl Listeners {
    fn note(&mut self, change: &Change) {
        let member = change.after.as_ref().or(change.before.as_ref());
        let Some(user) = member.map(|member| &member.user) else { return };
        if let Some(pending) = self.pending.get_mut(user) {
            (pending.last, pending.after) = (change.version, change.after.clone());
            return;
        }
        let (first, last) = (change.version, change.version);
        let (before, after) = (change.before.clone(), change.after.clone());
        self.pending.insert(user.clone(), Pending { first, last, before, after, frame: None });
        if self.pending.len() > MOST_CHANGES {
            self.pending.clear();
            self.listeners.values_mut().for_each(|listener| listener.miss(change.version));
        }
    }

    /// Tells everybody who does not need a list anyway.
    fn tell(&mut self, room: &Room, clock: &Clock) {
        let mut changes: Vec<Pending> = std::mem::take(&mut self.pending).into_values().collect();
        // As they happened.
        changes.sort_by_key(|change| change.last);
        changes.iter_mut().for_each(|change| change.encode(room, clock));
        let Some(last) = changes.last().map(|change| change.last) else { return };
        for listener in self.listeners.values_mut() {
            let is_stale = listener.is_stale();
            match &mut listener.hold {
                None if !is_stale => listener.tell(&changes),
                Some(hold) if !is_stale && hold.len() + changes.len() <= MOST_CHANGES => {
                    hold.extend(changes.iter().cloned());
                }
                _ => listener.miss(last),
            }
        }
    }

    /// Sends the list to everybody who needs it; answers whether somebody needs another, having missed more meanwhile.
    fn refresh(&mut self, roster: &Roster, frame: &Frame) -> bool {
        let is_waiting = |listener: &Listener| listener.is_stale() && listener.hold.is_none();
        for listener in self.listeners.values_mut().filter(|listener| is_waiting(listener)) {
            listener.version = Some(roster.version);
            listener.outbox.send(frame.clone());
        }
        self.listeners.values().any(is_waiting)
    }
}
