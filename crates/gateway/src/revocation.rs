//! Revocations: tokens that are refused although they have not run out.
//!
//! Owns the list that every node holds in memory, and what a token must have to be on it. Keeping it where all nodes find it
//! is the [`Node`](crate::node::Node)'s.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use roomcast_protocol::{Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::auth::TokenMark;

/// Entries at most. One more is refused: forgetting another would let its tokens back in.
pub(crate) const MOST: usize = 500_000;

/// The longest `jti` that can be revoked, in bytes.
pub(crate) const MAX_TOKEN_ID: usize = 1024;

/// Which tokens are revoked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Revoked {
    /// All of the user's that have no `iat` later than this second.
    User { user: UserId, second: i64 },
    /// The one with this `jti`.
    Token(String),
}

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Revocation {
    pub(crate) revoked: Revoked,
    /// When it is forgotten, in milliseconds since 1970: by then the tokens have run out.
    pub(crate) until: i64,
}

/// What is revoked, as this node knows it.
#[derive(Debug, Default)]
pub(crate) struct Revocations(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    /// Up to which second, and until when.
    users: HashMap<UserId, (i64, i64)>,
    tokens: HashMap<String, i64>,
}

impl Revocation {
    /// As it is kept: a text beside which the end stands.
    pub(crate) fn text(&self) -> String {
        match &self.revoked {
            Revoked::User { user, second } => format!("user {second} {user}"),
            Revoked::Token(id) => format!("token {id}"),
        }
    }

    /// From such a text; `None` when it is none.
    pub(crate) fn parse(text: &str, until: i64) -> Option<Self> {
        let revoked = match text.split_once(' ')? {
            ("token", id) => Revoked::Token(id.to_owned()),
            ("user", rest) => {
                let (second, user) = rest.split_once(' ')?;
                Revoked::User { user: user.parse().ok()?, second: second.parse().ok()? }
            }
            _ => return None,
        };
        Some(Self { revoked, until })
    }
}

/// Whether a token was issued in that second or before, as far as it says.
fn is_issued_by(issued_at: Option<Timestamp>, second: i64) -> bool {
    issued_at.is_none_or(|at| at.as_millis().div_euclid(1000) <= second)
}

impl Revocations {
    /// Takes note. False when there are too many already.
    pub(crate) fn add(&self, revocation: &Revocation) -> bool {
        let mut list = self.lock();
        let is_full = list.users.len() + list.tokens.len() >= MOST;
        match &revocation.revoked {
            Revoked::User { user, .. } if is_full && !list.users.contains_key(user) => return false,
            Revoked::Token(id) if is_full && !list.tokens.contains_key(id) => return false,
            Revoked::User { user, second } => {
                let known = list.users.entry(user.clone()).or_insert((*second, revocation.until));
                *known = (known.0.max(*second), known.1.max(revocation.until));
            }
            Revoked::Token(id) => {
                let known = list.tokens.entry(id.clone()).or_insert(revocation.until);
                *known = (*known).max(revocation.until);
            }
        }
        true
    }

    /// Whether the user's token is on the list.
    pub(crate) fn cover(&self, user: &UserId, token: &TokenMark) -> bool {
        let list = self.lock();
        let is_users = list.users.get(user).is_some_and(|(second, _)| is_issued_by(token.issued_at, *second));
        is_users || token.id.as_deref().is_some_and(|id| list.tokens.contains_key(id))
    }

    /// Every entry.
    pub(crate) fn all(&self) -> Vec<Revocation> {
        let list = self.lock();
        let users = list.users.iter().map(|(user, (second, until))| Revocation {
            revoked: Revoked::User { user: user.clone(), second: *second },
            until: *until,
        });
        let tokens =
            list.tokens.iter().map(|(id, until)| Revocation { revoked: Revoked::Token(id.clone()), until: *until });
        users.chain(tokens).collect()
    }

    /// Forgets those whose tokens have run out.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let (mut list, now) = (self.lock(), now.as_millis());
        list.users.retain(|_, (_, until)| *until > now);
        list.tokens.retain(|_, until| *until > now);
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(list: &Revocations, user: &str, issued_at: Option<i64>, id: Option<&str>) -> bool {
        let issued_at = issued_at.map(|at| Timestamp::from_millis(at).unwrap());
        list.cover(&user.parse().unwrap(), &TokenMark { issued_at, id: id.map(Into::into) })
    }

    fn of_user(user: &str, second: i64, until: i64) -> Revocation {
        Revocation { revoked: Revoked::User { user: user.parse().unwrap(), second }, until }
    }

    #[test]
    fn tokens_of_a_user_up_to_the_second_and_without_a_time_are_covered() {
        let list = Revocations::default();
        assert!(list.add(&of_user("anna", 100, 9_000)));
        for (issued_at, is_covered) in
            [(None, true), (Some(100_999), true), (Some(99_000), true), (Some(101_000), false)]
        {
            assert_eq!(covers(&list, "anna", issued_at, None), is_covered, "{issued_at:?}");
        }
        assert!(!covers(&list, "ben", None, None));
        // An earlier one does not take a later one back.
        list.add(&of_user("anna", 50, 1_000));
        assert!(covers(&list, "anna", Some(100_000), None));
    }

    #[test]
    fn one_token_is_covered_by_its_id_until_the_entry_ends() {
        let list = Revocations::default();
        list.add(&Revocation { revoked: Revoked::Token("a b".into()), until: 5_000 });
        assert!(covers(&list, "anna", None, Some("a b")));
        assert!(!covers(&list, "anna", None, Some("a")));
        list.sweep(Timestamp::from_millis(4_999).unwrap());
        assert!(covers(&list, "anna", None, Some("a b")));
        list.sweep(Timestamp::from_millis(5_000).unwrap());
        assert!(!covers(&list, "anna", None, Some("a b")));
    }

    #[test]
    fn an_entry_comes_back_from_its_text() {
        for revocation in
            [of_user("anna@x.test", 12, 5), Revocation { revoked: Revoked::Token("a b\nc".into()), until: 7 }]
        {
            assert_eq!(Revocation::parse(&revocation.text(), revocation.until), Some(revocation));
        }
        for text in ["", "user", "user x anna", "user 1", "user 1 an na", "else 1"] {
            assert_eq!(Revocation::parse(text, 1), None, "{text:?}");
        }
    }

    #[test]
    fn one_too_many_is_refused_and_none_is_forgotten() {
        let list = Revocations::default();
        for count in 0..MOST {
            list.0.lock().unwrap().tokens.insert(count.to_string(), 1);
        }
        assert!(!list.add(&of_user("anna", 1, 1)));
        assert!(!list.add(&Revocation { revoked: Revoked::Token("new".into()), until: 1 }));
        assert!(list.add(&Revocation { revoked: Revoked::Token("7".into()), until: 2 }));
    }
}
