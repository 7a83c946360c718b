//! A gateway to talk to, and clients that talk.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey};
use roomcast_gateway::clock::Clock;
use roomcast_gateway::{Config, Gateway, Secret};
use roomcast_protocol::{Grants, Timestamp, UserId};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

pub(crate) const SECRET: &str = "a secret of the tests, 32 bytes and more";

/// Long enough for a loaded machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration for tests: strict, as `serve` is.
pub(crate) fn config() -> Config {
    Config { jwt_secret: Some(Secret::new(SECRET)), drain: Duration::from_secs(1), ..Config::serve() }
}

pub(crate) fn start(config: Config) -> Gateway {
    Gateway::start(config).unwrap()
}

/// When the clock of [`start_with_paused_clock`] starts, in seconds.
pub(crate) const EPOCH: i64 = 1_700_000_000;

/// A gateway whose wall clock goes with tokio's, so that tests with paused time choose both.
pub(crate) fn start_with_paused_clock(config: Config) -> Gateway {
    let start = Instant::now();
    let clock = Clock::new(move || {
        let elapsed = i64::try_from(start.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(EPOCH * 1000 + elapsed).unwrap()
    });
    Gateway::start_with_clock(config, clock).unwrap()
}

/// A token made by hand: any header, any claims, any key.
pub(crate) fn sign(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// A well-signed token of any claims.
pub(crate) fn signed(claims: &Value) -> String {
    sign(&json!({"alg": "HS256", "typ": "JWT"}), claims, SECRET)
}

/// A token for the user, with grants such as `{"team:*": ["subscribe"]}`.
pub(crate) fn token(gateway: &Gateway, user: &str, grants: Value) -> String {
    token_for(gateway, user, grants, Duration::from_secs(3600))
}

pub(crate) fn token_for(gateway: &Gateway, user: &str, grants: Value, ttl: Duration) -> String {
    let user: UserId = user.parse().unwrap();
    let grants: Option<Grants> = serde_json::from_value(grants).unwrap();
    gateway.mint_token(&user, grants.as_ref(), ttl).unwrap()
}

pub(crate) fn peer() -> SocketAddr {
    "192.0.2.1:4711".parse().unwrap()
}

/// One end of a pipe whose other end the gateway serves.
pub(crate) fn pipe(gateway: &Gateway) -> DuplexStream {
    pipe_from(gateway, peer())
}

pub(crate) fn pipe_from(gateway: &Gateway, peer: SocketAddr) -> DuplexStream {
    let (client, server) = tokio::io::duplex(16 << 10);
    let gateway = gateway.clone();
    tokio::spawn(async move { gateway.serve_stream(server, peer).await });
    client
}

/// An upgrade request; headers may be added.
pub(crate) fn upgrade() -> Request<()> {
    "ws://gateway.test/ws".into_client_request().unwrap()
}

pub(crate) fn with_header(mut request: Request<()>, name: &'static str, value: &str) -> Request<()> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

pub(crate) fn with_token(token: &str) -> Request<()> {
    with_header(upgrade(), "authorization", &format!("Bearer {token}"))
}

/// A client over any stream.
pub(crate) struct Client<S = DuplexStream> {
    pub(crate) socket: WebSocketStream<S>,
}

impl Client {
    /// Connects over a pipe with the request.
    pub(crate) async fn open(gateway: &Gateway, request: Request<()>) -> Self {
        Self::over(pipe(gateway), request).await.unwrap().0
    }

    /// Connects with a token over `roomcast.v1`, and takes the acknowledgement.
    pub(crate) async fn join(gateway: &Gateway, user: &str, grants: Value) -> Self {
        let request = with_header(with_token(&token(gateway, user, grants)), "sec-websocket-protocol", "roomcast.v1");
        let mut client = Self::open(gateway, request).await;
        assert_eq!(client.receive().await["type"], "connection.ack");
        client
    }
}

impl Client {
    /// Connects from another address.
    pub(crate) async fn join_from(gateway: &Gateway, peer: &str, user: &str) -> Self {
        let request = with_token(&token(gateway, user, Value::Null));
        let mut client = Self::over(pipe_from(gateway, peer.parse().unwrap()), request).await.unwrap().0;
        assert_eq!(client.receive().await["type"], "connection.ack");
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn over(stream: S, request: Request<()>) -> Result<(Self, Response<Option<Vec<u8>>>), Error> {
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
        Ok((Self { socket }, response))
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next message, pings and pongs aside.
    pub(crate) async fn next(&mut self) -> Message {
        self.next_within(PATIENCE).await
    }

    pub(crate) async fn next_within(&mut self, patience: Duration) -> Message {
        loop {
            let next = tokio::time::timeout(patience, self.socket.next()).await.expect("nothing came in time");
            match next.expect("the connection ended without a close frame").unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// The next frame of the protocol.
    pub(crate) async fn receive(&mut self) -> Value {
        self.receive_within(PATIENCE).await
    }

    pub(crate) async fn receive_within(&mut self, patience: Duration) -> Value {
        match self.next_within(patience).await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected a frame, got {other:?}"),
        }
    }

    /// That the next frame is an error of this code, and no close.
    pub(crate) async fn is_refused(&mut self, code: &str) -> Value {
        let error = self.receive().await;
        assert_eq!((&error["type"], &error["payload"]["code"]), (&json!("error"), &json!(code)), "{error}");
        error
    }

    /// That the connection is refused as it begins: an error, then the close frame and nothing in between.
    pub(crate) async fn is_unauthorized(&mut self) -> Value {
        let error = self.is_refused("UNAUTHORIZED").await;
        match self.next().await {
            Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 4500),
            other => panic!("expected a close frame, got {other:?}"),
        }
        error
    }

    /// That the gateway says why it closes, and closes with that code.
    pub(crate) async fn is_closed_with_notice(&mut self, code: u16) -> Value {
        let closing = self.receive().await;
        assert_eq!(closing["type"], "connection.closing", "{closing}");
        assert_eq!(closing["payload"]["code"], code, "{closing}");
        match self.next().await {
            Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), code),
            other => panic!("expected a close frame, got {other:?}"),
        }
        closing["payload"].clone()
    }

    /// The code of the close frame, after any frames before it.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(frame) = self.next().await {
                return frame.map_or(1005, |frame| frame.code.into());
            }
        }
    }

    /// Sends a request and takes its answer, which must be the next frame.
    pub(crate) async fn ask(&mut self, frame: Value) -> Value {
        self.send(frame).await;
        self.receive().await
    }

    /// Subscribes, and takes the outcomes.
    pub(crate) async fn subscribe(&mut self, rooms: &[&str]) -> Value {
        let answer = self.ask(json!({"action": "subscribe", "rooms": rooms})).await;
        assert_eq!(answer["type"], "subscription.ack", "{answer}");
        answer["payload"]["rooms"].clone()
    }

    /// That nothing is on its way: the answer to a ping is the next frame.
    pub(crate) async fn is_quiet(&mut self) {
        let pong = self.ask(json!({"type": "ping"})).await;
        assert_eq!(pong["payload"]["message"], "pong", "{pong}");
    }
}

/// An HTTP call over a pipe: status and body, JSON if it is.
pub(crate) async fn call(gateway: &Gateway, request: Request<String>) -> (u16, http::HeaderMap, Value) {
    call_over(pipe(gateway), request).await
}

/// The same, over any stream.
pub(crate) async fn call_over<S>(stream: S, request: Request<String>) -> (u16, http::HeaderMap, Value)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request.map(|body| Full::new(bytes::Bytes::from(body)))).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let value = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
    (parts.status.as_u16(), parts.headers, value)
}

pub(crate) fn request(method: &str, path: &str, token: Option<&str>, body: Value) -> Request<String> {
    let mut request = Request::builder().method(method).uri(path).header("host", "gateway.test");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(if body.is_null() { String::new() } else { body.to_string() }).unwrap()
}

/// Publishes over HTTP with every right, and takes the answer.
pub(crate) async fn publish(gateway: &Gateway, body: Value) -> Value {
    let token = token(gateway, "back_end", json!({"*": ["*"]}));
    let (status, _, answer) = call(gateway, request("POST", "/api/v1/events", Some(&token), body)).await;
    assert_eq!(status, 200, "{answer}");
    answer
}
