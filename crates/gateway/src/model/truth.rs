//! The truth about what was published, and what each client made of it.
//!
//! Owns the log of every stream that ever was, and the comparison: what a client has applied at a position is the event that
//! was published there, and nothing else ever was.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use roomcast_protocol::{EventId, Position, Published, Room};

/// Every event by its places. A position that was given twice has two.
#[derive(Default)]
pub(super) struct Truth {
    log: Mutex<HashMap<(Room, Position), Vec<EventId>>>,
}

/// What one client has applied, over all its connections.
pub(super) struct Applied {
    client: usize,
    truth: Arc<Truth>,
    events: HashMap<(Room, Position), EventId>,
}

impl Truth {
    /// Writes down what the broker has answered.
    pub(super) fn record(&self, published: &Published) {
        let mut log = self.log.lock().unwrap();
        for (room, position) in &published.positions {
            log.entry((room.clone(), *position)).or_default().push(published.event_id.clone());
        }
    }

    fn at(&self, room: &Room, position: Position) -> Vec<EventId> {
        self.log.lock().unwrap().get(&(room.clone(), position)).cloned().unwrap_or_default()
    }

    /// Whether the position is that of an event, or of the beginning of a stream.
    fn has(&self, room: &Room, position: Position) -> bool {
        position.offset == 0 || !self.at(room, position).is_empty()
    }
}

impl Applied {
    pub(super) fn new(client: usize, truth: Arc<Truth>) -> Self {
        Self { client, truth, events: HashMap::new() }
    }

    /// The client has got the event as the next one of the room.
    pub(super) fn add(&mut self, room: &Room, position: Position, event: EventId) {
        let before = self.events.insert((room.clone(), position), event.clone());
        assert_eq!(before, None, "client {}: {position} of {room} comes twice", self.client);
        self.compare(room, position, &event);
    }

    /// The client is told to go on behind the position.
    pub(super) fn start(&self, room: &Room, position: Position) {
        let is_known = self.truth.has(room, position);
        assert!(is_known, "client {}: is to go on behind {position} of {room}, which never was", self.client);
    }

    /// Compares everything once more: a position may have been given again since.
    pub(super) fn check(&self) {
        for ((room, position), event) in &self.events {
            self.compare(room, *position, event);
        }
    }

    fn compare(&self, room: &Room, position: Position, event: &EventId) {
        let published = self.truth.at(room, position);
        let got = std::slice::from_ref(event);
        assert_eq!(got, published.as_slice(), "client {}: another event at {position} of {room}", self.client);
    }
}
