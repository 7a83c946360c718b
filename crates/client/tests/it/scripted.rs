//! A gateway whose part is played by the test, frame by frame, over an in-memory pipe.
//!
//! Time may be paused here: no real socket is involved.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use roomcast_client::protocol::{CloseCode, SUBPROTOCOL};
use roomcast_client::{Client, ClientBuilder, ConnectionState};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode as WireCode};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

/// Longer than anything that a test waits for; with paused time it costs nothing.
const DEADLINE: Duration = Duration::from_secs(600);

/// When every scripted frame was written.
const NOW: &str = "2024-01-15T10:30:00.000Z";

/// Where the client dials to.
pub(crate) struct Gateway {
    dialled: mpsc::UnboundedReceiver<DuplexStream>,
}

/// One connection, acknowledged or not.
pub(crate) struct Peer {
    socket: WebSocketStream<DuplexStream>,
    pub(crate) authorization: String,
}

/// A gateway, and a client builder that dials it.
pub(crate) fn gateway() -> (Gateway, ClientBuilder) {
    let (dial, dialled) = mpsc::unbounded_channel();
    let builder = Client::builder("ws://gateway.test/ws").dial(move || {
        let (near, far) = tokio::io::duplex(1 << 16);
        let dialled = dial.send(far).map_err(std::io::Error::other);
        async move { dialled.map(|()| near) }
    });
    (Gateway { dialled }, builder)
}

/// A gateway, a client, and their acknowledged connection.
pub(crate) async fn connected() -> (Gateway, Client, Peer) {
    let (mut gateway, builder) = gateway();
    let client = builder.token("t").build().unwrap();
    let peer = gateway.acknowledge().await;
    until(&client, ConnectionState::is_open).await;
    (gateway, client, peer)
}

/// Waits until the client's state is as wanted, and returns it.
pub(crate) async fn until(client: &Client, wanted: impl Fn(&ConnectionState) -> bool) -> ConnectionState {
    let mut states = client.watch_state();
    let state = timeout(DEADLINE, states.wait_for(|state| wanted(state))).await.expect("the state does not come");
    state.unwrap().clone()
}

impl Gateway {
    /// The next byte stream that the client opens.
    pub(crate) async fn dialled(&mut self) -> DuplexStream {
        timeout(DEADLINE, self.dialled.recv()).await.expect("the client does not dial").unwrap()
    }

    /// Whether the client dials within this time.
    pub(crate) async fn is_dialled_within(&mut self, time: Duration) -> bool {
        timeout(time, self.dialled.recv()).await.is_ok()
    }

    /// The next connection, upgraded.
    #[allow(clippy::result_large_err, reason = "the callback's type is the library's")]
    pub(crate) async fn accept(&mut self) -> Peer {
        let mut authorization = String::new();
        let stream = self.dialled().await;
        let upgrade = |request: &Request, mut response: Response| {
            let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("sec-websocket-protocol"), SUBPROTOCOL);
            assert_eq!(request.uri().path(), "/ws");
            authorization = header("authorization");
            response.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
            Ok(response)
        };
        let socket = accept_hdr_async(stream, upgrade).await.unwrap();
        Peer { socket, authorization }
    }

    /// The next connection, upgraded and acknowledged.
    pub(crate) async fn acknowledge(&mut self) -> Peer {
        let mut peer = self.accept().await;
        peer.acknowledge().await;
        peer
    }

    /// Answers the next upgrade with something else.
    pub(crate) async fn refuse(&mut self, head: &str) {
        let mut stream = self.dialled().await;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await.unwrap();
    }
}

impl Peer {
    pub(crate) async fn acknowledge(&mut self) {
        self.acknowledge_with(json!({})).await;
    }

    /// Acknowledges, with some of the limits changed.
    pub(crate) async fn acknowledge_with(&mut self, limits: Value) {
        let mut all =
            json!({"messagesPerMinute": 100, "maxMessageBytes": 65_536, "maxRooms": 128, "maxRoomsPerMessage": 128});
        all.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        let ack = json!({
            "message": "Connected to WebSocket server", "timestamp": NOW, "connectionId": "c-1", "userId": "u-1",
            "protocol": SUBPROTOCOL, "expiresAt": NOW, "rooms": {}, "limits": all,
            "heartbeat": {"pingIntervalMs": 30_000, "timeoutMs": 60_000}, "schema": {"version": "1.0.0", "hash": "h"},
        });
        self.send("connection.ack", None, &ack).await;
    }

    pub(crate) async fn send(&mut self, frame_type: &str, reply_to: Option<&Value>, payload: &Value) {
        let mut frame = json!({"type": frame_type, "payload": payload, "timestamp": NOW});
        if let Some(id) = reply_to {
            frame["replyTo"] = id.clone();
        }
        self.send_frame(&frame).await;
    }

