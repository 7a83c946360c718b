//! A plain axum server with one `tokio::sync::broadcast` channel for each room: what one writes first, and for many it is
//! enough. No tokens, no limits, no history; who is too slow misses events in silence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{StreamExt as _, StreamMap};

/// Events that wait for the slowest subscriber of a room.
const CAPACITY: usize = 1024;

#[derive(Clone, Default)]
struct Rooms(Arc<Mutex<HashMap<String, broadcast::Sender<Utf8Bytes>>>>);

impl Rooms {
    fn room(&self, name: &str) -> broadcast::Sender<Utf8Bytes> {
        let mut rooms = self.0.lock().expect("nobody panics with it");
        rooms.entry(name.into()).or_insert_with(|| broadcast::channel(CAPACITY).0).clone()
    }
}

#[derive(serde::Deserialize)]
struct Request {
    rooms: Vec<String>,
}

async fn upgrade(upgrade: WebSocketUpgrade, State(rooms): State<Rooms>) -> Response {
    upgrade.on_upgrade(|socket| serve(socket, rooms))
}

async fn serve(mut socket: WebSocket, rooms: Rooms) {
    let mut feeds = StreamMap::new();
    loop {
        tokio::select! {
            message = socket.recv() => {
                let Some(Ok(message)) = message else { return };
                let Message::Text(text) = message else { continue };
                let Ok(Request { rooms: wanted }) = serde_json::from_str(&text) else { continue };
                for name in wanted {
                    let feed = BroadcastStream::new(rooms.room(&name).subscribe());
                    feeds.insert(name, feed);
                }
                let ack = Utf8Bytes::from_static(r#"{"type":"subscription.ack"}"#);
                if socket.send(Message::Text(ack)).await.is_err() {
                    return;
                }
            }
            Some((_, event)) = feeds.next() => {
                let Ok(event) = event else { continue };
                if socket.send(Message::Text(event)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn publish(Path(room): Path<String>, State(rooms): State<Rooms>, body: String) -> &'static str {
    // Nobody there is no error.
    let _ = rooms.room(&room).send(body.into());
    "{}"
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "3001".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let router = Router::new().route("/ws", get(upgrade)).route("/publish/{room}", post(publish));
    axum::serve(listener, router.with_state(Rooms::default())).await
}
