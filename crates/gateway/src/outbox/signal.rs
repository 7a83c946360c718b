//! A signal for the one task that waits for it: kept until it is taken, and cheaper to hold than what serves many tasks.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// What one task is woken by. Giving it again before it is taken changes nothing.
#[derive(Default)]
pub(super) struct Signal {
    is_given: AtomicBool,
    waiter: AtomicWaker,
}

impl Signal {
    /// Gives the signal.
    pub(super) fn give(&self) {
        self.is_given.store(true, Ordering::Release);
        self.waiter.wake();
    }

    /// Takes the signal, or has the task woken when it is given.
    pub(super) fn poll_take(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_given.swap(false, Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.listen(cx);
        // It may have been given before the waker was in its place.
        if self.is_given.swap(false, Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Has the task woken when the signal is given, and leaves it to be taken. The caller looks once more at what it waits for.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        self.waiter.register(cx.waker());
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Signal")
    }
}
