//! Pages: what the hub knows, for those who look at it piece by piece.
//!
//! Owns that looking holds the lock for a moment only, however many rooms there are. A page is no snapshot: what comes or goes
//! while it is made may be in it or not.

use std::collections::BTreeMap;

use roomcast_protocol::Room;

use super::{ConnectionId, Hub, MemberKey};

/// Rooms that are looked at under one lock: some tens of microseconds.
const STRETCH: usize = 1000;

/// The first rooms by name behind a given one, as far as they are found yet.
#[derive(Debug)]
pub(crate) struct RoomPage {
    after: Option<String>,
    most: usize,
    /// The names, with the numbers of local members.
    pub(crate) rooms: BTreeMap<Room, usize>,
    next: usize,
}

impl RoomPage {
    /// A page of at most so many rooms, to be filled by [`Hub::look`].
    pub(crate) fn new(after: Option<String>, most: usize) -> Self {
        Self { after, most, rooms: BTreeMap::new(), next: 0 }
    }

    fn add(&mut self, room: &Room, members: usize) {
        let is_before = self.after.as_deref().is_some_and(|after| room.as_str() <= after);
        let is_full = self.rooms.len() >= self.most;
        if is_before || is_full && self.rooms.last_key_value().is_none_or(|(last, _)| room >= last) {
            return;
        }
        self.rooms.insert(room.clone(), members);
        if self.rooms.len() > self.most {
            self.rooms.pop_last();
        }
    }
}

impl Hub {
    /// Looks at some more rooms for the page. False when there are no others.
    pub(crate) fn look(&self, page: &mut RoomPage) -> bool {
        let state = self.lock();
        let end = page.next.saturating_add(STRETCH);
        for entry in (page.next..end).filter_map(|place| state.rooms.get(place)) {
            page.add(&entry.name, entry.seats().len());
        }
        page.next = end;
        end < state.rooms.capacity()
    }

    /// The rooms of a connection, at most so many; none when it is gone.
    pub(crate) fn rooms_of_any(&self, key: MemberKey, connection: ConnectionId, most: usize) -> Vec<Room> {
        let state = self.lock();
        let member = state.members.get(key.0).filter(|member| member.connection == connection);
        let seats = member.into_iter().flat_map(|member| member.seats.iter().take(most));
        seats.map(|place| state.rooms[place.room()].name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::outbox::Outbox;

    fn page(hub: &Hub, after: Option<&str>, most: usize) -> Vec<String> {
        let mut page = RoomPage::new(after.map(Into::into), most);
        while hub.look(&mut page) {}
        page.rooms.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn pages_are_in_the_order_of_names_and_leave_none_out() {
        let hub = Hub::default();
        let key = hub.admit(ConnectionId::new(), Arc::new(Outbox::new(100)));
        let mut names: Vec<String> =
            (0..2 * STRETCH + 7).map(|number| format!("issue:{}", number * 7919 % 10_007)).collect();
        for name in &names {
            assert!(hub.seat(key, &name.parse().unwrap()));
        }
        names.sort();
        let mut found = Vec::new();
        loop {
            let next = page(&hub, found.last().map(String::as_str), 300);
            if next.is_empty() {
                break;
            }
            found.extend(next);
        }
        assert_eq!(found, names);
    }

    #[test]
    fn a_place_in_the_hub_that_is_anothers_by_now_tells_nothing() {
        let hub = Hub::default();
        let (gone, next) = (ConnectionId::new(), ConnectionId::new());
        let key = hub.admit(gone, Arc::new(Outbox::new(100)));
        hub.remove(key);
        assert!(hub.rooms_of_any(key, gone, 10).is_empty());
        assert_eq!(hub.admit(next, Arc::new(Outbox::new(100))), key);
        for room in ["team:a", "team:b"] {
            hub.seat(key, &room.parse().unwrap());
        }
        assert!(hub.rooms_of_any(key, gone, 10).is_empty());
        assert_eq!(hub.rooms_of_any(key, next, 1).len(), 1);
    }
}
