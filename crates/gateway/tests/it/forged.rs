//! Forged and damaged tokens: none is accepted, and nothing in them makes the gateway call anybody.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};

use crate::harness::{Client, SECRET, config, sign, upgrade};
use crate::keys::{KeyServer, Pair, PemFile, claims};

/// Tokens by what is wrong with them.
struct Forgery {
    tokens: Vec<(String, String)>,
}

fn good_header() -> Value {
    json!({"alg": "HS256", "typ": "JWT"})
}

fn text(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// Signed with the right secret, whatever the parts are.
fn sign_raw(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", text(header), text(claims));
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn with(claim: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[claim] = value;
    claims
}

impl Forgery {
    fn add(&mut self, what: impl Into<String>, token: impl Into<String>) {
        self.tokens.push((what.into(), token.into()));
    }

    fn algorithms(&mut self) {
        let algorithms = [
            "none", "None", "NONE", "nOnE", "hs256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA", "",
            "HS256 ", "dir",
        ];
        for name in algorithms {
            let header = json!({"alg": name, "typ": "JWT"});
            self.add(format!("alg {name:?}, signed"), sign(&header, &claims(), SECRET));
            let message = format!("{}.{}", text(&header.to_string()), text(&claims().to_string()));
            self.add(format!("alg {name:?}, no signature"), format!("{message}."));
            self.add(format!("alg {name:?}, no third part"), message);
        }
        for alg in [Value::Null, json!(1), json!(true), json!(["HS256"]), json!({"HS256": 1})] {
            self.add(format!("alg {alg}"), sign(&json!({"alg": alg}), &claims(), SECRET));
        }
        self.add("no alg", sign(&json!({"typ": "JWT"}), &claims(), SECRET));
        self.add("two algs", sign_raw(r#"{"alg":"none","alg":"HS256"}"#, &claims().to_string()));
        self.add("two algs", sign_raw(r#"{"alg":"HS256","alg":"none"}"#, &claims().to_string()));
        for header in ["", "null", "[]", "\"HS256\"", "{\"alg\":\"HS256\"", "{\"alg\":\"HS256\"}}", "{'alg':'HS256'}"] {
            self.add(format!("header {header}"), sign_raw(header, &claims().to_string()));
        }
    }

    fn keys(&mut self, elliptic: &Pair, fetched: &Pair) {
        let pem = elliptic.pem();
        let bare: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let jwk = fetched.jwk("fetched").to_string();
        let secrets = [
            pem.as_str(),
            pem.trim(),
            &pem.replace('\n', ""),
            &pem.replace('\n', "\r\n"),
            &bare,
            &jwk,
            "",
            " ",
            "secret",
            &SECRET[1..],
            &format!("{SECRET}\n"),
            &SECRET.to_uppercase(),
            "null",
            "\0",
        ];
        for secret in secrets {
            for kid in [None, Some("fetched")] {
                let header = json!({"alg": "HS256", "kid": kid});
                self.add(format!("HS256 by {secret:.20?}, kid {kid:?}"), sign(&header, &claims(), secret));
            }
        }
        for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA] {
            for kid in [None, Some("fetched"), Some("")] {
                let stranger = Pair::new(algorithm);
                self.add(format!("{algorithm:?} by a stranger, kid {kid:?}"), stranger.sign(kid, &claims()));
            }
        }
    }

    fn headers(&mut self, canary: &str, stranger: &Pair) {
        let jwk = stranger.jwk("mine");
        for (name, value) in [
            ("kid", json!("../../../../dev/null")),
            ("kid", json!("/dev/null")),
            ("kid", json!("' OR 1=1 --")),
            ("kid", json!("fetched\u{0}")),
            ("kid", json!("x".repeat(4000))),
            ("kid", json!(canary)),
            ("kid", json!(1)),
            ("kid", json!(["fetched"])),
            ("jku", json!(canary)),
            ("x5u", json!(canary)),
            ("jwk", jwk.clone()),
            ("x5c", json!(["MIIB"])),
            ("crit", json!(["exp"])),
            ("crit", json!(["b64"])),
            ("crit", json!([])),
        ] {
            let mut header = json!({"alg": "ES256", "typ": "JWT", (name): value});
            self.add(format!("{name} {value:.30}, by a stranger"), stranger.sign_with(&header, &claims()));
            header["alg"] = json!("HS256");
            self.add(format!("{name} {value:.30}, by no secret"), sign(&header, &claims(), ""));
            if name == "crit" || !value.is_string() && name == "kid" {
                self.add(format!("{name} {value:.30}, by the secret"), sign(&header, &claims(), SECRET));
            }
        }
    }

    fn claims(&mut self) {
        let odd = [
            json!(true),
            json!([]),
            json!({}),
            json!("4000000000"),
            json!("soon"),
            json!(-1),
            json!(-1.5),
            Value::Null,
        ];
        for claim in ["exp", "nbf", "iat"] {
            // Back ends write null for what is not there.
            for value in odd.iter().filter(|value| claim == "exp" || !value.is_null()) {
                self.add(format!("{claim} {value}"), sign(&good_header(), &with(claim, value.clone()), SECRET));
            }
        }
        for exp in [json!(0), json!(1), json!(1.5), json!(1_700_000_000), json!(1e9)] {
            self.add(format!("exp {exp}"), sign(&good_header(), &with("exp", exp), SECRET));
        }
        for exp in ["1e400", "-1e400", "-9223372036854775809", "4000000000 ", "0x10"] {
            let claims = format!(r#"{{"sub":"anna","exp":{exp}"#);
            let token = sign_raw(&good_header().to_string(), &claims);
            self.add(format!("exp {exp}, not closed"), token);
        }
        self.add("nbf tomorrow", sign(&good_header(), &with("nbf", json!(3_999_999_999_u32)), SECRET));
        for value in [
            json!(1),
            json!(true),
            Value::Null,
            json!([]),
            json!(["anna"]),
            json!({}),
            json!(""),
            json!("an na"),
            json!("anna\n"),
            json!("änna"),
            json!("a\u{0}"),
            json!("*"),
            json!("a:b"),
            json!("a/b"),
            json!("x".repeat(129)),
        ] {
            self.add(format!("sub {value:.20}"), sign(&good_header(), &with("sub", value), SECRET));
        }
        for claim in ["email", "jti"] {
            for value in [json!(1), json!(true), json!([]), json!({})] {
                self.add(format!("{claim} {value}"), sign(&good_header(), &with(claim, value), SECRET));
            }
        }
    }

    fn claims_together(&mut self) {
        for grants in [
            json!([]),
            json!("*"),
            json!(1),
            json!({"*": "subscribe"}),
            json!({"*": [1]}),
            json!({"*": {"subscribe": true}}),
            json!({"team": ["subscribe"]}),
            json!({"": ["*"]}),
            json!({"team:*:*": ["*"]}),
            json!({"**": ["*"]}),
            json!({"Team:*": ["*"]}),
        ] {
            self.add(format!("grants {grants}"), sign(&good_header(), &with("grants", grants), SECRET));
        }
        for (claim, wrong) in [
            ("iss", json!("mallory")),
            ("iss", json!(1)),
            ("aud", json!("elsewhere")),
            ("aud", json!([])),
            ("aud", json!(1)),
            ("aud", json!(["elsewhere"])),
        ] {
            self.add(format!("{claim} {wrong}"), sign(&good_header(), &with(claim, wrong), SECRET));
        }
        for missing in ["sub", "exp", "iss", "aud"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(missing);
            self.add(format!("no {missing}"), sign(&good_header(), &claims, SECRET));
        }
        let good = claims().to_string();
        let inside = &good[1..good.len() - 1];
        for twice in [
            r#""sub":"root""#,
            r#""exp":4000000001"#,
            r#""iat":1"#,
            r#""jti":"a""#,
            r#""grants":{}"#,
            r#""iss":"them""#,
        ] {
            let name = twice.split(':').next().unwrap();
            self.add(
                format!("{name} twice"),
                sign_raw(&good_header().to_string(), &format!("{{{twice},{inside},{twice}}}")),
            );
        }
        for claims in [
            "",
            "null",
            "[]",
            "1",
            "\"anna\"",
            "{}",
            "{\"sub\":\"anna\"",
            &format!("[{good}]"),
            &format!("{good}{good}"),
            &format!("{good},"),
        ] {
            self.add(format!("claims {claims:.20}"), sign_raw(&good_header().to_string(), claims));
        }
    }

    fn damage(&mut self) {
        let good = sign(&good_header(), &claims(), SECRET);
        for length in (0..good.len()).step_by(2) {
            self.add(format!("cut to {length}"), &good[..length]);
        }
        let signature = good.rfind('.').unwrap() + 1;
        for place in (signature..good.len()).chain([0, 5, signature - 3]) {
            let mut bytes = good.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            self.add(format!("byte {place} changed"), String::from_utf8(bytes).unwrap());
        }
        let [header, body, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
        for (what, token) in [
            ("four parts", format!("{good}.{signature}")),
            ("an empty part", format!("{header}.{body}..{signature}")),
            ("no header", format!(".{body}.{signature}")),
            ("no claims", format!("{header}..{signature}")),
            ("parts the other way", format!("{body}.{header}.{signature}")),
            ("padding", format!("{good}=")),
            ("a space", format!("{header} .{body}.{signature}")),
            ("a line", format!("{header}.{body}\n.{signature}")),
            ("the wrong alphabet", format!("{header}.{body}.{}+/", &signature[..signature.len() - 2])),
            ("dots only", "..".into()),
            ("too long", format!("{good}{}", "A".repeat(9 << 10))),
            ("nothing", String::new()),
            ("no token", "anna".into()),
            ("the secret", SECRET.into()),
        ] {
            self.add(what, token);
        }
    }
}

async fn is_accepted(gateway: &Gateway, token: &str) -> bool {
    let mut client = Client::open(gateway, upgrade()).await;
    client.send(json!({"action": "authenticate", "token": token})).await;
    client.receive().await["type"] == "connection.ack"
}

#[tokio::test]
async fn no_forged_and_no_damaged_token_is_accepted_and_none_makes_the_gateway_call_anybody() {
    let (elliptic, fetched, stranger) =
        (Pair::new(Algorithm::ES256), Pair::new(Algorithm::ES384), Pair::new(Algorithm::ES256));
    let file = PemFile::write(&elliptic.pem());
    let server = KeyServer::start(json!([fetched.jwk("fetched")])).await;
    let canary = KeyServer::start(json!([stranger.jwk("mine")])).await;
    let config = Config {
        jwt_public_key_file: Some(file.path()),
        jwks_url: Some(server.url.clone()),
        jwt_issuer: Some("us".into()),
        jwt_audience: Some("here".into()),
        auth_attempts_per_minute: 100_000,
        ..config()
    };
    let gateway = server.gateway_of(config).await;
    for token in [
        sign(&good_header(), &claims(), SECRET),
        elliptic.sign(None, &claims()),
        fetched.sign(Some("fetched"), &claims()),
    ] {
        assert!(is_accepted(&gateway, &token).await, "a good token is refused");
    }
    let asked = server.asked();
    let mut forgery = Forgery { tokens: Vec::new() };
    forgery.algorithms();
    forgery.keys(&elliptic, &fetched);
    forgery.headers(&canary.url, &stranger);
    forgery.claims();
    forgery.claims_together();
    forgery.damage();
    assert!(forgery.tokens.len() >= 300, "{}", forgery.tokens.len());
    let mut accepted = Vec::new();
    for (what, token) in &forgery.tokens {
        if is_accepted(&gateway, token).await {
            accepted.push(what);
        }
    }
    assert!(accepted.is_empty(), "of {}: {accepted:#?}", forgery.tokens.len());
    assert_eq!(canary.asked(), 0);
    // To the configured address once, for all the names of keys that are not known.
    assert!(server.asked() - asked <= 1, "{}", server.asked() - asked);
}
