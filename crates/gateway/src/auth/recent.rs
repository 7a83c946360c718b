//! Tokens that were found good a moment ago, for those who bring the same one with every call.
//!
//! Owns that a remembered answer is never better than a new one: what the clock or a change of keys could have changed since is
//! looked at again, and what was refused is not remembered. Revocation is not part of the answer; who asks looks at it each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Identity;
use super::keys::Keys;

/// Tokens in each of the two ages. A service has one or a few; beyond this many the checking is done again.
const MOST: usize = 512;

/// A longer token is checked each time: together they may take two megabytes.
const MOST_BYTES: usize = 2 << 10;

/// A token that was good.
struct Known {
    identity: Arc<Identity>,
    /// The fetched keys of that time: with others it has to be checked again.
    fetched: Arc<Keys>,
}

/// Two ages of tokens: when the young ones are as many as there may be, they become the old, and the old are forgotten. Found by
/// their whole text, and by a hash that nobody outside can compute, so that no timing tells how much of a guess was right.
#[derive(Default)]
struct Ages {
    young: HashMap<Box<str>, Known>,
    old: HashMap<Box<str>, Known>,
}

/// The tokens that were good lately.
#[derive(Default)]
pub(super) struct Recent(Mutex<Ages>);

impl Recent {
    /// Whom the token named, if it was good under these keys.
    pub(super) fn get(&self, token: &str, fetched: &Arc<Keys>) -> Option<Arc<Identity>> {
        let mut ages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ages.young.get(token) {
            return known.identity_under(fetched);
        }
        let (token, known) = ages.old.remove_entry(token)?;
        let identity = known.identity_under(fetched);
        ages.keep(token, known);
        identity
    }

    /// Remembers a token that is good under these keys.
    pub(super) fn put(&self, token: &str, identity: Arc<Identity>, fetched: Arc<Keys>) {
        if token.len() <= MOST_BYTES {
            let mut ages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            ages.keep(token.into(), Known { identity, fetched });
        }
    }
}

impl Known {
    fn identity_under(&self, fetched: &Arc<Keys>) -> Option<Arc<Identity>> {
        Arc::ptr_eq(&self.fetched, fetched).then(|| self.identity.clone())
    }
}

impl Ages {
    fn keep(&mut self, token: Box<str>, known: Known) {
        if self.young.len() >= MOST {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Arc<Identity> {
        Arc::new(Identity::of("anna".parse().unwrap(), None))
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_makes_place() {
        let (recent, keys) = (Recent::default(), Arc::default());
        recent.put("used", identity(), Arc::clone(&keys));
        recent.put("unused", identity(), Arc::clone(&keys));
        for count in 0..4 * MOST {
            recent.put(&format!("token {count}"), identity(), Arc::clone(&keys));
            assert!(recent.get("used", &keys).is_some(), "{count}");
        }
        assert!(recent.get("unused", &keys).is_none());
        let ages = recent.0.lock().unwrap();
        assert!(ages.young.len() <= MOST && ages.old.len() <= MOST, "{} {}", ages.young.len(), ages.old.len());
    }

    #[test]
    fn a_token_is_found_by_its_whole_text_and_under_the_same_keys_only() {
        let (recent, keys) = (Recent::default(), Arc::default());
        recent.put("token", identity(), Arc::clone(&keys));
        recent.put(&"x".repeat(MOST_BYTES + 1), identity(), Arc::clone(&keys));
        assert!(recent.get("token", &keys).is_some());
        assert!(recent.get("toke", &keys).is_none() && recent.get("token ", &keys).is_none());
        assert!(recent.get("token", &Arc::default()).is_none());
        assert!(recent.get(&"x".repeat(MOST_BYTES + 1), &keys).is_none());
    }
}
