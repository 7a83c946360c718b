//! Which keys sign tokens: secrets, PEM files, and a key set behind an address.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData};
use roomcast_gateway::{Config, Gateway, Secret};
use serde_json::{Value, json};

use crate::harness::{Client, SECRET, call, config, request, sign, start, with_token};

/// A pair of keys of one kind.
pub(crate) struct Pair {
    pub(crate) algorithm: Algorithm,
    pair: KeyPair,
}

impl Pair {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::ES256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Algorithm::ES384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Algorithm::EdDSA => KeyPair::generate_for(&PKCS_ED25519),
            _ => KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256),
        };
        Self { algorithm, pair: pair.unwrap() }
    }

    fn encoding(&self) -> EncodingKey {
        let der = self.pair.serialize_der();
        match self.algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_der(&der),
            Algorithm::EdDSA => EncodingKey::from_ed_der(&der),
            _ => EncodingKey::from_rsa_pem(pem("PRIVATE KEY", &der).as_bytes()).unwrap(),
        }
    }

    /// A token that this key has signed.
    pub(crate) fn sign(&self, id: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: id.map(Into::into), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.encoding()).unwrap()
    }

    /// The same under any header.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding(), self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// The public half.
    pub(crate) fn pem(&self) -> String {
        pem("PUBLIC KEY", &self.pair.subject_public_key_info())
    }

    pub(crate) fn jwk(&self, id: &str) -> Value {
        if self.algorithm == Algorithm::EdDSA {
            let x = URL_SAFE_NO_PAD.encode(self.pair.public_key_raw());
            return json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": id, "use": "sig"});
        }
        let mut jwk = Jwk::from_encoding_key(&self.encoding(), self.algorithm).unwrap();
        jwk.common.key_id = Some(id.into());
        serde_json::to_value(jwk).unwrap()
    }
}

fn pem(tag: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", lines.join("\n"))
}

pub(crate) fn claims() -> Value {
    json!({"sub": "anna", "exp": 4_000_000_000_u32, "iss": "us", "aud": "here"})
}

pub(crate) async fn is_accepted(gateway: &Gateway, token: &str) -> bool {
    let mut client = Client::open(gateway, with_token(token)).await;
    client.receive().await["type"] == "connection.ack"
}

/// A gateway that trusts the keys in this text.
fn with_pem(text: &str) -> (Gateway, PemFile) {
    let file = PemFile::write(text);
    let config = Config { jwt_secret: None, jwt_public_key_file: Some(file.path()), ..config() };
    (start(Config { auth_attempts_per_minute: 1000, ..config }), file)
}

/// A file that is gone with its owner.
pub(crate) struct PemFile(PathBuf);

