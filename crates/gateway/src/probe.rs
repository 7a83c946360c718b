//! A probe of the way of an event, from a publisher's JSON to the sockets of a room, in one thread and without a kernel: what it
//! costs can be counted there, in instructions and in allocations, and is the same each time but for the seeds of maps.
//!
//! Owns nothing of the way itself: each step is the gateway's own. Only the sockets are not: they take everything, and count.

use std::sync::Arc;

use futures_util::FutureExt;
use roomcast_protocol::http::EventBody;
use roomcast_protocol::{Grants, Room, Timestamp, UserId};
use tokio::sync::mpsc;

use crate::access;
use crate::auth::Identity;
use crate::broker::Broker;
use crate::broker::memory::MemoryBroker;
use crate::config::Config;
use crate::hub::{ConnectionId, Hub, Touched};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::publication::Publication;
use crate::publish::{self, Author};

/// What a publisher sends: 250 bytes of an application's own event.
const EVENT: &str = r#"{"type":"document.edited","rooms":["team:probe"],"payload":{"id":"doc_0123456789","by":"user_42","at":1760000000000,"text":"Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqu"}}"#;

const ROOM: &str = "team:probe";

/// A room with members, and somebody who may publish there.
pub struct Probe {
    config: Config,
    identity: Identity,
    broker: MemoryBroker,
    publications: mpsc::Receiver<Arc<Publication>>,
    hub: Hub,
    touched: Touched,
    metrics: Metrics,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Probe")
    }
}

impl Probe {
    /// A room of so many.
    ///
    /// # Panics
    /// When the gateway's own parts do not fit together any more.
    #[must_use]
    pub fn new(members: usize) -> Self {
        let config = Config { history_size: 16.into(), ..Config::serve() };
        let (deliver, publications) = mpsc::channel(1);
        let broker = MemoryBroker::new(&config, deliver);
        let room: Room = ROOM.parse().expect("a room");
        let start = broker.open(vec![room.clone()]).now_or_never().expect("no waiting").expect("no bound reached")[0];
        let hub = Hub::default();
        for _ in 0..members {
            let member = hub.admit(ConnectionId::new(), Arc::new(Outbox::new(config.max_queue_bytes)));
            hub.hold(member);
            hub.seat(member, &room);
            hub.start_at(member, &room, start);
            hub.release(member);
        }
        let user: UserId = "publisher".parse().expect("a user");
        let identity = Identity::of(user, Some(Grants::everything()));
        let (touched, metrics) = (Touched::default(), Metrics::new());
        Self { config, identity, broker, publications, hub, touched, metrics }
    }

    /// Publishes an event and brings it to every member. Answers how many bytes the sockets took.
    ///
    /// # Panics
    /// When the event is refused.
    // One function of its own in the binary, so that a tool can count what happens inside of it.
    #[inline(never)]
    pub fn publish(&mut self) -> usize {
        let body: EventBody = serde_json::from_str(EVENT).expect("an event");
        let now = Timestamp::from_millis(1_760_000_000_000).expect("a time");
        let author = Author::Http(&self.identity);
        let checked = publish::check(&self.config, author, body.into()).expect("an event as it should be");
        let may_publish =
            |room| access::is_allowed(self.config.room_access, &self.identity, room, &checked.operation());
        assert!(checked.rooms().iter().all(may_publish), "not allowed");
        let draft = checked.stamp(author, now).expect("an event as it should be");
        self.broker.publish(draft).now_or_never().expect("no waiting").expect("no bound reached");
        let publication = self.publications.try_recv().expect("published");
        self.hub.deliver(&publication, &mut self.touched);
        let mut taken = 0;
        for outbox in self.touched.outboxes.drain(..) {
            outbox.write_in_turn(&self.metrics, |slices| {
                let bytes = slices.iter().map(|slice| slice.len()).sum();
                taken += bytes;
                Ok(bytes)
            });
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allocated_for_a_delivery() {
        let [few, many] = [10, 1000].map(|members| {
            let mut probe = Probe::new(members);
            // Queues, maps and the like get their size at first use.
            let bytes = (0..50).map(|_| probe.publish()).min();
            assert!(bytes > Some(members * 250), "{bytes:?}");
            let counted = allocation_counter::measure(|| {
                for _ in 0..100 {
                    probe.publish();
                }
            });
            counted.count_total as f64 / 100.0
        });
        // A publish: its JSON and what it is made into, its place in the history, and one frame for all.
        assert!(few <= 40.0, "{few} allocations for a publish");
        assert!(many <= few + 1.0, "{few} allocations for a publish to ten, {many} for one to a thousand");
    }
}
