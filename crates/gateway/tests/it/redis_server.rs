//! A real redis-server of a test's own: its own port, its own folder, gone with the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The file of the authority that has certified a server.
const AUTHORITY: &str = "authority.pem";

/// A server. Dropping it ends it.
pub(crate) struct RedisServer {
    child: Child,
    pub(crate) port: u16,
    folder: PathBuf,
    options: Vec<String>,
    is_secure: bool,
}

/// What a server proves over TLS that it is, and by whose word; in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) authority: String,
}

#[allow(dead_code, reason = "each binary of tests uses its part")]
impl RedisServer {
    /// A server that saves only when it is told to.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more options, such as `["--requirepass", "x"]`.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Self::launch_in(folder(), free_port(), options, false)
    }

    /// The same over TLS only.
    pub(crate) fn start_secure(identity: &Identity, options: &[&str]) -> Self {
        let (folder, port) = (folder(), free_port());
        let mut all: Vec<String> = secure_lines(&folder, port, identity)
            .iter()
            .flat_map(|(name, value)| [format!("--{name}"), value.clone()])
            .collect();
        all.extend(options.iter().map(|option| (*option).to_owned()));
        Self::launch_in(folder, port, all, true)
    }

    fn launch_in(folder: PathBuf, port: u16, options: Vec<String>, is_secure: bool) -> Self {
        let child = launch(port, &folder, &options);
        let server = Self { child, port, folder, options, is_secure };
        server.await_answer();
        server
    }

    /// A sentinel that watches the primary on that port, and finds two of three enough to replace it.
    pub(crate) fn sentinel(name: &str, primary: u16) -> Self {
        let (folder, port) = (folder(), free_port());
        Self::sentinel_in(folder, port, &format!("port {port}\n"), name, primary, false)
    }

    /// The same over TLS only, also to the primary.
    pub(crate) fn secure_sentinel(name: &str, primary: u16, identity: &Identity) -> Self {
        let (folder, port) = (folder(), free_port());
        let lines = secure_lines(&folder, port, identity);
        let lines: String = lines.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        Self::sentinel_in(folder, port, &lines, name, primary, true)
    }

    fn sentinel_in(folder: PathBuf, port: u16, lines: &str, name: &str, primary: u16, is_secure: bool) -> Self {
        let text = format!(
            "{lines}bind 127.0.0.1\nsentinel monitor {name} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 3000\n"
        );
        // A sentinel keeps what it learns in its configuration.
        std::fs::write(folder.join("sentinel.conf"), text).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(folder.join("sentinel.conf")).arg("--sentinel").arg("--dir").arg(&folder);
        let server = Self { child: spawn(&mut command), port, folder, options: Vec::new(), is_secure };
        server.await_answer();
        server
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_secure { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The file of the authority that has certified the server.
    pub(crate) fn authorities(&self) -> PathBuf {
        self.folder.join(AUTHORITY)
    }

    /// Runs a command, and answers what the server said, errors included.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap_or_else(|error| error.to_string())
    }

    fn try_command(&self, words: &[&str]) -> redis::RedisResult<String> {
        let mut connection = self.connection()?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let answer: redis::Value = command.query(&mut connection)?;
        Ok(match answer {
            redis::Value::BulkString(text) => String::from_utf8_lossy(&text).into_owned(),
            redis::Value::SimpleString(text) => text,
            other => format!("{other:?}"),
        })
    }

    /// The one key that fits the pattern.
    pub(crate) fn key(&self, pattern: &str) -> String {
        let mut connection = self.connection().unwrap();
        let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query(&mut connection).unwrap();
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys[0].clone()
    }

    /// A key's value, for [`Self::restore`].
    pub(crate) fn dump(&self, key: &str) -> Vec<u8> {
        redis::cmd("DUMP").arg(key).query(&mut self.connection().unwrap()).unwrap()
    }

    /// Gives a key back the value that it had.
    pub(crate) fn restore(&self, key: &str, value: &[u8]) {
        let mut restore = redis::cmd("RESTORE");
        restore.arg(key).arg(0).arg(value).arg("REPLACE").exec(&mut self.connection().unwrap()).unwrap();
    }

    fn connection(&self) -> redis::RedisResult<redis::Connection> {
        let client = if self.is_secure {
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let root_cert = Some(std::fs::read(self.authorities())?);
            redis::Client::build_with_tls(self.url(), redis::TlsCertificates { client_tls: None, root_cert })?
        } else {
            redis::Client::open(self.url())?
        };
        let connection = client.get_connection_with_timeout(Duration::from_secs(2))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(connection)
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
        // One whose certificate a test has spoilt answers as well.
        ["PONG", "NOAUTH", "Authentication", "certificate"].iter().any(|answer| said.contains(answer))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn launch(port: u16, folder: &Path, options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0"]);
    spawn(command.arg("--dir").arg(folder).args(options))
}

/// Writes the server's identity down; what a configuration says of it.
fn secure_lines(folder: &Path, port: u16, identity: &Identity) -> [(&'static str, String); 7] {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    [
        ("port", "0".into()),
        ("tls-port", port.to_string()),
        ("tls-cert-file", write("server.pem", &identity.certificate)),
        ("tls-key-file", write("server.key", &identity.key)),
        ("tls-ca-cert-file", write(AUTHORITY, &identity.authority)),
        ("tls-auth-clients", "no".into()),
        ("tls-replication", "yes".into()),
    ]
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
