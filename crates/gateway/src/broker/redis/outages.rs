//! What happens to Redis, and what the broker makes of it: tests with a real server, and several nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use roomcast_protocol::Position;
use roomcast_protocol::server::GapReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Config, check_server};
use crate::broker::Unavailable;
use crate::broker::contract::redis_server::RedisServer;
use crate::broker::contract::{PATIENCE, Stage, draft, eventually, room, rooms};
use crate::config::{RedisSentinels, Secret};

/// What is promised for a publication while Redis is away, three times over.
const PROMPT: Duration = Duration::from_millis(3 * 1500);

async fn stage(server: &RedisServer) -> Stage {
    Stage::redis(Config::serve(), server).await
}

/// Publishes the id until it is published.
async fn publish_at_last(stage: &Stage, id: &str, name: &str) -> Position {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(published) = stage.broker.publish(draft(id, &[name])).await {
            return published.positions[&room(name)];
        }
        assert!(Instant::now() < deadline, "the broker does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Shows that what is published comes again, and that the broker has told of the outage.
async fn delivers_again(stage: &mut Stage, id: &str, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    for count in 0.. {
        assert!(Instant::now() < deadline, "nothing is delivered");
        let id = format!("{id}{count}");
        publish_at_last(stage, &id, name).await;
        // What is published before the rooms are subscribed again does not come; what was on its way still may.
        let comes = async {
            while let Some(publication) = stage.delivered.recv().await {
                if publication.event_id.as_str() == id {
                    return true;
                }
            }
            false
        };
        if tokio::time::timeout(Duration::from_millis(500), comes).await.is_ok_and(|comes| comes) {
            break;
        }
    }
    assert!(*stage.broker.resynced().unwrap().borrow() > 0);
}

/// A way to the server on which it can fall silent while the connection stays.
struct Proxy {
    port: u16,
    silent: Arc<AtomicBool>,
}

impl Proxy {
    async fn start(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, silent, to) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)), server.port);
        let is_silent = silent.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Connections that come while others are silent are good.
                let is_silent = (!is_silent.load(Ordering::SeqCst)).then(|| is_silent.clone());
                tokio::spawn(forward(client, TcpStream::connect(("127.0.0.1", to)).await.unwrap(), is_silent));
            }
        });
        Self { port, silent }
    }
}

