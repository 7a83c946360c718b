//! Redis over TLS: tests with a real server, its own authority, and others that it is not trusted by.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

use super::address::{Address, Failure};
use super::{Config, check_server};
use crate::broker::contract::redis_server::{Identity, RedisServer};
use crate::broker::contract::{Stage, room};
use crate::config::{RedisSentinels, Secret};
use crate::gateway::Gateway;

/// An authority of a test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A server's certificate for the address at which the tests find it, until that year.
    fn certify(&self, until: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity {
            certificate: pem("CERTIFICATE", certificate.der()),
            key: pem("PRIVATE KEY", &key.serialize_der()),
            authority: pem("CERTIFICATE", self.0.der()),
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn at(url: &str, authorities: Option<PathBuf>) -> Config {
    Config {
        redis_url: Some(Secret::new(url)),
        redis_ca: authorities,
        jwt_secret: Some(Secret::new([1; Secret::MIN_BYTES])),
        ..Config::serve()
    }
}

#[tokio::test]
async fn user_password_database_and_prefix_work_over_tls() {
    let login = ["--user", "gateway", "on", ">pass-word", "~ours:*", "&ours:*", "+@all", "--user", "default", "off"];
    let server = RedisServer::start_secure(&Authority::new().certify(2100), &login);
    let (config, address) = (at("", Some(server.authorities())), server.url().replace("://", "://gateway:pass-word@"));
    let config = Config { redis_prefix: "ours:".into(), ..config };
    let mut stage = Stage::redis_at(config.clone(), &format!("{address}/3")).await;
    stage.open(&["team:a"]).await;
    let published = stage.publish("1", &["team:a"]).await;
    let delivered = stage.next().await;
    assert_eq!(delivered.position(&room("team:a")), published.positions.get(&room("team:a")).copied());
    let other = Stage::redis_at(config.clone(), &address).await;
    assert_eq!(other.page("team:a", None, 10).await.publications.len(), 0, "it is another database");
    let again = Stage::redis_at(config.clone(), &format!("{address}/3")).await;
    assert_eq!(again.page("team:a", None, 10).await.publications.len(), 1);
    // The user may use keys and channels with that prefix only.
    let config = Config { redis_url: Some(Secret::new(format!("{address}/3"))), ..config };
    check_server(&config).await.unwrap();
    let wrong = Secret::new(address.replace("pass-word", "wrong-password"));
    let error = check_server(&Config { redis_url: Some(wrong), ..config }).await.unwrap_err().to_string();
    assert!(error.contains("refuses the user or the password") && !error.contains("wrong-password"), "{error}");
}

#[tokio::test]
async fn a_server_that_no_trusted_authority_has_certified_is_refused_at_the_start() {
    let server = RedisServer::start_secure(&Authority::new().certify(2100), &[]);
    let other = RedisServer::start_secure(&Authority::new().certify(2100), &[]);
    let named = server.url().replace("127.0.0.1", "localhost");
    let untrusted =
        [at(&server.url(), None), at(&server.url(), Some(other.authorities())), at(&named, Some(server.authorities()))];
    for config in untrusted {
        let error = Gateway::connect(config.clone()).await.err().unwrap();
        assert_eq!(error.key, "REDIS_URL");
        assert!(error.problem.contains("its certificate is not trusted"), "{error}");
        assert!(error.problem.contains("REDIS_CA"), "{error}");
    }
    check_server(&at(&server.url(), Some(server.authorities()))).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_to_be_renewed_is_waited_for() {
    let server = RedisServer::start_secure(&Authority::new().certify(2021), &[]);
    let config = at(&server.url(), Some(server.authorities()));
    check_server(&config).await.unwrap();
    let failure = Address::of(&config).unwrap().connect(None).await.err().unwrap();
    assert!(matches!(&failure, Failure::Passing(reason) if reason.contains("not valid now")), "{failure:?}");
}

#[tokio::test]
async fn sentinels_over_tls_are_trusted_by_the_same_authorities() {
    let authority = Authority::new();
    let server = RedisServer::start_secure(&authority.certify(2100), &[]);
    let sentinel = RedisServer::secure_sentinel("main", server.port, &authority.certify(2100));
    let with = |authorities| Config {
        redis_sentinels: RedisSentinels(vec![sentinel.url()]),
        redis_master: Some("main".into()),
        ..at("rediss://nowhere.invalid", authorities)
    };
    let mut stage = Stage::redis_at(with(Some(server.authorities())), "rediss://nowhere.invalid").await;
    stage.open(&["team:a"]).await;
    stage.publish("1", &["team:a"]).await;
    assert_eq!(stage.next().await.event_id.as_str(), "1");
    let error = check_server(&with(None)).await.unwrap_err();
    assert!(error.problem.contains("its certificate is not trusted"), "{error}");
}

#[tokio::test]
async fn authorities_that_cannot_be_used_are_refused_by_their_setting() {
    let server = RedisServer::start_secure(&Authority::new().certify(2100), &[]);
    let write = |name: &str, text: &str| {
        let path = server.authorities().with_file_name(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let good = server.authorities();
    let bad = [
        (at("rediss://redis.test", Some(good.with_file_name("none.pem"))), "cannot read"),
        (at("rediss://redis.test", Some(write("empty.pem", "no certificate"))), "holds no certificate"),
        (
            at(
                "rediss://redis.test",
                Some(write("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
            ),
            "holds a certificate that cannot be read",
        ),
        (at("redis://redis.test", Some(good.clone())), "rediss://"),
        (Config { redis_url: None, ..at("", Some(good.clone())) }, "rediss://"),
    ];
    for (config, part) in bad {
        let error = config.validate().unwrap_err();
        assert_eq!(error.key, "REDIS_CA", "{error}");
        assert!(error.problem.contains(part), "{error}");
    }
    at("rediss://redis.test", Some(good)).validate().unwrap();
}
