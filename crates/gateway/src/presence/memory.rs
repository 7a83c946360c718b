//! The record of presence in this process's memory.
//!
//! One lock makes each change one step, told to the audience before the next. Everything is bounded: a room by the bytes of
//! its list, all rooms by bytes, lost connections by time and to one for each user and room.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use roomcast_protocol::{Room, UserId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::audience::Audience;
use super::{Change, Data, Entry, Guest, Member, Presence, Roster, is_same};
use crate::broker::Unavailable;
use crate::config::Config;
use crate::hub::ConnectionId;

/// Bytes of all entries together: a million of the usual size.
const MAX_BYTES: usize = 256 << 20;

/// What an entry takes beside the user's id and data, in memory and, being more than that, in a frame.
const ENTRY_BYTES: usize = 96;

/// The embedded record.
#[derive(Debug)]
pub(crate) struct MemoryPresence {
    audience: Arc<Audience>,
    grace: Duration,
    room_bytes: usize,
    state: Mutex<State>,
    /// Wakes [`Presence::run`] when there is somebody to wait for.
    has_lost: Notify,
}

#[derive(Debug, Default)]
struct State {
    rooms: HashMap<Room, Attendance>,
    /// Who was lost, first the first to be given up. May name users that have come back.
    lost: VecDeque<(Instant, Room, UserId)>,
    bytes: usize,
    version: u64,
    entered: u64,
}

#[derive(Debug, Default)]
struct Attendance {
    users: BTreeMap<UserId, Attendee>,
    bytes: usize,
}

/// A user in a room.
#[derive(Debug, Default)]
struct Attendee {
    connections: Vec<Seat>,
    /// Connections that may come back: until when, and what the latest of them said.
    lost: Option<(Instant, Seat)>,
}

/// What one connection said of its user.
#[derive(Debug, Clone)]
struct Seat {
    connection: ConnectionId,
    /// Of two, the later has the say.
    entered: u64,
    data: Option<Data>,
}

impl Seat {
    fn bytes(&self, user: &UserId) -> usize {
        ENTRY_BYTES + user.as_str().len() + self.data.as_ref().map_or(0, |data| data.get().len())
    }
}

impl Attendance {
    /// The bytes of all entries but the guest's own, which it replaces.
    fn bytes_without(&self, guest: &Guest) -> usize {
        let attendee = self.users.get(&guest.user);
        let own = attendee.and_then(|attendee| attendee.seats().find(|seat| seat.connection == guest.connection));
        self.bytes - own.map_or(0, |seat| seat.bytes(&guest.user))
    }
}

impl Attendee {
    fn seats(&self) -> impl Iterator<Item = &Seat> {
        self.connections.iter().chain(self.lost.as_ref().map(|(_, seat)| seat))
    }

    fn member(&self, user: &UserId) -> Option<Member> {
        self.seats().next()?;
        let speaker = self.seats().filter(|seat| seat.data.is_some()).max_by_key(|seat| seat.entered);
        let data = speaker.and_then(|seat| seat.data.clone());
        let connections = u32::try_from(self.connections.len()).unwrap_or(u32::MAX);
        Some(Member { user: user.clone(), data, connections })
    }

    fn take(&mut self, connection: ConnectionId) -> Option<Seat> {
        let index = self.connections.iter().position(|seat| seat.connection == connection)?;
        Some(self.connections.swap_remove(index))
    }
}

impl MemoryPresence {
    /// A record with the configuration's bounds that tells that audience.
    #[must_use]
    pub(crate) fn new(config: &Config, audience: Arc<Audience>) -> Self {
        Self {
            audience,
            grace: config.presence_grace,
            // A state must find room in an outbox that is not empty.
            room_bytes: config.max_queue_bytes / 2,
            state: Mutex::default(),
            has_lost: Notify::new(),
        }
    }

    /// Bytes of all entries.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up those whose time is over; answers when the next one's is.
    fn give_up(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        loop {
            let until = state.lost.front()?.0;
            if until > now {
                return Some(until);
            }
            state.give_up_first(&self.audience);
        }
    }
}

