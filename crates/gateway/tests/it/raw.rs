//! Bytes as no client library would send them.

use roomcast_gateway::Gateway;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::pipe;

/// The answer to a request that was written by hand.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header, of the first if there are several.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(':'));
        pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

/// Writes a request over a new pipe and reads the answer; its body by `Content-Length` only.
pub(crate) async fn exchange(gateway: &Gateway, request: &[u8]) -> Answer {
    let mut stream = pipe(gateway);
    // A gateway that has read enough answers before it has read all.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.expect("the answer has a head"));
    }
    let head = String::from_utf8(bytes).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, body: String::new() };
    if let Some(length) = answer.header("content-length").filter(|_| !request.starts_with(b"HEAD")) {
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
    }
    answer
}

/// The lines of a good upgrade request.
pub(crate) const UPGRADE: [&str; 6] = [
    "GET /ws HTTP/1.1",
    "Host: gateway.test",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

/// A request of these lines.
pub(crate) fn request(lines: &[impl AsRef<str>]) -> Vec<u8> {
    let lines = lines.iter().map(|line| format!("{}\r\n", line.as_ref()));
    format!("{}\r\n", lines.collect::<String>()).into_bytes()
}

/// A good upgrade request with more lines.
pub(crate) fn upgrade_with(more: &[&str]) -> Vec<u8> {
    request(&[&UPGRADE[..], more].concat())
}

/// A masked frame; `first` is its first byte: FIN, RSV and the opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}
