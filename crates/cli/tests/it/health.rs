//! `healthcheck`: an exit code for containers.

use crate::harness::{Directory, RunningGateway, SECRET, quiet_port, run};
use rustix::process::Signal;

#[test]
fn a_gateway_is_ready_until_it_drains() {
    let directory = Directory::new();
    let mut command = directory.roomcast(&["serve", "--drain-seconds", "10m", "--drain-delay", "10m"]);
    let gateway = RunningGateway::start(command.env("JWT_SECRET", SECRET));
    // The container's own environment, with the address that is listened on and not one to connect to.
    let check = || run(directory.roomcast(&["healthcheck", "--port", gateway.port()]).env("HOST", "0.0.0.0"));
    let said = check();
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "ready"), "{}", said.stderr);
    gateway.process.signal(Signal::TERM);
    gateway.process.error_line("draining");
    let said = check();
    assert!(said.code == Some(1) && said.stderr.contains("503"), "{}", said.stderr);
}

#[test]
fn a_gateway_that_is_not_there_is_not_ready() {
    let directory = Directory::new();
    let said = run(&mut directory.roomcast(&["healthcheck", "--port", &quiet_port().to_string()]));
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
}

#[test]
fn health_is_asked_where_the_operators_address_is() {
    let directory = Directory::new();
    let gateway = RunningGateway::dev(&directory);
    let said = run(directory.roomcast(&["healthcheck"]).env("PORT", "1").env("ADMIN_ADDR", &gateway.address));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}

#[test]
fn an_unknown_port_is_a_matter_of_configuration() {
    let directory = Directory::new();
    assert_eq!(run(directory.roomcast(&["healthcheck"]).env("PORT", "0")).code, Some(2));
}