impl State {
    /// Changes a user's attendance in a room, keeps the sums and tells what others can see of it.
    fn update<R>(
        &mut self,
        audience: &Audience,
        room: &Room,
        user: &UserId,
        act: impl FnOnce(&mut Attendee) -> R,
    ) -> R {
        let attendance = self.rooms.entry(room.clone()).or_default();
        let attendee = attendance.users.entry(user.clone()).or_default();
        let bytes = |attendee: &Attendee| attendee.seats().map(|seat| seat.bytes(user)).sum::<usize>();
        let (before, bytes_before) = (attendee.member(user), bytes(attendee));
        let result = act(attendee);
        let (after, bytes_after) = (attendee.member(user), bytes(attendee));
        if after.is_none() {
            attendance.users.remove(user);
        }
        attendance.bytes = attendance.bytes + bytes_after - bytes_before;
        if attendance.users.is_empty() {
            self.rooms.remove(room);
        }
        self.bytes = self.bytes + bytes_after - bytes_before;
        if !is_same(before.as_ref(), after.as_ref()) {
            self.version += 1;
            audience.note(Change { room: room.clone(), before, after, version: self.version });
        }
        result
    }

    fn enter(&mut self, audience: &Audience, room_bytes: usize, room: &Room, guest: &Guest) -> Entry {
        self.entered += 1;
        let seat = Seat { connection: guest.connection, entered: self.entered, data: guest.data.clone() };
        let bytes = seat.bytes(&guest.user);
        while self.bytes + bytes > MAX_BYTES && self.give_up_first(audience) {}
        let in_room = self.rooms.get(room).map_or(0, |attendance| attendance.bytes_without(guest));
        if self.bytes + bytes > MAX_BYTES || in_room + bytes > room_bytes {
            return Entry::Full;
        }
        self.update(audience, room, &guest.user, |attendee| {
            attendee.take(guest.connection);
            attendee.lost = None;
            attendee.connections.push(seat);
        });
        Entry::Entered
    }

    fn knows(&self, room: &Room, user: &UserId) -> bool {
        self.rooms.get(room).is_some_and(|attendance| attendance.users.contains_key(user))
    }

    /// Gives up who was lost first, unless it has come back. Answers false when nobody was.
    fn give_up_first(&mut self, audience: &Audience) -> bool {
        let Some((until, room, user)) = self.lost.pop_front() else { return false };
        if self.knows(&room, &user) {
            self.update(audience, &room, &user, |attendee| {
                attendee.lost.take_if(|(lost_until, _)| *lost_until <= until);
            });
        }
        true
    }
}

impl Presence for MemoryPresence {
    fn enter<'a>(&'a self, rooms: &'a [Room], guest: &'a Guest) -> BoxFuture<'a, Result<Vec<Entry>, Unavailable>> {
        Box::pin(async move {
            let mut state = self.lock();
            Ok(rooms.iter().map(|room| state.enter(&self.audience, self.room_bytes, room, guest)).collect())
        })
    }

    fn leave(&self, rooms: &[Room], user: &UserId, connection: ConnectionId) {
        let mut state = self.lock();
        for room in rooms {
            if state.knows(room, user) {
                state.update(&self.audience, room, user, |attendee| attendee.take(connection));
            }
        }
    }

    fn lose(&self, rooms: &[Room], user: &UserId, connection: ConnectionId) {
        if self.grace.is_zero() {
            return self.leave(rooms, user, connection);
        }
        let until = Instant::now() + self.grace;
        let mut state = self.lock();
        for room in rooms.iter() {
            if !state.knows(room, user) {
                continue;
            }
            let is_lost = state.update(&self.audience, room, user, |attendee| {
                let Some(seat) = attendee.take(connection) else { return false };
                let earlier = attendee.lost.take().map(|(_, seat)| seat);
                // Of several that were lost, the latest that said something speaks for them.
                let rank = |seat: &Seat| (seat.data.is_some(), seat.entered);
                let speaker = earlier.into_iter().chain([seat]).max_by_key(rank);
                attendee.lost = speaker.map(|seat| (until, seat));
                true
            });
            if is_lost {
                state.lost.push_back((until, room.clone(), user.clone()));
            }
        }
        drop(state);
        self.has_lost.notify_one();
    }

    fn roster<'a>(&'a self, room: &'a Room) -> BoxFuture<'a, Result<Roster, Unavailable>> {
        Box::pin(async move {
            let state = self.lock();
            let users = state.rooms.get(room).map(|attendance| &attendance.users);
            let members = users.into_iter().flatten().filter_map(|(user, attendee)| attendee.member(user)).collect();
            Ok(Roster { members, version: state.version })
        })
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                match self.give_up(Instant::now()) {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => self.has_lost.notified().await,
                }
            }
        })
    }
}
