//! A client that is not ours: a WebSocket, the positions that it was told, and nothing else.
//!
//! Owns one such client's journal. Where the SDK knows a repeated event by its id and drops it, this one writes it down: so
//! it shows what the gateway really sends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use roomcast_client::protocol::server::GapReason;
use roomcast_client::protocol::{EventId, Position, Room};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::cluster::token;
use crate::harness::PATIENCE;
use crate::readers::Shared;

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(300);

type Socket = WebSocketStream<TcpStream>;

/// The connection has ended, or is of no use.
#[derive(Debug)]
struct Over;

/// The client.
pub(crate) struct Reader {
    address: SocketAddr,
    token: String,
    rooms: Vec<Room>,
    record: Shared,
    socket: Option<Socket>,
}

impl Reader {
    /// Joins the rooms.
    pub(crate) async fn join(address: SocketAddr, number: usize, rooms: Vec<Room>, record: Shared) -> Self {
        let token = token(&format!("plain_{number}"), "subscribe");
        let mut reader = Self { address, token, rooms, record, socket: None };
        let mut socket = reader.connect().await.unwrap();
        let ack = reader.ask(&mut socket).await.unwrap();
        let positions = reader.rooms.iter().map(|room| (room.clone(), position(&ack[room.as_str()])));
        reader.record.lock().unwrap().start(positions.collect());
        reader.socket = Some(socket);
        reader
    }

    /// Writes down what comes, over any number of connections.
    pub(crate) async fn read(mut self) {
        loop {
            let Some(mut socket) = self.socket.take() else {
                tokio::time::sleep(PAUSE).await;
                self.socket = self.resume().await.ok();
                continue;
            };
            while let Ok(frame) = next(&mut socket).await {
                self.note(&frame);
            }
        }
    }

    async fn connect(&self) -> Result<Socket, Over> {
        let mut request = format!("ws://{}/ws", self.address).into_client_request().map_err(|_| Over)?;
        let headers = request.headers_mut();
        headers.insert("authorization", format!("Bearer {}", self.token).parse().map_err(|_| Over)?);
        headers.insert("sec-websocket-protocol", "roomcast.v1".parse().map_err(|_| Over)?);
        let connected = async {
            let stream = TcpStream::connect(self.address).await.map_err(|_| Over)?;
            let (mut socket, _) = client_async(request, stream).await.map_err(|_| Over)?;
            let ack = next(&mut socket).await?;
            if ack["type"] == "connection.ack" { Ok(socket) } else { Err(Over) }
        };
        tokio::time::timeout(PATIENCE, connected).await.map_err(|_| Over)?
    }

    /// Asks for the rooms, from where it has come to; answers what became of them.
    async fn ask(&self, socket: &mut Socket) -> Result<Value, Over> {
        let since = self.record.lock().unwrap().at().clone();
        let request = json!({"action": "subscribe", "rooms": self.rooms, "since": since});
        socket.send(Message::text(request.to_string())).await.map_err(|_| Over)?;
        let mut ack = next(socket).await?;
        Ok(ack["payload"]["rooms"].take())
    }

    /// Goes on at whatever node there is. A room that is refused, since the node has no Redis, is asked for anew.
    async fn resume(&self) -> Result<Socket, Over> {
        let mut socket = self.connect().await?;
        let ack = self.ask(&mut socket).await?;
        if self.rooms.iter().any(|room| ack[room.as_str()]["status"] == "denied") {
            return Err(Over);
        }
        self.note_rooms(&ack);
        Ok(socket)
    }

    fn note(&self, frame: &Value) {
        let mut record = self.record.lock().unwrap();
        match frame["type"].as_str() {
            Some("load.event") => {
                let id: EventId = frame["eventId"].as_str().unwrap().parse().unwrap();
                let positions: BTreeMap<Room, Position> = serde_json::from_value(frame["positions"].clone()).unwrap();
                record.event(id, positions);
            }
            Some("subscription.ack") => {
                drop(record);
                self.note_rooms(&frame["payload"]["rooms"]);
            }
            Some("connection.closing") => {}
            _ => record.is_strange(frame.to_string()),
        }
    }

    fn note_rooms(&self, rooms: &Value) {
        let mut record = self.record.lock().unwrap();
        for (room, outcome) in rooms.as_object().unwrap() {
            match outcome["status"].as_str() {
                Some("recovered") => record.resumed(),
                Some("gap") => {
                    let reason: GapReason = serde_json::from_value(outcome["reason"].clone()).unwrap();
                    record.gap(room.parse().unwrap(), position(outcome), Some(reason));
                }
                _ => record.is_strange(format!("{room}: {outcome}")),
            }
        }
    }
}

fn position(outcome: &Value) -> Position {
    outcome["position"].as_str().unwrap().parse().unwrap()
}

/// The next frame. Control frames answer themselves.
async fn next(socket: &mut Socket) -> Result<Value, Over> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).map_err(|_| Over),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Over),
            Some(Ok(_)) => {}
        }
    }
}
