//! Signals: the first drains, the second ends at once.

use std::io::Read;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Directory, PATIENCE, RunningGateway, run};

fn mint(directory: &Directory, secret: &str) -> String {
    let mut command = directory.roomcast(&["token", "mint", "--user", "u"]);
    run(command.env("JWT_SECRET", secret)).stdout
}

fn connected(gateway: &RunningGateway, token: &str) -> TcpStream {
    let (socket, answer) = gateway.socket("/ws", &format!("Authorization: Bearer {token}\r\n"));
    assert!(answer.contains("connection.ack"), "{answer}");
    socket
}

#[test]
fn ctrl_c_ends_dev_within_a_second_whatever_is_open() {
    let directory = Directory::new();
    let mut gateway = RunningGateway::dev(&directory);
    let _socket = connected(&gateway, &gateway.token());
    let _silent = TcpStream::connect(&gateway.address).unwrap();
    let start = Instant::now();
    gateway.process.signal(Signal::INT);
    let status = gateway.process.wait();
    // Promised: one second. The rest is for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn sigterm_closes_sockets_with_1012_and_exits_with_0() {
    let directory = Directory::new();
    let mut gateway = RunningGateway::serve(&directory);
    let mut socket = connected(&gateway, &mint(&directory, crate::harness::SECRET));
    gateway.process.signal(Signal::TERM);
    let mut rest = Vec::new();
    // A close frame of the server: its opcode, a length, and the code in two bytes.
    let has_close = |bytes: &[u8]| bytes.windows(4).any(|part| part[0] == 0x88 && part[2..] == 1012u16.to_be_bytes());
    let mut part = [0; 1024];
    while !has_close(&rest) {
        let count = socket.read(&mut part).unwrap();
        assert_ne!(count, 0, "no close frame came: {}", String::from_utf8_lossy(&rest));
        rest.extend_from_slice(&part[..count]);
    }
    drop(socket);
    assert_eq!(gateway.process.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let directory = Directory::new();
    let mut command = directory.roomcast(&["serve", "--drain-seconds", "10m", "--drain-delay", "10m"]);
    let mut gateway = RunningGateway::start(command.env("JWT_SECRET", crate::harness::SECRET));
    gateway.process.signal(Signal::TERM);
    gateway.process.error_line("stopping");
    let start = Instant::now();
    gateway.process.signal(Signal::TERM);
    let status = gateway.process.wait();
    assert!(start.elapsed() < PATIENCE);
    assert_eq!((status.code(), status.signal()), (Some(143), None));
}
