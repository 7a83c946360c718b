//! Thousands that say nothing, or half of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::server::{Server, token};
use crate::share;
use crate::wire::Client;

/// Of each kind.
const CROWD: usize = 2000;

/// What is promised, and three times as much is allowed.
const PROMISED: Duration = Duration::from_secs(11);

/// Connects, says so much, and waits for the end.
async fn end(address: SocketAddr, said: &'static [u8]) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(said).await.unwrap();
    let start = Instant::now();
    let mut rest = Vec::new();
    // A refusal may come before the end.
    let read = tokio::time::timeout(3 * PROMISED, stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "still open after {:?}", start.elapsed());
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_thousand_silent_and_half_said_connections_end_while_others_are_served() {
    let _machine = share().await;
    let server = Server::start(&[("MESSAGES_PER_MINUTE", "100000")]);
    let mut honest = Client::connect(server.address, &token("honest")).await.unwrap();
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        crowd.spawn(end(server.address, b""));
        crowd.spawn(end(server.address, b"GET /ws HTTP/1.1\r\nHost: gateway.test\r\nUpgrade: webso"));
    }
    let (mut served, mut joined, mut slowest) = (0, 0, Duration::ZERO);
    let mut longest = Duration::ZERO;
    while !crowd.is_empty() {
        let start = Instant::now();
        honest.ping().await.unwrap();
        slowest = slowest.max(start.elapsed());
        served += 1;
        if served % 50 == 0 {
            Client::connect(server.address, &token("late")).await.unwrap().ping().await.unwrap();
            joined += 1;
        }
        let turn = tokio::time::sleep(Duration::from_millis(10));
        tokio::pin!(turn);
        loop {
            tokio::select! {
                ended = crowd.join_next(), if !crowd.is_empty() => longest = longest.max(ended.unwrap().unwrap()),
                () = &mut turn => break,
            }
        }
    }
    println!(
        "{} connections ended within {longest:.1?}; meanwhile {served} pings, the slowest in {slowest:.1?}, and {joined} new clients",
        2 * CROWD
    );
    assert!(longest < 3 * PROMISED, "{longest:?}");
    assert!(served > 20, "{served}");
}
