//! Secrets: values of the configuration that show nothing of themselves.
//!
//! Owns what a secret must be to be one. Refuses to print it.

use std::fmt;

/// The example of the original's documentation, which is copied from there, also with something behind it.
const EXAMPLE: &[u8] = b"your-secret-key";

/// The secret that signs HS256 tokens. Shows nothing of itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The fewest bytes that HS256 may have (RFC 7518 section 3.2).
    pub const MIN_BYTES: usize = 32;

    /// A secret from its bytes; whether they suffice is checked by [`Config::validate`](crate::Config::validate).
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Why it is no secret, in words that do not show it.
    pub(crate) fn weakness(&self) -> Option<String> {
        let expected = "expected a secret of at least 32 bytes";
        if self.0.len() < Self::MIN_BYTES {
            return Some(format!("found {} bytes; {expected}", self.0.len()));
        }
        let is_example = self.0.starts_with(EXAMPLE);
        is_example.then(|| format!("found the example of a documentation; {expected} that nobody else knows"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(secret)")
    }
}

/// Addresses of sentinels. They may hold passwords, so they show nothing of themselves in logs.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RedisSentinels(pub Vec<String>);

impl fmt::Debug for RedisSentinels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "({} sentinels)", self.0.len())
    }
}
