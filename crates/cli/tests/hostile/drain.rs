//! Five thousand clients through a SIGTERM: each is told when to come back, they do not come as a wave, and nothing is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, block_in_place};

use crate::all_of_it;
use crate::redis_server::RedisServer;
use crate::server::{Server, token};
use crate::wire::{Came, Client};

const CLIENTS: usize = 5000;

/// Of these every so manieth goes on at the other node; the others only say when they would.
const RETURNING: usize = 20;

/// Seconds.
const DRAIN: u32 = 8;

/// Handshakes at a time.
const AT_A_TIME: usize = 100;

/// Between two events.
const PACE: Duration = Duration::from_millis(400);

/// What one client saw.
struct Seen {
    code: u16,
    /// When it was closed, and when it was told to come back.
    closed: Instant,
    returns: Instant,
    /// The numbers of the events that came, on both nodes.
    numbers: Vec<u64>,
}

/// Stays until the first node goes; then goes on at the other one, if it is one of those, until it has the last event.
async fn stay(
    (mut client, mut position): (Client, Value),
    other: SocketAddr,
    token: Arc<str>,
    mut last: watch::Receiver<Option<u64>>,
) -> Seen {
    let (mut numbers, mut hint) = (Vec::new(), None);
    let code = loop {
        match client.next().await.unwrap() {
            Came::Frame(frame) if frame["type"] == "custom.event" => note(&frame, &mut numbers, &mut position),
            Came::Frame(frame) => {
                assert_eq!(frame["type"], "connection.closing", "{frame}");
                hint = frame["payload"]["retryAfterMs"].as_u64();
            }
            Came::Close(code) => break code,
        }
    };
    drop(client);
    let closed = Instant::now();
    let returns = closed + Duration::from_millis(hint.expect("a hint"));
    if !token.is_empty() {
        tokio::time::sleep_until(returns.into()).await;
        let mut client = Client::connect(other, &token).await.unwrap();
        let resume = json!({"action": "subscribe", "rooms": ["team:a"], "since": {"team:a": position}});
        let answer = client.ask(&resume).await.unwrap();
        assert_eq!(answer["payload"]["rooms"]["team:a"]["status"], "recovered", "{answer}");
        let last = last.wait_for(Option::is_some).await.unwrap().unwrap();
        while numbers.last().is_none_or(|number| *number < last) {
            match client.next().await.unwrap() {
                Came::Frame(frame) => note(&frame, &mut numbers, &mut position),
                Came::Close(code) => panic!("closed with {code}"),
            }
        }
    }
    Seen { code, closed, returns, numbers }
}

fn note(frame: &Value, numbers: &mut Vec<u64>, position: &mut Value) {
    numbers.push(frame["payload"].as_u64().unwrap());
    *position = frame["positions"]["team:a"].clone();
}

/// Publishes at the node that stays, until it is told to stop; answers the last number.
async fn publish(address: SocketAddr, mut stop: watch::Receiver<bool>) -> u64 {
    let mut client = Client::connect(address, &token("publisher")).await.unwrap();
    for number in 1.. {
        let event = json!({"type": "custom.event", "payload": number});
        let answer = client.ask(&json!({"action": "publish", "event": event, "rooms": ["team:a"]})).await.unwrap();
        assert_eq!(answer["type"], "publish.ack", "{answer}");
        if tokio::time::timeout(PACE, stop.wait_for(|is_over| *is_over)).await.is_ok() {
            return number;
        }
    }
    unreachable!("numbers do not end")
}

/// Everybody in the room, each with the position at which it joined.
async fn join_all(address: SocketAddr) -> Vec<(Client, Value)> {
    let (places, token) = (Arc::new(Semaphore::new(AT_A_TIME)), Arc::<str>::from(token("reader")));
    let mut joining = JoinSet::new();
    for _ in 0..CLIENTS {
        let (places, token) = (places.clone(), token.clone());
        joining.spawn(async move {
            let _place = places.acquire().await;
            let mut client = Client::connect(address, &token).await.unwrap();
            let ack = client.ask(&json!({"action": "subscribe", "rooms": ["team:a"]})).await.unwrap();
            (client, ack["payload"]["rooms"]["team:a"]["position"].clone())
        });
    }
    joining.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_clients_leave_a_draining_node_in_a_paced_order_and_lose_nothing() {
    let _machine = all_of_it().await;
    let redis = RedisServer::start();
    let (url, drain) = (redis.url(), DRAIN.to_string());
    let settings = [("REDIS_URL", url.as_str()), ("DRAIN_SECONDS", &drain), ("MESSAGES_PER_MINUTE", "10000")];
    let (mut going, staying) = (Server::start(&settings), Server::start(&settings));
    let start = Instant::now();
    let clients = join_all(going.address).await;
    println!("{CLIENTS} clients joined in {:.1?}", start.elapsed());
    let (tell_last, last) = watch::channel(None);
    let (stop, is_over) = watch::channel(false);
    let publishing = tokio::spawn(publish(staying.address, is_over));
    let (returning, nobody): (Arc<str>, Arc<str>) = (token("reader").into(), "".into());
    let mut staying_on = JoinSet::new();
    for (number, client) in clients.into_iter().enumerate() {
        let token = if number % RETURNING == 0 { &returning } else { &nobody };
        staying_on.spawn(stay(client, staying.address, token.clone(), last.clone()));
    }
    tokio::time::sleep(3 * PACE).await;
    let begin = Instant::now();
    going.gateway.process.signal(Signal::TERM);
    let status = block_in_place(|| going.gateway.process.wait());
    println!("the node ended after {:.1?}", begin.elapsed());
    assert_eq!(status.code(), Some(0), "{}", going.gateway.process.stderr());
    // Everybody is back by then, and gets what comes live, too.
    tokio::time::sleep(Duration::from_secs(u64::from(DRAIN))).await;
    stop.send(true).unwrap();
    let count = publishing.await.unwrap();
    tell_last.send(Some(count)).unwrap();
    let seen = staying_on.join_all().await;
    check(&seen, begin, count);
}

fn check(seen: &[Seen], begin: Instant, count: u64) {
    assert_eq!(seen.len(), CLIENTS);
    assert!(seen.iter().all(|seen| seen.code == 1012), "not all were closed with 1012");
    for seen in seen {
        assert!(seen.numbers.iter().copied().eq(1..=seen.numbers.len() as u64), "{:?}", seen.numbers);
    }
    let whole = seen.iter().filter(|seen| seen.numbers.last() == Some(&count)).count();
    assert!(whole >= CLIENTS / RETURNING, "{whole} have all {count} events");

    let second = |at: Instant| at.saturating_duration_since(begin).as_secs() as usize;
    let (mut closes, mut returns) = (vec![0; 64], vec![0; 64]);
    for seen in seen {
        closes[second(seen.closed).min(63)] += 1;
        returns[second(seen.returns).min(63)] += 1;
    }
    let shown = |bins: &[usize]| bins.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
    println!("closed in each second:   {:?}", &closes[..shown(&closes)]);
    println!("returning in each second: {:?}", &returns[..shown(&returns)]);
    println!("{whole} clients went on, and have all of {count} events");
    // Spread over the drain and what it tells: were it even, twice the drain's seconds would share them.
    let most = returns.iter().max().copied().unwrap_or_default();
    assert!(most <= 3 * CLIENTS / DRAIN as usize, "{most} come back in one second");
    assert!(shown(&returns) >= DRAIN as usize, "they come back too soon");
}
