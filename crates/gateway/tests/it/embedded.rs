//! The gateway inside somebody's axum application.

#[path = "../../examples/embedded.rs"]
mod example;

use std::net::SocketAddr;

use axum::Router;
use roomcast_gateway::{Config, Gateway};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Client, config, start, token, with_token};

async fn serve(application: Router, with_peer: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        if with_peer {
            let service = application.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, service).await.unwrap();
        } else {
            axum::serve(listener, application).await.unwrap();
        }
    });
    address
}

async fn post(address: SocketAddr, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn connect(gateway: &Gateway, address: SocketAddr) -> Client<TcpStream> {
    let token = token(gateway, "user_789", json!({"*": ["subscribe"]}));
    Client::over(TcpStream::connect(address).await.unwrap(), with_token(&token)).await.unwrap().0
}

#[tokio::test]
async fn the_example_brings_its_events_to_a_client_of_the_original() {
    let gateway = start(config());
    let address = serve(example::application(&gateway), true).await;
    let mut client = connect(&gateway, address).await;
    let ack = client.receive().await;
    assert_eq!(ack["payload"]["rooms"]["user:user_789"]["status"], "subscribed");
    client.subscribe(&["team:team_456"]).await;
    assert!(post(address, "/issues", "Fix login bug").await.starts_with("HTTP/1.1 200"));
    let created = client.receive().await;
    assert_eq!((&created["type"], &created["payload"]["title"]), (&json!("issue.created"), &json!("Fix login bug")));
    let notification = client.receive().await;
    assert_eq!(notification["type"], "notification.new");
    assert_eq!(notification["payload"], json!({"message": "You have a new issue"}));
    assert_eq!(client.receive().await["type"], "custom.event");
    let stats = gateway.stats();
    assert_eq!((stats.total_clients, stats.clients_per_room["team:team_456"]), (1, 1));
    gateway.shutdown().await;
    assert_eq!(client.closed().await, 1012);
}

#[tokio::test]
async fn without_the_peers_address_the_answer_says_how_to_serve() {
    let gateway = start(Config { drain: std::time::Duration::ZERO, ..config() });
    let address = serve(gateway.router(), false).await;
    let token = token(&gateway, "user_789", json!(null));
    let stream = TcpStream::connect(address).await.unwrap();
    let error = Client::over(stream, with_token(&token)).await.map(drop).unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(response) = error else { panic!("{error}") };
    assert_eq!(response.status(), 500);
    assert!(String::from_utf8_lossy(response.body().as_ref().unwrap()).contains("into_make_service_with_connect_info"));
}
