//! The bounded buffer between the driver and one subscription.
//!
//! Owns the promise that a slow reader costs the others nothing and loses nothing in silence: when the buffer is full
//! its oldest delivery gives way, and the reader is told how many did before it reads on. Only a denied room is never
//! dropped, since nothing would tell it again; there is at most one such notice a room.
//!
//! It also knows how far its reader has come in each room: over what was taken out, not over what lies here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use roomcast_protocol::{EventFrame, Position, Room};

use crate::Delivery;

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
        if state.missed > 0 {
            let moves = std::mem::take(&mut state.missed_moves);
            state.positions.extend(moves);
            return Poll::Ready(Some(Delivery::Lagged { missed: std::mem::take(&mut state.missed) }));
        }
        match state.items.pop_front() {
            Some((item, moves)) => {
                state.positions.extend(moves);
                Poll::Ready(Some(item.into()))
            }
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
    fn make_room(&mut self) {
        let is_final = |item: &Item| matches!(item, Item::Notice(Delivery::Denied { .. }));
        let oldest = self.items.iter().position(|(item, _)| !is_final(item));
        if let Some((_, moves)) = oldest.and_then(|oldest| self.items.remove(oldest)) {
            self.missed += 1;
            self.missed_moves.extend(moves);
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
mod tests {
    use futures_util::future::poll_fn;
    use roomcast_protocol::{Epoch, ErrorCode};

    use super::*;

    fn gap(room: &str) -> Item {
        Item::Notice(Delivery::Gap { room: Room::team(room), reason: None })
    }

    fn at(offset: u64) -> Position {
        Position { epoch: Epoch(7), offset }
    }

    /// A delivery that moves the reader of room `x` to this offset.
    fn push(mailbox: &Mailbox, text: &str, offset: u64) {
        mailbox.push(gap(text), vec![(Room::team("x"), at(offset))]);
    }

    async fn take(mailbox: &Mailbox) -> Option<u64> {
        poll_fn(|cx| mailbox.poll_next(cx)).await;
        mailbox.position(&Room::team("x")).map(|position| position.offset)
    }

    async fn texts(mailbox: &Mailbox) -> Vec<String> {
        let mut texts = Vec::new();
        mailbox.finish();
        while let Some(delivery) = poll_fn(|cx| mailbox.poll_next(cx)).await {
            texts.push(match delivery {
                Delivery::Gap { room, .. } => room.id().into(),
                Delivery::Lagged { missed } => format!("lagged {missed}"),
                Delivery::Denied { room, .. } => format!("denied {}", room.id()),
                other => format!("{other:?}"),
            });
        }
        texts
    }

    #[tokio::test]
    async fn deliveries_come_in_order() {
        let mailbox = Mailbox::new(3);
        ["a", "b", "c"].into_iter().for_each(|room| mailbox.push(gap(room), Moves::new()));
        assert_eq!(texts(&mailbox).await, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_full_mailbox_drops_the_oldest_and_says_how_many() {
        let mailbox = Mailbox::new(2);
        ["a", "b", "c", "d", "e"].into_iter().for_each(|room| mailbox.push(gap(room), Moves::new()));
        assert_eq!(texts(&mailbox).await, ["lagged 3", "d", "e"]);
    }

    #[tokio::test]
    async fn a_denied_room_is_never_dropped() {
        let mailbox = Mailbox::new(2);
        let denied = Delivery::Denied { room: Room::team("x"), code: ErrorCode::Forbidden };
        mailbox.push(Item::Notice(denied), Moves::new());
        ["a", "b", "c"].into_iter().for_each(|room| mailbox.push(gap(room), Moves::new()));
        assert_eq!(texts(&mailbox).await, ["lagged 2", "denied x", "c"]);
    }

    #[tokio::test]
    async fn a_finished_mailbox_takes_nothing_more() {
        let mailbox = Mailbox::new(2);
        mailbox.push(gap("a"), Moves::new());
        mailbox.finish();
        mailbox.push(gap("b"), Moves::new());
        assert_eq!(texts(&mailbox).await, ["a"]);
    }

    #[tokio::test]
    async fn a_position_moves_with_what_the_reader_takes() {
        let mailbox = Mailbox::new(4);
        mailbox.start(&Room::team("x"), at(1));
        push(&mailbox, "a", 2);
        push(&mailbox, "b", 3);
        mailbox.pass(vec![(Room::team("x"), at(4))]);
        assert_eq!(mailbox.position(&Room::team("x")), Some(at(1)));
        assert_eq!([take(&mailbox).await, take(&mailbox).await], [Some(2), Some(4)]);
        mailbox.pass(vec![(Room::team("x"), at(5))]);
        assert_eq!(mailbox.positions()[&Room::team("x")], at(5), "nothing lies before it");
    }

    #[tokio::test]
    async fn a_reader_who_is_told_that_it_lagged_stands_behind_what_was_dropped() {
        let mailbox = Mailbox::new(1);
        for (text, offset) in [("a", 2), ("b", 3), ("c", 4)] {
            push(&mailbox, text, offset);
        }
        assert_eq!(mailbox.position(&Room::team("x")), None, "it does not know yet");
        assert_eq!([take(&mailbox).await, take(&mailbox).await], [Some(3), Some(4)]);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let mailbox = Arc::new(Mailbox::new(2));
        let reader = tokio::spawn({
            let mailbox = mailbox.clone();
            async move { poll_fn(|cx| mailbox.poll_next(cx)).await }
        });
        tokio::task::yield_now().await;
        mailbox.push(gap("a"), Moves::new());
        assert!(matches!(reader.await.unwrap(), Some(Delivery::Gap { .. })));
    }
}
