//! One client that wants memory, time or both: what the process holds grows by less than a MiB, the connection is closed in
//! time, and others are served meanwhile.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::server::{Server, token};
use crate::share;
use crate::wire::{Client, announced, masked};

/// What is promised, and three times as much is allowed.
const PROMISED: Duration = Duration::from_secs(10);

/// KiB.
const MOST_GROWTH: u64 = 1024;

#[derive(Debug, Clone, Copy)]
enum Attack {
    PingFlood,
    MessageFlood,
    UnfinishedFragments,
    BytesAsFragments,
    EmptyFragments,
    ControlFramesInFragments,
    Lengths,
    UnfinishedMessage,
    ByteEveryFiveSeconds,
}

const ALL: [Attack; 9] = [
    Attack::PingFlood,
    Attack::MessageFlood,
    Attack::UnfinishedFragments,
    Attack::BytesAsFragments,
    Attack::EmptyFragments,
    Attack::ControlFramesInFragments,
    Attack::Lengths,
    Attack::UnfinishedMessage,
    Attack::ByteEveryFiveSeconds,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_attack_takes_memory_or_lasts() {
    let _machine = share().await;
    let mut attacks = JoinSet::new();
    // Each has a process of its own, so that what it costs is its own. Most of them wait.
    for attack in ALL {
        attacks.spawn(async move { suffer(attack).await });
    }
    attacks.join_all().await;
}

async fn suffer(attack: Attack) {
    // Enough for the honest one.
    let server = Server::start(&[("MESSAGES_PER_MINUTE", "2000")]);
    let mut honest = Client::connect(server.address, &token("honest")).await.unwrap();
    warm_up(&server, &mut honest).await;
    let before = server.settled_memory().await;
    let mut most = before;
    let address = server.address;
    let attacking = tokio::spawn(async move {
        let attacker = Client::connect(address, &token("attacker")).await.unwrap();
        attack.carry_out(attacker).await
    });
    while !attacking.is_finished() {
        timeout(3 * PROMISED, honest.ping()).await.expect("others are served").unwrap();
        most = most.max(server.memory());
        sleep(Duration::from_millis(20)).await;
    }
    let (code, after) = attacking.await.unwrap();
    let growth = most - before;
    println!("{attack:?}: closed with {code} after {after:.1?}, at most {growth} KiB more than {before} KiB");
    assert!(after < 3 * PROMISED, "{attack:?}: {after:?}");
    assert!(growth <= MOST_GROWTH, "{attack:?}: {growth} KiB");
    assert!(attack.codes().contains(&code), "{attack:?}: {code}");
}

/// Everything that an honest client makes the process hold, once.
async fn warm_up(server: &Server, honest: &mut Client) {
    for _ in 0..3 {
        let mut client = Client::connect(server.address, &token("attacker")).await.unwrap();
        for _ in 0..20 {
            client.stream.write_all(&masked(0x89, &[b'x'; 125])).await.unwrap();
            client.ping().await.unwrap();
            honest.ping().await.unwrap();
        }
        client.stream.write_all(&announced(0x81, 1 << 40)).await.unwrap();
        assert_eq!(client.closed().await, 1009);
    }
}

impl Attack {
    fn codes(self) -> &'static [u16] {
        match self {
            // Who never reads does not see the close, either.
            Self::PingFlood | Self::MessageFlood => &[1006],
            Self::BytesAsFragments | Self::EmptyFragments | Self::ControlFramesInFragments => &[1009],
            Self::Lengths => &[1002, 1009],
            Self::UnfinishedFragments | Self::UnfinishedMessage | Self::ByteEveryFiveSeconds => &[1002],
        }
    }

    /// Answers how it was closed, and how long after what it did.
    async fn carry_out(self, mut client: Client) -> (u16, Duration) {
        let begin = Instant::now();
        let patience = 4 * PROMISED;
        let done = timeout(patience, async {
            match self {
                Self::PingFlood => return flood(&mut client, &masked(0x89, &[b'x'; 125])).await,
                Self::MessageFlood => {
                    let message = json!({"type": "ping", "id": "x".repeat(64)}).to_string();
                    return flood(&mut client, &masked(0x81, message.as_bytes())).await;
                }
                Self::UnfinishedFragments => repeat(&mut client, masked(0x01, b"{"), masked(0x00, b" "), 100).await,
                Self::BytesAsFragments => repeat(&mut client, masked(0x01, b"{"), masked(0x00, b" "), 100_000).await,
                Self::EmptyFragments => repeat(&mut client, masked(0x01, b"{"), masked(0x00, b""), 100_000).await,
                Self::ControlFramesInFragments => {
                    repeat(&mut client, masked(0x01, b"{"), masked(0x8a, b""), 100_000).await;
                }
                Self::Lengths => {
                    let (address, token) = (client.stream.peer_addr().unwrap(), token("attacker"));
                    for length in [65_537, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX] {
                        let mut client = Client::connect(address, &token).await.unwrap();
                        let _ = client.stream.write_all(&announced(0x82, length)).await;
                        assert!(self.codes().contains(&client.closed().await), "{length}");
                    }
                    let _ = client.stream.write_all(&announced(0x81, 1 << 63)).await;
                }
                Self::UnfinishedMessage => {
                    let half = [announced(0x81, 65_536), vec![b'x'; 40_000]].concat();
                    let _ = client.stream.write_all(&half).await;
                }
                Self::ByteEveryFiveSeconds => {
                    for byte in masked(0x81, b"{\"type\":\"ping\"}") {
                        if client.stream.write_all(&[byte]).await.is_err() {
                            break;
                        }
                        if let Ok(code) = timeout(Duration::from_secs(5), client.closed()).await {
                            return code;
                        }
                    }
                }
            }
            client.closed().await
        });
        let code = done.await.unwrap_or_else(|_| panic!("{self:?}: not closed within {patience:?}"));
        (code, begin.elapsed())
    }
}

/// 128 MiB, or as much as is taken; then the same now and then, until nothing is taken any more. Never reads.
async fn flood(client: &mut Client, frame: &[u8]) -> u16 {
    let many = frame.repeat((64 << 10) / frame.len());
    let mut left: usize = 128 << 20;
    while left > 0 && client.stream.write_all(&many).await.is_ok() {
        left = left.saturating_sub(many.len());
    }
    println!("of a flood {} MiB were taken at once", 128 - (left >> 20));
    while client.stream.write_all(frame).await.is_ok() {
        sleep(Duration::from_millis(50)).await;
    }
    1006
}

/// One frame, and then many times another, until nothing is taken any more.
async fn repeat(client: &mut Client, first: Vec<u8>, next: Vec<u8>, times: usize) {
    let bytes = [first, next.repeat(times)].concat();
    // A gateway that has seen enough takes no more.
    let _ = client.stream.write_all(&bytes).await;
}
