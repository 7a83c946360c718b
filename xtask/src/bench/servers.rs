//! The servers: how each is built or installed below `target/bench/`, and how it is started.
//!
//! A running server is kept to its processor, listens on loopback, and ends with the value that holds it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::SERVER_CPU;
use crate::{Result, npm, shell};

/// Signs the tokens of a run. It protects nothing: the server listens on loopback for some seconds.
const SECRET: &str = "a secret for benchmarks, of 32 bytes or more";

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Server {
    /// This repository's, with limits, grants and recovery on
    Roomcast,
    /// Two nodes of it, on a Redis
    Cluster,
    /// One epoll thread and one send per member and turn
    Floor,
    /// Bun's own publish/subscribe
    Bun,
    /// Sockudo, from the crate registry
    Sockudo,
    /// axum with tokio's broadcast channels
    Broadcast,
    /// Hono on Node with ws
    Hono,
}

/// Builds the load tool, and says where it is.
pub(super) fn build_tool() -> Result<PathBuf> {
    shell::run(&mut shell::cargo(["build", "--release", "--package", "roomcast-loadtest"]))?;
    Ok(shell::target()?.join("release/roomcast-loadtest"))
}

impl Server {
    /// Its name on the page.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Roomcast => "Roomcast",
            Self::Cluster => "Roomcast, Redis",
            Self::Floor => "the floor",
            Self::Bun => "Bun",
            Self::Sockudo => "Sockudo",
            Self::Broadcast => "axum + broadcast",
            Self::Hono => "Hono + ws",
        }
    }

    /// Builds or installs it.
    pub(super) fn build(self) -> Result {
        match self {
            Self::Roomcast | Self::Cluster => {
                shell::run(&mut shell::cargo(["build", "--release", "--package", "roomcast-cli"]))
            }
            Self::Floor | Self::Broadcast => {
                let folder = shell::root().join("bench/peers/native");
                let mut build = shell::cargo(["build", "--release", "--locked", "--target-dir"]);
                shell::run(build.arg(folder_of("native")?).current_dir(folder))
            }
            Self::Bun | Self::Hono => install_packages(),
            Self::Sockudo => install_sockudo(),
        }
    }

    /// Starts it, and waits until it listens.
    pub(super) fn start(self) -> Result<Running> {
        let mut running =
            Running { server: self, children: Vec::new(), addresses: Vec::new(), ids: Vec::new(), beside: None };
        let peers = shell::root().join("bench/peers");
        match self {
            Self::Roomcast => running.node(None)?,
            Self::Cluster => {
                let redis = free_address()?;
                let port = redis.port().to_string();
                let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
                running.add(&mut pinned("redis-server", &arguments), redis)?;
                // What Redis costs is not the nodes'.
                (running.beside, running.addresses) = (running.ids.pop(), Vec::new());
                let url = format!("redis://{redis}");
                running.node(Some(&url))?;
                running.node(Some(&url))?;
            }
            Self::Floor => running.peer(&folder_of("native")?.join("release/floor"), None)?,
            Self::Broadcast => running.peer(&folder_of("native")?.join("release/broadcast"), None)?,
            Self::Bun => running.peer(&packages()?.join("node_modules/.bin/bun"), Some(&peers.join("bun.js")))?,
            Self::Hono => running.peer(Path::new("node"), Some(&packages()?.join("hono.js")))?,
            Self::Sockudo => running.peer(&folder_of("sockudo")?.join("bin/sockudo"), None)?,
        }
        Ok(running)
    }
}

/// A server that runs, with all its processes.
pub(super) struct Running {
    server: Server,
    children: Vec<Child>,
    addresses: Vec<SocketAddr>,
    /// The processes whose time counts.
    ids: Vec<u32>,
    /// One that they need.
    beside: Option<u32>,
}

