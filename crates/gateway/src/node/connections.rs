//! The connections of a node, for those who look at them one by one.
//!
//! Owns that looking holds the registry for a moment only: connections are taken in stretches, in the order of their ids.

use std::ops::Bound;
use std::sync::Arc;

use tokio::task::yield_now;

use super::{Handle, Node};
use crate::hub::ConnectionId;

/// Connections that are taken from the registry at once.
const STRETCH: usize = 1000;

impl Node {
    /// The connection of that id.
    pub(crate) fn connection(&self, id: ConnectionId) -> Option<Arc<Handle>> {
        self.registry().get(&id).cloned()
    }

    /// The first connections behind that one which are wanted, at most so many.
    pub(crate) async fn connections_after(
        &self,
        after: Option<ConnectionId>,
        most: usize,
        is_wanted: impl Fn(&Handle) -> bool,
    ) -> Vec<Arc<Handle>> {
        let (mut found, mut after) = (Vec::new(), after);
        loop {
            let stretch = self.stretch(after);
            let Some(last) = stretch.last() else { return found };
            after = Some(last.id);
            found.extend(stretch.into_iter().filter(|handle| is_wanted(handle)).take(most - found.len()));
            if found.len() >= most {
                return found;
            }
            yield_now().await;
        }
    }

    /// Bytes that wait for all connections together.
    pub(crate) async fn queue_bytes(&self) -> usize {
        let (mut bytes, mut after) = (0, None);
        loop {
            let stretch = self.stretch(after);
            let Some(last) = stretch.last() else { return bytes };
            after = Some(last.id);
            bytes += stretch.iter().map(|handle| handle.outbox.bytes()).sum::<usize>();
            yield_now().await;
        }
    }

    fn stretch(&self, after: Option<ConnectionId>) -> Vec<Arc<Handle>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.registry().range((from, Bound::Unbounded)).take(STRETCH).map(|(_, handle)| handle.clone()).collect()
    }
}
