//! The bounded buffer between the driver and one subscription.
//!
//! Owns the promise that a slow reader costs the others nothing and loses nothing in silence: when the buffer is full
//! its oldest delivery gives way, and the reader is told how many did before it reads on. Only a denied room is never
//! dropped, since nothing would tell it again; there is at most one such notice a room.
//!
//! It also knows how far its reader has come in each room, and whom it knows to be there: over what was taken out, not
//! over what lies here. What gave way of a room's presence is told in one, behind the word that it did.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use roomcast_protocol::server::PresenceMember;
use roomcast_protocol::{EventFrame, Position, Room};

use crate::Delivery;
use crate::presence::Roster;

/// What lies in a mailbox.
#[derive(Debug)]
pub(crate) enum Item {
    /// An event, shared by the subscriptions that get it.
    Event(Arc<EventFrame>),
    /// Anything else.
    Notice(Delivery),
}

/// Where a reader stands in some rooms once it has taken something out.
pub(crate) type Moves = Vec<(Room, Position)>;

/// The buffer of one subscription, held by it and by the registry.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<(Item, Moves)>,
    /// Deliveries that gave way since the reader last looked; they were older than all items.
    missed: u64,
    /// Where the reader stands once it knows of those.
    missed_moves: BTreeMap<Room, Position>,
    /// How far the reader has come.
    positions: BTreeMap<Room, Position>,
    /// Whom the reader knows to be in the rooms of whose presence it was told.
    rosters: BTreeMap<Room, Roster>,
    /// The same as it was behind the deliveries that gave way, for the rooms that those were about.
    missed_rosters: BTreeMap<Room, Roster>,
    /// Rooms whose roster the reader is to be told before anything else.
    owed: BTreeSet<Room>,
    /// Nothing comes any more.
    finished: bool,
    /// Whom to wake, when the reader waits.
    reader: Option<Waker>,
}

impl Mailbox {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), capacity }
    }

    /// The reader starts in a room, of which nothing lies here.
    pub(crate) fn start(&self, room: &Room, position: Position) {
        self.lock().positions.insert(room.clone(), position);
    }

    /// How far the reader has come in the rooms where it has started.
    pub(crate) fn positions(&self) -> BTreeMap<Room, Position> {
        self.lock().positions.clone()
    }

    /// How far the reader has come in a room.
    pub(crate) fn position(&self, room: &Room) -> Option<Position> {
        self.lock().positions.get(room).copied()
    }

    /// Whom the reader knows to be in the room; `None` when it knows nothing.
    pub(crate) fn members(&self, room: &Room) -> Option<Vec<PresenceMember>> {
        self.lock().rosters.get(room).and_then(Roster::members)
    }

    /// Moves the reader behind everything that lies here now, without a delivery.
    pub(crate) fn pass(&self, moves: Moves) {
        let mut state = self.lock();
        match state.items.back_mut() {
            Some((_, last)) => last.extend(moves),
            None => state.positions.extend(moves),
        }
    }

    pub(crate) fn push(&self, item: Item, moves: Moves) {
        let mut state = self.lock();
        if state.finished {
            return;
        }
        if state.items.len() >= self.capacity {
            state.make_room();
        }
        state.items.push_back((item, moves));
        state.wake();
    }

    /// Lets the reader take what is here, and then ends its stream.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        state.finished = true;
        state.wake();
    }

    /// The reader is gone: what is here is for nobody.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        *state = State { finished: true, ..State::default() };
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.lock().finished
    }

    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let mut state = self.lock();
        match state.take() {
            Some(delivery) => Poll::Ready(Some(delivery)),
            None if state.finished => Poll::Ready(None),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; a poisoned mailbox would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Delivery> {
        if self.missed > 0 {
            self.positions.append(&mut self.missed_moves);
            self.owed.extend(self.missed_rosters.keys().cloned());
            self.rosters.append(&mut self.missed_rosters);
            return Some(Delivery::Lagged { missed: std::mem::take(&mut self.missed) });
        }
        while let Some(room) = self.owed.pop_first() {
            if let Some(told) = self.rosters.get(&room).and_then(|roster| roster.told(&room)) {
                return Some(told);
            }
        }
        let (item, moves) = self.items.pop_front()?;
        self.positions.extend(moves);
        let delivery = Delivery::from(item);
        if let Some(room) = delivery.presence_room() {
            self.rosters.entry(room.clone()).or_default().apply(&delivery);
        }
        if let Delivery::Denied { room, .. } = &delivery {
            self.rosters.remove(room);
        }
        Some(delivery)
    }

    fn make_room(&mut self) {
        let is_final = |item: &Item| matches!(item, Item::Notice(Delivery::Denied { .. }));
        let oldest = self.items.iter().position(|(item, _)| !is_final(item));
        if let Some((item, moves)) = oldest.and_then(|oldest| self.items.remove(oldest)) {
            self.missed += 1;
            self.missed_moves.extend(moves);
            self.miss(&item);
        }
    }

    /// Notes what gives way of a room's presence.
    fn miss(&mut self, item: &Item) {
        if let Item::Notice(delivery) = item
            && let Some(room) = delivery.presence_room()
        {
            let known = || self.rosters.get(room).cloned().unwrap_or_default();
            self.missed_rosters.entry(room.clone()).or_insert_with(known).apply(delivery);
        }
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl From<Item> for Delivery {
    fn from(item: Item) -> Self {
        match item {
            Item::Event(frame) => Self::Event(Box::new(Arc::unwrap_or_clone(frame))),
            Item::Notice(delivery) => delivery,
        }
    }
}

#[cfg(test)]
mod tests;
