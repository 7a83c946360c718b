//! Rights: who may do what in which room, with the back end's word where a token has none.
//!
//! Owns the order: the token decides by [`access`](crate::access); what it does not allow is asked of `ACCESS_URL`, where there
//! is one. Being admin, and speaking for others, is never asked.

use futures_util::future::join_all;
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{ErrorCode, Operation, Published, Room};

use super::{Node, unavailable};
use crate::access;
use crate::auth::Identity;
use crate::callback::{Asking, Question, Ruling};
use crate::publication::Draft;
use crate::publish::{self, Author, Submission};

/// When nobody could say: how long until it may be asked again.
const AGAIN_MS: u64 = 1000;

impl Node {
    /// What the identity may do in each of the rooms.
    pub(crate) async fn rule(
        &self,
        identity: &Identity,
        rooms: &[Room],
        operation: &Operation,
        asking: Asking,
    ) -> Vec<Ruling> {
        let is_allowed = |room| access::is_allowed(self.config.room_access, identity, room, operation);
        let Some(callback) = &self.callback else {
            return rooms.iter().map(|room| Ruling::of(is_allowed(room))).collect();
        };
        let rulings = rooms.iter().map(async |room| match access::question(room, operation) {
            Some(operation) if !is_allowed(room) => {
                let question = Question { user: identity.user.clone(), room: room.clone(), operation };
                callback.ask(question, asking).await
            }
            _ => Ruling::of(is_allowed(room)),
        });
        join_all(rulings).await
    }

    /// The same of one room, as the answer for who may not.
    ///
    /// # Errors
    /// `FORBIDDEN`, or `UNAVAILABLE` when nobody could say.
    pub(crate) async fn check_right(
        &self,
        identity: &Identity,
        room: &Room,
        operation: &Operation,
    ) -> Result<(), ErrorPayload> {
        self.check_rights(identity, std::slice::from_ref(room), operation).await
    }

    async fn check_rights(
        &self,
        identity: &Identity,
        rooms: &[Room],
        operation: &Operation,
    ) -> Result<(), ErrorPayload> {
        let rulings = self.rule(identity, rooms, operation, Asking::Kept).await;
        let refused = |wanted| rooms.iter().zip(&rulings).find(|(_, ruling)| **ruling == wanted);
        if let Some((room, _)) = refused(Ruling::Forbidden) {
            let reason = format!("the token does not grant {operation} on {room}");
            return Err(ErrorPayload::new(ErrorCode::Forbidden, reason));
        }
        match refused(Ruling::Unavailable) {
            Some((room, _)) => Err(undecided(&format!("nobody could say whether {operation} on {room} is allowed"))),
            None => Ok(()),
        }
    }

    /// Checks an event, and that its author may publish it.
    ///
    /// # Errors
    /// The answer for the publisher.
    pub(crate) async fn draft(&self, author: Author<'_>, submission: Submission) -> Result<Draft, ErrorPayload> {
        let checked = publish::check(&self.config, author, submission)?;
        if let Author::Http(identity) | Author::Socket(identity, _) = author {
            self.check_rights(identity, checked.rooms(), &checked.operation()).await?;
        }
        checked.stamp(author, self.clock.now())
    }

    /// Publishes what was checked.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the broker is away.
    pub(crate) async fn publish_draft(&self, draft: Draft) -> Result<Published, ErrorPayload> {
        let published = self.broker.publish(draft).await.map_err(unavailable)?;
        self.metrics.published.inc();
        Ok(published)
    }

    /// Checks and publishes an event.
    ///
    /// # Errors
    /// The answer for the publisher.
    pub(crate) async fn publish(&self, author: Author<'_>, submission: Submission) -> Result<Published, ErrorPayload> {
        let draft = self.draft(author, submission).await?;
        self.publish_draft(draft).await
    }
}

/// The answer when the back end has not said.
pub(crate) fn undecided(reason: &str) -> ErrorPayload {
    ErrorPayload { retry_after_ms: Some(AGAIN_MS), ..ErrorPayload::new(ErrorCode::Unavailable, reason) }
}
