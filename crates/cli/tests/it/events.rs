//! `publish` and `subscribe`, end to end.

use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;

use crate::harness::{Directory, PATIENCE, Running, RunningGateway, quiet_port, run, run_with_input};

const ISSUE: &str = r#"{"id":"issue_1","changes":{"status":"done"},"teamId":"t"}"#;

fn talk(directory: &Directory, gateway: &RunningGateway, arguments: &[&str]) -> Command {
    let mut command = directory.roomcast(arguments);
    command.env("ROOMCAST_URL", gateway.url());
    command
}

#[test]
fn what_is_published_is_printed_by_a_subscriber_as_it_stood_on_the_wire() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let mut subscriber =
        Running::start(&mut talk(&directory, &gateway, &["subscribe", "team:t", "issue:issue_1", "--count", "2"]));
    subscriber.error_line("subscribed to team:t, issue:issue_1");
    let mut publish =
        talk(&directory, &gateway, &["publish", "issue.updated", "--payload", ISSUE, "--id", "e1", "--user", "u7"]);
    let said = run(&mut publish);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.starts_with(r#"{"eventId":"e1","positions":{"issue:issue_1":"#), "{}", said.stdout);
    // Both rooms of the event are subscribed to; it comes once.
    let line = subscriber.first_line();
    assert!(line.starts_with(r#"{"type":"issue.updated","payload":{"#), "{line}");
    for part in [r#""userId":"u7""#, r#""eventId":"e1""#, r#""team:t":"#, r#""issue:issue_1":"#, r#""timestamp":""#] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    assert!(run(&mut publish).stdout.contains(r#""duplicate":true"#));
    let mut custom = talk(&directory, &gateway, &["publish", "build.done", "--payload", "-", "--room", "team:t"]);
    let output = run_with_input(&mut custom, r#"{"ok":true}"#);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(subscriber.wait().code(), Some(0));
    let types: Vec<_> = subscriber.stdout().lines().map(|line| line[..20].to_owned()).collect();
    assert_eq!(types, [r#"{"type":"issue.updat"#, r#"{"type":"build.done""#]);
}

#[test]
fn subscribers_with_presence_print_who_is_there_and_who_comes_and_leaves() {
    let directory = Directory::new();
    let gateway = RunningGateway::start(directory.roomcast(&[]).env("PRESENCE_GRACE", "0"));
    let subscribe = |arguments: &[&str]| {
        let mut command = talk(&directory, &gateway, &["subscribe", "team:t"]);
        command.args(arguments);
        command
    };
    let as_user = |user: &str| {
        let body = format!(r#"{{"userId":"{user}"}}"#);
        let answer = gateway.http("POST /dev/token HTTP/1.1\r\nContent-Type: application/json", &body);
        let token = answer.split(r#""token":""#).nth(1).and_then(|rest| rest.split('"').next());
        token.unwrap_or_else(|| panic!("no token in {answer}")).to_owned()
    };
    let mut ann = Running::start(subscribe(&["--presence", "--count", "1"]).env("ROOMCAST_TOKEN", as_user("ann")));
    let state = ann.first_line();
    assert_eq!(
        state.trim(),
        r#"{"type":"presence.state","payload":{"room":"team:t","members":[{"userId":"ann","connections":1}]}}"#
    );
    let mut with_data = subscribe(&["--presence-data", r#"{"cursor":4}"#]);
    let ben = Running::start(with_data.env("ROOMCAST_TOKEN", as_user("ben")));
    let joined = ann.line("presence.joined");
    assert!(joined.contains(r#""member":{"userId":"ben","data":{"cursor":4},"connections":1}"#), "{joined}");
    assert!(ben.line("presence.state").contains(r#""userId":"ann""#));
    ben.signal(Signal::INT);
    assert!(ann.line("presence.left").contains(r#""userId":"ben""#));
    let published = run(&mut talk(&directory, &gateway, &["publish", "a.b", "--room", "team:t"]));
    assert_eq!(published.code, Some(0), "{}", published.stderr);
    assert_eq!(ann.wait().code(), Some(0), "presence does not count as events");
    let large = format!("\"{}\"", "x".repeat(1023));
    let said = run(&mut subscribe(&["--presence-data", &large]));
    assert!(said.code == Some(1) && said.stderr.contains("over 1024 bytes"), "{}", said.stderr);
}

#[test]
fn a_refused_event_is_told_with_code_and_pointer() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let refused = |arguments: &[&str], parts: &[&str]| {
        let said = run(&mut talk(&directory, &gateway, arguments));
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        assert_eq!(said.stdout, "");
        assert!(parts.iter().all(|part| said.stderr.contains(part)), "{}", said.stderr);
    };
    refused(&["publish", "issue.updated", "--payload", r#"{"id":"i","changes":{}}"#], &["INVALID_PAYLOAD", "/payload"]);
    refused(&["publish", "auth.mine", "--room", "team:t"], &["INVALID_PAYLOAD", "/type"]);
    refused(&["publish", "a.b", "--payload", "{", "--room", "team:t"], &["not JSON"]);
    let said = run(&mut talk(&directory, &gateway, &["publish", "a.b", "--room", "no room"]));
    assert_eq!(said.code, Some(2));
}

#[test]
fn a_token_that_grants_too_little_is_refused_by_name() {
    let directory = Directory::new();
    let gateway = RunningGateway::serve(&directory);
    let mut mint = directory.roomcast(&["token", "mint", "--user", "u", "--grant", "team:t=subscribe"]);
    let token = run(mint.env("JWT_SECRET", crate::harness::SECRET)).stdout;
    let with_token = |arguments: &[&str]| run(talk(&directory, &gateway, arguments).env("ROOMCAST_TOKEN", &token));
    let said = with_token(&["publish", "a.b", "--room", "team:t"]);
    assert!(said.code == Some(1) && said.stderr.contains("FORBIDDEN"), "{}", said.stderr);
    let said = with_token(&["subscribe", "team:other"]);
    assert!(said.code == Some(1) && said.stderr.contains("FORBIDDEN"), "{}", said.stderr);
    let said = run(&mut talk(&directory, &gateway, &["subscribe", "team:t", "--token", "e30.e30.e30"]));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
}

#[test]
fn without_a_token_only_a_gateway_in_dev_is_of_help() {
    let directory = Directory::new();
    let gateway = RunningGateway::serve(&directory);
    let said = run(&mut talk(&directory, &gateway, &["subscribe", "team:t"]));
    assert!(said.code == Some(1) && said.stderr.contains("set ROOMCAST_TOKEN"), "{}", said.stderr);
    let said = run(&mut directory.roomcast(&["publish", "a.b", "--url", "https://gateway.example"]));
    assert!(said.code == Some(2) && said.stderr.contains("ROOMCAST_TOKEN"), "{}", said.stderr);
}

#[test]
fn a_gateway_that_is_not_there_is_told_at_once() {
    let directory = Directory::new();
    let url = format!("http://127.0.0.1:{}", quiet_port());
    for arguments in [["subscribe", "team:t"], ["publish", "a.b"]] {
        let said = run(directory.roomcast(&arguments).args(["--url", &url]));
        assert_eq!(said.code, Some(1));
        assert!(said.stderr.contains(&format!("failed to reach {url}")), "{}", said.stderr);
    }
}

#[test]
fn a_subscriber_tells_the_connections_fate_and_comes_back() {
    let directory = Directory::new();
    let port = quiet_port().to_string();
    let start = || {
        let gateway = Running::start(&mut directory.roomcast(&["dev", "--port", &port]));
        gateway.first_line();
        gateway
    };
    let url = format!("http://127.0.0.1:{port}");
    let first = start();
    let subscribe = ["subscribe", "team:t", "--count", "1", "--url", &url];
    let mut subscriber = Running::start(&mut directory.roomcast(&subscribe));
    subscriber.error_line("subscribed to team:t");
    drop(first);
    subscriber.error_line("not connected");
    let _second = start();
    subscriber.error_line("team:t: events may have been missed (epoch_changed)");
    let published = run(&mut directory.roomcast(&["publish", "a.b", "--room", "team:t", "--url", &url]));
    assert_eq!(published.code, Some(0), "{}", published.stderr);
    assert_eq!(subscriber.wait().code(), Some(0));
    assert!(subscriber.stdout().starts_with(r#"{"type":"a.b""#));
}

#[test]
fn a_subscriber_goes_on_behind_the_position_of_an_event_that_it_printed() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let publish = |id: &str| {
        let said = run(&mut talk(&directory, &gateway, &["publish", "a.b", "--room", "team:t", "--id", id]));
        serde_json::from_str::<serde_json::Value>(&said.stdout).unwrap()["positions"]["team:t"].clone()
    };
    let first = publish("e1");
    publish("e2");
    publish("e3");
    let since = format!("team:t={}", first.as_str().unwrap());
    let subscribe = ["subscribe", "--since", &since, "--count", "3"];
    let mut subscriber = Running::start(&mut talk(&directory, &gateway, &subscribe));
    subscriber.error_line("team:t: 2 missed events follow");
    publish("e4");
    assert_eq!(subscriber.wait().code(), Some(0));
    let ids = ["e2", "e3", "e4"].map(|id| format!(r#""eventId":"{id}""#));
    let printed = subscriber.stdout();
    assert_eq!(printed.lines().count(), 3);
    assert!(printed.lines().zip(&ids).all(|(line, id)| line.contains(id)), "{printed}");
    let mut elsewhere = talk(&directory, &gateway, &["subscribe", "--since", "team:t=k:1", "--count", "1"]);
    Running::start(&mut elsewhere).error_line("team:t: events may have been missed (epoch_changed)");
}

#[test]
fn ctrl_c_ends_a_subscriber() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let mut subscriber = Running::start(&mut talk(&directory, &gateway, &["subscribe", "team:t"]));
    subscriber.error_line("subscribed to team:t");
    subscriber.signal(Signal::INT);
    assert_eq!(subscriber.wait().code(), Some(130));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let mut subscriber = Running::start_and_read(&mut talk(&directory, &gateway, &["subscribe", "team:t"]), 1);
    subscriber.error_line("subscribed to team:t");
    let end = Instant::now() + PATIENCE;
    // The reader leaves some time after the first event; the next one behind that cannot be written.
    while !subscriber.has_ended() && Instant::now() < end {
        run(&mut talk(&directory, &gateway, &["publish", "a.b", "--room", "team:t"]));
    }
    assert_eq!(subscriber.wait().code(), Some(0));
    assert!(!subscriber.stderr().contains("failed to"), "{}", subscriber.stderr());
}
