//! Which events came lately, and to whom.
//!
//! Owns the second half of "once": positions tell a repeat within a room, ids tell one that comes again through another
//! room. That happens behind a recovery, and when a publisher completes an event that had reached only some of its rooms.

use std::collections::{HashMap, VecDeque};

use roomcast_protocol::EventId;

use crate::subscription::SubscriptionId;

/// Events that are remembered: four rooms' worth of what a gateway keeps by default, in about half a megabyte.
const MAX_EVENTS: usize = 4096;

/// The latest events by their ids.
#[derive(Debug, Default)]
pub(super) struct Recent {
    readers: HashMap<EventId, Vec<SubscriptionId>>,
    /// Oldest first.
    order: VecDeque<EventId>,
}

impl Recent {
    /// Notes that the event goes to these; answers those who had it before.
    pub(super) fn note(
        &mut self,
        event: &EventId,
        to: impl IntoIterator<Item = SubscriptionId>,
    ) -> Vec<SubscriptionId> {
        if !self.readers.contains_key(event) {
            if self.order.len() >= MAX_EVENTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.readers.remove(&oldest);
            }
            self.order.push_back(event.clone());
        }
        let readers = self.readers.entry(event.clone()).or_default();
        let (had, fresh): (Vec<_>, Vec<_>) = to.into_iter().partition(|id| readers.contains(id));
        readers.extend(fresh);
        had
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> EventId {
        number.to_string().parse().unwrap()
    }

    #[test]
    fn each_reader_is_new_once() {
        let mut recent = Recent::default();
        assert!(recent.note(&id(1), [1, 2]).is_empty());
        assert_eq!(recent.note(&id(1), [2, 3]), [2]);
        assert_eq!(recent.note(&id(1), [1, 2, 3]), [1, 2, 3]);
        assert!(recent.note(&id(2), [1]).is_empty());
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_the_oldest() {
        let mut recent = Recent::default();
        for number in 0..=MAX_EVENTS {
            recent.note(&id(number), [1]);
        }
        assert_eq!((recent.order.len(), recent.readers.len()), (MAX_EVENTS, MAX_EVENTS));
        assert_eq!(recent.note(&id(1), [1]), [1]);
        assert!(recent.note(&id(0), [1]).is_empty());
    }
}
