//! What a node does with the others: sums over all of them, and what all of them must do.
//!
//! Owns what this node answers, and that revocations reach every node: kept in Redis first, then told, and looked up again
//! after every outage. A node without others is a cluster of one.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{CloseCode, ErrorCode};
use tokio::sync::mpsc;

use super::{Handle, Node, unavailable};
use crate::auth::Identity;
use crate::broker::Unavailable;
use crate::cluster::{Answer, Cluster, Question};
use crate::http::Stats;
use crate::hub::ConnectionId;
use crate::outbox::Closing;
use crate::rate_limit::{FixedWindow, Usage};
use crate::revocation::{Revocation, Revoked};

/// The list of revocations in Redis.
const REVOKED: &str = "revoked";

/// How often it is looked up although nothing has happened.
const LOOK_UP: Duration = Duration::from_secs(30);

/// How soon it is looked up again when that failed.
const LOOK_UP_AGAIN: Duration = Duration::from_millis(500);

/// How a connection ends that is not to come back.
const DISCONNECTED: Closing = Closing { code: CloseCode::Disconnected, retry_after_ms: None };

impl Node {
    /// Connections and rooms of all nodes.
    ///
    /// # Errors
    /// The answer for the caller when not every node has answered.
    pub(crate) async fn all_stats(&self) -> Result<Stats, ErrorPayload> {
        let answers = self.ask(Question::Stats).await?.into_iter();
        Ok(Stats::sum(answers.filter_map(|answer| if let Answer::Stats(stats) = answer { Some(stats) } else { None })))
    }

    /// How much of the message limit the connections of all nodes use.
    ///
    /// # Errors
    /// As [`all_stats`](Self::all_stats).
    pub(crate) async fn all_message_usage(&self) -> Result<Usage, ErrorPayload> {
        let usage = |answer| if let Answer::MessageUsage(usage) = answer { Some(usage) } else { None };
        Ok(Usage::sum(self.ask(Question::MessageUsage).await?.into_iter().filter_map(usage)))
    }

    /// Forgets what a connection has used of its message limit, whichever node has it. Answers how many there are: one at most.
    ///
    /// # Errors
    /// As [`all_stats`](Self::all_stats).
    pub(crate) async fn reset_messages_anywhere(&self, id: ConnectionId) -> Result<usize, ErrorPayload> {
        self.count(Question::ResetMessages(id.to_string())).await
    }

    /// Closes a connection, whichever node has it. Answers how many there were: one at most.
    ///
    /// # Errors
    /// As [`all_stats`](Self::all_stats).
    pub(crate) async fn disconnect(&self, id: ConnectionId) -> Result<usize, ErrorPayload> {
        self.count(Question::Disconnect(id.to_string())).await
    }

    /// Refuses the tokens from now on, and closes their connections. Answers how many were closed.
    ///
    /// # Errors
    /// The answer for the caller. Repeating does no harm.
    pub(crate) async fn revoke(&self, revoked: Revoked) -> Result<usize, ErrorPayload> {
        let kept = i64::try_from(self.config.revocation_ttl.as_millis()).unwrap_or(i64::MAX);
        let until = self.clock.now().as_millis().saturating_add(kept);
        let revocation = Revocation { revoked, until };
        if !self.revocations.add(&revocation) {
            return Err(ErrorPayload::new(ErrorCode::LimitExceeded, "too many tokens are revoked already"));
        }
        if let Some(cluster) = &self.cluster {
            let kept = cluster.connections().put(REVOKED, &[(revocation.text(), until)]).await;
            kept.map_err(unavailable)?;
        }
        self.count(Question::Revoke(revocation)).await
    }

    /// Whether the identity's token has been revoked.
    pub(crate) fn is_revoked(&self, identity: &Identity) -> bool {
        self.revocations.cover(&identity.user, &identity.token)
    }

    async fn count(&self, question: Question) -> Result<usize, ErrorPayload> {
        let count = |answer| if let Answer::Connections(count) = answer { count } else { 0 };
        Ok(self.ask(question).await?.into_iter().map(count).sum())
    }

