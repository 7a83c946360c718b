//! The floor: the least that a server on this system can do for a fan-out.
//!
//! One thread and one epoll. A frame is built once; at the end of a turn each member of a room gets all frames of that turn
//! by one `send`. There are no tokens, limits, heartbeats, or bounds; a request must come as this repository's load tool
//! sends it, and anything else ends the connection. It answers nobody but on loopback.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    is_socket: bool,
    /// What was read and is not whole.
    kept: Vec<u8>,
    /// What the socket has not taken.
    out: Vec<u8>,
    rooms: Vec<usize>,
}

#[derive(Default)]
struct Room {
    members: Vec<usize>,
    /// The frames of this turn.
    frames: Vec<u8>,
}

#[derive(Default)]
struct Server {
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    names: HashMap<String, usize>,
    rooms: Vec<Room>,
    /// Rooms with frames of this turn.
    touched: Vec<usize>,
}

fn main() -> io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "3001".into());
    let address = format!("127.0.0.1:{port}").parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut listener = TcpListener::bind(address)?;
    let (mut poll, mut events, mut server) = (Poll::new()?, Events::with_capacity(1024), Server::default());
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            if event.token() == LISTENER {
                server.accept(&listener, poll.registry())?;
                continue;
            }
            let id = event.token().0;
            if event.is_writable() {
                server.write(id, &[]);
            }
            if event.is_readable() || event.is_read_closed() {
                server.read(id, &mut buffer);
            }
        }
        server.flush();
    }
}

impl Server {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => continue,
            };
            stream.set_nodelay(true)?;
            let id = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            registry.register(&mut stream, Token(id), Interest::READABLE | Interest::WRITABLE)?;
            let connection =
                Connection { stream, is_socket: false, kept: Vec::new(), out: Vec::new(), rooms: Vec::new() };
            self.connections[id] = Some(connection);
        }
    }

    fn end(&mut self, id: usize) {
        let Some(connection) = self.connections[id].take() else { return };
        for room in connection.rooms {
            self.rooms[room].members.retain(|member| *member != id);
        }
        self.free.push(id);
    }

    /// Writes these bytes behind what is still to be written; keeps what the socket does not take.
    fn write(&mut self, id: usize, bytes: &[u8]) {
        let Some(connection) = &mut self.connections[id] else { return };
        if !connection.out.is_empty() {
            connection.out.extend_from_slice(bytes);
            let out = std::mem::take(&mut connection.out);
            if let Some(written) = send(&mut connection.stream, &out) {
                connection.out = out[written..].to_vec();
            }
        } else if !bytes.is_empty()
            && let Some(written) = send(&mut connection.stream, bytes)
        {
            connection.out = bytes[written..].to_vec();
        }
    }

    fn read(&mut self, id: usize, buffer: &mut [u8]) {
        loop {
            let Some(connection) = &mut self.connections[id] else { return };
            match connection.stream.read(buffer) {
                Ok(0) => return self.end(id),
                Ok(read) => {
                    let whole = connection.kept.is_empty();
                    if !whole {
                        connection.kept.extend_from_slice(&buffer[..read]);
                    }
                    let kept = std::mem::take(&mut connection.kept);
                    let mut rest = if whole { &buffer[..read] } else { &kept };
                    while let Some(used) = self.take(id, rest) {
                        rest = &rest[used..];
                    }
                    if let Some(connection) = &mut self.connections[id] {
                        connection.kept = rest.to_vec();
                    }
                    if read < buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.end(id),
            }
        }
    }

    /// Does one request or frame, and says how many bytes it had; `None` when there is no whole one.
    fn take(&mut self, id: usize, bytes: &[u8]) -> Option<usize> {
        if self.connections[id].as_ref()?.is_socket { self.frame(id, bytes) } else { self.request(id, bytes) }
    }

    fn request(&mut self, id: usize, bytes: &[u8]) -> Option<usize> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        if head.starts_with("GET /ws ") {
            // The answer to the key is left out: the load tool does not look at it.
            self.write(id, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
            self.connections[id].as_mut()?.is_socket = true;
            return Some(end);
        }
        let room = head.strip_prefix("POST /publish/")?.split(' ').next()?;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?.parse().ok()?;
        let body = bytes[end..].get(..length)?;
        let room = self.room(room);
        if self.rooms[room].frames.is_empty() {
            self.touched.push(room);
        }
        put_text(body, &mut self.rooms[room].frames);
        self.write(id, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        Some(end + length)
    }

    /// A frame of a client is a wish to join rooms.
    fn frame(&mut self, id: usize, bytes: &[u8]) -> Option<usize> {
        let (start, length) = match bytes.get(1)? & 0x7f {
            126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
            127 => return None,
            length => (2, usize::from(length)),
        };
        let mask = bytes.get(start..start + 4)?;
        let masked = bytes.get(start + 4..start + 4 + length)?;
        let text: Vec<u8> = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        if bytes[0] == 0x81 {
            let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
            for name in value["rooms"].as_array()?.iter().filter_map(|name| name.as_str()) {
                let room = self.room(name);
                self.rooms[room].members.push(id);
                self.connections[id].as_mut()?.rooms.push(room);
            }
            let mut ack = Vec::new();
            put_text(br#"{"type":"subscription.ack"}"#, &mut ack);
            self.write(id, &ack);
        }
        Some(start + 4 + length)
    }

    fn room(&mut self, name: &str) -> usize {
        if let Some(room) = self.names.get(name) {
            return *room;
        }
        self.rooms.push(Room::default());
        self.names.insert(name.into(), self.rooms.len() - 1);
        self.rooms.len() - 1
    }

    /// Sends what was published in this turn: one write for each member of a room.
    fn flush(&mut self) {
        for room in std::mem::take(&mut self.touched) {
            let mut frames = std::mem::take(&mut self.rooms[room].frames);
            let members = std::mem::take(&mut self.rooms[room].members);
            for member in &members {
                self.write(*member, &frames);
            }
            frames.clear();
            (self.rooms[room].members, self.rooms[room].frames) = (members, frames);
        }
    }
}

/// How much the socket took; `None` when it is lost, which a read will say.
fn send(stream: &mut TcpStream, bytes: &[u8]) -> Option<usize> {
    match stream.write(bytes) {
        Ok(written) => Some(written),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
        Err(_) => None,
    }
}

fn put_text(payload: &[u8], to: &mut Vec<u8>) {
    to.push(0x81);
    match payload.len() {
        length @ 0..126 => to.push(length as u8),
        length @ 126..=0xffff => {
            to.push(126);
            to.extend((length as u16).to_be_bytes());
        }
        length => {
            to.push(127);
            to.extend((length as u64).to_be_bytes());
        }
    }
    to.extend_from_slice(payload);
}