impl Running {
    fn node(&mut self, redis: Option<&str>) -> Result {
        let address = free_address()?;
        let program = shell::target()?.join("release/roomcast");
        let mut command = pinned(program, &["serve"]);
        command.env("JWT_SECRET", SECRET).env("HOST", "127.0.0.1").env("PORT", address.port().to_string());
        command.env("RUST_LOG", "warn");
        if let Some(url) = redis {
            command.env("REDIS_URL", url);
        }
        self.add(&mut command, address)
    }

    fn peer(&mut self, program: &Path, script: Option<&Path>) -> Result {
        let address = free_address()?;
        let script: Vec<&str> = script.iter().filter_map(|path| path.to_str()).collect();
        let mut command = pinned(program, &script);
        command.env("PORT", address.port().to_string()).env("HOST", "127.0.0.1").env("NODE_ENV", "production");
        if self.server == Server::Sockudo {
            command.envs(SOCKUDO_SETTINGS.iter().copied());
        }
        self.add(&mut command, address)
    }

    fn add(&mut self, command: &mut Command, address: SocketAddr) -> Result {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        self.ids.push(child.id());
        self.addresses.push(address);
        self.children.push(child);
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if start.elapsed() > PATIENCE {
                return Err(format!("{} does not listen", self.server.name()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What the load tool is told of it.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for (flag, address) in ["--url", "--publish-url"].iter().zip(&self.addresses) {
            arguments.extend([(*flag).into(), format!("http://{address}")]);
        }
        for id in &self.ids {
            arguments.extend(["--pid".into(), id.to_string()]);
        }
        if let Some(id) = self.beside {
            arguments.extend(["--beside-pid".into(), id.to_string()]);
        }
        match self.server {
            Server::Roomcast | Server::Cluster => arguments.extend(["--secret".into(), SECRET.into()]),
            Server::Sockudo => arguments.extend(["--protocol".into(), "pusher".into()]),
            _ => arguments.extend(["--protocol".into(), "plain".into()]),
        }
        arguments
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.children {
            // What has ended by itself needs no more.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn pinned(program: impl AsRef<Path>, arguments: &[&str]) -> Command {
    let mut command = shell::command("taskset", ["-c", SERVER_CPU]);
    command.arg(program.as_ref()).args(arguments);
    command
}

/// An address that was free a moment ago.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn folder_of(name: &str) -> Result<PathBuf> {
    Ok(shell::target()?.join("bench").join(name))
}

fn packages() -> Result<PathBuf> {
    folder_of("npm")
}

/// Installs what the peers on Node and Bun need, as their lock file names it.
fn install_packages() -> Result {
    let (from, to) = (shell::root().join("bench/peers"), packages()?);
    fs::create_dir_all(&to)?;
    for file in ["package.json", "package-lock.json", ".npmrc", "hono.js"] {
        fs::copy(from.join(file), to.join(file))?;
    }
    npm::install_in(&to)
}

/// The version that figures are of.
pub(super) const SOCKUDO: &str = "5.2.0";

/// The application that the load tool signs for, and no limit that a load would meet. It counts nothing while it is measured.
const SOCKUDO_SETTINGS: &[(&str, &str)] = &[
    ("SOCKUDO_DEFAULT_APP_ID", "app-id"),
    ("SOCKUDO_DEFAULT_APP_KEY", "app-key"),
    ("SOCKUDO_DEFAULT_APP_SECRET", "app-secret"),
    ("SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS", "100000"),
    ("SOCKUDO_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SECOND", "1000000"),
    ("RATE_LIMITER_ENABLED", "false"),
    ("METRICS_ENABLED", "false"),
    ("RUST_LOG", "warn"),
];

fn install_sockudo() -> Result {
    let root = folder_of("sockudo")?;
    if root.join("bin/sockudo").exists() {
        return Ok(());
    }
    if !shell::has("protoc", "--version") {
        return Err("Sockudo needs protobuf-compiler and libprotobuf-dev; or leave it out: --without sockudo".into());
    }
    let mut install = shell::cargo(["install", "sockudo", "--locked", "--version", SOCKUDO, "--root"]);
    shell::run(install.arg(&root).env("CARGO_TARGET_DIR", root.join("build")))
}
