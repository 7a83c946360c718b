//! Who is in a room: what a client says of its user there, and the list of those who are.
//!
//! Owns the wish as it is sent, checked beforehand, and the fold of the gateway's words into a list, which the registry
//! keeps for each room and a mailbox for its reader. Refuses to know who asks.

use std::collections::BTreeMap;

use roomcast_protocol::client::PresenceOptions;
use roomcast_protocol::server::{PresenceMember, PresenceState};
use roomcast_protocol::{Room, UserId};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::{Delivery, Error, ErrorKind};

/// Members of one room that are kept: more than the largest frame that is read could name. A gateway bounds its rooms far
/// below that.
const MAX_MEMBERS: usize = 32_768;

/// What a wish takes in a frame beside its data.
const WISH_BYTES: usize = 32;

/// The wish to take part in presence.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish(PresenceOptions);

/// Equal in the gateway's eyes.
impl PartialEq for Wish {
    fn eq(&self, other: &Self) -> bool {
        self.data() == other.data()
    }
}

impl Wish {
    /// With what others see beside the user's id; `null` is nothing.
    pub(crate) fn with_data(data: &Value) -> Result<Self, Error> {
        if data.is_null() {
            return Ok(Self::default());
        }
        let data = to_raw_value(data).map_err(|error| error.to_string()).and_then(PresenceOptions::with_data);
        data.map(Self).map_err(|error| Error::new(ErrorKind::Invalid, format!("take part in {error}")))
    }

    pub(crate) fn has_data(&self) -> bool {
        self.0.data.is_some()
    }

    /// What it takes in a frame.
    pub(crate) fn bytes(&self) -> usize {
        WISH_BYTES + self.data().map_or(0, str::len)
    }

    pub(crate) fn into_options(self) -> PresenceOptions {
        self.0
    }

    fn data(&self) -> Option<&str> {
        self.0.data.as_deref().map(RawValue::get)
    }
}

/// What is known of who is in a room.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Roster {
    /// Nothing, or nothing that is still kept up to date.
    #[default]
    Unknown,
    /// The gateway does not tell.
    Denied,
    /// These are.
    Known(BTreeMap<UserId, PresenceMember>),
}

impl Roster {
    /// Takes in a delivery about the room. Answers false when it means nothing: a change of a list that is not known.
    pub(crate) fn apply(&mut self, news: &Delivery) -> bool {
        match (news, &mut *self) {
            (Delivery::PresenceState(state), _) => {
                let by_user = |member: &PresenceMember| (member.user_id.clone(), member.clone());
                *self = Self::Known(state.members.iter().take(MAX_MEMBERS).map(by_user).collect());
            }
            (Delivery::PresenceDenied { .. }, _) => *self = Self::Denied,
            (Delivery::PresenceJoined(change), Self::Known(members)) => {
                let member = &change.member;
                if members.len() < MAX_MEMBERS || members.contains_key(&member.user_id) {
                    members.insert(member.user_id.clone(), member.clone());
                }
            }
            (Delivery::PresenceLeft(change), Self::Known(members)) => drop(members.remove(&change.member.user_id)),
            _ => return false,
        }
        true
    }

    /// The delivery that says all of it.
    pub(crate) fn told(&self, room: &Room) -> Option<Delivery> {
        match self {
            Self::Unknown => None,
            Self::Denied => Some(Delivery::PresenceDenied { room: room.clone() }),
            Self::Known(_) => {
                let members = self.members().unwrap_or_default();
                Some(Delivery::PresenceState(PresenceState { room: room.clone(), members }))
            }
        }
    }

    /// Everybody, by id; `None` when that is not known.
    pub(crate) fn members(&self) -> Option<Vec<PresenceMember>> {
        match self {
            Self::Known(members) => Some(members.values().cloned().collect()),
            _ => None,
        }
    }
}

impl Delivery {
    /// The room whose presence it tells of.
    pub(crate) fn presence_room(&self) -> Option<&Room> {
        match self {
            Self::PresenceState(state) => Some(&state.room),
            Self::PresenceJoined(change) | Self::PresenceLeft(change) => Some(&change.room),
            Self::PresenceDenied { room } => Some(room),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use roomcast_protocol::server::PresenceChange;
    use serde_json::json;

    use super::*;

    #[test]
    fn data_is_refused_here_when_the_gateway_would_refuse_it() {
        let kind = |data: &Value| Wish::with_data(data).err().map(|error| error.kind());
        let text = |bytes: usize| json!("x".repeat(bytes - 2));
        assert_eq!(kind(&text(PresenceOptions::MAX_DATA)), None);
        assert_eq!(kind(&text(PresenceOptions::MAX_DATA + 1)), Some(ErrorKind::Invalid));
        let deep = (0..130).fold(Value::Null, |inner, _| json!([inner]));
        assert_eq!(kind(&deep), Some(ErrorKind::Invalid));
        assert!(!Wish::with_data(&Value::Null).unwrap().has_data());
    }

    #[test]
    fn a_list_is_bounded_and_those_in_it_may_change() {
        let member =
            |number: usize| PresenceMember { user_id: number.to_string().parse().unwrap(), data: None, connections: 1 };
        let room = Room::team("a");
        let mut roster = Roster::default();
        let joined = |member| Delivery::PresenceJoined(PresenceChange { room: Room::team("a"), member });
        assert!(!roster.apply(&joined(member(0))), "nothing is known yet");
        let members = (0..=MAX_MEMBERS).map(member).collect();
        roster.apply(&Delivery::PresenceState(PresenceState { room, members }));
        roster.apply(&joined(member(MAX_MEMBERS + 1)));
        roster.apply(&joined(PresenceMember { connections: 7, ..member(0) }));
        let members = roster.members().unwrap();
        assert_eq!((members.len(), members[0].connections), (MAX_MEMBERS, 7));
    }
}
