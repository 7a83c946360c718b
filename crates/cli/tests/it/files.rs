//! Open files: a gateway knows its limit, and outlives it.

use std::net::TcpStream;
use std::process::Command;

use crate::harness::{Directory, RunningGateway};

/// A gateway that may open this many files and no more.
fn with_files(directory: &Directory, files: u32) -> RunningGateway {
    let command: Command = directory.roomcast(&[]);
    let binary = command.get_program().to_owned();
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(format!("ulimit -n {files} && exec \"$0\"")).arg(binary);
    limited.current_dir(directory.path()).stdin(std::process::Stdio::null());
    command.get_envs().for_each(|(name, value)| {
        limited.env(name, value.unwrap_or_default());
    });
    RunningGateway::start(&mut limited)
}

#[test]
fn connections_are_capped_below_the_limit_of_open_files_so_that_health_still_answers() {
    let directory = Directory::new();
    let gateway = with_files(&directory, 160);
    let bearer = format!("Authorization: Bearer {}\r\n", gateway.token());
    let mut sockets = Vec::new();
    let refusal = loop {
        let (socket, answer) = gateway.socket("/ws", &bearer);
        if !answer.contains("connection.ack") {
            break answer;
        }
        sockets.push(socket);
        assert!(sockets.len() < 160, "more connections than files");
    };
    assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
    assert!(refusal.to_ascii_lowercase().contains("retry-after:"), "{refusal}");
    // 160 files, less those that are kept for everything else.
    assert_eq!(sockets.len(), 32);
    assert!(gateway.http("GET /livez HTTP/1.1", "").starts_with("HTTP/1.1 200"));
}

#[test]
fn running_out_of_files_is_survived() {
    let directory = Directory::new();
    let gateway = with_files(&directory, 160);
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&gateway.address).unwrap()).collect();
    gateway.process.error_line("failed to accept");
    drop(silent);
    assert!(gateway.http("GET /livez HTTP/1.1", "").starts_with("HTTP/1.1 200"));
    let bearer = format!("Authorization: Bearer {}\r\n", gateway.token());
    assert!(gateway.socket("/ws", &bearer).1.contains("connection.ack"));
}
