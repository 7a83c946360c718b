//! The connection for commands: kept, watched, and made anew.
//!
//! Owns the knowledge of which server this is and whose data it has. A command never waits for a connection longer than
//! [`PATIENCE`]; without one it fails. What a command that was not answered has done is not known here.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, ScriptInvocation};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::address::{Address, Failure, within};
use super::complaint::Complaint;
use super::scripts::{Scripts, Server};
use crate::broker::Unavailable;

/// How long a command may take. With [`PATIENCE`] less than the 1.5 s after which a publisher must have an answer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a command waits for a connection that is being made anew.
const PATIENCE: Duration = Duration::from_millis(250);

/// How often a connection is looked after; an outage is known after this and [`COMMAND_TIMEOUT`].
const CHECK: Duration = Duration::from_secs(1);

/// Reconnecting starts with waits of up to this, which doubles.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Reconnecting waits no longer than this: readiness is wanted back soon.
const MOST_WAIT: Duration = Duration::from_secs(2);

/// In place of the process's name where the operator says that data are never rolled back.
const DURABLE: &str = "durable";

/// The connection for commands.
pub(crate) struct Link {
    address: Arc<Address>,
    scripts: Arc<Scripts>,
    is_durable: bool,
    live: watch::Sender<Option<Live>>,
    connected: watch::Sender<u64>,
    /// Somebody has reason to think that the connection is no longer good.
    suspect: Notify,
    complaint: Complaint,
}

/// A connection and what is at its other end.
#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    /// What scripts say of the data.
    server: Server,
    /// The process, whatever the operator says of its data.
    process: String,
    /// Its history of changes.
    replication: String,
}

/// What a server tells of itself.
pub(super) struct Info(String);

impl Info {
    /// Asks the server.
    pub(super) async fn ask(connection: &mut MultiplexedConnection) -> Result<Self, Failure> {
        within(COMMAND_TIMEOUT, redis::cmd("INFO").query_async(connection)).await.map(Self)
    }

    pub(super) fn field(&self, name: &str) -> &str {
        let value = |line: &'_ str| line.strip_prefix(name)?.strip_prefix(':').map(str::len);
        let found = self.0.lines().find_map(|line| value(line).map(|length| &line[line.len() - length..]));
        found.unwrap_or_default().trim()
    }

    /// Names the process.
    pub(super) fn process(&self) -> String {
        self.field("run_id").to_owned()
    }

    /// Whether a broker can run on it.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.field("cluster_enabled") == "1" {
            return Err(Failure::Lasting(
                "it is a Redis Cluster, which cannot publish to several rooms in one step; expected one primary, with \
                 Sentinel for failover"
                    .into(),
            ));
        }
        if self.field("loading") == "1" {
            return Err(Failure::Passing("it is still loading its data".into()));
        }
        match self.field("role") {
            "master" => Ok(()),
            role => Err(Failure::Passing(format!("its role is {role:?}, and a primary is needed"))),
        }
    }
}

impl Link {
    pub(super) fn new(address: Arc<Address>, scripts: Arc<Scripts>, is_durable: bool) -> Self {
        let (live, _) = watch::channel(None);
        let connected = watch::channel(0).0;
        Self { address, scripts, is_durable, live, connected, suspect: Notify::new(), complaint: Complaint::default() }
    }

    /// Whether commands can be sent at the moment.
    pub(crate) fn is_live(&self) -> bool {
        self.live.borrow().is_some()
    }

    /// The process at the other end.
    pub(super) fn process(&self) -> Option<String> {
        self.live.borrow().as_ref().map(|live| live.process.clone())
    }

    /// Grows with every connection.
    pub(crate) fn connected(&self) -> watch::Receiver<u64> {
        self.connected.subscribe()
    }

    /// Waits until there is a connection.
    pub(crate) async fn ready(&self) {
        // The sender is this very link's.
        let _ = self.live.subscribe().wait_for(Option::is_some).await;
    }

    /// Keeps a connection, for ever.
    pub(super) async fn keep(&self) {
        let mut backoff = Backoff::default();
        loop {
            match self.connect().await {
                Ok(live) => {
                    tracing::info!(redis = %self.address, "connected to Redis");
                    backoff = Backoff::default();
                    self.complaint.forget();
                    self.live.send_replace(Some(live.clone()));
                    self.connected.send_modify(|count| *count += 1);
                    let failure = self.watch(live).await;
                    self.live.send_replace(None);
                    tracing::warn!(redis = %self.address, reason = %failure, "lost Redis");
                }
                Err(failure) => self.complaint.say(&failure, |failure| {
                    tracing::warn!(redis = %self.address, reason = %failure, "cannot connect to Redis");
                }),
            }
            backoff.wait().await;
        }
    }

