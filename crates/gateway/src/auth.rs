//! Authentication: from a token to an identity.
//!
//! Owns what makes a token good: its signature by one of the gateway's keys, whatever the token says of itself, its times, its
//! user and its claims. Which rooms it opens is [`access`](crate::access)'s to say.

pub(crate) mod jwks;
mod keys;
mod recent;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation};
use roomcast_protocol::{Grants, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::{Config, InvalidConfig};
use crate::limits::Raised;
use crate::outbound;
use jwks::Jwks;
use keys::{Key, Keys};
use recent::Recent;

/// Clocks of back end and gateway may differ by this much.
pub const LEEWAY: Duration = Duration::from_secs(5);

/// A longer token is refused unread: headers and frames carry it, and a real one is far below.
pub const MAX_TOKEN_BYTES: usize = 8 << 10;

/// Whom a good token names, and what it grants.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// The user's e-mail address, "" when the token has none.
    pub email: Box<str>,
    /// What the token grants; `None` when it does not say.
    pub grants: Option<Grants>,
    /// What limits the token raises.
    pub raised: Raised,
    /// When the token runs out.
    pub expires_at: Timestamp,
    /// How the token is told from the user's others.
    pub token: TokenMark,
}

/// How a token is told from others of its user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenMark {
    /// When it was issued (`iat`), if it says so.
    pub issued_at: Option<Timestamp>,
    /// Its own id (`jti`), if it has one.
    pub id: Option<Box<str>>,
}

/// Why a token is refused. Says nothing of the token's text, so that it may be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// No token came.
    #[error("a token is required")]
    Missing,
    /// Not a JWT, another algorithm, or over 8 KiB.
    #[error("the token is malformed")]
    Malformed,
    /// Names a key that neither the configuration nor the key set has.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Signed by somebody else, or not at all.
    #[error("the token's signature is not valid")]
    Signature,
    /// Past its `exp`.
    #[error("the token has expired")]
    Expired,
    /// Before its `nbf`.
    #[error("the token is not valid yet")]
    Immature,
    /// A claim is missing, of the wrong type or not the expected one.
    #[error("the token's {0} claim is missing or not valid")]
    Claim(&'static str),
    /// Good by itself, but revoked.
    #[error("the token has been revoked")]
    Revoked,
}

/// What is read of a token. Numbers are read as numbers only: `"exp": "1"` is refused.
#[derive(Deserialize)]
struct Claims {
    sub: Option<serde_json::Value>,
    exp: Option<serde_json::Value>,
    nbf: Option<serde_json::Value>,
    iat: Option<serde_json::Value>,
    jti: Option<serde_json::Value>,
    email: Option<serde_json::Value>,
    grants: Option<serde_json::Value>,
    limits: Option<serde_json::Value>,
}

/// What is written into a token that the gateway mints.
#[derive(Serialize)]
struct Minted<'a> {
    sub: &'a UserId,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grants: Option<&'a Grants>,
    #[serde(skip_serializing_if = "Raised::is_empty")]
    limits: &'a Raised,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

/// Checks tokens, and mints them for development and the command line.
pub struct Authenticator {
    /// Of the configuration itself.
    own: Keys,
    /// Those behind an address.
    jwks: Option<Arc<Jwks>>,
    /// What stands for their keys where there is no address.
    none_fetched: Arc<Keys>,
    /// Tokens that were good lately.
    recent: Recent,
    /// Signs what is minted; `None` when there is no secret.
    encoding: Option<EncodingKey>,
    validation: Validation,
    issuer: Option<String>,
    audience: Option<String>,
    clock: Clock,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Authenticator")
    }
}

impl Identity {
    /// An identity that did not come from a token, for tests of what it may do.
    #[cfg(any(test, feature = "probe"))]
    pub(crate) fn of(user: UserId, grants: Option<Grants>) -> Self {
        let expires_at = Timestamp::from_millis(i64::from(u32::MAX) * 1000).expect("a time");
        let raised = Raised::default();
        Self { user, email: Box::default(), grants, raised, expires_at, token: TokenMark::default() }
    }
}

