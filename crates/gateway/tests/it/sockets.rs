//! Delivery over bare sockets, which are written to from wherever a turn ends.

use std::time::{Duration, Instant};

use roomcast_gateway::{Config, Gateway, Service};
use roomcast_protocol::{Event, NewEvent, Room};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Client, call, config, request};
use crate::server::Running;

async fn member(running: &Running, user: &str) -> Client<TcpStream> {
    let mut client = running.client(user).await;
    client.subscribe(&["team:a"]).await;
    client
}

async fn tell(gateway: &Gateway, number: usize, filler: &str) {
    let event = Event::custom("custom.event", json!({"number": number, "filler": filler}));
    gateway.publish(NewEvent::from(event).to([Room::team("a")])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_room_that_is_written_in_chunks_gets_everything_in_order() {
    const MEMBERS: usize = 300;
    const EVENTS: usize = 60;
    let running = Running::start(config());
    let mut readers = Vec::new();
    for number in 0..MEMBERS {
        let mut client = member(&running, &format!("u{number}")).await;
        readers.push(tokio::spawn(async move {
            for expected in 1..=EVENTS {
                let frame = client.receive().await;
                let position = frame["positions"]["team:a"].as_str().unwrap().to_owned();
                assert_eq!(position.rsplit(':').next(), Some(&*expected.to_string()), "{frame}");
            }
        }));
    }
    // Several at once, so that turns overlap with the writing of those before.
    let publishers: Vec<_> = (0..6)
        .map(|publisher| {
            let gateway = running.gateway.clone();
            tokio::spawn(async move {
                for number in 0..EVENTS / 6 {
                    tell(&gateway, publisher * 100 + number, "").await;
                }
            })
        })
        .collect();
    for task in publishers.into_iter().chain(readers) {
        task.await.unwrap();
    }
}

/// A client whose system takes little for it.
async fn narrow_member(running: &Running, user: &str) -> Client<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let mut client = running.client_over(socket.connect(running.address).await.unwrap(), user).await;
    client.subscribe(&["team:a"]).await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_its_socket_is_closed_behind_what_it_took_and_nobody_else_notices() {
    // More than the system buffers for a connection, at most 4 MiB for sending.
    const EVENTS: usize = 100;
    let running = Running::start(Config { max_queue_bytes: 128 << 10, ..config() });
    let mut slow = narrow_member(&running, "slow").await;
    let mut quick = member(&running, "quick").await;
    let filler = "x".repeat(60_000);
    for number in 0..EVENTS {
        tell(&running.gateway, number, &filler).await;
        assert_eq!(quick.receive().await["payload"]["number"], number);
    }
    let mut received = 0;
    loop {
        let frame = slow.receive().await;
        if frame["type"] == "connection.closing" {
            assert_eq!(frame["payload"]["code"], 4000);
            break;
        }
        assert_eq!(frame["payload"]["number"], received, "in order and without a hole");
        received += 1;
    }
    assert!(received < EVENTS, "{received}");
    assert_eq!(slow.closed().await, 4000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_of_what_waits_is_closed_in_time_and_recovers_everything() {
    const EVENTS: usize = 10;
    let stall = Duration::from_secs(1);
    let running = Running::start(Config { stall_timeout: stall, messages_per_minute: 100_000, ..config() });
    let mut slow = narrow_member(&running, "slow").await;
    let since =
        slow.ask(json!({"action": "subscribe", "rooms": ["team:a"]})).await["payload"]["rooms"]["team:a"].clone();
    // Far below the bound in bytes, and more than the system takes.
    for number in 0..EVENTS {
        tell(&running.gateway, number, &"x".repeat(60_000)).await;
    }
    let begin = Instant::now();
    // It says that it lives, and reads nothing.
    while running.gateway.stats().total_clients > 0 {
        let _ = slow.socket.get_mut().write_all(&crate::raw::frame(0x89, b"still here")).await;
        assert!(begin.elapsed() < Duration::from_secs(20), "it is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Beside the time, two seconds for the close that it does not read.
    assert!(begin.elapsed() < 3 * (stall + Duration::from_secs(2)), "{:?}", begin.elapsed());
    let metrics = call(&running.gateway, request("GET", "/metrics", None, Value::Null)).await.2;
    assert!(metrics.as_str().unwrap().contains("roomcast_connections_closed_total{code=\"4000\"} 1\n"), "{metrics}");
    assert!(metrics.as_str().unwrap().contains("connection_errors_total{reason=\"slow consumer\"} 1\n"), "{metrics}");

    let mut again = running.client("slow").await;
    let since = json!({"team:a": since["position"]});
    let answer = again.ask(json!({"action": "subscribe", "rooms": ["team:a"], "since": since})).await;
    assert_eq!(answer["payload"]["rooms"]["team:a"]["recovered"], EVENTS, "{answer}");
    for number in 0..EVENTS {
        assert_eq!(again.receive().await["payload"]["number"], number);
    }
}