    async fn connect(&self) -> Result<Live, Failure> {
        let mut connection = self.address.connect(None).await?;
        let info = Info::ask(&mut connection).await?;
        info.check()?;
        let (process, replication) = (info.process(), info.field("master_replid").to_owned());
        let server = if self.is_durable {
            Server { run: DURABLE.into(), replication: String::new(), former_replication: String::new() }
        } else {
            let former_replication = info.field("master_replid2").to_owned();
            Server { run: process.clone(), replication: replication.clone(), former_replication }
        };
        let live = Live { connection, server, process, replication };
        within(COMMAND_TIMEOUT, self.claim(&live)).await?;
        Ok(live)
    }

    async fn claim(&self, live: &Live) -> Result<(), RedisError> {
        self.scripts.claim(&live.server).invoke_async(&mut live.connection.clone()).await
    }

    /// Looks after the connection until it is no longer good.
    async fn watch(&self, mut live: Live) -> Failure {
        loop {
            let _ = tokio::time::timeout(CHECK, self.suspect.notified()).await;
            let checked = async {
                let info = Info::ask(&mut live.connection).await?;
                info.check()?;
                match info.field("master_replid") == live.replication {
                    true => Ok(()),
                    false => Err(Failure::Passing("its replication has changed".into())),
                }
            };
            if let Err(failure) = checked.await {
                return failure;
            }
        }
    }

    /// Runs a script on the server that is there at the moment.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        call: impl Fn(&Server) -> ScriptInvocation<'static>,
    ) -> Result<T, Unavailable> {
        let live = self.current().await?;
        let mut connection = live.connection.clone();
        let attempt = async {
            match call(&live.server).invoke_async(&mut connection).await {
                // Somebody has emptied the database: nothing was done, and the data have a new life.
                Err(error) if error.code() == Some("STALE") => {
                    self.claim(&live).await?;
                    call(&live.server).invoke_async(&mut connection).await
                }
                outcome => outcome,
            }
        };
        self.judge(within(COMMAND_TIMEOUT, attempt).await)
    }

    /// Sends commands that nobody waits for longer than for a script.
    pub(crate) async fn send(&self, commands: &Pipeline) -> Result<(), Unavailable> {
        let mut connection = self.current().await?.connection;
        self.judge(within(COMMAND_TIMEOUT, commands.exec_async(&mut connection)).await)
    }

    /// The same for one command.
    pub(crate) async fn send_one(&self, command: &Cmd) -> Result<(), Unavailable> {
        let mut connection = self.current().await?.connection;
        self.judge(within(COMMAND_TIMEOUT, command.exec_async(&mut connection)).await)
    }

    /// The same for a command with an answer.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Unavailable> {
        let mut connection = self.current().await?.connection;
        self.judge(within(COMMAND_TIMEOUT, command.query_async(&mut connection)).await)
    }

    async fn current(&self) -> Result<Live, Unavailable> {
        let mut live = self.live.subscribe();
        let waited = tokio::time::timeout(PATIENCE, live.wait_for(Option::is_some)).await;
        waited.ok().and_then(Result::ok).and_then(|live| live.clone()).ok_or(Unavailable)
    }

    fn judge<T>(&self, outcome: Result<T, Failure>) -> Result<T, Unavailable> {
        outcome.map_err(|failure| {
            self.suspect.notify_one();
            self.complaint.say(&failure, |failure| {
                tracing::warn!(redis = %self.address, reason = %failure, "a command to Redis has failed");
            });
            Unavailable
        })
    }
}

/// Waits between tries: full jitter, so that nodes do not come back in step.
pub(super) struct Backoff {
    most: Duration,
    since: Instant,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { most: FIRST_WAIT, since: Instant::now() }
    }
}

impl Backoff {
    /// Waits. A connection that was good for long has earned a quick try.
    pub(super) async fn wait(&mut self) {
        if self.since.elapsed() > 4 * MOST_WAIT {
            self.most = FIRST_WAIT;
        }
        let wait = rand::rng().random_range(Duration::ZERO..=self.most);
        self.most = (2 * self.most).min(MOST_WAIT);
        tokio::time::sleep(wait).await;
        self.since = Instant::now();
    }
}
