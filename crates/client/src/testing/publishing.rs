//! The way of an event of the fake: from whoever publishes it to the connections that are in its rooms.
//!
//! Owns that an event is placed before anybody gets it, and once. Whether it may be published is `submission`'s to say.

use std::collections::BTreeMap;
use std::sync::Arc;

use roomcast_protocol::event::UserTyping;
use roomcast_protocol::http::EventBody;
use roomcast_protocol::server::{ErrorPayload, GapReason, Reply, RoomOutcome, SubscriptionAck};
use roomcast_protocol::{ErrorCode, Event, EventFrame, EventId, Published, Room};
use tokio::time::Instant;

use super::identity::Claims;
use super::record::{Publication, Source};
use super::session::SessionId;
use super::streams::Placed;
use super::submission::{self, Author, Draft};
use super::world::World;
use crate::new_event_id;

/// The latest publications that a test can look at.
const MOST_PUBLICATIONS: usize = 10_000;

impl World {
    /// Events of the room were lost: its stream is made anew, and whoever is in it is told.
    pub(super) fn gap(&mut self, room: &Room) {
        self.make_place(room);
        let position = self.streams.lose(room);
        let members: Vec<SessionId> = self
            .sessions
            .values()
            .filter(|session| session.rooms.contains_key(room))
            .map(|session| session.id)
            .collect();
        for id in members {
            self.start_at(id, room, position);
            let gap = RoomOutcome::Gap { position, reason: GapReason::EpochChanged, presence: None };
            let rooms = BTreeMap::from([(room.to_string(), gap)]);
            self.say(id, None, Reply::SubscriptionAck(SubscriptionAck { rooms }));
        }
    }

    pub(super) fn draft(&mut self, author: Author<'_>, event: EventBody) -> Result<Draft, ErrorPayload> {
        if !matches!(author, Author::Script)
            && let Some(refusal) = self.publish_refusals.pop_front()
        {
            return Err(refusal);
        }
        let new_id = || new_event_id().parse().unwrap_or_else(|_| unreachable!("a UUID is an event id"));
        submission::draft(&self.settings, author, event, self.clock.now(), new_id)
    }

    /// Gives an event its places. A repeat has those of the first time, and is not published.
    pub(super) fn place(
        &mut self,
        draft: Draft,
        source: Option<Source>,
    ) -> Result<(Published, Option<Arc<Placed>>), ErrorPayload> {
        if self.is_away {
            let refusal = ErrorPayload::new(ErrorCode::Unavailable, "the broker is away");
            return Err(ErrorPayload { retry_after_ms: Some(1000), ..refusal });
        }
        let (Draft { frame, rooms, is_repeatable, except }, now) = (draft, Instant::now());
        let event_id: EventId = frame.event_id.clone().unwrap_or_else(|| unreachable!("a draft has an id"));
        let given = if is_repeatable { self.streams.given(&rooms, &event_id, now) } else { None };
        if let Some(given) = given {
            return Ok((Published { duplicate: true, ..given }, None));
        }
        if let Some(source) = source {
            self.record(Publication {
                event: frame.event.clone(),
                rooms: rooms.clone(),
                user_id: frame.user_id.clone(),
                event_id: event_id.clone(),
                source,
            });
        }
        rooms.iter().for_each(|room| self.make_place(room));
        let is_kept = !Event::is_ephemeral_type(frame.event.event_type());
        let placed = self.streams.append(&rooms, frame, is_kept, except);
        let positions = placed.places.iter().filter_map(|(room, position)| Some((room.clone(), (*position)?)));
        let published = Published { event_id, positions: positions.collect(), duplicate: false };
        if is_repeatable {
            self.streams.remember(&rooms, &published, now);
        }
        Ok((published, Some(placed)))
    }

    fn record(&mut self, publication: Publication) {
        self.publications.push_back(publication);
        if self.publications.len() > MOST_PUBLICATIONS {
            self.publications.pop_front();
        }
    }

    pub(super) fn deliver(&mut self, placed: &Placed) {
        let ready = self.ready();
        let mut slow = Vec::new();
        for session in self.sessions.values_mut().filter(|session| Some(session.id) != placed.except) {
            let mut rooms = Vec::new();
            for (room, position) in &placed.places {
                if let Some(own) = session.rooms.get_mut(room) {
                    *own = position.unwrap_or(*own);
                    rooms.push(room.clone());
                }
            }
            if !rooms.is_empty() {
                session.event(placed, &rooms, ready, true);
                slow.extend(session.outbox.is_full().then_some(session.id));
            }
        }
        slow.into_iter().for_each(|id| self.close_if_slow(id));
    }

    /// Checks, places and delivers an event that does not come over a socket.
    pub(super) fn publish(
        &mut self,
        author: Author<'_>,
        event: EventBody,
        source: Option<Source>,
    ) -> Result<Published, ErrorPayload> {
        let draft = self.draft(author, event)?;
        let (published, placed) = self.place(draft, source)?;
        if let Some(placed) = placed {
            self.deliver(&placed);
        }
        Ok(published)
    }

    /// Tells a room that the user of a connection has stopped typing there.
    pub(super) fn say_stopped(&mut self, id: SessionId, claims: &Claims, room: &Room) {
        let typing = UserTyping {
            issue_id: room.id().into(),
            user_id: claims.user.to_string(),
            user_email: claims.email.clone(),
            is_typing: false,
            ..UserTyping::default()
        };
        let frame = EventFrame {
            event: typing.into(),
            timestamp: self.clock.now(),
            user_id: Some(claims.user.clone()),
            event_id: new_event_id().parse().ok(),
            positions: BTreeMap::new(),
        };
        let placed = self.streams.append(std::slice::from_ref(room), frame, false, Some(id));
        self.deliver(&placed);
    }
}
