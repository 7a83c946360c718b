//! Who of the subscriptions takes part in presence in a room, what the gateway is asked for there, and what it has told.
//!
//! Owns the one wish that a room has with the gateway, when it is to be said again, and the way of a word about presence
//! to those who asked. The wish is the latest data of those who take part; one who says nothing silences nobody. Refuses
//! positions: a wish that changes in a room that is joined moves nothing there.

use roomcast_protocol::Room;
use roomcast_protocol::server::{PresenceStatus, RoomOutcome};

use super::{Member, Registry};
use crate::mailbox::{Item, Moves};
use crate::presence::{Roster, Wish};
use crate::subscription::SubscriptionId;
use crate::{Delivery, Error, ErrorKind};

/// Presence in one room.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// The subscriptions that take part. Who spoke last comes last.
    attendees: Vec<Attendee>,
    /// The gateway has not been told what the wish is now.
    is_due: bool,
    /// The request that said the wish of a joined room, and nothing else of it, and that is not answered.
    asked: Option<u64>,
    /// What the gateway has told over this connection.
    roster: Roster,
}

#[derive(Debug)]
struct Attendee {
    id: SubscriptionId,
    wish: Wish,
    knows: Knows,
}

/// What a subscription was told of a room's presence last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knows {
    Nothing,
    Denied,
    Members,
}

impl Presence {
    /// The subscription takes part, or says something else.
    pub(super) fn attend(&mut self, id: SubscriptionId, wish: Wish) {
        let before = self.wish();
        let knows = self.take(id).map_or(Knows::Nothing, |attendee| attendee.knows);
        self.attendees.push(Attendee { id, wish, knows });
        // What was denied may be granted by now.
        self.is_due |= before != self.wish() || self.roster == Roster::Denied;
    }

    /// The subscription takes no part any more, if it did.
    pub(super) fn withdraw(&mut self, id: SubscriptionId) {
        let before = self.wish();
        self.take(id);
        self.is_due |= before != self.wish();
        if self.attendees.is_empty() {
            self.roster = Roster::Unknown;
        }
    }

    fn take(&mut self, id: SubscriptionId) -> Option<Attendee> {
        let index = self.attendees.iter().position(|attendee| attendee.id == id)?;
        Some(self.attendees.remove(index))
    }

    fn attends(&self, id: SubscriptionId) -> bool {
        self.attendees.iter().any(|attendee| attendee.id == id)
    }

    /// What the gateway is to be told; `None`: nobody takes part.
    pub(super) fn wish(&self) -> Option<Wish> {
        let speaker = self.attendees.iter().rfind(|attendee| attendee.wish.has_data());
        speaker.or(self.attendees.last()).map(|attendee| attendee.wish.clone())
    }

    /// Whether a room that is joined has to be asked for its presence.
    pub(super) fn needs_asking(&self) -> bool {
        self.is_due && self.asked.is_none()
    }

    pub(super) fn is_asked_by(&self, number: u64) -> bool {
        self.asked == Some(number)
    }

    /// The wish is said by this request alone; `None`: together with the wish for the room.
    pub(super) fn ask(&mut self, request: Option<u64>) {
        (self.is_due, self.asked) = (false, request);
    }

    /// The request said nothing, or was not heard.
    pub(super) fn ask_again(&mut self) {
        (self.is_due, self.asked) = (true, None);
    }

    /// The connection is not in the room any more, or may not be.
    pub(super) fn put_out(&mut self) {
        (self.asked, self.roster) = (None, Roster::Unknown);
    }

    /// The gateway has heard the wish.
    fn answered(&mut self) {
        self.asked = None;
        if self.roster == Roster::Denied {
            self.roster = Roster::Unknown;
        }
    }

