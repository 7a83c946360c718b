//! The people of the demo, and the tokens by which the gateway and this back end know them.
//!
//! Owns what each of them may do: be in the team's room and those of issues, and be seen there. Changes go through the back
//! end, so nobody may publish; that somebody types needs no grant.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use roomcast_client::protocol::Grants;
use serde::{Deserialize, Serialize};

use crate::board::TEAM;

/// How long a token lasts: short enough that its renewal is a thing of every day.
const LASTS: Duration = Duration::from_secs(15 * 60);

/// Bytes that a secret has at least, as the gateway wants it.
const LEAST_SECRET: usize = 32;

/// Somebody who has an account here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Person {
    Ann,
    Ben,
    Cleo,
}

impl Person {
    /// The `sub` of the person's tokens.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Ann => "ann",
            Self::Ben => "ben",
            Self::Cleo => "cleo",
        }
    }
}

/// Signs tokens and checks them, with the secret that the gateway has too.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    email: String,
    grants: Grants,
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Checked {
    sub: Person,
}

impl Tokens {
    /// # Errors
    /// In words, when the secret is too short.
    pub(crate) fn new(secret: &str) -> Result<Self, String> {
        if secret.len() < LEAST_SECRET {
            return Err(format!("JWT_SECRET must have at least {LEAST_SECRET} bytes, as the gateway's"));
        }
        let secret = secret.as_bytes();
        Ok(Self { encoding: EncodingKey::from_secret(secret), decoding: DecodingKey::from_secret(secret) })
    }

    /// A token of the person.
    pub(crate) fn of(&self, person: Person) -> Result<String, jsonwebtoken::errors::Error> {
        let team = format!("team:{TEAM}");
        let rooms = [(team.as_str(), ["subscribe", "presence"]), ("issue:*", ["subscribe", "presence"])];
        self.sign(person.id(), &rooms)
    }

    /// This back end's own: it publishes, and breaks connections off (`admin`) where somebody wants to see that.
    pub(crate) fn of_the_back_end(&self) -> Result<String, jsonwebtoken::errors::Error> {
        self.sign("demo-back-end", &[("*", ["publish", "admin"])])
    }

    /// Whose token it is; `None` when it is not good, or of nobody here.
    pub(crate) fn check(&self, token: &str) -> Option<Person> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        jsonwebtoken::decode::<Checked>(token, &self.decoding, &validation).ok().map(|token| token.claims.sub)
    }

    fn sign(&self, sub: &str, rooms: &[(&str, [&str; 2])]) -> Result<String, jsonwebtoken::errors::Error> {
        let grants: BTreeMap<_, _> = rooms.iter().copied().collect();
        let grants = Grants::parse(grants).map_err(|_| jsonwebtoken::errors::ErrorKind::InvalidToken)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims { sub, email: format!("{sub}@example.com"), grants, iat: now, exp: now + LASTS.as_secs() };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret for tests alone, 32 bytes and more";

    #[test]
    fn a_token_is_of_whom_it_was_signed_for_and_of_nobody_when_it_was_signed_elsewhere() {
        let tokens = Tokens::new(SECRET).unwrap();
        let token = tokens.of(Person::Cleo).unwrap();
        assert_eq!(tokens.check(&token), Some(Person::Cleo));
        let other = Tokens::new("another secret for tests, 32 bytes and more").unwrap();
        assert_eq!(other.check(&token), None);
        assert_eq!(tokens.check(&tokens.of_the_back_end().unwrap()), None);
        assert_eq!(tokens.check(""), None);
    }

    #[test]
    fn a_token_that_has_run_out_is_nobodys() {
        let tokens = Tokens::new(SECRET).unwrap();
        let claims = serde_json::json!({"sub": "ann", "exp": 1_700_000_000});
        let old = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &tokens.encoding).unwrap();
        assert_eq!(tokens.check(&old), None);
    }

    #[test]
    fn a_secret_that_the_gateway_would_refuse_is_refused() {
        assert!(Tokens::new("short").is_err());
    }
}
