//! Rooms over one connection: what is asked for, left and paused, and what the answers say.
//!
//! Owns the requests about rooms, in as few frames as can be. Which rooms, from where and with which presence is the
//! registry's to say.

use std::time::Duration;

use roomcast_protocol::server::{RoomOutcome, SubscriptionAck};
use roomcast_protocol::{ClientMessage, Room};
use tokio::time::Instant;

use super::{Link, Sent};
use crate::Error;
use crate::driver::demand::Demand;
use crate::portion::Portion;
use crate::registry::Registry;

impl Link {
    /// Asks for rooms, and leaves some, in as few requests as can be.
    pub(super) fn flush_rooms(&mut self, registry: &mut Registry) -> Result<(), Error> {
        self.leave_rooms()?;
        while self.transport.has_room() && registry.has_idle() {
            let asked = registry.ask(Portion::of(&self.connected.limits), self.next_request);
            if !asked.rooms.is_empty() {
                self.request(ClientMessage::Subscribe(asked.into_message()), Sent::Subscribe)?;
            }
        }
        Ok(())
    }

    fn leave_rooms(&mut self) -> Result<(), Error> {
        while self.transport.has_room() && !self.leaving.is_empty() {
            let rooms = self.leave_some();
            let names = rooms.iter().map(Room::to_string).collect();
            self.request(ClientMessage::Unsubscribe { rooms: names }, Sent::Unsubscribe(rooms))?;
        }
        Ok(())
    }

    /// The last requests before a goodbye: rooms that nobody wants any more are left, so that whoever was present there is
    /// gone at once.
    pub(in crate::driver) fn leave_before_goodbye(&mut self, registry: &mut Registry) {
        self.leaving.append(&mut registry.take_left());
        // Where that fails, the connection ends all the same.
        let _ = self.leave_rooms();
    }

    /// Takes as many rooms to leave as one request holds.
    fn leave_some(&mut self) -> Vec<Room> {
        let mut portion = Portion::of(&self.connected.limits);
        let mut rooms = Vec::new();
        while self.leaving.first().is_some_and(|room| portion.takes(room, None)) {
            rooms.extend(self.leaving.pop_first());
        }
        rooms
    }

    /// What became of rooms, by the answer to request `number`.
    pub(super) fn joined(&mut self, number: u64, ack: &SubscriptionAck, demand: &mut Demand) {
        let mut again = false;
        for (room, outcome) in outcomes(ack) {
            again |= demand.registry.outcome(number, &room, outcome);
        }
        again |= demand.registry.ask_again(number);
        if again { self.pause_rooms(None) } else { self.room_retry.reset() }
    }

    pub(super) fn pause_rooms(&mut self, hint: Option<Duration>) {
        self.rooms_paused = Some(Instant::now() + self.room_retry.next(hint, &mut rand::rng()));
    }

    /// Until when nothing is asked about rooms.
    pub(super) fn rooms_pause(&self) -> Option<Instant> {
        self.rooms_paused.max(self.rate_limited)
    }
}

/// What an acknowledgement says, room by room.
fn outcomes(ack: &SubscriptionAck) -> impl Iterator<Item = (Room, RoomOutcome)> {
    ack.rooms.iter().filter_map(|(name, outcome)| Some((name.parse().ok()?, *outcome)))
}

/// What became of rooms by the gateway's own word.
pub(super) fn news(ack: &SubscriptionAck, demand: &mut Demand) {
    outcomes(ack).for_each(|(room, outcome)| demand.registry.news(&room, outcome));
}
