//! Keys: what may have signed a token.
//!
//! Owns which algorithms a key stands for. The key decides, never the token: a secret is good for HS256, an RSA key for RS and
//! PS, an elliptic one for its curve's own, and nothing that is public is ever a secret. Where keys come from is the caller's.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

use crate::config::Config;

/// Keys in one file or set: each may have to be tried.
const MOST_KEYS: usize = 32;

/// The fewest bytes of an RSA modulus: 2048 bits (RFC 7518 section 3.3).
const LEAST_RSA_BYTES: usize = 256;

/// One key.
pub(super) struct Key {
    /// How tokens name it, where it has a name.
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// Some keys.
#[derive(Default)]
pub(super) struct Keys(Vec<Key>);

impl Keys {
    /// The configured secrets: the one that signs today, and the one that did until lately.
    pub(super) fn of_secrets(config: &Config) -> Self {
        let secrets = config.jwt_secret.iter().chain(&config.jwt_secret_previous);
        let key =
            |bytes| Key { id: None, algorithms: vec![Algorithm::HS256], decoding: DecodingKey::from_secret(bytes) };
        Self(secrets.map(|secret| key(secret.as_bytes())).collect())
    }

    /// The public keys of a PEM text, one or several.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of_pem(text: &str) -> Result<Self, String> {
        let starts: Vec<usize> = text.match_indices("-----BEGIN ").map(|(start, _)| start).collect();
        if starts.is_empty() || starts.len() > MOST_KEYS {
            return Err(format!("found {} keys; expected 1 to {MOST_KEYS}, as PEM", starts.len()));
        }
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let keys = starts.iter().zip(ends).map(|(start, end)| pem_key(&text[*start..end]));
        keys.collect::<Result<Vec<_>, _>>().map(Self)
    }

    /// The public keys of a JSON Web Key Set (RFC 7517). What is no key for signatures, or of a kind that is not accepted here, is
    /// left out.
    ///
    /// # Errors
    /// When it is no set, or has no key that can be used.
    pub(super) fn of_jwks(json: &[u8]) -> Result<Self, String> {
        let lenient: serde_json::Value = serde_json::from_slice(json).map_err(|_| "not JSON".to_owned())?;
        let found = lenient.get("keys").and_then(serde_json::Value::as_array).ok_or("no key set")?;
        if found.len() > MOST_KEYS {
            return Err(format!("{} keys, more than {MOST_KEYS}", found.len()));
        }
        // One by one: a key that is not understood does not take the others with it.
        let read = found.iter().filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
        let keys: Vec<Key> = JwkSet { keys: read.collect() }.keys.iter().filter_map(jwk_key).collect();
        if keys.is_empty() { Err("no key in it can be used".into()) } else { Ok(Self(keys)) }
    }

    /// Those of another source beside these.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them has this name.
    pub(super) fn know(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// The keys that may have signed a token of this algorithm that names this key, or none.
    pub(super) fn candidates(&self, algorithm: Algorithm, id: Option<&str>) -> impl Iterator<Item = &Key> {
        let is_named = move |key: &Key| match (&key.id, id) {
            (Some(own), Some(id)) => own == id,
            // Who names no key may mean any.
            (None, _) | (_, None) => true,
        };
        self.0.iter().filter(move |key| key.algorithms.contains(&algorithm) && is_named(key))
    }
}

fn pem_key(pem: &str) -> Result<Key, String> {
    use Algorithm::{ES256, ES384, EdDSA};
    if pem.starts_with("-----BEGIN PRIVATE") || pem.contains(" PRIVATE KEY-----") {
        return Err("found a private key; expected public ones: the gateway only checks tokens".into());
    }
    let key = |algorithms, decoding| Ok(Key { id: None, algorithms, decoding });
    if let Ok(decoding) = DecodingKey::from_rsa_pem(pem.as_bytes()) {
        return key(rsa(), decoding);
    }
    if let Ok(decoding) = DecodingKey::from_ed_pem(pem.as_bytes()) {
        return key(vec![EdDSA], decoding);
    }
    let elliptic = DecodingKey::from_ec_pem(pem.as_bytes()).ok();
    // A point of the curve, not compressed: its length tells the curve.
    match elliptic.as_ref().and_then(|key| key.try_get_as_bytes().ok()).map(<[u8]>::len) {
        Some(65) => key(vec![ES256], elliptic.ok_or("not a key")?),
        Some(97) => key(vec![ES384], elliptic.ok_or("not a key")?),
        Some(_) => Err("found an elliptic key of another curve than P-256 and P-384".into()),
        None => Err("found something else than a public key for RS, PS, ES or EdDSA".into()),
    }
}

fn rsa() -> Vec<Algorithm> {
    use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    vec![RS256, RS384, RS512, PS256, PS384, PS512]
}

fn jwk_key(jwk: &Jwk) -> Option<Key> {
    use Algorithm::{ES256, ES384, EdDSA};
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) if modulus_bytes(&key.n) >= LEAST_RSA_BYTES => rsa(),
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![ES256],
            EllipticCurve::P384 => vec![ES384],
            _ => return None,
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![EdDSA],
        // A secret that everybody can fetch is none.
        _ => return None,
    };
    if let Some(named) = jwk.common.key_algorithm {
        algorithms.retain(|algorithm| named_alike(*algorithm, named));
    }
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    (!algorithms.is_empty()).then(|| Key { id: jwk.common.key_id.clone(), algorithms, decoding })
}

