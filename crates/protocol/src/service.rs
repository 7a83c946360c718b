//! The service layer: typed calls by which a back end says what happened.
//!
//! Owns the list of calls, once, for the gateway used as a library and for the SDK's publisher over HTTP. How an event
//! travels is theirs.

use std::collections::BTreeMap;
use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::event::{
    CommentCreated, CommentDeleted, CommentUpdated, CycleUpdated, Event, IssueArchived, IssueCreated, IssueDeleted,
    IssueUpdated, NotificationNew, ProjectUpdated, UserTyping,
};
use crate::{EventId, Position, Room, Timestamp, UserId};

/// An event to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What happened.
    pub event: Event,
    /// Where to; `None`: the rooms of the event's type.
    pub rooms: Option<Vec<Room>>,
    /// Who did it.
    pub user_id: Option<UserId>,
    /// The event's id; `None`: the publisher or the gateway makes one.
    pub event_id: Option<EventId>,
    /// When it happened; `None`: now.
    pub timestamp: Option<Timestamp>,
}

/// What became of a published event: payload of `publish.ack`, and the answer of the HTTP call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Published {
    /// The event's id.
    pub event_id: EventId,
    /// Its place in each of its rooms; empty for an ephemeral event.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Positions"))]
    pub positions: BTreeMap<Room, Position>,
    /// The same id was published before: nothing was published now, and the positions are those of the first time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

impl<E: Into<Event>> From<E> for NewEvent {
    fn from(event: E) -> Self {
        Self { event: event.into(), rooms: None, user_id: None, event_id: None, timestamp: None }
    }
}

impl NewEvent {
    /// The same event, into these rooms instead of its type's.
    #[must_use]
    pub fn to(mut self, rooms: impl IntoIterator<Item = Room>) -> Self {
        self.rooms = Some(rooms.into_iter().collect());
        self
    }

    /// The same event, done by this user.
    #[must_use]
    pub fn by(mut self, user: &UserId) -> Self {
        self.user_id = Some(user.clone());
        self
    }

    /// The same event, under this id.
    #[must_use]
    pub fn with_id(mut self, id: EventId) -> Self {
        self.event_id = Some(id);
        self
    }

    fn by_some(mut self, user: Option<&UserId>) -> Self {
        self.user_id = user.cloned();
        self
    }
}

macro_rules! calls {
    ($($(#[$doc:meta])* $call:ident($payload:ty);)+) => {
        /// Says what happened, call by call; `by` is the user who did it.
        ///
        /// Every call publishes to the rooms that its event implies. For other rooms or types there is
        /// [`publish`](Service::publish).
        pub trait Service: Sync {
            /// Why an event could not be published.
            type Error: Send;

            /// Publishes any event.
            fn publish(&self, event: impl Into<NewEvent> + Send) -> impl Future<Output = Result<Published, Self::Error>> + Send;

            $(
                $(#[$doc])*
                fn $call(
                    &self,
                    payload: $payload,
                    by: Option<&UserId>,
                ) -> impl Future<Output = Result<Published, Self::Error>> + Send {
                    self.publish(NewEvent::from(Event::from(payload)).by_some(by))
                }
            )+

            /// Shows or ends a typing indicator in an issue.
            fn user_typing(&self, payload: UserTyping) -> impl Future<Output = Result<Published, Self::Error>> + Send {
                self.publish(Event::from(payload))
            }

            /// Sends any event to one user: to every connection that is in the user's room.
            fn send_to_user(
                &self,
                user: &UserId,
                event: impl Into<NewEvent> + Send,
            ) -> impl Future<Output = Result<Published, Self::Error>> + Send {
                self.publish(event.into().to([user.room()]))
            }

            /// Notifies one user.
            fn notify_user(
                &self,
                user: &UserId,
                payload: NotificationNew,
            ) -> impl Future<Output = Result<Published, Self::Error>> + Send {
                self.send_to_user(user, Event::from(payload))
            }
        }
    };
}

calls! {
    /// An issue was created: to its team.
    issue_created(IssueCreated);
    /// Properties of an issue changed: to its team and its own room.
    issue_updated(IssueUpdated);
    /// An issue was deleted: to its team and its own room.
    issue_deleted(IssueDeleted);
    /// An issue was archived: to its team and its own room.
    issue_archived(IssueArchived);
    /// A comment was added: to its issue and team.
    comment_created(CommentCreated);
    /// A comment was edited: to its issue and team.
    comment_updated(CommentUpdated);
    /// A comment was deleted: to its issue and team.
    comment_deleted(CommentDeleted);
    /// Properties of a project changed: to its team and its own room.
    project_updated(ProjectUpdated);
    /// Properties of a cycle changed: to its team and its own room.
    cycle_updated(CycleUpdated);
}