    async fn ask(&self, question: Question) -> Result<Vec<Answer>, ErrorPayload> {
        match &self.cluster {
            None => Ok(vec![self.answer(&question)]),
            Some(cluster) => cluster.ask(question).await.map_err(unavailable),
        }
    }

    /// What this node has to say to a question of any node.
    fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Stats => Answer::Stats(self.stats()),
            Question::MessageUsage => Answer::MessageUsage(self.message_usage()),
            Question::ResetMessages(connection) => {
                let is_here = connection.parse().is_ok_and(|id| self.reset_messages(id));
                Answer::Connections(usize::from(is_here))
            }
            Question::Disconnect(connection) => {
                let handle = connection.parse().ok().and_then(|id| self.connection(id));
                if let Some(handle) = &handle {
                    handle.outbox.close(DISCONNECTED);
                }
                Answer::Connections(usize::from(handle.is_some()))
            }
            Question::Revoke(revocation) => {
                self.revocations.add(revocation);
                if let (Some(callback), Revoked::User { user, .. }) = (&self.callback, &revocation.revoked) {
                    callback.forget(user);
                }
                Answer::Connections(self.close_where(|handle| match &revocation.revoked {
                    // All of the user's, whenever their tokens were issued.
                    Revoked::User { user, .. } => handle.is_of(user),
                    Revoked::Token(id) => {
                        handle.identity().is_some_and(|identity| identity.token.id.as_deref() == Some(id.as_str()))
                    }
                }))
            }
        }
    }

    /// Answers what the nodes ask, for as long as it is polled.
    pub(super) async fn listen(&self, mut said: mpsc::Receiver<Vec<u8>>) {
        let Some(cluster) = &self.cluster else { return };
        while let Some(text) = said.recv().await {
            if let Some(asked) = cluster.hear(&text) {
                let answer = self.answer(&asked.question);
                cluster.reply(&asked, answer).await;
            }
        }
    }

    /// Keeps the list of revocations what it is in Redis, for as long as it is polled.
    pub(super) async fn keep_revocations(&self) {
        let Some(cluster) = &self.cluster else { return };
        let connections = cluster.connections();
        let (mut connected, mut resynced) = (connections.link.connected(), connections.feed.resynced());
        loop {
            let pause = match self.look_up_revocations(cluster).await {
                Ok(()) => LOOK_UP,
                Err(Unavailable) => LOOK_UP_AGAIN,
            };
            tokio::select! {
                _ = connected.changed() => {}
                _ = resynced.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn look_up_revocations(&self, cluster: &Cluster) -> Result<(), Unavailable> {
        let connections = cluster.connections();
        let kept = connections.take_stock(REVOKED, self.clock.now().as_millis()).await?;
        for (text, until) in &kept {
            let is_known = Revocation::parse(text, *until).is_some_and(|revocation| self.revocations.add(&revocation));
            if !is_known {
                tracing::error!("a revocation could not be taken over from Redis");
            }
        }
        // What Redis has lost, it gets back.
        let own = self.revocations.all().into_iter().map(|revocation| (revocation.text(), revocation.until));
        let kept: HashSet<(String, i64)> = kept.into_iter().collect();
        let lost: Vec<(String, i64)> = own.filter(|entry| !kept.contains(entry)).collect();
        connections.put(REVOKED, &lost).await?;
        self.close_where(|handle| handle.identity().is_some_and(|identity| self.is_revoked(&identity)));
        self.has_revocations.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Closes these connections for good. Answers how many.
    fn close_where(&self, is_meant: impl Fn(&Arc<Handle>) -> bool) -> usize {
        let meant: Vec<Arc<Handle>> = self.connections().into_iter().filter(is_meant).collect();
        for handle in &meant {
            handle.outbox.close(DISCONNECTED);
        }
        meant.len()
    }
}

impl Handle {
    /// Forgets what was used of the message limit.
    pub(super) fn reset_messages(&self) {
        *self.messages() = FixedWindow::default();
    }
}
