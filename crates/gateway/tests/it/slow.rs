//! Slow and hostile peers: they end, and nobody else notices.

use std::time::Duration;

use futures_util::FutureExt;
use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::harness::{Client, config, publish, start};
use crate::raw::frame;

async fn reader(gateway: &Gateway) -> Client {
    let mut client = Client::join(gateway, "u", json!({"*": ["subscribe"]})).await;
    client.subscribe(&["team:a"]).await;
    client
}

async fn metrics(gateway: &Gateway) -> String {
    let request = crate::harness::request("GET", "/metrics", None, Value::Null);
    crate::harness::call(gateway, request).await.2.as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_closed_and_the_others_get_everything() {
    let gateway = start(Config { max_queue_bytes: 128 << 10, ..config() });
    let mut slow = reader(&gateway).await;
    let mut quick = reader(&gateway).await;
    let event =
        |index: usize| json!({"type": "custom.event", "payload": [index, "x".repeat(8000)], "rooms": ["team:a"]});
    for index in 0..60 {
        publish(&gateway, event(index)).await;
        assert_eq!(quick.receive().await["payload"][0], index);
    }
    // What the pipe and the library had taken comes still, then the reason.
    let mut received = 0;
    loop {
        let frame = slow.receive().await;
        if frame["type"] == "connection.closing" {
            assert_eq!(frame["payload"]["code"], 4000);
            assert_eq!(frame["payload"]["resumable"], true);
            break;
        }
        assert_eq!(frame["payload"][0], received, "in order and without a hole");
        received += 1;
    }
    assert!(received < 30, "{received}");
    assert_eq!(slow.closed().await, 4000);
    sleep(Duration::from_secs(3)).await;
    assert!(metrics(&gateway).await.contains("roomcast_connections_closed_total{code=\"4000\"} 1\n"));
    quick.is_quiet().await;
    publish(&gateway, event(60)).await;
    assert_eq!(quick.receive().await["payload"][0], 60);
}

#[tokio::test(start_paused = true)]
async fn who_never_reads_again_is_forgotten_all_the_same() {
    let gateway = start(Config { max_queue_bytes: 128 << 10, ..config() });
    let _slow = reader(&gateway).await;
    for _ in 0..60 {
        publish(&gateway, json!({"type": "custom.event", "payload": "x".repeat(8000), "rooms": ["team:a"]})).await;
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(gateway.stats().total_clients, 0);
    assert_eq!(gateway.stats().total_rooms, 0);
}

/// More than the pipe takes, and far below the bound in bytes.
async fn fill(gateway: &Gateway) {
    for index in 0..8 {
        let payload = json!([index, "x".repeat(8000)]);
        publish(gateway, json!({"type": "custom.event", "payload": payload, "rooms": ["team:a"]})).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_for_eight_seconds_is_closed_though_it_says_that_it_lives() {
    let gateway = start(config());
    let mut client = reader(&gateway).await;
    fill(&gateway).await;
    let start = Instant::now();
    while gateway.stats().total_clients > 0 {
        let _ = client.socket.get_mut().write_all(&frame(0x89, b"")).await;
        sleep(Duration::from_millis(100)).await;
    }
    // Two seconds for the close that nobody reads.
    assert!((9_900..10_200).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    assert!(metrics(&gateway).await.contains("roomcast_connections_closed_total{code=\"4000\"} 1\n"));
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_little_now_and_then_is_not_closed() {
    let gateway = start(config());
    let mut client = reader(&gateway).await;
    fill(&gateway).await;
    let mut taken = vec![0; 6000];
    for _ in 0..6 {
        sleep(Duration::from_secs(6)).await;
        client.socket.get_mut().read_exact(&mut taken).await.unwrap();
    }
    assert_eq!(gateway.stats().total_clients, 1);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(gateway.stats().total_clients, 1, "the close waits to be read");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(gateway.stats().total_clients, 0);
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_reads_fill_the_queue_too() {
    let gateway = start(Config { max_queue_bytes: 128 << 10, messages_per_minute: 100_000, ..config() });
    let mut client = reader(&gateway).await;
    let ping = frame(0x81, json!({"type": "ping", "id": "x".repeat(64)}).to_string().as_bytes());
    let mut sent = 0;
    while client.socket.get_mut().write_all(&ping).await.is_ok() && sent < 20_000 {
        sent += 1;
    }
    assert!(sent < 5000, "the connection took {sent} requests without reading an answer");
}

/// A frame's bytes, one every so often.
async fn drip(client: &mut Client, bytes: &[u8], every: Duration) {
    for byte in bytes {
        if client.socket.get_mut().write_all(&[*byte]).await.is_err() {
            return;
        }
        sleep(every).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_must_be_complete_ten_seconds_behind_its_first_byte() {
    let gateway = start(config());
    let text = json!({"type": "ping"}).to_string();
    let fragments = [frame(0x01, &text.as_bytes()[..3]), frame(0x89, b"p"), frame(0x00, b"x"), frame(0x00, b"x")];
    for (what, bytes) in [("a frame", frame(0x81, text.as_bytes())), ("fragments", fragments.concat())] {
        let mut client = reader(&gateway).await;
        let start = Instant::now();
        drip(&mut client, &bytes[..7], Duration::from_millis(1400)).await;
        assert_eq!(gateway.stats().total_clients, 1, "{what}");
        drip(&mut client, &bytes[7..], Duration::from_millis(1400)).await;
        assert_eq!(client.closed().await, 1002, "{what}");
        assert!(start.elapsed() < Duration::from_secs(14), "{what}");
        sleep(Duration::from_secs(3)).await;
        assert_eq!(gateway.stats().total_clients, 0, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_takes_nine_seconds_is_taken() {
    let gateway = start(config());
    let mut client = reader(&gateway).await;
    let bytes = frame(0x81, json!({"type": "ping"}).to_string().as_bytes());
    for _ in 0..3 {
        let every = Duration::from_secs(9) / u32::try_from(bytes.len()).unwrap();
        drip(&mut client, &bytes, every).await;
        assert_eq!(client.receive().await["payload"]["message"], "pong");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_by_a_client_that_never_reads_is_not_kept_for_it() {
    let queue = 128 << 10;
    let gateway = start(Config { max_queue_bytes: queue, ..config() });
    let mut client = reader(&gateway).await;
    let flood = frame(0x89, &[b'x'; 125]).repeat(100);
    let raw = client.socket.get_mut();
    let mut sent = 0;
    while sent < 8 << 20 && raw.write_all(&flood).await.is_ok() {
        sent += flood.len();
    }
    // What comes now is what was held for the client, and the answers to what it had sent last.
    let mut held = Vec::new();
    let _ = raw.read_to_end(&mut held).await;
    // The pipe in both directions, the library's buffer, and the frame that is being written.
    let most = queue + 3 * (16 << 10) + 1024;
    assert!(held.len() <= most, "{} of {sent} bytes were held", held.len());
    assert!(sent > held.len(), "{sent}");
}

#[tokio::test]
async fn between_a_few_pings_of_a_flood_everybody_else_has_a_turn() {
    const PINGS: usize = 2000;
    let gateway = start(config());
    let mut client = reader(&gateway).await;
    let raw = client.socket.get_mut();
    // All of them are there before the first is answered: they fit into the pipe.
    raw.write_all(&frame(0x89, b"").repeat(PINGS)).await.unwrap();
    let (mut answered, mut most, mut bytes) = (0, 0, [0; 16 << 10]);
    while answered < PINGS {
        tokio::task::yield_now().await;
        let read = raw.read(&mut bytes).now_or_never().map_or(0, |read| read.unwrap());
        let pongs = bytes[..read].chunks(2).filter(|frame| *frame == [0x8a, 0]).count();
        assert_eq!(pongs * 2, read, "an empty pong has two bytes");
        answered += pongs;
        most = most.max(pongs);
    }
    // 16, and once more where the socket had a turn before this task.
    assert!(most <= 48, "{most} pings were answered in one turn");
}
