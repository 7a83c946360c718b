//! A real redis-server of a test's own: its own port, its own folder, gone with the test.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server. Dropping it ends it.
pub(crate) struct RedisServer {
    child: Child,
    pub(crate) port: u16,
    folder: PathBuf,
    options: Vec<String>,
}

#[allow(dead_code, reason = "each binary of tests uses its part")]
impl RedisServer {
    /// A server that saves only when it is told to.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more options, such as `["--requirepass", "x"]`.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let (folder, port) = (folder(), free_port());
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let child = launch(port, &folder, &options);
        let server = Self { child, port, folder, options };
        server.await_answer();
        server
    }

    /// A sentinel that watches the primary on that port, and finds two of three enough to replace it.
    pub(crate) fn sentinel(name: &str, primary: u16) -> Self {
        let (folder, port) = (folder(), free_port());
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {name} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 3000\n"
        );
        // A sentinel keeps what it learns in its configuration.
        std::fs::write(folder.join("sentinel.conf"), text).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(folder.join("sentinel.conf")).arg("--sentinel").arg("--dir").arg(&folder);
        let server = Self { child: spawn(&mut command), port, folder, options: Vec::new() };
        server.await_answer();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command, and answers what the server said, errors included.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap_or_else(|error| error.to_string())
    }

    fn try_command(&self, words: &[&str]) -> redis::RedisResult<String> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(2))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let answer: redis::Value = command.query(&mut connection)?;
        Ok(match answer {
            redis::Value::BulkString(text) => String::from_utf8_lossy(&text).into_owned(),
            redis::Value::SimpleString(text) => text,
            other => format!("{other:?}"),
        })
    }

    /// Lets it stand still: its connections stay open, and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, where it was, with the data that it saved last.
    pub(crate) fn restart(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.child = launch(self.port, &self.folder, &self.options);
            // The port may be taken for a moment.
            if self.answers_soon() {
                return;
            }
            assert!(Instant::now() < deadline, "redis-server does not come back");
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// Forgets what was saved. The server must not be running.
    pub(crate) fn lose_data(&self) {
        let _ = std::fs::remove_file(self.folder.join("dump.rdb"));
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn await_answer(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn answers_soon(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && self.child.try_wait().unwrap().is_none() {
            if self.answers() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn answers(&self) -> bool {
        let said = self.command(&["PING"]);
        said == "PONG" || said.contains("NOAUTH") || said.contains("Authentication")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn launch(port: u16, folder: &std::path::Path, options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0"]);
    spawn(command.arg("--dir").arg(folder).args(options))
}

fn spawn(command: &mut Command) -> Child {
    let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    spawned.expect("redis-server is installed (cargo xtask test does that)")
}

/// A port below those that the system gives to whoever asks for any: nobody has taken it when the server comes back.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Far from where another program of tests looks, whose number is a neighbour.
    let start = std::process::id().wrapping_mul(7919) % 10_000;
    let candidate = || u16::try_from(10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000).unwrap();
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(candidate).take(10_000).find(is_free).unwrap()
}

/// A new folder below the one of the tests' program, which is the target's.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let below = std::env::current_exe().unwrap().parent().unwrap().join("redis");
    let folder = below.join(format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
