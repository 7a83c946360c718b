//! The process that is attacked, and what it holds.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use roomcast_gateway::auth::Authenticator;
use roomcast_gateway::clock::Clock;
use roomcast_gateway::limits::Raised;
use roomcast_gateway::{Config, Secret};
use tokio::task::block_in_place;

use crate::harness::{Directory, RunningGateway, SECRET};

/// `roomcast serve`, with its defaults but for what a test says.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: RunningGateway,
    _directory: Directory,
}

impl Server {
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let directory = Directory::new();
        let command = directory.roomcast(&["serve"]);
        Self::start_by(directory, command, settings)
    }

    /// The same on a processor of its own; this process is on the others, as long as the second value lives.
    pub(crate) fn start_apart(settings: &[(&str, &str)]) -> (Self, Apart) {
        let processors = processors();
        let directory = Directory::new();
        let mut command = Command::new("taskset");
        command.args(["-c", &processors[0], env!("CARGO_BIN_EXE_roomcast"), "serve"]).current_dir(directory.path());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let server = Self::start_by(directory, command, settings);
        pin(processors.get(1..).filter(|others| !others.is_empty()).unwrap_or(&processors));
        (server, Apart(processors))
    }

    fn start_by(directory: Directory, mut command: Command, settings: &[(&str, &str)]) -> Self {
        command.env("JWT_SECRET", SECRET).envs(settings.iter().copied());
        let gateway = block_in_place(|| RunningGateway::start(&mut command));
        Self { address: gateway.address.parse().unwrap(), gateway, _directory: directory }
    }

    /// What it holds of its own, in KiB: what was read from files, its code above all, is no growth.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The same, when it does not change any more.
    pub(crate) async fn settled_memory(&self) -> u64 {
        let mut last = self.memory();
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = self.memory();
            if now == last {
                return now;
            }
            last = now;
        }
    }
}

/// Until it is dropped this process leaves a processor to another one.
pub(crate) struct Apart(Vec<String>);

impl Drop for Apart {
    fn drop(&mut self) {
        pin(&self.0);
    }
}

/// The processors that this process may use.
fn processors() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let numbers = line.trim().split(',').flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse::<usize>().unwrap()..=last.parse().unwrap()
    });
    numbers.map(|number| number.to_string()).collect()
}

/// Keeps all threads of this process to these processors.
fn pin(processors: &[String]) {
    let (list, own) = (processors.join(","), std::process::id().to_string());
    let status = Command::new("taskset").args(["-a", "-p", "-c", &list, &own]).stdout(Stdio::null()).status();
    assert!(status.unwrap().success());
}

/// A token of the user that grants everything but running the gateway.
pub(crate) fn token(user: &str) -> String {
    let config = Config { jwt_secret: Some(Secret::new(SECRET)), ..Config::serve() };
    let authenticator = Authenticator::new(&config, Clock::system()).unwrap();
    let grants = serde_json::from_str(r#"{"*":["subscribe","publish","history"]}"#).unwrap();
    let hour = Duration::from_secs(3600);
    authenticator.mint(&user.parse().unwrap(), None, Some(&grants), &Raised::default(), hour).unwrap()
}
