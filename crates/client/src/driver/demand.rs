//! What the application wants, whether there is a connection or not.
//!
//! Owns the commands and what is left to do of them. Refuses to know a socket: a link takes from here what it can send and
//! puts back what it could not finish.

use std::collections::VecDeque;
use std::sync::Arc;

use roomcast_protocol::client::{ClientEvent, Publish};
use roomcast_protocol::{CloseCode, Event, NewEvent, Published, Room};
use tokio::sync::oneshot;

use crate::calls::Outcome;
use crate::join::Place;
use crate::mailbox::Mailbox;
use crate::presence::Wish;
use crate::registry::Registry;
use crate::subscription::SubscriptionId;
use crate::{Error, ErrorKind, new_event_id};

/// Events that wait for a connection or for room in the socket. Each has a caller who waits.
const MAX_WAITING: usize = 256;

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// Join rooms.
    Subscribe { id: SubscriptionId, places: Vec<Place>, mailbox: Arc<Mailbox>, reply: Outcome<()> },
    /// Say something else of the user in a room.
    Attend { id: SubscriptionId, room: Room, wish: Wish, reply: Outcome<()> },
    /// Publish an event.
    Publish(Publishing),
    /// End. The other half is dropped when that is done.
    Close { done: oneshot::Sender<()> },
}

/// An event on its way, and who waits for what becomes of it.
#[derive(Debug)]
pub(crate) struct Publishing {
    pub(crate) publish: Publish,
    pub(crate) reply: Outcome<Published>,
}

/// What the application wants.
#[derive(Debug, Default)]
pub(super) struct Demand {
    pub(super) registry: Registry,
    /// To be sent, in order.
    pub(super) publishings: VecDeque<Publishing>,
}

impl Publishing {
    /// The message for an event, which has an id from here on, so that it may be sent again.
    pub(crate) fn message(event: NewEvent) -> Result<Publish, Error> {
        let payload = serde_json::value::to_raw_value(&event.event.payload())
            .map_err(|error| Error::new(ErrorKind::Invalid, format!("write the payload: {error}")))?;
        let event_id = event.event_id.as_ref().map_or_else(new_event_id, ToString::to_string);
        let rooms = event.rooms.map(|rooms| rooms.into_iter().map(String::from).collect());
        let event = ClientEvent { event_type: event.event.event_type().into(), payload, event_id: Some(event_id) };
        Ok(Publish { event, rooms })
    }

    /// Whether it makes sense to send it again after a while. A typing indicator of then is wrong now.
    fn keeps(&self) -> bool {
        !Event::is_ephemeral_type(&self.publish.event.event_type)
    }

    pub(super) fn fail(self, error: Error) {
        // Nobody waits any more: then nobody needs to know.
        let _ = self.reply.send(Err(error));
    }
}

impl Demand {
    pub(super) fn accept(&mut self, command: Command) {
        match command {
            Command::Subscribe { id, places, mailbox, reply } => {
                // Given up before it got here: its departure may have been taken already.
                if !mailbox.is_finished() {
                    self.registry.add(id, places, mailbox, reply);
                }
            }
            Command::Attend { id, room, wish, reply } => {
                // Whoever waits no longer has said it all the same.
                let _ = reply.send(self.registry.attend(id, &room, wish));
            }
            Command::Publish(publishing) if self.publishings.len() < MAX_WAITING => {
                self.publishings.push_back(publishing);
            }
            Command::Publish(publishing) => {
                publishing.fail(Error::new(ErrorKind::Busy, "publish: too many events wait already"));
            }
            // The driver's own.
            Command::Close { .. } => {}
        }
    }

    pub(super) fn depart(&mut self, gone: Vec<SubscriptionId>) {
        for id in gone {
            self.registry.remove(id);
        }
    }

    /// The link ended before these were answered: they go out again first, in their order, unless they no longer mean
    /// anything. `unanswered` is in the order of sending.
    pub(super) fn put_back(&mut self, unanswered: Vec<Publishing>, error: &Error) {
        for publishing in unanswered.into_iter().rev() {
            if publishing.keeps() {
                self.publishings.push_front(publishing);
            } else {
                publishing.fail(Error::disconnected(format!("publish: failed to {error}")));
            }
        }
    }

    pub(super) fn close(&mut self, code: Option<CloseCode>, reason: &str) {
        self.registry.close(code, reason);
        for publishing in self.publishings.drain(..) {
            publishing.fail(Error::closed(code, reason));
        }
    }
}