    /// The gateway tells something. Answers whom it concerns, of those who may hear it.
    fn hear(&mut self, news: &Delivery, may_hear: impl Fn(SubscriptionId) -> bool) -> Vec<SubscriptionId> {
        // A straggler of a wish that was withdrawn.
        if self.attendees.is_empty() || !self.roster.apply(news) {
            return Vec::new();
        }
        let is_news = |knows: Knows| match news {
            Delivery::PresenceState(_) => true,
            Delivery::PresenceDenied { .. } => knows != Knows::Denied,
            // A change of a list that it has.
            _ => knows == Knows::Members,
        };
        let knows = if self.roster == Roster::Denied { Knows::Denied } else { Knows::Members };
        let hearers = self.attendees.iter_mut().filter(|attendee| may_hear(attendee.id) && is_news(attendee.knows));
        let tell = |attendee: &mut Attendee| {
            attendee.knows = knows;
            attendee.id
        };
        hearers.map(tell).collect()
    }

    /// The list for one who has come later and has missed it, when it is known.
    fn greet(&mut self, id: SubscriptionId, room: &Room) -> Option<Delivery> {
        let attendee = self.attendees.iter_mut().find(|attendee| attendee.id == id)?;
        let list = self.roster.told(room).filter(|_| self.roster != Roster::Denied)?;
        attendee.knows = Knows::Members;
        Some(list)
    }
}

impl Registry {
    /// A subscription says something else of its user in a room. The last to speak has the say.
    pub(crate) fn attend(&mut self, id: SubscriptionId, room: &Room, wish: Wish) -> Result<(), Error> {
        let Some(entry) = self.rooms.get_mut(room).filter(|entry| entry.presence.attends(id)) else {
            let message = format!("change presence in {room}: the subscription takes no part in it");
            return Err(Error::new(ErrorKind::Invalid, message));
        };
        entry.presence.attend(id, wish);
        if entry.needs_asking() {
            self.idle.insert(room.clone());
        }
        Ok(())
    }

    /// Hands what the gateway tells of a room's presence to those who asked for it. Who waits for the room itself gets
    /// the list behind its answer.
    pub(crate) fn present(&mut self, news: &Delivery) {
        let Some((room, entry)) = news.presence_room().and_then(|room| Some((room, self.rooms.get_mut(room)?))) else {
            return;
        };
        let is_in = |member: &Member| !member.undecided.contains(room);
        for id in entry.presence.hear(news, |id| self.members.get(&id).is_some_and(is_in)) {
            if let Some(member) = self.members.get(&id) {
                member.mailbox.push(Item::Notice(news.clone()), Moves::new());
            }
        }
    }

    /// Gives one who came later the list that the others have already.
    pub(super) fn greet(&mut self, id: SubscriptionId, room: &Room) {
        let list = self.rooms.get_mut(room).and_then(|entry| entry.presence.greet(id, room));
        if let (Some(list), Some(member)) = (list, self.members.get(&id)) {
            member.mailbox.push(Item::Notice(list), Moves::new());
        }
    }

    /// The gateway has heard a room's wish.
    pub(super) fn presence_answered(&mut self, room: &Room, status: Option<PresenceStatus>) {
        if let Some(entry) = self.rooms.get_mut(room) {
            entry.presence.answered();
        }
        if status == Some(PresenceStatus::Denied) {
            self.present(&Delivery::PresenceDenied { room: room.clone() });
        }
    }

    /// Another token is in force, which may grant more presence or less, and the gateway does not say in which rooms: each
    /// wish is said again.
    pub(crate) fn renewed(&mut self) {
        for (room, entry) in &mut self.rooms {
            if !entry.presence.attendees.is_empty() {
                entry.presence.is_due = true;
                self.idle.insert(room.clone());
            }
        }
    }
}

/// What an outcome says of presence.
pub(super) fn status(outcome: RoomOutcome) -> Option<PresenceStatus> {
    match outcome {
        RoomOutcome::Subscribed { presence, .. }
        | RoomOutcome::Recovered { presence, .. }
        | RoomOutcome::Gap { presence, .. } => presence,
        RoomOutcome::Denied { .. } | RoomOutcome::Unsubscribed => None,
    }
}
