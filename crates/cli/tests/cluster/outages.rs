//! Redis on a bad day, as publishers, readers and balancers see it. No node is restarted in any of these.

use std::time::Duration;

use crate::cluster::{Cluster, Settings};
use crate::eventually;
use crate::line::{Line, Way};
use crate::redis_server::RedisServer;
use crate::share;
use crate::trial::{Outcome, Size, Trial};

/// Small enough that two of these run beside each other: what is shown here is not load.
const SIZE: Size = Size { clients: 60, plain: 12, rooms: 20, per_second: 40 };

/// The same where Redis forgets which ids it knows: an event that its publisher has to repeat comes again under its id, and
/// only the SDK knows it for what it is.
const FORGETFUL: Size = Size { plain: 0, ..SIZE };

/// Events before and after: some for each room.
const SOME: u64 = 80;

const ALL: [usize; 3] = [0, 1, 2];

/// How long a frozen Redis stands still.
const FROZEN: Duration = Duration::from_secs(20);

/// How long a killed Redis stays away: publishers and nodes try in vain several times.
const AWAY: Duration = Duration::from_secs(3);

/// How long a line is cut: longer than every deadline of a node, so that it has to connect anew.
const CUT: Duration = Duration::from_secs(6);

fn at(url: &str) -> Settings {
    vec![("REDIS_URL", url.to_owned())]
}

/// Three nodes at a Redis that is killed and started again with whatever `meanwhile` leaves it.
async fn killed(name: &'static str, mut redis: RedisServer, settings: Settings, fate: Fate) -> Outcome {
    let size = if fate == Fate::Kept { SIZE } else { FORGETFUL };
    let mut trial = Trial::begin(name, size, Cluster::of_three(settings).await).await;
    trial.publishes(SOME).await;
    redis.command(&["SAVE"]);
    if fate == Fate::Older {
        trial.publishes(SOME).await;
    }
    trial.strike(|| redis.kill());
    trial.is_told_by(&ALL).await;
    trial.is_broken_for(AWAY).await;
    if fate == Fate::Lost {
        redis.lose_data();
    }
    trial.heal(|| redis.restart()).await;
    trial.publishes(SOME).await;
    trial.end().await
}

/// What a killed Redis comes back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Older,
    Lost,
}

