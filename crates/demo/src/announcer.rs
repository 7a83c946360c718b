//! What has happened, on its way to the gateway.
//!
//! Owns the order: changes leave one behind another, in that of their making, and one that the gateway cannot take for now is
//! tried until it can, under the id that it has from the start. So whoever makes a change does not wait for the gateway, and
//! none is lost while it is away. The queue has a bound; whoever finds it full makes no change.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roomcast_client::protocol::event::Event;
use roomcast_client::protocol::{ErrorCode, EventId, NewEvent, Service as _, UserId};
use roomcast_client::{Error, ErrorKind, Publisher};
use tokio::sync::{mpsc, watch};

use crate::board::revision_of;
use crate::person::{Person, Tokens};

/// Changes that may wait for the gateway.
const QUEUE: usize = 1000;

/// How long the gateway is left alone when it could not be reached: the publisher has tried several times by then.
const PAUSE: Duration = Duration::from_millis(500);

/// How long somebody waits for a change to leave.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes what has happened. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Announcer {
    queue: mpsc::Sender<NewEvent>,
    /// The revision of the last change that has left.
    published: watch::Receiver<u64>,
    /// Tells the ids of this process from those of an earlier one, whose revisions began anew.
    start: u64,
}

/// Room for so many changes.
pub(crate) struct Room<'a> {
    permits: mpsc::PermitIterator<'a, NewEvent>,
    start: u64,
}

/// As many changes wait already as may.
#[derive(Debug)]
pub(crate) struct Full;

impl Announcer {
    /// Begins to publish to the gateway.
    pub(crate) fn start(gateway: &str, tokens: Arc<Tokens>) -> Result<Self, Error> {
        let token = move || {
            let token = tokens.of_the_back_end();
            async move { token }
        };
        let publisher = Publisher::builder(gateway).token_provider(token).build()?;
        let (queue, events) = mpsc::channel(QUEUE);
        let (leaving, published) = watch::channel(0);
        tokio::spawn(publish(publisher, events, leaving));
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(Self { queue, published, start: u64::try_from(start).unwrap_or_default() })
    }

    /// Waits until this change has left; `false` when that takes too long.
    pub(crate) async fn has_left(&self, revision: u64) -> bool {
        let mut published = self.published.clone();
        let left = published.wait_for(|published| *published >= revision);
        matches!(tokio::time::timeout(PATIENCE, left).await, Ok(Ok(_)))
    }

    /// Room for so many changes, to be had before they are made.
    pub(crate) fn reserve(&self, changes: usize) -> Result<Room<'_>, Full> {
        Ok(Room { permits: self.queue.try_reserve_many(changes).map_err(|_| Full)?, start: self.start })
    }
}

impl Room<'_> {
    /// Says what has happened, and by whom.
    pub(crate) fn tell(&mut self, event: Event, by: Person) {
        let id = format!("demo-{}-{}", self.start, revision_of(&event)).parse::<EventId>();
        let by = by.id().parse::<UserId>();
        // Both are made of letters and digits here, and there is a permit for each change.
        if let (Ok(id), Ok(by), Some(permit)) = (id, by, self.permits.next()) {
            permit.send(NewEvent::from(event).by(&by).with_id(id));
        }
    }
}

async fn publish(publisher: Publisher, mut events: mpsc::Receiver<NewEvent>, leaving: watch::Sender<u64>) {
    let mut is_away = false;
    while let Some(event) = events.recv().await {
        while let Err(error) = publisher.publish(event.clone()).await {
            if is_refused(&error) {
                eprintln!("demo: an event was refused: {error}");
                break;
            }
            if !std::mem::replace(&mut is_away, true) {
                eprintln!("demo: the gateway is away, changes wait for it: {error}");
            }
            tokio::time::sleep(PAUSE).await;
        }
        is_away = false;
        leaving.send_replace(revision_of(&event.event));
    }
}

/// Whether another try would end in the same way.
fn is_refused(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Denied { code } => !matches!(code, ErrorCode::RateLimitExceeded | ErrorCode::Unavailable),
        ErrorKind::Invalid => true,
        _ => false,
    }
}
