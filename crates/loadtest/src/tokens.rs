//! Who the connections are: tokens for subscribers and publishers.
//!
//! Owns their making. A server that checks tokens gets a user of its own for each connection where there is a secret to sign
//! with; no token is ever printed.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::error::{Error, Result};

/// How long a token is good: longer than any run.
const TTL_SECONDS: u64 = 12 * 3600;

/// Where tokens come from.
pub(crate) enum Tokens {
    /// There are none.
    None,
    /// One for all.
    One(String),
    /// Signed here, one for each.
    Signed(EncodingKey),
}

/// What a token is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Subscriber(u32),
    Publisher(u32),
}

impl Tokens {
    pub(crate) fn signed(secret: &str) -> Self {
        Self::Signed(EncodingKey::from_secret(secret.as_bytes()))
    }

    /// The token of a connection, if there is one.
    pub(crate) fn of(&self, role: Role) -> Result<Option<String>> {
        match self {
            Self::None => Ok(None),
            Self::One(token) => Ok(Some(token.clone())),
            Self::Signed(key) => {
                let (user, operations) = match role {
                    Role::Subscriber(number) => (format!("reader-{number}"), ["subscribe", "history"]),
                    Role::Publisher(number) => (format!("writer-{number}"), ["publish", "history"]),
                };
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let claims =
                    json!({"sub": user, "iat": now, "exp": now + TTL_SECONDS, "grants": {"team:*": operations}});
                jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, key)
                    .map(Some)
                    .map_err(|error| Error::Usage(format!("failed to sign a token: {error}")))
            }
        }
    }
}