fn modulus_bytes(base64url: &str) -> usize {
    base64url.len() * 3 / 4
}

fn named_alike(algorithm: Algorithm, named: KeyAlgorithm) -> bool {
    named.to_string() == format!("{algorithm:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEw7JAoU/gJbZJvV+zCOvU9yFJq0FN
C/edCMRM78P8eQTBCDUTK1ywSYaszvQZvneiW6gNtWEJndSreEcyyUdVvg==
-----END PUBLIC KEY-----
";

    fn algorithms(keys: &Keys) -> Vec<Vec<Algorithm>> {
        keys.0.iter().map(|key| key.algorithms.clone()).collect()
    }

    #[test]
    fn a_pem_text_may_hold_several_keys_and_each_is_for_its_own_algorithms() {
        let keys = Keys::of_pem(&format!("# today\n{P256}\n# until lately\n{P256}")).unwrap();
        assert_eq!(algorithms(&keys), [[Algorithm::ES256], [Algorithm::ES256]]);
        assert_eq!(keys.candidates(Algorithm::HS256, None).count(), 0);
        assert_eq!(keys.candidates(Algorithm::ES256, Some("any")).count(), 2);
    }

    #[test]
    fn what_is_no_public_key_is_refused_in_words() {
        for (text, words) in [
            ("", "found 0 keys"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "something else"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "a private key"),
            ("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", "a private key"),
        ] {
            let error = Keys::of_pem(text).err().unwrap();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_set_gives_the_keys_that_can_be_used_and_never_a_secret() {
        let elliptic = |extra: serde_json::Value| {
            let mut key = json!({"kty": "EC", "crv": "P-256",
                "x": "w7JAoU_gJbZJvV-zCOvU9yFJq0FNC_edCMRM78P8eQQ", "y": "wQg1EytcsEmGrM70Gb53oluoDbVhCZ3Uq3hHMslHVb4"});
            key.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            key
        };
        let set = json!({"keys": [
            elliptic(json!({"kid": "a"})),
            elliptic(json!({"kid": "b", "use": "enc"})),
            elliptic(json!({"kid": "c", "alg": "ES384"})),
            {"kty": "oct", "kid": "d", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA", "alg": "HS256"},
            {"kty": "RSA", "kid": "e", "n": "AQAB", "e": "AQAB"},
            {"kty": "of tomorrow", "kid": "f"},
            "no key",
        ]});
        let keys = Keys::of_jwks(set.to_string().as_bytes()).unwrap();
        let ids: Vec<_> = keys.0.iter().filter_map(|key| key.id.as_deref()).collect();
        assert_eq!(ids, ["a"]);
        assert_eq!(keys.candidates(Algorithm::ES256, Some("a")).count(), 1);
        assert_eq!(keys.candidates(Algorithm::ES256, Some("x")).count(), 0);
        assert_eq!(keys.candidates(Algorithm::ES256, None).count(), 1);
        for wrong in ["", "[]", "{}", r#"{"keys":[]}"#, r#"{"keys":{}}"#] {
            assert!(Keys::of_jwks(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
