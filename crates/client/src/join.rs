//! A room as an application asks for it.
//!
//! Owns the choices there are: from where, and with presence or without.

use roomcast_protocol::{Position, Room};
use serde_json::Value;

use crate::Error;
use crate::presence::Wish;

/// A room to join, for [`Client::subscribe_with`](crate::Client::subscribe_with): from now on and without presence, unless
/// more is said.
///
/// ```
/// use roomcast_client::{Join, protocol::Room};
/// # use roomcast_client::protocol::Position;
/// # fn example(stored: Position) -> [Join; 2] {
/// [
///     Join::new(Room::issue("issue_1")).since(stored).presence_with(serde_json::json!({"cursor": 4})),
///     Join::new(Room::team("team_456")),
/// ]
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Join {
    room: Room,
    since: Option<Position>,
    /// An error waits for the call that can return it.
    presence: Option<Result<Wish, Error>>,
}

/// A room that is wanted.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) room: Room,
    /// Behind which position; `None`: from now on.
    pub(crate) since: Option<Position>,
    pub(crate) wish: Option<Wish>,
}

impl Join {
    /// The room, from now on.
    pub fn new(room: Room) -> Self {
        Self { room, since: None, presence: None }
    }

    /// From this position on, as [`Client::subscribe_since`](crate::Client::subscribe_since) does.
    pub fn since(mut self, position: Position) -> Self {
        self.since = Some(position);
        self
    }

    /// Takes part in presence: to see who is in the room, and to be seen there.
    pub fn presence(mut self) -> Self {
        self.presence = Some(Ok(Wish::default()));
        self
    }

    /// Takes part in presence, and says this of the user: others see it beside the user's id. At most
    /// [`MAX_DATA`](roomcast_protocol::client::PresenceOptions::MAX_DATA) bytes of JSON; `null` is nothing.
    pub fn presence_with(mut self, data: Value) -> Self {
        self.presence = Some(Wish::with_data(&data));
        self
    }

    pub(crate) fn check(self) -> Result<Place, Error> {
        Ok(Place { room: self.room, since: self.since, wish: self.presence.transpose()? })
    }
}

impl From<Room> for Join {
    fn from(room: Room) -> Self {
        Self::new(room)
    }
}
