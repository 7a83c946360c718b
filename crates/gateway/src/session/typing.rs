//! Typing: where the user of a connection is typing, and when that ends.
//!
//! Owns the promise that nobody is shown typing for ever: an indicator that is not renewed ends after a few seconds, and
//! with the connection that showed it.

use std::collections::BTreeMap;
use std::time::Duration;

use roomcast_protocol::Room;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;

use super::Session;
use crate::auth::Identity;
use crate::hub::ConnectionId;
use crate::node::Node;
use crate::publication::Draft;
use crate::publish::{Author, Submission};

/// How long an indicator lasts without being renewed.
const LASTS: Duration = Duration::from_secs(6);

/// Issues in which one connection may be typing at a time; the one that would end first makes place for another.
const MOST: usize = 128;

/// The indicators that one connection shows.
#[derive(Debug, Default)]
pub(super) struct Typing {
    until: BTreeMap<Room, Instant>,
}

/// What a typing event says, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Indicator {
    #[serde(rename = "issueId")]
    issue: String,
    #[serde(default)]
    is_typing: bool,
}

impl Indicator {
    /// `None` when the payload is not one; it is refused elsewhere then.
    pub(super) fn read(payload: &RawValue) -> Option<(Room, Self)> {
        let indicator: Self = serde_json::from_str(payload.get()).ok()?;
        Some((Room::new("issue", &indicator.issue).ok()?, indicator))
    }
}

impl Typing {
    /// When the next indicator ends.
    fn ends_at(&self) -> Option<Instant> {
        self.until.values().min().copied()
    }

    /// Notes what was published; answers an indicator that had to make place.
    fn note(&mut self, room: Room, indicator: &Indicator) -> Option<Room> {
        if !indicator.is_typing {
            self.until.remove(&room);
            return None;
        }
        self.until.insert(room, Instant::now() + LASTS);
        let first = self.until.iter().min_by_key(|(_, until)| **until).map(|(room, _)| room.clone());
        let first = first.filter(|_| self.until.len() > MOST)?;
        self.until.remove(&first);
        Some(first)
    }

    /// Takes the indicators that are over.
    fn take_over(&mut self, now: Instant) -> Vec<Room> {
        self.until.extract_if(.., |_, until| *until <= now).map(|(room, _)| room).collect()
    }
}

impl Session {
    /// When the next typing indicator of the connection ends.
    #[must_use]
    pub(crate) fn typing_ends_at(&self) -> Option<Instant> {
        self.seldom.as_ref()?.typing.ends_at()
    }

    /// Ends the indicators that were not renewed.
    pub(crate) async fn end_typing(&mut self) {
        let over = self.seldom.as_mut().map(|seldom| seldom.typing.take_over(Instant::now()));
        for room in over.unwrap_or_default() {
            self.say_stopped(room).await;
        }
    }

    /// Notes an indicator that was published.
    pub(super) async fn note_typing(&mut self, room: Room, indicator: &Indicator) {
        if let Some(room) = self.seldom.get_or_insert_default().typing.note(room, indicator) {
            self.say_stopped(room).await;
        }
    }

    /// Ends the indicators in rooms that the connection leaves.
    pub(super) async fn leave_typing(&mut self, rooms: &[Room]) {
        for room in rooms {
            if self.seldom.as_mut().is_some_and(|seldom| seldom.typing.until.remove(room).is_some()) {
                self.say_stopped(room.clone()).await;
            }
        }
    }

    async fn say_stopped(&self, room: Room) {
        if let Some(identity) = self.identity.clone() {
            say_stopped(&self.admission.node, &identity, self.handle_of().id, &room).await;
        }
    }
}

/// Tells a room that the user has stopped typing there. A broker that is away is not waited for: readers see it end by
/// themselves.
async fn say_stopped(node: &Node, identity: &Identity, connection: ConnectionId, room: &Room) {
    let (user, email) = (identity.user.as_str(), &*identity.email);
    let payload = to_raw_value(&json!({"issueId": room.id(), "userId": user, "userEmail": email, "isTyping": false}));
    let Ok(payload) = payload else { return };
    let submission = Submission {
        event_type: "user.typing".into(),
        payload,
        event_id: None,
        rooms: Some(vec![room.to_string()]),
        user_id: Some(user.into()),
        timestamp: None,
    };
    // The right to start was checked; nothing may forbid the end.
    let published = async {
        let draft = node.draft(Author::Library, submission).await?;
        node.publish_draft(Draft { except: Some(connection), ..draft }).await
    };
    if let Err(error) = published.await {
        tracing::debug!(code = %error.code, "typing could not be ended");
    }
}

/// The user leaves, however the connection ended.
impl Drop for Session {
    fn drop(&mut self) {
        let (Some(seldom), Some(identity)) = (self.seldom.take(), self.identity.take()) else { return };
        let rooms: Vec<Room> = seldom.typing.until.into_keys().collect();
        if rooms.is_empty() {
            return;
        }
        let (node, connection) = (self.admission.node.clone(), self.handle_of().id);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let tasks = node.tasks.clone();
        tasks.spawn_on(
            async move {
                for room in rooms {
                    say_stopped(&node, &identity, connection, &room).await;
                }
            },
            &runtime,
        );
    }
}