impl Authenticator {
    /// For the keys, issuer and audience of the configuration.
    ///
    /// # Errors
    /// [`InvalidConfig`] when there are no keys, or they cannot be read.
    pub fn new(config: &Config, clock: Clock) -> Result<Self, InvalidConfig> {
        let invalid = |key, problem| InvalidConfig { key, problem };
        let mut own = Keys::of_secrets(config);
        if let Some(path) = &config.jwt_public_key_file {
            let of_file = |problem| invalid("JWT_PUBLIC_KEY_FILE", format!("{}: {problem}", path.display()));
            let text = std::fs::read_to_string(path).map_err(|error| of_file(error.to_string()))?;
            own.extend(Keys::of_pem(&text).map_err(of_file)?);
        }
        let jwks = config.jwks_url.as_deref().map(|url| {
            let address = outbound::address(url).map_err(|expected| format!("expected {expected}"))?;
            Jwks::new(address).map(Arc::new).map_err(|error| error.to_string())
        });
        let jwks = jwks.transpose().map_err(|problem| invalid("JWKS_URL", problem))?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        // Times are checked below, against the gateway's clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = config.jwt_audience.is_some();
        if let Some(issuer) = &config.jwt_issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".into());
        }
        if let Some(audience) = &config.jwt_audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".into());
        }
        Ok(Self {
            own,
            jwks,
            none_fetched: Arc::default(),
            recent: Recent::default(),
            encoding: config.jwt_secret.as_ref().map(|secret| EncodingKey::from_secret(secret.as_bytes())),
            validation,
            issuer: config.jwt_issuer.clone(),
            audience: config.jwt_audience.clone(),
            clock,
        })
    }

    /// The keys that are fetched, where there are any.
    pub(crate) fn jwks(&self) -> Option<&Arc<Jwks>> {
        self.jwks.as_ref()
    }

    /// The same as [`check`](Self::check), and looks for keys again when the token names one that is not known.
    ///
    /// # Errors
    /// [`BadToken`] when it is not one that this gateway accepts now.
    pub(crate) async fn check_with_new_keys(&self, token: &str) -> Result<Identity, BadToken> {
        match (self.check(token), &self.jwks) {
            (Err(BadToken::UnknownKey), Some(jwks)) => {
                jwks.look_again().await;
                self.check(token)
            }
            (checked, _) => checked,
        }
    }

    /// The same as [`check_with_new_keys`](Self::check_with_new_keys), for a token that comes again and again: its signature
    /// and claims are looked at once, its end each time.
    ///
    /// # Errors
    /// [`BadToken`] when it is not one that this gateway accepts now.
    pub(crate) async fn check_again(&self, token: &str) -> Result<Arc<Identity>, BadToken> {
        let fetched = self.fetched();
        if let Some(known) = self.recent.get(token, &fetched) {
            self.check_end(known.expires_at)?;
            return Ok(known);
        }
        let identity = Arc::new(self.check_with_new_keys(token).await?);
        self.recent.put(token, identity.clone(), fetched);
        Ok(identity)
    }

    fn fetched(&self) -> Arc<Keys> {
        self.jwks.as_ref().map_or_else(|| self.none_fetched.clone(), |jwks| jwks.keys())
    }

    fn check_end(&self, exp: Timestamp) -> Result<(), BadToken> {
        let is_over = exp.as_millis() + LEEWAY.as_millis() as i64 <= self.clock.now().as_millis();
        if is_over { Err(BadToken::Expired) } else { Ok(()) }
    }

    /// The identity that the token names.
    ///
    /// # Errors
    /// [`BadToken`] when it is not one that this gateway accepts now.
    pub fn check(&self, token: &str) -> Result<Identity, BadToken> {
        if token.is_empty() {
            return Err(BadToken::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(BadToken::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| BadToken::Malformed)?;
        // Nothing critical is understood here (RFC 7515 section 4.1.11).
        if header.crit.is_some() {
            return Err(BadToken::Malformed);
        }
        let fetched = self.fetched();
        let id = header.kid.as_deref();
        let is_unknown = self.jwks.is_some() && id.is_some_and(|id| !fetched.know(id));
        let mut refusal = if is_unknown { BadToken::UnknownKey } else { BadToken::Malformed };
        for key in self.own.candidates(header.alg, id).chain(fetched.candidates(header.alg, id)) {
            match self.decode(token, header.alg, key) {
                Ok(claims) => return self.identity(claims),
                // Another key may have signed it; one that is not known yet, too.
                Err(BadToken::Signature) if refusal == BadToken::UnknownKey => {}
                Err(BadToken::Signature) => refusal = BadToken::Signature,
                Err(other) => return Err(other),
            }
        }
        Err(refusal)
    }

    fn decode(&self, token: &str, algorithm: Algorithm, key: &Key) -> Result<Claims, BadToken> {
        // The key is for this algorithm: it was chosen by that.
        let validation = Validation { algorithms: vec![algorithm], ..self.validation.clone() };
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation);
        decoded.map(|token| token.claims).map_err(|error| reason(&error))
    }

    fn identity(&self, claims: Claims) -> Result<Identity, BadToken> {
        let now = self.clock.now().as_millis();
        let leeway = LEEWAY.as_millis() as i64;
        let exp = claims.exp.as_ref().and_then(numeric_date).ok_or(BadToken::Claim("exp"))?;
        self.check_end(exp)?;
        if let Some(nbf) = &claims.nbf {
            let nbf = numeric_date(nbf).ok_or(BadToken::Claim("nbf"))?;
            if nbf.as_millis() > now + leeway {
                return Err(BadToken::Immature);
            }
        }
        let issued_at = claims.iat.as_ref().map(|iat| numeric_date(iat).ok_or(BadToken::Claim("iat"))).transpose()?;
        let text = |value: &serde_json::Value| value.as_str().map(Box::<str>::from);
        let user = claims.sub.as_ref().and_then(text).and_then(|sub| sub.parse().ok()).ok_or(BadToken::Claim("sub"))?;
        let email = claims.email.as_ref().map_or(Some(Box::default()), text).ok_or(BadToken::Claim("email"))?;
        let grants = claims.grants.map(serde_json::from_value).transpose().map_err(|_| BadToken::Claim("grants"))?;
        let raised = claims.limits.as_ref().map_or(Some(Raised::default()), Raised::read);
        let raised = raised.ok_or(BadToken::Claim("limits"))?;
        let id = claims.jti.as_ref().map(|jti| text(jti).ok_or(BadToken::Claim("jti"))).transpose()?;
        Ok(Identity { user, email, grants, raised, expires_at: exp, token: TokenMark { issued_at, id } })
    }

    /// A token for the user, with these grants and raised limits.
    ///
    /// # Errors
    /// When there is no secret to sign with.
    pub fn mint(
        &self,
        user: &UserId,
        email: Option<&str>,
        grants: Option<&Grants>,
        limits: &Raised,
        ttl: Duration,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = self.clock.now().as_millis() / 1000;
        let exp = now.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        let (iss, aud) = (self.issuer.as_deref(), self.audience.as_deref());
        let claims = Minted { sub: user, iat: now, exp, email, grants, limits, iss, aud };
        let encoding = self.encoding.as_ref().ok_or(jsonwebtoken::errors::ErrorKind::InvalidKeyFormat)?;
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, encoding)
    }
}

/// RFC 7519's NumericDate: seconds, whole or not, from 1970 on.
fn numeric_date(value: &serde_json::Value) -> Option<Timestamp> {
    let millis = match value.as_u64() {
        // Beyond the year 9999 there is no difference to be told.
        Some(seconds) => i64::try_from(seconds).ok()?.min(253_402_207_200).checked_mul(1000)?,
        None => {
            let seconds = value.as_f64().filter(|seconds| (0.0..=253_402_207_200.0).contains(seconds))?;
            (seconds * 1000.0) as i64
        }
    };
    Timestamp::from_millis(millis).ok()
}

fn reason(error: &jsonwebtoken::errors::Error) -> BadToken {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => BadToken::Signature,
        ErrorKind::InvalidIssuer => BadToken::Claim("iss"),
        ErrorKind::InvalidAudience => BadToken::Claim("aud"),
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => BadToken::Claim("iss"),
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => BadToken::Claim("aud"),
        _ => BadToken::Malformed,
    }
}
