//! The server on real sockets: accepting, time-outs, stopping.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use roomcast_gateway::{Config, Gateway, server};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::harness::{Client, config, publish, start, token, upgrade, with_header, with_token};

/// A gateway on a free port.
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) fn start(config: Config) -> Self {
        let gateway = start(config);
        let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = gateway.clone();
        let task = tokio::spawn(async move {
            running
                .run(listener, async {
                    let _ = stopped.await;
                })
                .await
        });
        Self { gateway, address, stop: Some(stop), task }
    }

    fn begin_stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    pub(crate) async fn client(&self, user: &str) -> Client<TcpStream> {
        self.client_over(TcpStream::connect(self.address).await.unwrap(), user).await
    }

    pub(crate) async fn client_over(&self, stream: TcpStream, user: &str) -> Client<TcpStream> {
        let token = token(&self.gateway, user, json!({"*": ["*"]}));
        let request = with_header(with_token(&token), "sec-websocket-protocol", "roomcast.v1");
        let (mut client, _) = Client::over(stream, request).await.unwrap();
        assert_eq!(client.receive().await["type"], "connection.ack");
        client
    }
}

/// Until the gateway ends the connection.
async fn ends_after(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.expect("still open");
    start.elapsed()
}

#[tokio::test]
async fn silence_and_half_a_request_are_ended_while_others_are_served() {
    let running = Running::start(Config { header_timeout: Duration::from_millis(300), ..config() });
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let mut half = TcpStream::connect(running.address).await.unwrap();
    half.write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    let mut client = running.client("user_1").await;
    for stream in [&mut silent, &mut half] {
        let elapsed = ends_after(stream).await;
        assert!(elapsed < Duration::from_millis(900), "{elapsed:?}");
    }
    client.is_quiet().await;
}

#[tokio::test]
async fn stopping_under_load_closes_every_socket_with_1012_and_loses_no_accepted_event() {
    let mut running = Running::start(Config { drain: Duration::from_secs(3), ..config() });
    let mut clients = Vec::new();
    for index in 0..50 {
        let mut client = running.client(&format!("user_{index}")).await;
        client.subscribe(&["team:a"]).await;
        clients.push(client);
    }
    let accepted = publish(&running.gateway, json!({"type": "custom.event", "payload": 1, "rooms": ["team:a"]})).await;
    let start = Instant::now();
    running.begin_stop();
    for client in &mut clients {
        assert_eq!(client.receive().await["eventId"], accepted["eventId"]);
        let closing = client.receive().await;
        assert_eq!(closing["type"], "connection.closing");
        assert_eq!(closing["payload"]["code"], 1012);
        assert_eq!(closing["payload"]["resumable"], true);
        assert!(closing["payload"]["retryAfterMs"].as_u64().unwrap() <= 3000);
        assert_eq!(client.closed().await, 1012);
    }
    running.task.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(9), "three times the drain");
    assert_eq!(running.gateway.stats().total_clients, 0);
}

#[tokio::test]
async fn a_draining_gateway_is_not_ready_accepts_for_the_delay_and_then_refuses() {
    let delay = Duration::from_millis(800);
    let mut running = Running::start(Config { drain: Duration::from_secs(4), drain_delay: delay, ..config() });
    let mut held = running.client("user_0").await;
    running.begin_stop();
    let health = async |path: &str| {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    while health("/readyz").await.starts_with("HTTP/1.1 200") {
        tokio::task::yield_now().await;
    }
    assert!(health("/livez").await.starts_with("HTTP/1.1 200"));
    let mut late = running.client("user_1").await;
    assert_eq!(held.closed().await, 1012);
    assert_eq!(late.closed().await, 1012);
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_does_not_answer_the_close_delays_the_end_no_longer_than_the_drain() {
    let mut running = Running::start(Config { drain: Duration::ZERO, ..config() });
    let stuck = running.client("user_0").await;
    let start = Instant::now();
    running.begin_stop();
    running.task.await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "a second, three times");
    drop(stuck);
}

#[tokio::test]
async fn a_message_that_is_begun_must_be_completed_in_time() {
    let running = Running::start(Config { message_timeout: Duration::from_millis(300), ..config() });
    let mut client = running.client("user_0").await;
    let raw = client.socket.get_mut();
    // The header of a text of 100 bytes, and one of them.
    raw.write_all(&[0x81, 0x80 | 100, 1, 2, 3, 4, b'x']).await.unwrap();
    let start = Instant::now();
    assert_eq!(client.closed().await, 1002);
    assert!(start.elapsed() < Duration::from_millis(900));
}

#[tokio::test]
async fn events_reach_a_browser_that_brings_its_token_as_a_subprotocol() {
    let running = Running::start(config());
    let stream = TcpStream::connect(running.address).await.unwrap();
    let token = token(&running.gateway, "user_1", json!({"team:*": ["subscribe"]}));
    let request = with_header(upgrade(), "sec-websocket-protocol", &format!("roomcast.v1, roomcast.bearer.{token}"));
    let (mut client, response) = Client::over(stream, request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "roomcast.v1");
    assert_eq!(client.receive().await["payload"]["rooms"], json!({}));
    client.subscribe(&["team:a"]).await;
    publish(&running.gateway, json!({"type": "custom.event", "payload": null, "rooms": ["team:a"]})).await;
    assert_eq!(client.receive().await["payload"], json!(null));
}

#[tokio::test]
async fn a_port_in_use_is_an_error_of_binding() {
    let running = Running::start(config());
    let error = server::bind(running.address).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
