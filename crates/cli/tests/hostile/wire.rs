//! A client that can say anything, and costs little: there are thousands.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// The connection after its upgrade.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Came {
    Frame(Value),
    Close(u16),
}

impl Client {
    /// Connects, and takes the acknowledgement.
    pub(crate) async fn connect(address: SocketAddr, token: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: roomcast.v1\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut client = Self { stream, read: Vec::new() };
        let end = loop {
            if let Some(end) = client.read.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
            client.read_more().await?;
        };
        let head: Vec<u8> = client.read.drain(..end).collect();
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
        }
        match client.next().await? {
            Came::Frame(frame) if frame["type"] == "connection.ack" => Ok(client),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    pub(crate) async fn send(&mut self, frame: &Value) -> io::Result<()> {
        self.stream.write_all(&masked(0x80 | TEXT, frame.to_string().as_bytes())).await
    }

    /// A request and its answer, with events in between left out.
    pub(crate) async fn ask(&mut self, frame: &Value) -> io::Result<Value> {
        self.send(frame).await?;
        loop {
            match self.next().await? {
                Came::Frame(frame) if frame.get("eventId").is_none() => return Ok(frame),
                Came::Frame(_) => {}
                Came::Close(code) => return Err(io::Error::other(format!("closed with {code}"))),
            }
        }
    }

    pub(crate) async fn ping(&mut self) -> io::Result<()> {
        self.ask(&json!({"type": "ping"})).await.map(drop)
    }

    /// The next frame, control frames aside.
    pub(crate) async fn next(&mut self) -> io::Result<Came> {
        loop {
            while let Some((opcode, payload)) = self.take_frame() {
                match opcode {
                    TEXT => return serde_json::from_slice(&payload).map(Came::Frame).map_err(io::Error::other),
                    CLOSE => return Ok(Came::Close(u16::from_be_bytes([payload[0], payload[1]]))),
                    _ => {}
                }
            }
            self.read_more().await?;
        }
    }

    /// The code with which it is closed, whatever comes before; 1006 when it just ends.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Ok(Came::Close(code)) => return code,
                Ok(Came::Frame(_)) => {}
                Err(_) => return 1006,
            }
        }
    }

    fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, length) = (*self.read.first()?, *self.read.get(1)?);
        let (header, length) = match length {
            126 => (4, usize::from(u16::from_be_bytes(self.read.get(2..4)?.try_into().ok()?))),
            127 => (10, usize::try_from(u64::from_be_bytes(self.read.get(2..10)?.try_into().ok()?)).ok()?),
            length => (2, usize::from(length)),
        };
        let payload = self.read.get(header..header + length)?.to_vec();
        self.read.drain(..header + length);
        Some((first & 0x0f, payload))
    }

    async fn read_more(&mut self) -> io::Result<()> {
        let mut part = [0; 4096];
        match self.stream.read(&mut part).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.read.extend_from_slice(&part[..count]);
                Ok(())
            }
        }
    }
}

/// A frame of a client; `first` is FIN, RSV and the opcode.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = announced(first, payload.len() as u64);
    bytes.extend(payload.iter().zip([0x12, 0x34, 0x56, 0x78].iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The header of a frame of that length, and nothing of its payload.
pub(crate) fn announced(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(0x80 | length as u8),
        126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([0x12, 0x34, 0x56, 0x78]);
    bytes
}
