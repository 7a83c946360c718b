//! Presence of a connection: in which rooms its user asked to be seen, and what it is told there.
//!
//! Owns the order of a request: entered and on hold before its answer, the list behind the answer, changes behind the
//! replay. Being lost is not decided here: whatever rooms a connection has not left by itself are lost with it.

use std::sync::Arc;

use roomcast_protocol::client::PresenceOptions;
use roomcast_protocol::{Operation, Room};

use super::Session;
use crate::auth::Identity;
use crate::broker::Unavailable;
use crate::callback::{Asking, Ruling};
use crate::presence::{Entry, Guest};

impl Session {
    /// Those of the rooms in which the connection may take part, when it wants to. Whoever should say so and does not is taken
    /// for a no: the room can be joined all the same.
    pub(super) async fn may_attend(
        &self,
        identity: &Identity,
        rooms: &[Room],
        wish: Option<&PresenceOptions>,
    ) -> Vec<Room> {
        if wish.is_none() {
            return Vec::new();
        }
        let rulings = self.admission.node.rule(identity, rooms, &Operation::Presence, Asking::Kept).await;
        let allowed = rooms.iter().zip(rulings).filter(|(_, ruling)| *ruling == Ruling::Allowed);
        allowed.map(|(room, _)| room.clone()).collect()
    }

    /// Replaces the presence options in the rooms, which the connection has joined: it takes part in those in which it may.
    /// Answers where it does from now on, on hold until [`Session::release_presence`]; in the others it takes no part any more.
    pub(super) async fn attend(
        &self,
        rooms: &[Room],
        may_enter: &[Room],
        wish: Option<&PresenceOptions>,
    ) -> Result<Vec<Room>, Unavailable> {
        let (mut wanted, others): (Vec<Room>, Vec<Room>) =
            rooms.iter().cloned().partition(|room| may_enter.contains(room));
        self.leave_presence(&others);
        let (false, Some(identity)) = (wanted.is_empty(), &self.identity) else { return Ok(Vec::new()) };
        let handle = self.handle_of();
        let data = wish.and_then(|wish| wish.data.clone()).map(Arc::from);
        let guest = Guest { user: identity.user.clone(), connection: handle.id, data };
        // First of all, so that a connection that breaks now is known to be lost in these rooms.
        for room in &wanted {
            self.admission.node.audience.hold(handle.id, &guest.user, &handle.outbox, room);
        }
        let entries =
            self.admission.node.presence.enter(&wanted, &guest).await.inspect_err(|_| self.leave_presence(&wanted))?;
        let is_full = |entry: &Entry| *entry == Entry::Full;
        let refused: Vec<Room> =
            wanted.iter().zip(&entries).filter(|(_, entry)| is_full(entry)).map(|(room, _)| room.clone()).collect();
        self.leave_presence(&refused);
        wanted.retain(|room| !refused.contains(room));
        Ok(wanted)
    }

    /// Sends who is in each room, as fast as the socket takes it.
    pub(super) async fn tell_presence(&self, rooms: &[Room]) {
        let handle = self.handle_of();
        for room in rooms {
            if !handle.outbox.drained().await {
                return;
            }
            match self.admission.node.presence.roster(room).await {
                Ok(roster) => self.admission.node.audience.tell_state(handle.id, room, &roster),
                Err(Unavailable) => self.admission.node.audience.owe_state(handle.id, room),
            }
        }
    }

    /// Tells what has changed since, and from now on what changes.
    pub(super) fn release_presence(&self, rooms: &[Room]) {
        for room in rooms {
            self.admission.node.audience.release(self.handle_of().id, room);
        }
    }

    /// Takes no part any more: the user is gone at once, unless it has other connections there.
    pub(super) fn leave_presence(&self, rooms: &[Room]) {
        let connection = self.handle_of().id;
        let left: Vec<Room> =
            rooms.iter().filter(|room| self.admission.node.audience.leave(connection, room)).cloned().collect();
        if let (false, Some(identity)) = (left.is_empty(), &self.identity) {
            self.admission.node.presence.leave(&left, &identity.user, connection);
        }
    }
}