/// Without durability every stream begins anew: everybody is told of everything, once in each of two rooms.
fn told_everybody(outcome: &Outcome) {
    assert!(outcome.gaps >= 2 * SIZE.clients, "{} gaps were told", outcome.gaps);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_back_with_its_data_is_told_as_gaps() {
    let _machine = share().await;
    // Every command is on disk before it is answered.
    let redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let settings = at(&redis.url());
    told_everybody(&killed("Redis killed, back with its data", redis, settings, Fate::Kept).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_redis_killed_and_back_with_its_data_loses_nothing() {
    let _machine = share().await;
    let redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let settings = [at(&redis.url()), vec![("REDIS_DURABLE", "true".into())]].concat();
    killed("durable Redis killed, back with its data", redis, settings, Fate::Kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_back_with_an_older_state_is_told_as_gaps() {
    let _machine = share().await;
    let redis = RedisServer::start();
    let settings = at(&redis.url());
    told_everybody(&killed("Redis killed, back with an older state", redis, settings, Fate::Older).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_back_without_its_data_is_told_as_gaps() {
    let _machine = share().await;
    let redis = RedisServer::start();
    let settings = at(&redis.url());
    told_everybody(&killed("Redis killed, back without its data", redis, settings, Fate::Lost).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_frozen_for_20_seconds_goes_on_without_a_silent_gap() {
    let _machine = share().await;
    let redis = RedisServer::start();
    let cluster = Cluster::of_three(at(&redis.url())).await;
    let mut trial = Trial::begin("Redis frozen for 20 s", SIZE, cluster).await;
    trial.publishes(SOME).await;
    trial.strike(|| redis.freeze());
    trial.is_told_by(&ALL).await;
    trial.is_broken_for(FROZEN).await;
    trial.heal(|| redis.thaw()).await;
    trial.publishes(SOME).await;
    trial.end().await;
}

/// Three nodes, of which one reaches Redis over a line that is cut.
async fn cut(name: &'static str, way: Way) {
    let redis = RedisServer::start();
    let line = Line::to(redis.port).await;
    let over_the_line = at(&format!("redis://{}", line.address));
    let cluster = Cluster::start(vec![at(&redis.url()), at(&redis.url()), over_the_line]).await;
    let mut trial = Trial::begin(name, SIZE, cluster).await;
    trial.publishes(SOME).await;
    trial.strike(|| line.turn(way));
    trial.is_told_by(&[2]).await;
    // The others go on.
    trial.publishes(SOME).await;
    trial.is_broken_for(CUT).await;
    trial.heal(|| line.turn(Way::Open)).await;
    trial.publishes(SOME).await;
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_line_to_redis_is_reset_goes_on_without_a_silent_gap() {
    let _machine = share().await;
    cut("one node's line to Redis reset", Way::Reset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_line_to_redis_swallows_everything_goes_on_without_a_silent_gap() {
    let _machine = share().await;
    cut("one node's line to Redis a black hole", Way::BlackHole).await;
}

/// Three sentinels that know each other, the primary and its replica; what a node is told of them.
async fn sentinels(primary: &RedisServer, replica: &RedisServer) -> ([RedisServer; 3], Settings) {
    replica.command(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    let sentinels = [0; 3].map(|_| RedisServer::sentinel("main", primary.port));
    let is_known = |sentinel: &RedisServer| sentinel.command(&["INFO", "sentinel"]).contains("slaves=1,sentinels=3");
    let said = || sentinels.iter().map(|sentinel| sentinel.command(&["INFO", "sentinel"])).collect();
    eventually("the sentinels know each other and the replica", || sentinels.iter().all(is_known), said).await;
    let addresses: Vec<String> = sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
    let names = vec![("REDIS_SENTINELS", addresses.join(",")), ("REDIS_MASTER", "main".into())];
    // The host of the URL is not looked at.
    (sentinels, [at("redis://nowhere.invalid"), names].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_sentinels_is_told_as_gaps() {
    let _machine = share().await;
    let (mut primary, replica) = (RedisServer::start(), RedisServer::start());
    let (_sentinels, settings) = sentinels(&primary, &replica).await;
    let mut trial = Trial::begin("Sentinel failover", FORGETFUL, Cluster::of_three(settings).await).await;
    trial.publishes(SOME).await;
    trial.strike(|| primary.kill());
    trial.is_told_by(&ALL).await;
    trial.heal(|| {}).await;
    trial.publishes(SOME).await;
    told_everybody(&trial.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_wakes_up_behind_a_failover_gives_no_position_twice() {
    let _machine = share().await;
    let (primary, replica) = (RedisServer::start(), RedisServer::start());
    let (_sentinels, settings) = sentinels(&primary, &replica).await;
    let cluster = Cluster::of_three(settings).await;
    let mut trial = Trial::begin("Sentinel failover, and the old primary wakes up", FORGETFUL, cluster).await;
    trial.publishes(SOME).await;
    trial.strike(|| primary.freeze());
    trial.is_told_by(&ALL).await;
    trial.heal(|| {}).await;
    // It still takes itself for the primary, and has commands of the nodes to do.
    primary.thaw();
    let is_replica = || primary.command(&["INFO", "replication"]).contains("role:slave");
    eventually("the old primary follows", is_replica, || primary.command(&["INFO", "replication"])).await;
    trial.publishes(SOME).await;
    told_everybody(&trial.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_flushed_under_its_readers_is_told_as_gaps() {
    let _machine = share().await;
    let redis = RedisServer::start();
    let cluster = Cluster::of_three(at(&redis.url())).await;
    let mut trial = Trial::begin("Redis flushed", SIZE, cluster).await;
    trial.publishes(SOME).await;
    trial.strike(|| redis.command(&["FLUSHALL"]));
    trial.heal(|| {}).await;
    trial.publishes(SOME).await;
    told_everybody(&trial.end().await);
}
