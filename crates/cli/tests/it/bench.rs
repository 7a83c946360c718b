//! `bench`: the load tool behind the binary.

use crate::harness::{Directory, RunningGateway, run};

#[test]
fn a_dev_gateway_is_measured_without_being_told_a_secret() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let url = format!("http://{}", gateway.address);
    let arguments =
        ["bench", "fanout", "--url", &url, "--connections", "10", "--warm-up", "0", "--seconds", "0.2", "--json"];
    let said = run(&mut directory.roomcast(&arguments));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["verdict"]["losses"], 0);
    assert!(report["figures"]["deliveries"].as_f64().unwrap() >= 10.0, "{report}");
}

#[test]
fn a_slow_reader_among_others_is_closed_and_recovers_everything() {
    let directory = Directory::new();
    let gateway = RunningGateway::start(&mut directory.roomcast(&["dev", "--max-queue-bytes", "131072"]));
    let url = format!("http://{}", gateway.address);
    let load = ["--connections", "5", "--pairs", "1", "--seconds", "1", "--rate", "400", "--bytes", "4000"];
    let said = run(&mut directory.roomcast(&[&["bench", "slow", "--url", &url, "--json"], &load[..]].concat()));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["figures"]["slow_readers_closed"], 1.0, "{report}");
    assert_eq!(report["figures"]["slow_readers_that_have_everything"], 1.0, "{report}");
    assert!(report["figures"]["events_recovered_by_each"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
fn another_machine_is_never_loaded() {
    let directory = Directory::new();
    let said = run(&mut directory.roomcast(&["bench", "fanout", "--url", "http://192.0.2.1:3001"]));
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("only loopback addresses"), "{}", said.stderr);
}
