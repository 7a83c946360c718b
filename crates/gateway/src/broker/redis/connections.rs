//! A node's two connections to Redis, which its broker, its presence and its cluster share.
//!
//! Owns that there is one of each: the [`Link`] for commands and the [`Feed`] for what is published, and one set of names.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use super::address::Address;
use super::feed::{Feed, Wanted};
use super::link::Link;
use super::scripts::Scripts;
use crate::broker::{Deliver, Unavailable};
use crate::clock::Clock;
use crate::config::{Config, InvalidConfig};
use crate::presence::audience::Audience;

/// Texts in one command.
const PUT_AT_ONCE: usize = 1000;

/// Where what comes over the bus goes.
pub(crate) struct Inbox {
    /// Publications, to the hub.
    pub(crate) deliver: Deliver,
    /// Changes of presence.
    pub(crate) audience: Arc<Audience>,
    /// What nodes say to each other. One that is not taken in time is lost: whoever asked notices.
    pub(crate) cluster: mpsc::Sender<Vec<u8>>,
    /// Counts messages that were none of these.
    pub(crate) ignored: Counter,
}

impl Inbox {
    /// For a broker by itself.
    pub(crate) fn of(deliver: Deliver, ignored: Counter) -> Self {
        Self { deliver, audience: Arc::new(Audience::new(Clock::system())), cluster: mpsc::channel(1).0, ignored }
    }
}

/// The connections, and the names under which everything in Redis is found.
pub(crate) struct Connections {
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) link: Arc<Link>,
    pub(crate) feed: Feed,
    /// How often the counters of held rooms are touched.
    pub(crate) refresh: Duration,
    /// What [`Connections::run`] takes.
    requests: Mutex<Option<mpsc::Receiver<Wanted>>>,
}

impl Connections {
    /// Connections as configured. They do nothing until they [run](Self::run).
    ///
    /// # Errors
    /// [`InvalidConfig`] when the address cannot be read.
    pub(crate) fn new(config: &Config, inbox: Inbox) -> Result<Self, InvalidConfig> {
        let address = Arc::new(Address::of(config)?);
        let refresh = (config.position_ttl / 4).clamp(Duration::from_secs(1), Duration::from_secs(3600));
        // Twice: a touch may come late.
        let scripts = Arc::new(Scripts::new(config, address.database(), 2 * refresh));
        let link = Arc::new(Link::new(address.clone(), scripts.clone(), config.redis_durable));
        let (feed, requests) = Feed::new(address, scripts.clone(), link.clone(), inbox);
        Ok(Self { scripts, link, feed, refresh, requests: Mutex::new(Some(requests)) })
    }

    /// Whether everything that this node shares with others works at the moment.
    pub(crate) fn is_ready(&self) -> bool {
        self.link.is_live() && self.feed.is_online()
    }

    /// Names this node.
    pub(crate) fn node(&self) -> &str {
        self.feed.node()
    }

    /// Says something to every node, this one too. Answers how many get it.
    ///
    /// # Errors
    /// [`Unavailable`] when it may have reached nobody.
    pub(crate) async fn tell_all(&self, text: &[u8]) -> Result<usize, Unavailable> {
        self.link.ask(redis::cmd("PUBLISH").arg(self.scripts.nodes_channel()).arg(text)).await
    }

    /// Says something to one node.
    ///
    /// # Errors
    /// [`Unavailable`] when it may not have reached it.
    pub(crate) async fn tell(&self, node: &str, text: &[u8]) -> Result<(), Unavailable> {
        self.link.send_one(redis::cmd("PUBLISH").arg(self.scripts.node_channel(node)).arg(text)).await
    }

    /// Puts texts on a list, each with its end in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Unavailable`] when they may not be on it.
    pub(crate) async fn put(&self, list: &str, texts: &[(String, i64)]) -> Result<(), Unavailable> {
        for texts in texts.chunks(PUT_AT_ONCE) {
            let mut command = redis::cmd("ZADD");
            command.arg(self.scripts.key(list));
            for (text, until) in texts {
                command.arg(until).arg(text);
            }
            self.link.send_one(&command).await?;
        }
        Ok(())
    }

    /// What is on a list and has not ended; what has is forgotten.
    ///
    /// # Errors
    /// [`Unavailable`] when it cannot be known.
    pub(crate) async fn take_stock(&self, list: &str, now: i64) -> Result<Vec<(String, i64)>, Unavailable> {
        let key = self.scripts.key(list);
        self.link.send_one(redis::cmd("ZREMRANGEBYSCORE").arg(&key).arg("-inf").arg(now)).await?;
        self.link.ask(redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).arg("WITHSCORES")).await
    }

    /// Keeps both, for ever. What it was called for first is all that it does.
    pub(crate) async fn run(&self) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(requests) = requests {
            tokio::join!(self.link.keep(), self.feed.run(requests));
        }
    }
}
