//! How many connections there are: in all, of each address, of each user, and of nobody yet.
//!
//! Owns the counts and their limits. What is not limited is not counted by address and user, so that it costs nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use roomcast_protocol::UserId;

use crate::config::Config;

/// Why a connection is one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The node is full.
    Full,
    /// Too many have not said who they are.
    Unauthenticated,
    /// The address has too many.
    Address,
}

/// The counts of one node.
#[derive(Debug)]
pub(super) struct Census {
    most: usize,
    most_unauthenticated: Option<usize>,
    most_per_address: Option<usize>,
    most_per_user: Option<usize>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    unauthenticated: usize,
    by_address: HashMap<IpAddr, usize>,
    by_user: HashMap<UserId, usize>,
}

impl Census {
    pub(super) fn new(config: &Config, most: usize) -> Self {
        Self {
            most,
            most_unauthenticated: config.max_unauthenticated,
            most_per_address: config.max_connections_per_address,
            most_per_user: config.max_connections_per_user,
            counts: Mutex::default(),
        }
    }

    /// Counts a connection, unless it is one too many.
    pub(super) fn admit(&self, address: IpAddr) -> Result<(), Refused> {
        let mut counts = self.lock();
        if counts.connections >= self.most {
            return Err(Refused::Full);
        }
        if self.most_unauthenticated.is_some_and(|most| counts.unauthenticated >= most) {
            return Err(Refused::Unauthenticated);
        }
        if let Some(most) = self.most_per_address
            && !count(&mut counts.by_address, address, most)
        {
            return Err(Refused::Address);
        }
        counts.connections += 1;
        counts.unauthenticated += 1;
        Ok(())
    }

    /// The connection has said who it is. False when the user has too many.
    pub(super) fn authenticate(&self, user: &UserId) -> bool {
        let mut counts = self.lock();
        let is_counted = self.most_per_user.is_none_or(|most| count(&mut counts.by_user, user.clone(), most));
        if is_counted {
            counts.unauthenticated -= 1;
        }
        is_counted
    }

    /// The connection is gone. `user`: who it was counted for.
    pub(super) fn leave(&self, address: IpAddr, user: Option<&UserId>) {
        let mut counts = self.lock();
        counts.connections -= 1;
        if self.most_per_address.is_some() {
            discount(&mut counts.by_address, &address);
        }
        match user {
            None => counts.unauthenticated -= 1,
            Some(user) if self.most_per_user.is_some() => discount(&mut counts.by_user, user),
            Some(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K, most: usize) -> bool {
    let count = counts.entry(key).or_default();
    let fits = *count < most;
    *count += usize::from(fits);
    fits
}

fn discount<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_limit_and_nothing_is_left_behind() {
        let config = Config {
            max_unauthenticated: Some(2),
            max_connections_per_address: Some(3),
            max_connections_per_user: Some(1),
            ..Config::serve()
        };
        let census = Census::new(&config, 4);
        let [here, there]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        let [anna, ben]: [UserId; 2] = ["anna".parse().unwrap(), "ben".parse().unwrap()];
        assert_eq!((census.admit(here), census.admit(here)), (Ok(()), Ok(())));
        assert_eq!(census.admit(there), Err(Refused::Unauthenticated));
        assert!(census.authenticate(&anna));
        assert!(!census.authenticate(&anna), "one is enough");
        assert!(census.authenticate(&ben));
        assert_eq!(census.admit(here), Ok(()));
        assert_eq!(census.admit(here), Err(Refused::Address));
        assert_eq!(census.admit(there), Ok(()));
        assert_eq!(census.admit(there), Err(Refused::Full));
        census.leave(here, Some(&anna));
        census.leave(here, Some(&ben));
        census.leave(here, None);
        census.leave(there, None);
        let counts = census.lock();
        assert_eq!((counts.connections, counts.unauthenticated), (0, 0));
        assert!(counts.by_address.is_empty() && counts.by_user.is_empty());
    }
}