    pub(crate) async fn send_frame(&mut self, frame: &Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// The client's next request. Pings of the client are answered by the socket and passed over.
    pub(crate) async fn request(&mut self) -> Value {
        let next = async {
            loop {
                match self.socket.next().await.expect("the client is gone").unwrap() {
                    Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => panic!("not a request: {other:?}"),
                }
            }
        };
        timeout(DEADLINE, next).await.expect("no request comes")
    }

    /// The client's next request; `None` when it is gone.
    pub(crate) async fn try_request(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Whether the client sends a request within this time.
    pub(crate) async fn is_asked_within(&mut self, time: Duration) -> bool {
        timeout(time, self.try_request()).await.is_ok_and(|request| request.is_some())
    }

    /// The next request, which must subscribe to these rooms.
    pub(crate) async fn subscribe_request(&mut self, rooms: &[&str]) -> Value {
        let request = self.request().await;
        assert_eq!(request["action"], "subscribe", "{request}");
        assert_eq!(request["rooms"], json!(rooms));
        assert!(request.get("since").is_none(), "{request}");
        request["id"].clone()
    }

    /// The next request, which must leave these rooms; it is answered.
    pub(crate) async fn unsubscribed(&mut self, rooms: &[&str]) {
        let request = self.request().await;
        assert_eq!(request["action"], "unsubscribe", "{request}");
        assert_eq!(request["rooms"], json!(rooms));
        let outcomes: Value = rooms.iter().map(|room| (*room, json!({"status": "unsubscribed"}))).collect();
        self.send("subscription.ack", Some(&request["id"]), &json!({"rooms": outcomes})).await;
    }

    /// The next request, which must subscribe to these rooms; they are joined at this position.
    pub(crate) async fn joined(&mut self, rooms: &[&str], position: &str) {
        let id = self.subscribe_request(rooms).await;
        let joined = json!({"status": "subscribed", "position": position});
        let outcomes: Value = rooms.iter().map(|room| (*room, joined.clone())).collect();
        self.send("subscription.ack", Some(&id), &json!({"rooms": outcomes})).await;
    }

    /// The next request, which must resume these rooms from these positions.
    pub(crate) async fn resume_request(&mut self, since: &[(&str, &str)]) -> Value {
        let request = self.request().await;
        assert_eq!(request["action"], "subscribe", "{request}");
        let rooms: Vec<&str> = since.iter().map(|(room, _)| *room).collect();
        assert_eq!(request["rooms"], json!(rooms));
        let positions: Value = since.iter().map(|(room, position)| (*room, json!(position))).collect();
        assert_eq!(request["since"], positions, "{request}");
        request["id"].clone()
    }

    /// The next request, which must resume these rooms; each is recovered with so many missed events to follow.
    pub(crate) async fn recovered(&mut self, since: &[(&str, &str)], recovered: u64) {
        let id = self.resume_request(since).await;
        let outcome = |position| json!({"status": "recovered", "position": position, "recovered": recovered});
        let outcomes: Value = since.iter().map(|(room, position)| (*room, outcome(*position))).collect();
        self.send("subscription.ack", Some(&id), &json!({"rooms": outcomes})).await;
    }

    /// The next request, which must resume this room alone, from anywhere.
    pub(crate) async fn resume_request_of_one(&mut self, room: &str) -> Value {
        let request = self.request().await;
        assert_eq!((&request["action"], &request["rooms"]), (&json!("subscribe"), &json!([room])), "{request}");
        request
    }

    /// Answers a request to resume a room from a position of epoch `e`: the events up to this offset follow, each with its
    /// offset in its title.
    pub(crate) async fn replay(&mut self, request: &Value, room: &str, latest: u64) {
        let since = request["since"][room].as_str().unwrap();
        let from: u64 = since.strip_prefix("e:").unwrap().parse().unwrap();
        let outcome = json!({"status": "recovered", "position": since, "recovered": latest - from});
        self.send("subscription.ack", Some(&request["id"]), &json!({"rooms": {room: outcome}})).await;
        for offset in from + 1..=latest {
            self.event(&format!("a{offset}"), room, &format!("e:{offset}")).await;
        }
    }

    /// Says that events of a room are lost; with the id of the request that it answers.
    pub(crate) async fn gap(&mut self, id: Option<&Value>, room: &str, position: &str, reason: &str) {
        let outcome = json!({"status": "gap", "position": position, "reason": reason});
        self.send("subscription.ack", id, &json!({"rooms": {room: outcome}})).await;
    }

    pub(crate) async fn deny(&mut self, id: &Value, room: &str, code: &str) {
        let outcomes = json!({"rooms": {room: {"status": "denied", "code": code}}});
        self.send("subscription.ack", Some(id), &outcomes).await;
    }

    /// An event of one room.
    pub(crate) async fn event(&mut self, title: &str, room: &str, position: &str) {
        self.send_frame(&json!({
            "type": "note.added", "payload": {"title": title}, "timestamp": NOW, "positions": {room: position},
        }))
        .await;
    }

    /// Closes, and waits until the client has answered and gone.
    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: WireCode::from(code), reason: Utf8Bytes::default() };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// The code of the close frame that comes next.
    pub(crate) async fn closed(&mut self) -> CloseCode {
        let next = async {
            loop {
                if let Message::Close(frame) = self.socket.next().await.expect("no close frame").unwrap() {
                    return CloseCode::from(u16::from(frame.unwrap().code));
                }
            }
        };
        timeout(DEADLINE, next).await.expect("the client does not close")
    }

    /// Reads without answering for ever: a gateway that fell silent.
    pub(crate) async fn fall_silent(self) {
        let mut stream = self.socket.into_inner();
        let mut sink = [0; 1024];
        while stream.read(&mut sink).await.is_ok_and(|read| read > 0) {}
    }

    /// Sends a ping as gateways do.
    pub(crate) async fn ping(&mut self) {
        self.socket.send(Message::Ping(Bytes::new())).await.unwrap();
    }
}
