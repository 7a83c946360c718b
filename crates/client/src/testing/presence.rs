//! Who is in which room, by user.
//!
//! Owns when others are told: not of each connection, but when a user comes, says something else, or is gone. One who was
//! lost has a while to come back.

use std::collections::BTreeMap;
use std::time::Duration;

use roomcast_protocol::server::{PresenceChange, PresenceMember, Reply};
use roomcast_protocol::{Room, UserId};
use serde_json::Value;
use tokio::time::Instant;

use super::session::SessionId;

/// What is to be told to whom.
pub(super) type News = Vec<(SessionId, Reply)>;

#[derive(Debug, Clone)]
struct Seat {
    data: Option<Value>,
    /// Of two, the later has the say.
    entered: u64,
}

#[derive(Debug, Default)]
struct Attendee {
    seats: BTreeMap<SessionId, Seat>,
    /// Connections that may come back: until when, and what the latest of them said.
    lost: Option<(Instant, Seat)>,
}

#[derive(Debug)]
pub(super) struct Presence {
    rooms: BTreeMap<Room, BTreeMap<UserId, Attendee>>,
    grace: Duration,
    entered: u64,
}

impl Attendee {
    fn member(&self, user: &UserId) -> Option<PresenceMember> {
        let seats = || self.seats.values().chain(self.lost.as_ref().map(|(_, seat)| seat));
        seats().next()?;
        let speaker = seats().filter(|seat| seat.data.is_some()).max_by_key(|seat| seat.entered);
        let connections = u32::try_from(self.seats.len()).unwrap_or(u32::MAX);
        Some(PresenceMember { user_id: user.clone(), data: speaker.and_then(|seat| seat.data.clone()), connections })
    }
}

impl Presence {
    pub(super) fn new(grace: Duration) -> Self {
        Self { rooms: BTreeMap::new(), grace, entered: 0 }
    }

    /// Everybody in the room, by id.
    pub(super) fn members(&self, room: &Room) -> Vec<PresenceMember> {
        let attendees = self.rooms.get(room).into_iter().flatten();
        attendees.filter_map(|(user, attendee)| attendee.member(user)).collect()
    }

    pub(super) fn enter(&mut self, room: &Room, user: &UserId, session: SessionId, data: Option<Value>) -> News {
        self.entered += 1;
        let seat = Seat { data, entered: self.entered };
        self.change(room, user, |attendee| {
            attendee.lost = None;
            attendee.seats.insert(session, seat);
        })
    }

    /// The connection takes no part any more.
    pub(super) fn leave(&mut self, room: &Room, user: &UserId, session: SessionId) -> News {
        if !self.is_in(room, user, session) {
            return News::new();
        }
        self.change(room, user, |attendee| drop(attendee.seats.remove(&session)))
    }

    /// The connection is gone, and may come back.
    pub(super) fn lose(&mut self, room: &Room, user: &UserId, session: SessionId, now: Instant) -> News {
        if !self.is_in(room, user, session) {
            return News::new();
        }
        let until = now + self.grace;
        self.change(room, user, |attendee| {
            attendee.lost = attendee.seats.remove(&session).map(|seat| (until, seat));
        })
    }

    /// When the next one's time to come back is over.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let attendees = self.rooms.values().flat_map(BTreeMap::values);
        attendees.filter_map(|attendee| attendee.lost.as_ref().map(|(until, _)| *until)).min()
    }

    /// Gives up those whose time is over.
    pub(super) fn give_up(&mut self, now: Instant) -> News {
        let is_over = |attendee: &Attendee| attendee.lost.as_ref().is_some_and(|(until, _)| *until <= now);
        let over: Vec<(Room, UserId)> = self
            .rooms
            .iter()
            .flat_map(|(room, attendees)| attendees.iter().map(move |(user, attendee)| (room, user, attendee)))
            .filter(|(.., attendee)| is_over(attendee))
            .map(|(room, user, _)| (room.clone(), user.clone()))
            .collect();
        over.into_iter().flat_map(|(room, user)| self.change(&room, &user, |attendee| attendee.lost = None)).collect()
    }

    fn is_in(&self, room: &Room, user: &UserId, session: SessionId) -> bool {
        let attendee = self.rooms.get(room).and_then(|attendees| attendees.get(user));
        attendee.is_some_and(|attendee| attendee.seats.contains_key(&session))
    }

    /// Changes a user's attendance; answers what the others can see of it.
    fn change(&mut self, room: &Room, user: &UserId, act: impl FnOnce(&mut Attendee)) -> News {
        let attendees = self.rooms.entry(room.clone()).or_default();
        let attendee = attendees.entry(user.clone()).or_default();
        let before = attendee.member(user);
        act(attendee);
        let after = attendee.member(user);
        if after.is_none() {
            attendees.remove(user);
        }
        let news = match (before, after) {
            (Some(before), Some(after)) if before.data == after.data => None,
            (_, Some(member)) => Some(Reply::PresenceJoined(PresenceChange { room: room.clone(), member })),
            (Some(before), None) => {
                let member = PresenceMember { connections: 0, ..before };
                Some(Reply::PresenceLeft(PresenceChange { room: room.clone(), member }))
            }
            (None, None) => None,
        };
        let others = attendees.iter().filter(|(other, _)| *other != user);
        let told = others.flat_map(|(_, other)| other.seats.keys().copied());
        let news = news.map_or_else(News::new, |news| told.map(|session| (session, news.clone())).collect());
        if attendees.is_empty() {
            self.rooms.remove(room);
        }
        news
    }
}
