//! The broker that all nodes share: it goes away, and comes back with the same state, with none or with an older one.
//!
//! Owns the state, the state that was saved, and the way out to the nodes. As the broker in Redis does, it begins every stream
//! anew when its state may be older than it was.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use roomcast_protocol::Published;
use tokio::sync::{mpsc, watch};

use super::truth::Truth;
use crate::broker::memory::MemoryBroker;
use crate::broker::{Broker, DELIVER_QUEUE, Deliver, Unavailable};
use crate::config::Config;
use crate::fault::{self, Fault};
use crate::publication::{Draft, Publication};

/// What the broker knows when it comes back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Comeback {
    /// All of it: its data are durable.
    Same,
    /// What it had saved some time ago.
    Older,
    /// Nothing.
    Empty,
}

/// A message on the bus.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) publication: Arc<Publication>,
    /// How often the broker had come back when it was sent.
    pub(super) life: u64,
}

/// The shared broker.
pub(super) struct Store {
    config: Config,
    raw: Deliver,
    broker: Mutex<Arc<MemoryBroker>>,
    saved: Mutex<Option<MemoryBroker>>,
    is_away: AtomicBool,
    is_lossy: AtomicBool,
    life: AtomicU64,
    /// One for each node that lives.
    listeners: Mutex<Vec<mpsc::Sender<Message>>>,
    pub(super) resynced: watch::Sender<u64>,
    pub(super) truth: Arc<Truth>,
}

impl Store {
    pub(super) fn start(config: &Config) -> Arc<Self> {
        let (raw, messages) = mpsc::channel(DELIVER_QUEUE);
        let store = Arc::new(Self {
            config: config.clone(),
            broker: Mutex::new(Arc::new(MemoryBroker::new(config, raw.clone()))),
            raw,
            saved: Mutex::default(),
            is_away: AtomicBool::new(false),
            is_lossy: AtomicBool::new(true),
            life: AtomicU64::new(0),
            listeners: Mutex::default(),
            resynced: watch::channel(0).0,
            truth: Arc::default(),
        });
        tokio::spawn(spread(store.clone(), messages));
        store
    }

    /// The messages for one more node.
    pub(super) fn listen(&self) -> mpsc::Receiver<Message> {
        let (sender, messages) = mpsc::channel(DELIVER_QUEUE);
        self.listeners.lock().unwrap().push(sender);
        messages
    }

    /// Keeps the state of now, for a restart that comes back with it.
    pub(super) fn save(&self) {
        *self.saved.lock().unwrap() = Some(self.broker.lock().unwrap().copy());
    }

    /// The broker ends and comes back; every node's connection to it breaks.
    pub(super) fn restart(&self, comeback: Comeback) {
        let saved = self.saved.lock().unwrap().as_ref().map(MemoryBroker::copy);
        let broker = match (comeback, saved) {
            (Comeback::Same, _) => None,
            (Comeback::Older, Some(older)) => {
                if !fault::is_built_in(Fault::KeptEpoch) {
                    older.begin_anew();
                }
                Some(older)
            }
            (Comeback::Older, None) | (Comeback::Empty, _) => Some(MemoryBroker::new(&self.config, self.raw.clone())),
        };
        if let Some(broker) = broker {
            *self.broker.lock().unwrap() = Arc::new(broker);
        }
        self.life.fetch_add(1, Ordering::Relaxed);
        self.resynced.send_modify(|count| *count += 1);
    }

    pub(super) async fn publish(&self, draft: Draft) -> Result<Published, Unavailable> {
        let published = self.broker()?.publish(draft).await?;
        self.truth.record(&published);
        Ok(published)
    }

    /// The broker, unless it is away.
    pub(super) fn broker(&self) -> Result<Arc<MemoryBroker>, Unavailable> {
        if self.is_away() { Err(Unavailable) } else { Ok(self.broker.lock().unwrap().clone()) }
    }

    /// The same, for what waits for no answer.
    pub(super) fn inner(&self) -> Arc<MemoryBroker> {
        self.broker.lock().unwrap().clone()
    }

    /// The broker does not answer any more, or answers again.
    pub(super) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Whether messages are lost and doubled; when not, what was lost can be found.
    pub(super) fn set_lossy(&self, is_lossy: bool) {
        self.is_lossy.store(is_lossy, Ordering::Relaxed);
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.is_lossy.load(Ordering::Relaxed)
    }

    /// How often the broker has come back.
    pub(super) fn life(&self) -> u64 {
        self.life.load(Ordering::Relaxed)
    }
}

/// Sends every publication to each node.
async fn spread(store: Arc<Store>, mut messages: mpsc::Receiver<Arc<Publication>>) {
    while let Some(publication) = messages.recv().await {
        let message = Message { publication, life: store.life() };
        // A node that was killed listens no more; one that is too slow loses the message.
        let is_there = |listener: &mpsc::Sender<Message>| {
            !matches!(listener.try_send(message.clone()), Err(mpsc::error::TrySendError::Closed(_)))
        };
        store.listeners.lock().unwrap().retain(is_there);
    }
}
