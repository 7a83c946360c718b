//! Tokens of the fake, and who may do what with them.
//!
//! Owns the meaning of claims as a gateway reads them. A token is not signed: whoever can write a test may be whoever they
//! like.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use roomcast_protocol::{Grants, Operation, Room, UserId};
use serde_json::{Map, Value, json};

/// How long a token is good when nothing else is said.
const LIFETIME: Duration = Duration::from_secs(600);

/// So long after its end a token is still taken, since clocks differ.
const LEEWAY_MS: i64 = 5_000;

/// Whom a token of the fake names, and what it grants. From a user's id alone it is a token without grants, which is good
/// for ten minutes.
#[derive(Debug, Clone)]
#[must_use]
pub struct Identity {
    user: UserId,
    email: Option<String>,
    grants: Option<Map<String, Value>>,
    /// From now on; negative for one that has run out.
    lifetime_ms: i64,
}

/// What a token says.
#[derive(Debug, Clone)]
pub(super) struct Claims {
    pub(super) user: UserId,
    pub(super) email: String,
    /// `None`: the token does not say.
    pub(super) grants: Option<Grants>,
    /// Milliseconds since 1970.
    pub(super) expires_at: i64,
    /// Seconds since 1970.
    pub(super) issued_at: i64,
}

impl Identity {
    /// The user with this id.
    ///
    /// # Panics
    /// When it is no user id: 1 to 128 letters, digits or `_ . @ | ~ -`.
    #[track_caller]
    pub fn of(user: &str) -> Self {
        match user.parse() {
            Ok(user) => Self { user, email: None, grants: None, lifetime_ms: millis(LIFETIME) },
            Err(error) => panic!("{user:?}: {error}"),
        }
    }

    /// The same user, who may do this in rooms of this pattern: a room, `kind:*` or `*`. A token with grants opens what they
    /// name and nothing else; each call adds to them. Without operations it is a token that grants nothing.
    ///
    /// ```
    /// # use roomcast_client::testing::Identity;
    /// let ann = Identity::of("ann").grant("team:*", &["subscribe", "presence"]).grant("issue:1", &["publish"]);
    /// ```
    ///
    /// # Panics
    /// When it is no pattern, or something is no operation: `subscribe`, `history`, `presence`, `publish`, `publish:<type>`,
    /// `admin` or `*`.
    #[track_caller]
    pub fn grant(mut self, pattern: &str, operations: &[&str]) -> Self {
        if let Err(error) = Grants::parse([(pattern, operations)]) {
            panic!("{error}");
        }
        for operation in operations.iter().filter(|operation| **operation != "*") {
            if let Err(error) = operation.parse::<Operation>() {
                panic!("{error}");
            }
        }
        let granted = self.grants.get_or_insert_default().entry(pattern).or_insert_with(|| json!([]));
        if let Some(granted) = granted.as_array_mut() {
            granted.extend(operations.iter().map(|operation| json!(operation)));
        }
        self
    }

    /// The same user, with an e-mail address, which others see who are told of typing.
    pub fn email(mut self, email: &str) -> Self {
        self.email = Some(email.into());
        self
    }

    /// The same user, with tokens that run out so long after they were made.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.lifetime_ms = millis(lifetime);
        self
    }

    /// The same user, with tokens that ran out a minute before they were made.
    pub fn expired(mut self) -> Self {
        self.lifetime_ms = -60_000;
        self
    }

    pub(super) fn into_user(self) -> UserId {
        self.user
    }

    /// A token. `number` makes it another one than all before.
    pub(super) fn token(&self, now: i64, number: u64) -> String {
        let exp = now.saturating_add(self.lifetime_ms);
        let mut claims = json!({
            "sub": self.user, "iat": now / 1000, "exp": seconds(exp), "jti": format!("token-{number}"),
        });
        if let Some(email) = &self.email {
            claims["email"] = json!(email);
        }
        if let Some(grants) = &self.grants {
            claims["grants"] = json!(grants);
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.unsigned", part(&json!({"alg": "none", "typ": "JWT"})), part(&claims))
    }
}

impl From<&str> for Identity {
    #[track_caller]
    fn from(user: &str) -> Self {
        Self::of(user)
    }
}

impl From<&UserId> for Identity {
    fn from(user: &UserId) -> Self {
        Self::of(user.as_str())
    }
}

