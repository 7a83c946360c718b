//! Log lines: on standard error, in the format that was asked for, and without a token at any level.

use rustix::process::Signal;

use crate::harness::{Directory, Running, RunningGateway, SECRET, run};

#[test]
fn no_log_line_holds_a_token_a_secret_or_a_query() {
    let directory = Directory::new();
    let mut command = directory.roomcast(&["dev"]);
    let mut gateway = RunningGateway::start(command.env("RUST_LOG", "trace").env("JWT_SECRET", SECRET));
    let token = gateway.token();
    let (_by_query, answer) = gateway.socket(&format!("/ws?token={token}"), "");
    assert!(answer.contains("connection.ack"), "{answer}");
    let (_by_header, _) = gateway.socket("/ws", &format!("Authorization: Bearer {token}\r\n"));
    let protocols = format!("Sec-WebSocket-Protocol: roomcast.v1, roomcast.bearer.{token}\r\n");
    let (_by_protocol, _) = gateway.socket("/ws", &protocols);
    // Refused ones too: a token with one letter too many, and one that expired.
    let (_refused, answer) = gateway.socket(&format!("/ws?token={token}x"), "");
    assert!(answer.contains("UNAUTHORIZED"), "{answer}");
    gateway.http(&format!("GET /api/v1/ws/rate-limits?token={token} HTTP/1.1"), "");
    gateway.http(&format!("POST /api/v1/events HTTP/1.1\r\nAuthorization: Bearer {token}"), "{}");
    gateway.process.error_line("authentication failed");
    gateway.process.signal(Signal::INT);
    assert_eq!(gateway.process.wait().code(), Some(0));
    let log = gateway.process.stderr();
    assert_silent(&log, &token);
}

#[test]
fn a_clients_log_holds_no_token_either() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let token = gateway.token();
    let talk = |arguments: &[&str]| {
        let mut command = directory.roomcast(arguments);
        command.args(["--url", &gateway.url(), "--token", &token]).env("RUST_LOG", "trace");
        command
    };
    let mut subscriber = Running::start(&mut talk(&["subscribe", "team:t", "--count", "1"]));
    subscriber.error_line("subscribed");
    let published = run(&mut talk(&["publish", "a.b", "--room", "team:t"]));
    assert_eq!(published.code, Some(0), "{}", published.stderr);
    assert_eq!(subscriber.wait().code(), Some(0));
    assert_silent(&published.stderr, &token);
    assert_silent(&subscriber.stderr(), &token);
}

/// Not even the signature alone, which is what makes the rest worth something.
fn assert_silent(log: &str, token: &str) {
    let signature = token.rsplit_once('.').unwrap().1;
    for hidden in [token, signature, SECRET, "token=", "roomcast.bearer."] {
        let line = log.lines().find(|line| line.contains(hidden));
        assert!(line.is_none(), "{line:?}");
    }
}

#[test]
fn log_lines_are_json_when_asked_and_have_no_colours_in_a_file() {
    let directory = Directory::new();
    for (format, start) in [("json", "{"), ("text", "2")] {
        let mut command = directory.roomcast(&["dev", "--host", "0.0.0.0"]);
        let gateway = RunningGateway::start(command.env("LOG_FORMAT", format));
        let line = gateway.process.error_line("can mint tokens");
        assert!(line.starts_with(start) && !line.contains('\u{1b}'), "{line}");
    }
}

#[test]
fn a_refused_origin_is_logged_with_the_setting_that_would_allow_it() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let head = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://app.example.com";
    assert!(!gateway.http(head, "").starts_with("HTTP/1.1 101"));
    let line = gateway.process.error_line("FRONTEND_URL");
    assert!(line.contains("https://app.example.com"), "{line}");
}
