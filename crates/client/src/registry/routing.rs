//! The way of an event to its subscriptions.
//!
//! Owns that it comes once to each, in the rooms where it is new to it. Refuses to move anybody who waits for an answer:
//! how far each has come is the [`entry`](super::entry)'s to know, and which ids came lately [`recent`](super::recent)'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roomcast_protocol::{Event, EventFrame, Position, Room};

use super::Registry;
use crate::mailbox::{Item, Moves};
use crate::subscription::SubscriptionId;

/// What an event is to one subscription.
#[derive(Debug, Default)]
struct Arrival {
    /// The rooms in which it is new, and its positions there.
    moves: Moves,
    /// The rooms in which it is not, or not yet: the subscription has had it, or will, in its place.
    stays: Vec<Room>,
}

impl Registry {
    /// Hands an event to the subscriptions of its rooms, once to each.
    pub(crate) fn route(&mut self, frame: Box<EventFrame>) {
        if frame.positions.is_empty() {
            let targets = self.implied(&frame.event);
            let frame: Arc<EventFrame> = frame.into();
            for member in targets.iter().filter_map(|id| self.members.get(id)) {
                member.mailbox.push(Item::Event(frame.clone()), Moves::new());
            }
            return;
        }
        let mut arrivals = self.arrivals(&frame.positions);
        arrivals.retain(|_, arrival| !arrival.moves.is_empty());
        let had = match &frame.event_id {
            Some(event) if !arrivals.is_empty() => self.recent.note(event, arrivals.keys().copied()),
            _ => Vec::new(),
        };
        let frame: Arc<EventFrame> = frame.into();
        for (id, arrival) in arrivals {
            let Some(member) = self.members.get(&id) else { continue };
            if had.contains(&id) {
                member.mailbox.pass(arrival.moves);
            } else {
                member.mailbox.push(Item::Event(without(&frame, &arrival.stays)), arrival.moves);
            }
        }
    }

    /// Moves the positions of the event's rooms.
    fn arrivals(&mut self, positions: &BTreeMap<Room, Position>) -> BTreeMap<SubscriptionId, Arrival> {
        let mut arrivals: BTreeMap<SubscriptionId, Arrival> = BTreeMap::new();
        for (room, position) in positions {
            let Some(entry) = self.rooms.get_mut(room) else { continue };
            for (id, is_new) in entry.advance(*position) {
                let arrival = arrivals.entry(id).or_default();
                if is_new {
                    arrival.moves.push((room.clone(), *position));
                } else {
                    arrival.stays.push(room.clone());
                }
            }
        }
        arrivals
    }

    /// Where an event goes that names no rooms; see [`Subscription`](crate::Subscription).
    fn implied(&self, event: &Event) -> BTreeSet<SubscriptionId> {
        let joined = |room| self.rooms.get(&room).filter(|entry| entry.is_joined());
        let rooms = event.rooms().unwrap_or_default();
        let targets: BTreeSet<_> =
            rooms.into_iter().filter_map(joined).flat_map(|entry| entry.seats.keys().copied()).collect();
        // Of user.typing the contract says where it goes: without a member it is a straggler from a room just left.
        if targets.is_empty() && !Event::is_ephemeral_type(event.event_type()) {
            return self.members.keys().copied().collect();
        }
        targets
    }
}

/// The frame as it is for a subscription that has not come to these rooms' positions: it must not take them for its own.
fn without(frame: &Arc<EventFrame>, rooms: &[Room]) -> Arc<EventFrame> {
    if rooms.is_empty() {
        return frame.clone();
    }
    let mut frame = EventFrame::clone(frame);
    frame.positions.retain(|room, _| !rooms.contains(room));
    Arc::new(frame)
}
