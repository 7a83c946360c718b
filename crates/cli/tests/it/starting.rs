//! What a gateway says at its start, and what it keeps.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::harness::{Directory, Running, RunningGateway, SECRET, run};

fn stats(gateway: &RunningGateway, token: &str) -> String {
    gateway.http(&format!("GET /api/v1/ws/stats HTTP/1.1\r\nAuthorization: Bearer {token}"), "")
}

#[test]
fn without_a_command_the_first_line_names_the_port_and_a_token_follows() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    assert!(gateway.address.starts_with("127.0.0.1:"));
    assert_ne!(gateway.port(), "0");
    assert_eq!(gateway.process.line("ws://"), format!("websocket at ws://{}/ws", gateway.address));
    let (_socket, answer) = gateway.socket("/ws", &format!("Authorization: Bearer {}\r\n", gateway.token()));
    assert!(answer.contains("connection.ack"), "{answer}");
}

#[test]
fn dev_names_the_consoles_address_where_there_is_a_console() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    assert_eq!(gateway.process.line("console"), format!("console at http://{}/console/", gateway.address));
    let page = gateway.http("GET /console/ HTTP/1.1", "");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<title>Roomcast console"), "{page}");

    let started =
        |name: &str, value: &str| Running::start(directory.roomcast(&["dev"]).env("PORT", "0").env(name, value));
    let apart = started("ADMIN_ADDR", "127.0.0.1:0");
    let public = apart.first_line().replace("roomcast listening on ", "");
    let console = apart.line("console at ");
    assert!(console.starts_with("console at http://127.0.0.1:") && !console.contains(&public), "{console}");
    let without = started("CONSOLE", "off");
    without.line("curl ");
    assert!(!without.stdout().contains("console"), "{}", without.stdout());
}

#[test]
fn serve_has_the_same_first_line_and_nothing_more() {
    let directory = Directory::new();
    let gateway = RunningGateway::serve(&directory);
    assert!(gateway.http("GET /livez HTTP/1.1", "").starts_with("HTTP/1.1 200"));
    assert!(gateway.http("POST /dev/token HTTP/1.1", r#"{"userId":"u"}"#).starts_with("HTTP/1.1 404"));
    assert_eq!(gateway.process.stdout().lines().count(), 1);
}

#[test]
fn the_printed_commands_work_as_they_stand() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let subscribe = gateway.process.line(" subscribe team:demo");
    let publish = gateway.process.line("curl ");
    let sh = |line: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(directory.path());
        command
    };
    // Replaces the shell, so that it ends with the test.
    let subscriber = Running::start(&mut sh(&format!("exec {subscribe}")));
    subscriber.error_line("subscribed to team:demo");
    let said = run(&mut sh(&publish));
    assert!(said.stdout.contains("\"team:demo\":"), "{} {}", said.stdout, said.stderr);
    assert!(subscriber.first_line().starts_with(r#"{"type":"issue.created","payload":{"#));
}

#[test]
fn a_second_start_keeps_the_secret() {
    let directory = Directory::new();
    let first = RunningGateway::dev(&directory);
    let token = first.token();
    drop(first);
    let kept = directory.path().join(".roomcast");
    assert_eq!(std::fs::read_to_string(kept.join(".gitignore")).unwrap().trim(), "*");
    let mode = std::fs::metadata(kept.join("dev-secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = RunningGateway::dev(&directory);
    let (_socket, answer) = second.socket(&format!("/ws?token={token}"), "");
    assert!(answer.contains("connection.ack"), "{answer}");
}

#[test]
fn gateways_that_start_together_agree_on_one_secret() {
    let directory = Directory::new();
    let gateways: Vec<_> = (0..4).map(|_| Running::start(directory.roomcast(&["dev"]).env("PORT", "0"))).collect();
    gateways.iter().for_each(|gateway| assert!(gateway.first_line().contains("listening")));
    let tokens: Vec<_> = gateways.iter().map(|gateway| gateway.line("eyJ")).collect();
    for token in tokens {
        let said = run(&mut directory.roomcast(&["token", "inspect", &token]));
        assert!(said.stdout.contains("accepted, as user dev"), "{}", said.stdout);
    }
    let left = std::fs::read_dir(directory.path().join(".roomcast")).unwrap().count();
    assert_eq!(left, 2, "a secret and a .gitignore");
}

#[test]
fn a_given_secret_leaves_nothing_behind() {
    let directory = Directory::new();
    let gateway = RunningGateway::start(directory.roomcast(&["dev"]).env("JWT_SECRET", SECRET));
    assert!(stats(&gateway, &gateway.token()).starts_with("HTTP/1.1 200"));
    assert!(!directory.path().join(".roomcast").exists());
}

#[test]
fn the_state_directory_can_be_elsewhere() {
    let directory = Directory::new();
    drop(RunningGateway::start(&mut directory.roomcast(&["dev", "--state-dir", "deep/down"])));
    assert!(directory.path().join("deep/down/.roomcast/dev-secret").is_file());
    assert!(!directory.path().join(".roomcast").exists());
}

#[test]
fn a_kept_secret_that_is_too_short_is_refused_with_advice() {
    let directory = Directory::new();
    std::fs::create_dir(directory.path().join(".roomcast")).unwrap();
    directory.write(".roomcast/dev-secret", "short\n");
    let said = run(&mut directory.roomcast(&["dev"]));
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("found 5 bytes") && said.stderr.contains("delete the file"), "{}", said.stderr);
}

#[test]
fn a_port_in_use_is_named() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let said = run(&mut directory.roomcast(&["dev", "--port", gateway.port()]));
    assert_eq!(said.code, Some(1));
    let expected = format!("listen on {}: PORT {} is in use", gateway.address, gateway.port());
    assert!(said.stderr.contains(&expected), "{}", said.stderr);
    assert_eq!(said.stdout, "");
}

#[test]
fn an_operators_address_in_use_is_named() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let mut command = directory.roomcast(&["dev", "--port", "0", "--admin-addr", &gateway.address]);
    let said = run(&mut command);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains(&format!("listen on ADMIN_ADDR {}", gateway.address)), "{}", said.stderr);
}

#[test]
fn dev_warns_when_others_can_reach_it_and_when_redis_is_away() {
    let directory = Directory::new();
    let mut command = directory.roomcast(&["dev", "--host", "0.0.0.0"]);
    let gateway = RunningGateway::start(command.env("REDIS_URL", "redis://:hush@127.0.0.1:1"));
    gateway.process.error_line("can mint tokens");
    gateway.process.error_line("cannot reach Redis yet");
    assert!(!gateway.process.stderr().contains("hush"));
    // Copied commands go to an address that can be reached.
    gateway.process.line(&format!("subscribe team:demo --url http://127.0.0.1:{}", gateway.port()));
}