impl PemFile {
    pub(crate) fn write(text: &str) -> Self {
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let path = folder.join(format!("keys-{:032x}.pem", rand::random::<u128>()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.clone()
    }
}

impl Drop for PemFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn public_keys_of_every_kind_are_accepted_from_one_file() {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS512, RS256, RS384};
    let (elliptic, larger, edwards) = (Pair::new(ES256), Pair::new(ES384), Pair::new(EdDSA));
    let mut rsa = Pair::new(RS256);
    let text = [&elliptic, &larger, &edwards, &rsa].map(Pair::pem).concat();
    let (gateway, _file) = with_pem(&text);
    for pair in [&elliptic, &larger, &edwards] {
        assert!(is_accepted(&gateway, &pair.sign(None, &claims())).await, "{:?}", pair.algorithm);
        // A name means nothing to keys that have none.
        assert!(is_accepted(&gateway, &pair.sign(Some("any"), &claims())).await, "{:?}", pair.algorithm);
        assert!(!is_accepted(&gateway, &Pair::new(pair.algorithm).sign(None, &claims())).await);
    }
    for algorithm in [RS256, RS384, PS256, PS512] {
        rsa.algorithm = algorithm;
        assert!(is_accepted(&gateway, &rsa.sign(None, &claims())).await, "{algorithm:?}");
    }
    // What is public is no secret.
    for secret in [text.as_str(), elliptic.pem().trim(), SECRET] {
        let token = sign(&json!({"alg": "HS256"}), &claims(), secret);
        assert!(!is_accepted(&gateway, &token).await);
    }
}

#[tokio::test]
async fn the_secret_before_is_accepted_beside_the_one_of_today_and_signs_nothing() {
    let before = "the secret that was replaced, long enough";
    let gateway = start(Config { jwt_secret_previous: Some(Secret::new(before)), ..config() });
    for secret in [SECRET, before] {
        assert!(is_accepted(&gateway, &sign(&json!({"alg": "HS256"}), &claims(), secret)).await);
    }
    let minted = crate::harness::token(&gateway, "anna", Value::Null);
    assert!(is_accepted(&start(config()), &minted).await, "signed with the secret of today");
}

#[test]
fn weak_secrets_and_half_configurations_do_not_start() {
    let refused = |config: Config| Gateway::start(config).err().map(|error| error.to_string()).unwrap_or_default();
    let with = |secret: &str| Config { jwt_secret: Some(Secret::new(secret)), ..config() };
    for (config, words) in [
        (with("short"), "JWT_SECRET: found 5 bytes"),
        (with("your-secret-key-your-secret-key-your-secret-key"), "the example of a documentation"),
        (Config { jwt_secret: None, ..config() }, "JWT_SECRET: not set"),
        (Config { jwt_secret_previous: Some(Secret::new("short")), ..config() }, "JWT_SECRET_PREVIOUS: found 5 bytes"),
        (
            Config { jwt_secret: None, jwt_secret_previous: config().jwt_secret, ..config() },
            "JWT_SECRET_PREVIOUS: set without",
        ),
        (Config { jwt_public_key_file: Some("nowhere.pem".into()), ..config() }, "JWT_PUBLIC_KEY_FILE: nowhere.pem:"),
        (Config { jwks_url: Some("http://keys.example/".into()), ..config() }, "JWKS_URL: expected an https"),
    ] {
        let error = refused(config);
        assert!(error.contains(words), "{words:?}: {error:?}");
    }
}

/// A server that answers with a key set, or with something else.
pub(crate) struct KeyServer {
    pub(crate) url: String,
    answer: Arc<std::sync::Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    pub(crate) async fn start(keys: Value) -> Self {
        let answer = Arc::new(std::sync::Mutex::new((StatusCode::OK, json!({"keys": keys}).to_string())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (answers, counter) = (answer.clone(), asked.clone());
        let serve = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            let (status, body) = answers.lock().unwrap().clone();
            async move { (status, [("location", "/elsewhere")], body) }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let app = axum::Router::new().route("/keys", get(serve.clone())).route("/elsewhere", get(serve));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, answer, asked }
    }

    fn says(&self, status: StatusCode, body: String) {
        *self.answer.lock().unwrap() = (status, body);
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn gateway(&self) -> Gateway {
        let config = Config { jwt_secret: None, jwks_url: Some(self.url.clone()), ..config() };
        self.gateway_of(Config { auth_attempts_per_minute: 1000, ..config }).await
    }

    /// A gateway that has the keys.
    pub(crate) async fn gateway_of(&self, config: Config) -> Gateway {
        let gateway = start(config);
        let start = Instant::now();
        while call(&gateway, request("GET", "/readyz", None, Value::Null)).await.0 != 200 {
            assert!(start.elapsed() < Duration::from_secs(20), "no keys");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        gateway
    }
}

#[tokio::test]
async fn keys_are_fetched_and_a_new_one_is_looked_for_once() {
    let (old, new) = (Pair::new(Algorithm::ES256), Pair::new(Algorithm::EdDSA));
    let server = KeyServer::start(json!([old.jwk("old")])).await;
    let gateway = server.gateway().await;
    assert!(is_accepted(&gateway, &old.sign(Some("old"), &claims())).await);
    assert!(is_accepted(&gateway, &old.sign(None, &claims())).await);
    assert!(!is_accepted(&gateway, &new.sign(Some("old"), &claims())).await, "the key decides, not its name");
    let asked = server.asked();
    server.says(StatusCode::OK, json!({"keys": [old.jwk("old"), new.jwk("new")]}).to_string());
    let newcomers = (0..8).map(|_| new.sign(Some("new"), &claims()));
    let accepted: Vec<bool> = futures_util::future::join_all(newcomers.map(|token| {
        let gateway = gateway.clone();
        async move { is_accepted(&gateway, &token).await }
    }))
    .await;
    assert_eq!(accepted, [true; 8]);
    assert!(server.asked() - asked <= 1, "{}", server.asked() - asked);
    for count in 0..20 {
        assert!(!is_accepted(&gateway, &new.sign(Some(&format!("unknown-{count}")), &claims())).await);
    }
    assert!(server.asked() - asked <= 1, "{}", server.asked() - asked);
}

#[tokio::test]
async fn without_keys_a_gateway_is_not_ready_and_lets_nobody_in() {
    let pair = Pair::new(Algorithm::ES256);
    let server = KeyServer::start(json!([])).await;
    let config = Config { jwt_secret: None, jwks_url: Some(server.url.clone()), ..config() };
    let gateway = start(config);
    assert_eq!(call(&gateway, request("GET", "/readyz", None, Value::Null)).await.0, 503);
    assert!(!is_accepted(&gateway, &pair.sign(Some("a"), &claims())).await);
    server.says(StatusCode::OK, json!({"keys": [pair.jwk("a")]}).to_string());
    let start = Instant::now();
    while call(&gateway, request("GET", "/readyz", None, Value::Null)).await.0 != 200 {
        assert!(start.elapsed() < Duration::from_secs(20), "no keys");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(is_accepted(&gateway, &pair.sign(Some("a"), &claims())).await);
}

#[tokio::test]
async fn the_last_good_set_stays_whatever_comes_instead_of_another() {
    let (pair, other) = (Pair::new(Algorithm::ES384), Pair::new(Algorithm::ES384));
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        (StatusCode::OK, "no keys".into()),
        (StatusCode::OK, json!({"keys": []}).to_string()),
        // Not followed.
        (StatusCode::FOUND, json!({"keys": [other.jwk("other")]}).to_string()),
        (StatusCode::OK, json!({"keys": [other.jwk("other")], "filler": "x".repeat(300 << 10)}).to_string()),
        // A secret that everybody can fetch is none.
        (
            StatusCode::OK,
            json!({"keys": [{"kty": "oct", "kid": "other", "alg": "HS256", "k": "c2VjcmV0"}]}).to_string(),
        ),
    ] {
        let server = KeyServer::start(json!([pair.jwk("good")])).await;
        let gateway = server.gateway().await;
        let asked = server.asked();
        server.says(status, body.clone());
        assert!(!is_accepted(&gateway, &other.sign(Some("other"), &claims())).await, "{status} {body:.80}");
        assert_eq!(server.asked() - asked, 1, "{status} {body:.80}");
        assert!(is_accepted(&gateway, &pair.sign(Some("good"), &claims())).await, "{status} {body:.80}");
    }
}

#[tokio::test]
async fn a_token_that_was_good_a_moment_ago_is_refused_when_its_key_is_taken_out() {
    let (former, current) = (Pair::new(Algorithm::ES256), Pair::new(Algorithm::ES256));
    let server = KeyServer::start(json!([former.jwk("former")])).await;
    let gateway = server.gateway().await;
    let token = former.sign(Some("former"), &claims());
    let history = |token: &str| request("GET", "/api/v1/rooms/user:anna/history", Some(token), Value::Null);
    for _ in 0..2 {
        assert_eq!(call(&gateway, history(&token)).await.0, 403, "authenticated, without the grant");
    }
    server.says(StatusCode::OK, json!({"keys": [current.jwk("current")]}).to_string());
    assert!(is_accepted(&gateway, &current.sign(Some("current"), &claims())).await);
    assert_eq!(call(&gateway, history(&token)).await.0, 401);
}
