//! How much one request about rooms may hold.
//!
//! Owns the count of rooms and bytes that a gateway takes in one message, so that requests are as few as can be and none
//! is too large. Refuses to know what is asked.

use roomcast_protocol::server::Limits;
use roomcast_protocol::{Position, Room};

/// What a frame about rooms has beside them: its id, its action, the names of its fields.
const FRAME_BYTES: u64 = 128;

/// What is left of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portion {
    rooms: u64,
    bytes: u64,
    is_empty: bool,
}

impl Portion {
    /// A whole request to a gateway with these limits.
    pub(crate) fn of(limits: &Limits) -> Self {
        Self {
            rooms: limits.max_rooms_per_message,
            bytes: limits.max_message_bytes.saturating_sub(FRAME_BYTES),
            is_empty: true,
        }
    }

    /// Takes bytes that belong to the request as a whole.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }

    /// Takes a room, with the position to resume it from, and says whether it fits. The first always does: a gateway that
    /// takes not even one says so itself.
    pub(crate) fn takes(&mut self, room: &Room, since: Option<&Position>) -> bool {
        // Names and positions are of letters that JSON does not escape. Quotes and comma; behind `since` a colon too.
        let name = room.as_str().len() + 3;
        let since = since.map_or(0, |position| name + position.to_string().len() + 3);
        let bytes = (name + since) as u64;
        if !self.is_empty && (self.rooms == 0 || self.bytes < bytes) {
            return false;
        }
        self.rooms = self.rooms.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.is_empty = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use roomcast_protocol::client::Subscribe;
    use roomcast_protocol::{ClientMessage, Epoch, Request};

    use super::*;
    use crate::presence::Wish;

    fn limits(max_rooms_per_message: u64, max_message_bytes: u64) -> Limits {
        Limits {
            messages_per_minute: 100,
            max_message_bytes,
            max_rooms: 1000,
            max_rooms_per_message,
            rates: BTreeMap::new(),
        }
    }

    #[test]
    fn what_fits_makes_a_message_within_the_limit_and_nearly_fills_it() {
        let mut portion = Portion::of(&limits(u64::MAX, 4096));
        let position = Position { epoch: Epoch(u64::MAX), offset: 12_345 };
        let rooms: Vec<Room> = (100..)
            .map(|id| Room::team(&id.to_string()))
            .take_while(|room| portion.takes(room, Some(&position)))
            .collect();
        let since: BTreeMap<String, Position> = rooms.iter().map(|room| (room.to_string(), position)).collect();
        let rooms = rooms.into_iter().map(String::from).collect();
        let message = ClientMessage::Subscribe(Subscribe { rooms, since, presence: None });
        let request = Request { id: u64::MAX.to_string().parse().ok(), message };
        let bytes = serde_json::to_string(&request).unwrap().len();
        assert!(bytes <= 4096 && bytes > 3900, "{bytes}");
    }

    #[test]
    fn a_wish_for_presence_takes_its_share() {
        let wish = Wish::with_data(&serde_json::json!("x".repeat(1000))).unwrap();
        let mut portion = Portion::of(&limits(u64::MAX, 2048));
        portion.spend(wish.bytes());
        let rooms = (100..).map(|id| Room::team(&id.to_string())).take_while(|room| portion.takes(room, None));
        let (rooms, presence) = (rooms.map(String::from).collect(), Some(wish.into_options()));
        let message = ClientMessage::Subscribe(Subscribe { rooms, since: BTreeMap::new(), presence });
        let bytes = serde_json::to_string(&Request { id: u64::MAX.to_string().parse().ok(), message }).unwrap().len();
        assert!(bytes <= 2048 && bytes > 1900, "{bytes}");
    }

    #[test]
    fn one_room_fits_whatever_the_limit() {
        let mut portion = Portion::of(&limits(0, 0));
        assert!(portion.takes(&Room::team("a"), None));
        assert!(!portion.takes(&Room::team("b"), None));
    }
}
