//! The cluster: what one node asks of all that share its Redis.
//!
//! Owns questions and answers, and that every node has answered: a sum over some of them would look like one over all. A node
//! without Redis has no cluster, and asks itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::broker::Unavailable;
use crate::broker::redis as shared;
use crate::http::Stats;
use crate::rate_limit::Usage;
use crate::revocation::Revocation;

/// What nodes say to each other waits for this many others.
pub(crate) const QUEUE: usize = 1024;

/// How long every node has to answer: what is asked is at hand.
const PATIENCE: Duration = Duration::from_secs(1);

/// What all nodes are asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Question {
    /// Who is in which room.
    Stats,
    /// How much of the message limit is used.
    MessageUsage,
    /// Forget what that connection has used of it.
    ResetMessages(String),
    /// Close that connection, and leave its token good.
    Disconnect(String),
    /// Refuse these tokens from now on, and close their connections.
    Revoke(Revocation),
}

/// What a node answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    Stats(Stats),
    MessageUsage(Usage),
    /// How many connections it was about.
    Connections(usize),
}

/// What is said on the bus.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Said {
    Question { from: String, id: u64, question: Question },
    Answer { id: u64, answer: Answer },
}

/// A question of another node, or of this one.
pub(crate) struct Asked {
    from: String,
    id: u64,
    /// What it is.
    pub(crate) question: Question,
}

/// The nodes that share a Redis, seen from one of them.
pub(crate) struct Cluster {
    connections: Arc<shared::Connections>,
    /// Who waits for answers, by the number of the question.
    waiting: Mutex<HashMap<u64, mpsc::Sender<Answer>>>,
    next_id: AtomicU64,
    /// Messages that were not understood.
    ignored: Counter,
}

/// A question that is forgotten when nobody waits for its answers any more.
struct Waiting<'a> {
    cluster: &'a Cluster,
    id: u64,
    answers: mpsc::Receiver<Answer>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.cluster.waiting().remove(&self.id);
    }
}

impl Cluster {
    pub(crate) fn new(connections: Arc<shared::Connections>, ignored: Counter) -> Self {
        Self { connections, waiting: Mutex::default(), next_id: AtomicU64::new(0), ignored }
    }

    /// The connections that the nodes share.
    pub(crate) fn connections(&self) -> &shared::Connections {
        &self.connections
    }

    /// Asks every node, this one too.
    ///
    /// # Errors
    /// [`Unavailable`] when not all of them have answered in time. What was asked may have been done by any of them.
    pub(crate) async fn ask(&self, question: Question) -> Result<Vec<Answer>, Unavailable> {
        let deadline = Instant::now() + PATIENCE;
        let mut waiting = self.wait();
        let from = self.connections.node().to_owned();
        let asked = encode(&Said::Question { from, id: waiting.id, question });
        let nodes = self.connections.tell_all(&asked).await?;
        let mut answers = Vec::with_capacity(nodes);
        while answers.len() < nodes {
            let answer = tokio::time::timeout_at(deadline, waiting.answers.recv()).await;
            let Ok(Some(answer)) = answer else {
                tracing::warn!(asked = nodes, answered = answers.len(), "not every node has answered in time");
                return Err(Unavailable);
            };
            answers.push(answer);
        }
        // Without this node nobody was asked who counts.
        if answers.is_empty() { Err(Unavailable) } else { Ok(answers) }
    }

    /// Takes what was said: a question is the caller's to answer.
    pub(crate) fn hear(&self, text: &[u8]) -> Option<Asked> {
        match serde_json::from_slice(text) {
            Ok(Said::Question { from, id, question }) => Some(Asked { from, id, question }),
            Ok(Said::Answer { id, answer }) => {
                // Nobody may wait for it any more.
                let waiting = self.waiting().get(&id).cloned();
                if let Some(waiting) = waiting {
                    let _ = waiting.try_send(answer);
                }
                None
            }
            Err(_) => {
                self.ignored.inc();
                None
            }
        }
    }

    /// Answers a question. Whoever asked notices when that fails.
    pub(crate) async fn reply(&self, asked: &Asked, answer: Answer) {
        let said = encode(&Said::Answer { id: asked.id, answer });
        let _ = self.connections.tell(&asked.from, &said).await;
    }

    fn wait(&self) -> Waiting<'_> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answers) = mpsc::channel(QUEUE);
        self.waiting().insert(id, sender);
        Waiting { cluster: self, id, answers }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(said: &Said) -> Vec<u8> {
    let mut text = shared::CLUSTER.as_bytes().to_vec();
    text.extend(crate::frame::encode(said));
    text
}
