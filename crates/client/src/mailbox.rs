//! The bounded buffer between the driver and one subscription.
//!
//! Owns the promise that a slow reader costs the others nothing and loses nothing in silence: when the buffer is full
//! its oldest delivery gives way, and the reader is told how many did before it reads on. Only a denied room is never
//! dropped, since nothing would tell it again; there is at most one such notice a room.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use roomcast_protocol::EventFrame;

use crate::Delivery;

/// What lies in a mailbox.
#[derive(Debug)]
pub(crate) enum Item {
    /// An event, shared by the subscriptions that get it.
    Event(Arc<EventFrame>),
    /// Anything else.
    Notice(Delivery),
}

/// The buffer of one subscription, held by it and by the registry.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// Deliveries that gave way since the reader last looked; they were older than all items.
    missed: u64,
    /// Nothing comes any more.
    finished: bool,
    /// Whom to wake, when the reader waits.
    reader: Option<Waker>,
}

impl Mailbox {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), capacity }
    }

    pub(crate) fn push(&self, item: Item) {
        let mut state = self.lock();
        if state.finished {
            return;
        }
        if state.items.len() >= self.capacity {
            state.make_room();
        }
        state.items.push_back(item);
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
            return Poll::Ready(Some(Delivery::Lagged { missed: std::mem::take(&mut state.missed) }));
        }
        match state.items.pop_front() {
            Some(item) => Poll::Ready(Some(item.into())),
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
        if let Some(oldest) = self.items.iter().position(|item| !is_final(item)) {
            self.items.remove(oldest);
            self.missed += 1;
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
    use roomcast_protocol::{ErrorCode, Room};

    use super::*;

    fn gap(room: &str) -> Item {
        Item::Notice(Delivery::Gap { room: Room::team(room), reason: None })
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
        ["a", "b", "c"].into_iter().for_each(|room| mailbox.push(gap(room)));
        assert_eq!(texts(&mailbox).await, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_full_mailbox_drops_the_oldest_and_says_how_many() {
        let mailbox = Mailbox::new(2);
        ["a", "b", "c", "d", "e"].into_iter().for_each(|room| mailbox.push(gap(room)));
        assert_eq!(texts(&mailbox).await, ["lagged 3", "d", "e"]);
    }

    #[tokio::test]
    async fn a_denied_room_is_never_dropped() {
        let mailbox = Mailbox::new(2);
        mailbox.push(Item::Notice(Delivery::Denied { room: Room::team("x"), code: ErrorCode::Forbidden }));
        ["a", "b", "c"].into_iter().for_each(|room| mailbox.push(gap(room)));
        assert_eq!(texts(&mailbox).await, ["lagged 2", "denied x", "c"]);
    }

    #[tokio::test]
    async fn a_finished_mailbox_takes_nothing_more() {
        let mailbox = Mailbox::new(2);
        mailbox.push(gap("a"));
        mailbox.finish();
        mailbox.push(gap("b"));
        assert_eq!(texts(&mailbox).await, ["a"]);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let mailbox = Arc::new(Mailbox::new(2));
        let reader = tokio::spawn({
            let mailbox = mailbox.clone();
            async move { poll_fn(|cx| mailbox.poll_next(cx)).await }
        });
        tokio::task::yield_now().await;
        mailbox.push(gap("a"));
        assert!(matches!(reader.await.unwrap(), Some(Delivery::Gap { .. })));
    }
}
