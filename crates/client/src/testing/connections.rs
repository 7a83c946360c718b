//! Connections as a test chooses them: all, those of a user, those in a room.

use std::collections::BTreeSet;
use std::time::Duration;

use roomcast_protocol::{CloseCode, Room, UserId};

use super::session::{Session, SessionId};
use super::world::{Shared, World};

/// Connections of a [`FakeGateway`](super::FakeGateway) that are open: as of each call, not as of when they were chosen.
#[derive(Debug, Clone)]
#[must_use]
pub struct Connections<'a> {
    shared: &'a Shared,
    user: Option<String>,
    room: Option<Room>,
}

impl<'a> Connections<'a> {
    pub(super) fn all(shared: &'a Shared) -> Self {
        Self { shared, user: None, room: None }
    }

    /// Those of them that are this user's.
    pub fn of(mut self, user: &str) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Those of them that are in this room.
    pub fn in_room(mut self, room: &Room) -> Self {
        self.room = Some(room.clone());
        self
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.chosen(|_| ()).len()
    }

    /// Whose they are, each user as often as it is connected.
    #[must_use]
    pub fn users(&self) -> Vec<UserId> {
        self.chosen(|session| session.user().cloned()).into_iter().flatten().collect()
    }

    /// In which rooms they are.
    #[must_use]
    pub fn rooms(&self) -> BTreeSet<Room> {
        self.chosen(|session| session.rooms.keys().cloned().collect::<Vec<_>>()).into_iter().flatten().collect()
    }

    /// The network fails: they are gone without a word.
    pub fn cut(&self) {
        self.each(World::cut);
    }

    /// Tells them that their token is about to run out, so that they renew it.
    pub fn warn(&self) {
        self.each(World::warn);
    }

    /// Their token has run out: 4002, and they come back with another.
    pub fn expire(&self) {
        self.close(CloseCode::TokenExpired);
    }

    /// The gateway stops in good order, and its successor takes them back after this time: 1012.
    pub fn drain(&self, retry_after: Duration) {
        self.each(|world, id| world.shut(id, CloseCode::ServiceRestart, retry_after));
    }

    /// The gateway closes them with this code.
    pub fn close(&self, code: CloseCode) {
        self.each(|world, id| world.shut(id, code, Duration::ZERO));
    }

    fn is_chosen(&self, session: &Session) -> bool {
        let user = session.user().map(UserId::as_str);
        session.is_open()
            && self.user.as_deref().is_none_or(|wanted| user == Some(wanted))
            && self.room.as_ref().is_none_or(|room| session.rooms.contains_key(room))
    }

    fn chosen<R>(&self, look: impl Fn(&Session) -> R) -> Vec<R> {
        self.shared.look(|world| world.sessions.values().filter(|session| self.is_chosen(session)).map(look).collect())
    }

    fn each(&self, act: impl Fn(&mut World, SessionId)) {
        self.shared.with(|world| {
            let chosen = world.sessions.values().filter(|session| self.is_chosen(session));
            let chosen: Vec<SessionId> = chosen.map(|session| session.id).collect();
            chosen.into_iter().for_each(|id| act(world, id));
        });
    }
}
