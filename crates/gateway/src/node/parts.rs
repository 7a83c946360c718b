//! Parts: what of a node is its own, or shared with others over Redis.
//!
//! Owns the choice, which the configuration makes. Starts no task.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::broker::redis as shared;
use crate::broker::{Broker, Deliver};
use crate::cluster::{self as nodes, Cluster};
use crate::config::{Config, InvalidConfig};
use crate::metrics::Metrics;
use crate::presence::Presence;
use crate::presence::audience::Audience;
use crate::presence::memory::MemoryPresence;
use crate::presence::redis as shared_presence;

/// What is chosen by the configuration: everything of one process, or shared by several.
pub(super) struct Parts {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) presence: Arc<dyn Presence>,
    pub(super) audience: Arc<Audience>,
    pub(super) cluster: Option<(Cluster, mpsc::Receiver<Vec<u8>>)>,
}

impl Parts {
    pub(super) fn embedded(config: &Config, audience: Arc<Audience>, broker: Arc<dyn Broker>) -> Self {
        let presence = Arc::new(MemoryPresence::new(config, audience.clone()));
        Self { broker, presence, audience, cluster: None }
    }

    pub(super) fn shared(
        config: &Config,
        audience: Arc<Audience>,
        deliver: Deliver,
        metrics: &Metrics,
    ) -> Result<Self, InvalidConfig> {
        let (cluster, said) = mpsc::channel(nodes::QUEUE);
        let ignored = metrics.bus_messages_ignored.clone();
        let inbox = shared::Inbox { deliver, audience: audience.clone(), cluster, ignored: ignored.clone() };
        let connections = Arc::new(shared::Connections::new(config, inbox)?);
        Ok(Self {
            broker: Arc::new(shared::RedisBroker::over(connections.clone())),
            presence: Arc::new(shared_presence::RedisPresence::new(config, connections.clone(), audience.clone())),
            audience,
            cluster: Some((Cluster::new(connections, ignored), said)),
        })
    }
}