/// Copies both ways; what the server pushes on a subscribed connection is swallowed while it is silent.
async fn forward(client: TcpStream, server: TcpStream, is_silent: Option<Arc<AtomicBool>>) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let is_bus = Arc::new(AtomicBool::new(false));
    let is_bus_too = is_bus.clone();
    let there = async move {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            if bytes[..count].windows(9).any(|window| window == b"SUBSCRIBE") {
                is_bus.store(true, Ordering::SeqCst);
            }
            to_server.write_all(&bytes[..count]).await.unwrap();
        }
    };
    let back = async move {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
            let swallows = is_silent.as_ref().is_some_and(|is_silent| is_silent.load(Ordering::SeqCst));
            if !(swallows && is_bus_too.load(Ordering::SeqCst)) {
                let _ = to_client.write_all(&bytes[..count]).await;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

#[tokio::test]
async fn what_one_node_publishes_another_delivers_in_order() {
    let server = RedisServer::start();
    let (mut here, there) = (stage(&server).await, stage(&server).await);
    here.open(&["team:a"]).await;
    for id in 0..100 {
        let publisher = if id % 2 == 0 { &here } else { &there };
        publisher.publish(&format!("e{id}"), &["team:a"]).await;
    }
    for id in 0..100_u64 {
        let publication = here.next().await;
        assert_eq!(publication.event_id.as_str(), format!("e{id}"));
        assert_eq!(publication.position(&room("team:a")).unwrap().offset, id + 1);
    }
}

#[tokio::test]
async fn an_id_is_remembered_on_every_node() {
    let server = RedisServer::start();
    let (here, there) = (stage(&server).await, stage(&server).await);
    let first = here.publish("1", &["team:a"]).await;
    let again = there.publish("1", &["team:a"]).await;
    assert!(again.duplicate);
    assert_eq!(again.positions, first.positions);
    assert!(!there.publish("1", &["team:b"]).await.duplicate, "another room knows nothing of it");
}

#[tokio::test]
async fn databases_and_prefixes_are_apart() {
    let server = RedisServer::start();
    let mut here = stage(&server).await;
    let prefixed = Stage::redis(Config { redis_prefix: "other:".into(), ..Config::serve() }, &server).await;
    let numbered = Stage::redis_at(Config::serve(), &format!("{}/1", server.url())).await;
    let epoch = here.open(&["team:a"]).await[0].epoch;
    for other in [&prefixed, &numbered] {
        assert_ne!(other.publish("1", &["team:a"]).await.positions[&room("team:a")].epoch, epoch);
    }
    here.publish("mine", &["team:a"]).await;
    assert_eq!(here.next().await.event_id.as_str(), "mine");
}

#[tokio::test]
async fn emptied_data_begin_a_new_epoch_and_the_broker_goes_on() {
    let server = RedisServer::start();
    let mut stage = stage(&server).await;
    stage.open(&["team:a"]).await;
    let before = stage.publish("1", &["team:a"]).await.positions[&room("team:a")];
    stage.next().await;
    server.command(&["FLUSHALL"]);
    let after = stage.publish("2", &["team:a"]).await.positions[&room("team:a")];
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(stage.next().await.position(&room("team:a")), Some(after));
    assert_eq!(stage.page("team:a", Some(before), 10).await.gap, Some(GapReason::EpochChanged));
}

#[tokio::test]
async fn a_frozen_server_makes_publishing_fail_soon_and_a_repeat_does_no_harm() {
    let server = RedisServer::start();
    let stage = stage(&server).await;
    stage.open(&["team:a"]).await;
    server.freeze();
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(stage.broker.publish(draft("1", &["team:a"])).await, Err(Unavailable));
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    }
    assert!(stage.broker.open(rooms(&["team:b"])).await.is_err());
    eventually("the broker knows that it is not ready", || !stage.broker.is_ready()).await;
    server.thaw();
    let position = publish_at_last(&stage, "1", "team:a").await;
    stage.is_ready().await;
    let again = stage.publish("1", &["team:a"]).await;
    assert!(again.duplicate);
    assert_eq!((again.positions[&room("team:a")], position.offset), (position, 1), "it was published once");
    assert_eq!(stage.page("team:a", None, 10).await.publications.len(), 1);
}

#[tokio::test]
async fn positions_are_never_given_twice_whatever_a_killed_server_comes_back_with() {
    let mut server = RedisServer::start();
    let mut stage = stage(&server).await;
    stage.open(&["team:a"]).await;
    let mut seen = vec![stage.publish("1", &["team:a"]).await.positions[&room("team:a")]];
    stage.next().await;
    for fate in ["with its data", "with older data", "with no data"] {
        server.command(&["SAVE"]);
        if fate == "with older data" {
            seen.push(stage.publish("lost", &["team:a"]).await.positions[&room("team:a")]);
        }
        server.kill();
        if fate == "with no data" {
            server.lose_data();
        }
        server.restart();
        delivers_again(&mut stage, &fate.replace(' ', "_"), "team:a").await;
        let position = stage.broker.positions(rooms(&["team:a"])).await.unwrap()[0];
        assert!(seen.iter().all(|old| old.epoch != position.epoch), "{fate}: {seen:?} {position}");
        seen.push(position);
    }
}

#[tokio::test]
async fn durable_data_keep_their_epochs_over_a_restart() {
    let mut server = RedisServer::start();
    let config = Config { redis_durable: true, ..Config::serve() };
    let stage = Stage::redis(config, &server).await;
    let before = stage.publish("1", &["team:a"]).await.positions[&room("team:a")];
    server.command(&["SAVE"]);
    server.kill();
    server.restart();
    assert_eq!(publish_at_last(&stage, "2", "team:a").await, Position { offset: 2, ..before });
    assert!(stage.publish("1", &["team:a"]).await.duplicate, "what was remembered has been kept too");
    let page = stage.page("team:a", Some(Position { offset: 0, ..before }), 10).await;
    assert_eq!((page.gap, page.publications.len()), (None, 2));
}

#[tokio::test]
async fn a_server_that_was_a_replica_in_between_has_a_new_epoch() {
    let (server, other) = (RedisServer::start(), RedisServer::start());
    let stage = stage(&server).await;
    let before = stage.publish("1", &["team:a"]).await.positions[&room("team:a")];
    // A replica that has what the primary had at this moment, and takes its place.
    other.command(&["REPLICAOF", "127.0.0.1", &server.port.to_string()]);
    eventually("the replica is in step", || other.command(&["INFO", "replication"]).contains("master_link_status:up"))
        .await;
    other.command(&["REPLICAOF", "NO", "ONE"]);
    publish_at_last(&stage, "2", "team:a").await;
    server.command(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    eventually("it follows", || server.command(&["INFO", "replication"]).contains("master_link_status:up")).await;
    eventually("the node has noticed", || !stage.broker.is_ready()).await;
    server.command(&["REPLICAOF", "NO", "ONE"]);
    let after = publish_at_last(&stage, "3", "team:a").await;
    assert_ne!(after.epoch, before.epoch, "the position of the second event would be given again");
}

#[tokio::test]
async fn a_first_replica_changes_nothing() {
    let (server, replica) = (RedisServer::start(), RedisServer::start());
    let stage = stage(&server).await;
    let before = stage.publish("1", &["team:a"]).await.positions[&room("team:a")];
    replica.command(&["REPLICAOF", "127.0.0.1", &server.port.to_string()]);
    eventually("it follows", || replica.command(&["INFO", "replication"]).contains("master_link_status:up")).await;
    // With its first replica a primary gives its changes another name, and the node takes note.
    let replication = server.command(&["INFO", "replication"]);
    let name = replication.split("master_replid:").nth(1).unwrap().split('\r').next().unwrap().to_owned();
    let noted = || server.command(&["HGET", "roomcast:life", "replid"]);
    eventually("the node has taken note", || noted() == name).await;
    assert_eq!(publish_at_last(&stage, "2", "team:a").await, Position { offset: 2, ..before });
}

#[tokio::test]
async fn a_killed_bus_connection_heals() {
    let server = RedisServer::start();
    let mut stage = stage(&server).await;
    stage.open(&["team:a"]).await;
    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    delivers_again(&mut stage, "e", "team:a").await;
    stage.is_ready().await;
}

#[tokio::test]
async fn a_bus_connection_that_is_connected_and_deaf_heals() {
    let server = RedisServer::start();
    let proxy = Proxy::start(&server).await;
    let mut stage = Stage::redis_at(Config::serve(), &format!("redis://127.0.0.1:{}", proxy.port)).await;
    stage.open(&["team:a"]).await;
    proxy.silent.store(true, Ordering::SeqCst);
    delivers_again(&mut stage, "e", "team:a").await;
}

#[tokio::test]
async fn what_nobody_understands_is_skipped() {
    let server = RedisServer::start();
    let mut stage = stage(&server).await;
    stage.open(&["team:a"]).await;
    for text in ["", "garbage", "2\nfrom a newer node\n", "1\ne1\n\n1\nteam:a 0:1\nno head"] {
        server.command(&["PUBLISH", "roomcast:0:room:team:a", text]);
    }
    stage.publish("1", &["team:a"]).await;
    assert_eq!(stage.next().await.event_id.as_str(), "1");
}

#[tokio::test]
async fn a_room_is_unsubscribed_some_time_after_its_last_member() {
    let server = RedisServer::start();
    let stage = stage(&server).await;
    stage.open(&["team:a", "team:b"]).await;
    stage.open(&["team:a"]).await;
    stage.broker.release(&rooms(&["team:a", "team:b"]));
    let subscribed = || server.command(&["PUBSUB", "CHANNELS", "roomcast:0:room:*"]);
    assert!(subscribed().contains("team:b"), "many come back at once");
    let deadline = Instant::now() + 3 * super::feed::LINGER;
    while subscribed().contains("team:b") {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(subscribed().contains("team:a"));
}

#[tokio::test]
async fn a_cluster_is_refused_with_the_reason() {
    let server = RedisServer::start_with(&["--cluster-enabled", "yes"]);
    let error = check_server(&Config { redis_url: Some(Secret::new(server.url())), ..Config::serve() }).await;
    let error = error.unwrap_err();
    assert_eq!(error.key, "REDIS_URL");
    assert!(error.problem.contains("Redis Cluster"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown() {
    let server = RedisServer::start_with(&["--requirepass", "right-password"]);
    let at = |login: &str| {
        let url = server.url().replace("://", &format!("://{login}"));
        Config { redis_url: Some(Secret::new(url)), ..Config::serve() }
    };
    for login in ["", ":wrong-password@", "nobody:wrong-password@"] {
        let error = check_server(&at(login)).await.unwrap_err().to_string();
        assert!(error.contains("password") && !error.contains("wrong-password"), "{login}: {error}");
    }
    check_server(&at(":right-password@")).await.unwrap();
    Stage::redis_at(Config::serve(), &server.url().replace("://", "://:right-password@")).await;
}

#[tokio::test]
async fn a_server_that_is_away_does_not_prevent_the_start() {
    let mut server = RedisServer::start();
    server.kill();
    let config = Config { redis_url: Some(Secret::new(server.url())), ..Config::serve() };
    check_server(&config).await.unwrap();
}

#[tokio::test]
async fn sentinels_name_the_primary_and_its_successor() {
    let (mut primary, replica) = (RedisServer::start(), RedisServer::start());
    replica.command(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    let sentinels = [0; 3].map(|_| RedisServer::sentinel("main", primary.port));
    let addresses = sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
    eventually("the sentinels know each other and the replica", || {
        sentinels.iter().all(|sentinel| {
            let known = sentinel.command(&["INFO", "sentinel"]);
            known.contains("slaves=1,sentinels=3")
        })
    })
    .await;
    let config =
        Config { redis_sentinels: RedisSentinels(addresses), redis_master: Some("main".into()), ..Config::serve() };
    // The host of the URL is not looked at.
    let mut stage = Stage::redis_at(config, "redis://nowhere.invalid").await;
    stage.open(&["team:a"]).await;
    let before = stage.publish("1", &["team:a"]).await.positions[&room("team:a")];
    stage.next().await;
    primary.kill();
    delivers_again(&mut stage, "e", "team:a").await;
    assert_ne!(stage.broker.positions(rooms(&["team:a"])).await.unwrap()[0].epoch, before.epoch);
}