impl Claims {
    /// The claims of a token, also of a real one, whose signature is not looked at.
    ///
    /// # Errors
    /// What is wrong with it, in the gateway's words.
    pub(super) fn read(token: &str, now: i64) -> Result<Self, &'static str> {
        const MALFORMED: &str = "the token is malformed";
        let parts: Vec<&str> = token.split('.').collect();
        let [_, claims, _] = parts[..] else { return Err(MALFORMED) };
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| MALFORMED)?;
        let claims: Map<String, Value> = serde_json::from_slice(&claims).map_err(|_| MALFORMED)?;
        let user = claims.get("sub").and_then(Value::as_str).and_then(|sub| sub.parse().ok());
        let email = claims.get("email").map_or(Some(""), Value::as_str);
        let grants = claims.get("grants").map(|grants| serde_json::from_value(grants.clone())).transpose();
        let claims = Self {
            user: user.ok_or("the token's sub claim is missing or not valid")?,
            email: email.ok_or("the token's email claim is missing or not valid")?.into(),
            grants: grants.map_err(|_| "the token's grants claim is missing or not valid")?,
            expires_at: number(&claims, "exp").ok_or("the token's exp claim is missing or not valid")?,
            issued_at: number(&claims, "iat").unwrap_or(0) / 1000,
        };
        if claims.expires_at.saturating_add(LEEWAY_MS) <= now { Err("the token has expired") } else { Ok(claims) }
    }

    /// Whether it may be done. `is_open`: a token without grants may do more than be in its own room.
    pub(super) fn may(&self, is_open: bool, room: &Room, operation: &Operation) -> bool {
        let is_own = *room == self.user.room();
        if is_own && *operation == Operation::Subscribe || self.grants_allow(room, operation) {
            return true;
        }
        let is_typing = matches!(operation, Operation::PublishType(name) if name.as_str() == "user.typing");
        if is_typing && room.kind() == "issue" && self.may(is_open, room, &Operation::Subscribe) {
            return true;
        }
        let is_of_another = room.kind() == "user" && !is_own;
        let is_opened = matches!(operation, Operation::Subscribe | Operation::Presence | Operation::History);
        self.grants.is_none() && is_open && is_opened && !is_of_another
    }

    /// Whether a grant allows it.
    pub(super) fn grants_allow(&self, room: &Room, operation: &Operation) -> bool {
        self.grants.as_ref().is_some_and(|grants| grants.allows(room, operation))
    }
}

/// A time of the claims, in milliseconds.
#[allow(clippy::cast_possible_truncation, reason = "what is beyond the range is far beyond any time")]
fn number(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    claims.get(name)?.as_f64().map(|seconds| (seconds * 1000.0).round() as i64)
}

/// A time for the claims, which may be fractions of a second.
#[allow(clippy::cast_precision_loss, reason = "milliseconds of this age are exact")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(identity: &Identity) -> Claims {
        Claims::read(&identity.token(1_000_000, 1), 1_000_000).unwrap()
    }

    #[test]
    fn a_token_says_what_it_was_made_of() {
        let claims = read(&Identity::of("ann").email("ann@example.com").expires_in(Duration::from_millis(1500)));
        assert_eq!((claims.user.as_str(), &*claims.email), ("ann", "ann@example.com"));
        assert_eq!((claims.issued_at, claims.expires_at), (1000, 1_001_500));
        assert!(claims.grants.is_none());
    }

    #[test]
    fn what_is_no_good_token_is_refused_with_its_reason() {
        let refused = |token: &str| Claims::read(token, 1_000_000).err().unwrap();
        assert_eq!(refused("nonsense"), "the token is malformed");
        assert_eq!(refused("a.b.c.d"), "the token is malformed");
        assert_eq!(refused(&Identity::of("ann").expired().token(1_000_000, 1)), "the token has expired");
        let claims = |claims: Value| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()));
        assert!(refused(&claims(json!({"exp": 2000}))).contains("sub"));
        assert!(refused(&claims(json!({"sub": "not an id!", "exp": 2000}))).contains("sub"));
        assert!(refused(&claims(json!({"sub": "ann", "exp": "2000"}))).contains("exp"));
        assert!(refused(&claims(json!({"sub": "ann", "exp": 2000, "grants": {"no pattern": []}}))).contains("grants"));
    }

    #[test]
    fn grants_are_a_union_and_name_all_that_is_allowed() {
        let ann = read(&Identity::of("ann").grant("team:*", &["subscribe"]).grant("team:*", &["publish:note.added"]));
        let may = |room: &Room, operation: &str| ann.may(true, room, &operation.parse().unwrap());
        let team = Room::team("t");
        assert!(may(&team, "subscribe") && may(&team, "publish:note.added") && may(&Room::user("ann"), "subscribe"));
        assert!(!may(&team, "publish") && !may(&team, "presence") && !may(&Room::issue("i"), "subscribe"));
    }

    #[test]
    fn without_grants_an_open_gateway_allows_all_but_publishing_and_other_users_rooms() {
        let ann = read(&Identity::of("ann"));
        let may = |is_open, room: &Room, operation: &str| ann.may(is_open, room, &operation.parse().unwrap());
        assert!(may(true, &Room::team("t"), "subscribe") && may(true, &Room::issue("i"), "publish:user.typing"));
        assert!(!may(true, &Room::team("t"), "publish") && !may(true, &Room::user("ben"), "subscribe"));
        assert!(!may(false, &Room::team("t"), "subscribe") && may(false, &Room::user("ann"), "subscribe"));
        let nothing = read(&Identity::of("ann").grant("*", &[]));
        assert!(!nothing.may(true, &Room::team("t"), &Operation::Subscribe));
    }

    #[test]
    #[should_panic(expected = "is not an operation")]
    fn a_misspelt_operation_is_a_panic_and_no_token_that_grants_less() {
        let _ = Identity::of("ann").grant("team:*", &["subscibe"]);
    }
}
