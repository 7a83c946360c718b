//! What a flood costs the others: server and attacker on processors of their own, quiet and flooded in turns.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::all_of_it;
use crate::server::{Server, token};
use crate::wire::{Client, masked};

/// Pairs of a quiet and a flooded time. What else the machine does makes single ones worse, and none better than it is.
const PAIRS: usize = 5;

/// What is promised of the ratio, and three times as much is allowed: other work on the server's processor lengthens what
/// takes more of it.
const PROMISED: f64 = 2.0;

/// How long each of them takes.
const TIME: Duration = Duration::from_millis(400);

/// The median of round trips, one after the other.
async fn median(client: &mut Client) -> Duration {
    let (begin, mut trips) = (Instant::now(), Vec::new());
    while begin.elapsed() < TIME {
        let start = Instant::now();
        client.ping().await.unwrap();
        trips.push(start.elapsed());
        sleep(Duration::from_millis(1)).await;
    }
    trips.sort();
    trips[trips.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_pings_leaves_others_their_turns() {
    let _machine = all_of_it().await;
    let (server, _apart) = Server::start_apart(&[("MESSAGES_PER_MINUTE", "1000000")]);
    let mut honest = Client::connect(server.address, &token("honest")).await.unwrap();
    median(&mut honest).await;
    let mut pairs = Vec::new();
    for _ in 0..PAIRS {
        let quiet = median(&mut honest).await;
        let mut attacker = Client::connect(server.address, &token("attacker")).await.unwrap();
        let flood = tokio::spawn(async move {
            let many = masked(0x89, &[b'x'; 125]).repeat(500);
            while attacker.stream.write_all(&many).await.is_ok() {}
        });
        let flooded = median(&mut honest).await;
        flood.abort();
        pairs.push((flooded.as_secs_f64() / quiet.as_secs_f64(), quiet, flooded));
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (least, quiet, flooded) = pairs[0];
    println!(
        "medians quiet and flooded: {quiet:.1?} and {flooded:.1?}, {least:.2} times; of {PAIRS} pairs the middle one {:.2} times",
        pairs[PAIRS / 2].0
    );
    assert!(least <= 3.0 * PROMISED, "{pairs:?}");
}
