//! Clients that come back to something else than they left: over real sockets, to real processes, each with its reason.

use std::net::SocketAddr;
use std::sync::Arc;

use roomcast_client::protocol::server::GapReason;
use roomcast_client::protocol::{Event, EventId, NewEvent, Position, Room, Service};
use roomcast_client::{Client, Delivery, Subscription};
use serde_json::json;

use crate::cluster::{Cluster, Settings, token};
use crate::harness::PATIENCE;
use crate::redis_server::RedisServer;
use crate::share;

/// Kept events of a room, few enough to publish more.
const KEPT: u64 = 3;

fn kept() -> Settings {
    vec![("HISTORY_SIZE", KEPT.to_string())]
}

fn room() -> Room {
    Room::team("a")
}

fn client(address: SocketAddr) -> Client {
    Client::builder(&format!("ws://{address}/ws")).token(token("user_1", "subscribe")).build().unwrap()
}

async fn publish(cluster: &Arc<Cluster>, number: u64) -> EventId {
    let id: EventId = format!("e{number}").parse().unwrap();
    let event = NewEvent::from(Event::custom("load.event", json!(number))).to([room()]).with_id(id.clone());
    cluster.node(0).publisher.publish(event).await.unwrap();
    id
}

async fn next(subscription: &mut Subscription) -> Delivery {
    tokio::time::timeout(PATIENCE, subscription.next()).await.expect("nothing comes").unwrap()
}

/// A client reads one event and goes; where it stood.
async fn visit(cluster: &Arc<Cluster>, number: u64) -> Position {
    let client = client(cluster.balancer.address);
    let mut subscription = client.subscribe(room()).await.unwrap();
    publish(cluster, number).await;
    assert!(matches!(next(&mut subscription).await, Delivery::Event(_)));
    let position = subscription.position(&room()).unwrap();
    client.close().await;
    position
}

/// A client comes back, and is told this; what is published then comes.
async fn comes_back_to(cluster: &Arc<Cluster>, since: Position, wanted: GapReason) {
    let client = client(cluster.balancer.address);
    let mut subscription = client.subscribe_since(room(), since).await.unwrap();
    match next(&mut subscription).await {
        Delivery::Gap { reason, .. } => assert_eq!(reason, Some(wanted)),
        other => panic!("not a gap: {other:?}"),
    }
    let id = publish(cluster, since.offset + 1000).await;
    match next(&mut subscription).await {
        Delivery::Event(frame) => assert_eq!(frame.event_id, Some(id)),
        other => panic!("not the event: {other:?}"),
    }
}

/// More events than are kept, while the client is away.
async fn outruns_the_history(cluster: &Arc<Cluster>) {
    let since = visit(cluster, 0).await;
    for number in 1..=KEPT + 1 {
        publish(cluster, number).await;
    }
    comes_back_to(cluster, since, GapReason::HistoryTruncated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_flushed_between_going_and_coming_back_is_a_changed_epoch() {
    let _machine = share().await;
    let redis = RedisServer::start();
    let cluster = Cluster::start(vec![vec![("REDIS_URL", redis.url())]; 2]).await;
    let since = visit(&cluster, 0).await;
    redis.command(&["FLUSHALL"]);
    comes_back_to(&cluster, since, GapReason::EpochChanged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_outrun_or_trimmed_in_redis_is_truncated() {
    let _machine = share().await;
    let redis = RedisServer::start();
    let settings = [kept(), vec![("REDIS_URL", redis.url())]].concat();
    let cluster = Cluster::start(vec![settings; 2]).await;
    outruns_the_history(&cluster).await;
    let since = visit(&cluster, 100).await;
    publish(&cluster, 101).await;
    redis.command(&["XTRIM", "roomcast:history:team:a", "MAXLEN", "0"]);
    comes_back_to(&cluster, since, GapReason::HistoryTruncated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_outrun_in_the_embedded_broker_is_truncated() {
    let _machine = share().await;
    outruns_the_history(&Cluster::start(vec![kept()]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_embedded_broker_is_a_changed_epoch() {
    let _machine = share().await;
    let cluster = Cluster::start(vec![vec![("DRAIN_SECONDS", "1".into())]]).await;
    let since = visit(&cluster, 0).await;
    cluster.replace(0).await;
    comes_back_to(&cluster, since, GapReason::EpochChanged).await;
}
