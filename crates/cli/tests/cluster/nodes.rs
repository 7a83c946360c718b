//! Nodes that go: killed, or drained one after another, under a thousand clients.

use std::time::Instant;

use crate::cluster::{Cluster, Settings};
use crate::redis_server::RedisServer;
use crate::trial::{Size, Trial};
use crate::{all_of_it, eventually};

/// What is promised: a thousand clients in a hundred rooms, and 200 events a second.
const SIZE: Size = Size { clients: 1000, plain: 40, rooms: 100, per_second: 200 };

/// Before, while and after something happens, so many events: some for each room.
const SOME: u64 = 600;

fn settings(redis: &RedisServer) -> Settings {
    // All clients of a node come back within this time: long enough that they do not come at once.
    vec![("REDIS_URL", redis.url()), ("DRAIN_SECONDS", "5".into())]
}

/// Waits until those whose node has gone are back.
async fn all_are_back(trial: &Trial) {
    eventually("all clients are connected", || trial.readers.are_connected(), || "some are not".into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_loses_nothing_and_its_clients_go_on_at_the_others() {
    let _machine = all_of_it().await;
    let redis = RedisServer::start();
    let cluster = Cluster::of_three(settings(&redis)).await;
    let mut trial = Trial::begin("a node killed", SIZE, cluster).await;
    trial.publishes(SOME).await;
    let (number, killed) = (trial.load.next(), Instant::now());
    trial.cluster.kill(1);
    trial.delivers_from(number).await;
    trial.note("every client got the next events after", killed.elapsed());
    all_are_back(&trial).await;
    trial.publishes(2 * SOME).await;
    let outcome = trial.end().await;
    assert!(outcome.resumed > 0, "nobody was on the node");
    assert_eq!(outcome.gaps, 0, "Redis had everything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing() {
    let _machine = all_of_it().await;
    let redis = RedisServer::start();
    let cluster = Cluster::of_three(settings(&redis)).await;
    let mut trial = Trial::begin("nodes drained and started anew, one after another", SIZE, cluster).await;
    let start = Instant::now();
    for place in 0..trial.cluster.size() {
        let number = trial.load.next();
        trial.cluster.replace(place).await;
        all_are_back(&trial).await;
        trial.delivers_from(number).await;
    }
    trial.note("three restarts took", start.elapsed());
    trial.publishes(SOME).await;
    let outcome = trial.end().await;
    assert!(outcome.resumed >= SIZE.clients as u64, "everybody had to move at least once");
    assert_eq!(outcome.gaps, 0, "Redis had everything");
}
