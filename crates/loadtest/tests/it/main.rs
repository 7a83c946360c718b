//! The load tool against a real gateway, with some dozens of connections: what it reports is what happened.
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod faulty;

use clap::Parser as _;
use roomcast_gateway::{Config, Gateway, Secret};
use roomcast_loadtest::{Arguments, Report};

const SECRET: &str = "a secret of thirty-two bytes or more";

/// Runs the tool against a gateway that denies what a token does not grant.
fn run(arguments: &[&str]) -> Report {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = Config { jwt_secret: Some(Secret::new(SECRET)), ..Config::serve() };
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move { Gateway::start(config).unwrap().run(listener, std::future::pending()).await });
    let process = std::process::id().to_string();
    let program = ["roomcast-loadtest", "--url", &url, "--secret", SECRET, "--pid", &process];
    let report = Arguments::parse_from(program.iter().chain(arguments)).measure().unwrap();
    println!("{report}");
    report
}

fn figure(report: &Report, name: &str) -> f64 {
    report.figures.get(name).unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn in_a_closed_loop_every_member_gets_every_event_once_and_in_one_order() {
    let places = ["--connections", "48", "--rooms", "6", "--rooms-per-connection", "2"];
    let times = ["--publishers", "4", "--warm-up", "0.1", "--seconds", "0.5"];
    for until in ["answered", "delivered"] {
        let report = run(&[&["fanout", "--until", until], &places[..], &times[..]].concat());
        assert!(report.is_clean(), "{report}");
        let (published, delivered) = (figure(&report, "publishes"), figure(&report, "deliveries"));
        // At least one of each publisher, however busy the machine is.
        assert!(published >= 4.0, "{report}");
        assert_eq!(delivered, published * 16.0, "sixteen members are in each room: {report}");
        assert!(figure(&report, "latency_p50_us") > 0.0);
        assert!(figure(&report, "latency_p50_us") <= figure(&report, "latency_p99_us"));
        assert!(figure(&report, "cpu_per_delivery_us") > 0.0);
    }
}

#[test]
fn in_an_open_loop_events_come_at_the_rate_that_was_asked_for_and_no_faster() {
    let report = run(&[
        "fanout",
        "--connections",
        "20",
        "--rate",
        "100",
        "--publishers",
        "8",
        "--warm-up",
        "0",
        "--seconds",
        "0.5",
    ]);
    assert!(report.is_clean(), "{report}");
    // One more at each end than fits in between; fewer when the machine is busy.
    let most = figure(&report, "seconds") * 100.0 + 2.0;
    assert!((1.0..=most).contains(&figure(&report, "publishes")), "{report}");
}

#[test]
fn clients_that_come_back_get_all_that_they_missed_both_ways() {
    let report = run(&[
        "recover",
        "--connections",
        "24",
        "--rooms",
        "6",
        "--rooms-per-connection",
        "2",
        "--events",
        "30",
        "--at-once",
        "8",
    ]);
    assert!(report.is_clean(), "{report}");
    assert_eq!(figure(&report, "recovered_events"), 24.0 * 2.0 * 30.0, "{report}");
    assert_eq!(figure(&report, "loaded_events"), 24.0 * 2.0 * 30.0, "{report}");
}

#[test]
fn connections_are_opened_in_waves_and_idle_ones_are_weighed() {
    let report = run(&["connect", "--connections", "40", "--rooms-per-connection", "0", "--waves", "2"]);
    assert!(report.is_clean(), "{report}");
    assert!(figure(&report, "cpu_per_connection_us") > 0.0);
    let places = ["--connections", "40", "--rooms", "40", "--rooms-per-connection", "3"];
    let report = run(&[&["idle", "--waves", "1", "--seconds", "0.1", "--release", "0.1"], &places[..]].concat());
    assert!(report.is_clean(), "{report}");
    assert!(figure(&report, "wave_1_resident_bytes") > 0.0);
}

#[test]
fn a_server_that_refuses_is_no_success() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = Config { jwt_secret: Some(Secret::new(SECRET)), ..Config::serve() };
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move { Gateway::start(config).unwrap().run(listener, std::future::pending()).await });
    let wrong = "another secret of thirty-two bytes or more";
    let arguments = ["roomcast-loadtest", "fanout", "--url", &url, "--secret", wrong, "--connections", "3"];
    let error = Arguments::parse_from(arguments).measure().unwrap_err();
    assert!(error.to_string().contains("only 0 of 3"), "{error}");
}
