//! Nodes: `roomcast serve`, several of them, behind a balancer.
//!
//! Owns the processes and the tokens. A node that a failed test leaves says its last words; all end with their cluster.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use roomcast_client::Publisher;
use roomcast_client::protocol::{Grants, UserId};
use roomcast_gateway::auth::Authenticator;
use roomcast_gateway::clock::Clock;
use roomcast_gateway::limits::Raised;
use roomcast_gateway::{Config, Secret};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::block_in_place;

use crate::balancer::Balancer;
use crate::harness::{Directory, PATIENCE, RunningGateway, SECRET};

/// Lines of a node's standard error that a failed test shows.
const LAST_WORDS: usize = 30;

/// How long `/readyz` may take to answer before it counts as not ready.
const GLANCE: Duration = Duration::from_secs(2);

/// What a node is given besides the secret: the names and values of its environment.
pub(crate) type Settings = Vec<(&'static str, String)>;

/// Several nodes, one address.
pub(crate) struct Cluster {
    places: Vec<Place>,
    pub(crate) balancer: Balancer,
    directory: Directory,
}

struct Place {
    settings: Settings,
    /// The node that runs there, or ran there last.
    node: Mutex<Arc<Node>>,
}

/// One process.
pub(crate) struct Node {
    place: usize,
    pub(crate) address: SocketAddr,
    /// Tries once, so that every answer can be looked at.
    pub(crate) publisher: Publisher,
    process: Mutex<RunningGateway>,
}

impl Cluster {
    /// Starts a node for each of these settings, and waits until all are ready.
    pub(crate) async fn start(settings: Vec<Settings>) -> Arc<Self> {
        let (directory, balancer) = (Directory::new(), Balancer::start().await);
        let mut places = Vec::new();
        for (place, settings) in settings.into_iter().enumerate() {
            let node = Node::start(&directory, place, &settings).await;
            balancer.add(node.address);
            places.push(Place { settings, node: Mutex::new(node) });
        }
        Arc::new(Self { places, balancer, directory })
    }

    /// Three nodes with the same settings.
    pub(crate) async fn of_three(settings: Settings) -> Arc<Self> {
        Self::start(vec![settings; 3]).await
    }

    pub(crate) fn size(&self) -> usize {
        self.places.len()
    }

    /// The node at a place; places go round.
    pub(crate) fn node(&self, place: usize) -> Arc<Node> {
        self.places[place % self.places.len()].node.lock().unwrap().clone()
    }

    /// Ends a node without a warning. The balancer finds out by itself.
    pub(crate) fn kill(&self, place: usize) {
        let node = self.node(place);
        let mut process = node.process.lock().unwrap();
        process.process.signal(Signal::KILL);
        block_in_place(|| process.process.wait());
    }

    /// Drains a node, as a deploy does: out of the balancer, SIGTERM, and exit code 0. Then another one takes its place.
    pub(crate) async fn replace(&self, place: usize) {
        let old = self.node(place);
        self.balancer.remove(old.address);
        {
            let mut process = old.process.lock().unwrap();
            process.process.signal(Signal::TERM);
            let status = block_in_place(|| process.process.wait());
            assert_eq!(status.code(), Some(0), "{}", process.process.stderr());
        }
        let new = Node::start(&self.directory, place, &self.places[place].settings).await;
        self.balancer.add(new.address);
        *self.places[place].node.lock().unwrap() = new;
    }
}

impl Node {
    async fn start(directory: &Directory, place: usize, settings: &Settings) -> Arc<Self> {
        let mut command = directory.roomcast(&["serve"]);
        command.env("JWT_SECRET", SECRET).envs(settings.iter().map(|(name, value)| (name, value)));
        let process = block_in_place(|| RunningGateway::start(&mut command));
        let publisher = Publisher::builder(&process.url()).token(token("back_end", "publish")).attempts(1);
        let (address, publisher) = (process.address.parse().unwrap(), publisher.build().unwrap());
        let node = Arc::new(Self { place, address, publisher, process: Mutex::new(process) });
        node.until_ready(true).await;
        node
    }

    /// Waits until `/readyz` says so; how long that took.
    pub(crate) async fn until_ready(&self, wanted: bool) -> Duration {
        let start = Instant::now();
        while self.is_ready().await != wanted {
            assert!(start.elapsed() < PATIENCE, "node {} does not become ready: {wanted}", self.place);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        start.elapsed()
    }

    async fn is_ready(&self) -> bool {
        let answer = tokio::time::timeout(GLANCE, get(self.address, "/readyz")).await;
        answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.process.get_mut().map(|process| process.process.stderr()).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            let last = lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n  ");
            eprintln!("node {} at {} said last:\n  {last}", self.place, self.address);
        }
    }
}

async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A token of the user for one operation in every room.
pub(crate) fn token(user: &str, operation: &str) -> String {
    let config = Config { jwt_secret: Some(Secret::new(SECRET)), ..Config::serve() };
    let grants = Grants::parse([("*", [operation])]).unwrap();
    let user: UserId = user.parse().unwrap();
    let hour = Duration::from_secs(3600);
    Authenticator::new(&config, Clock::system())
        .unwrap()
        .mint(&user, None, Some(&grants), &Raised::default(), hour)
        .unwrap()
}
