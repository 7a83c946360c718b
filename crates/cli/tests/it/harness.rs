//! Runs the real binary: in a directory of its own, with an environment of its own, and never longer than its test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// For everything that is to happen at some time: far beyond what a busy machine takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A secret that a gateway accepts.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A directory that goes when its test ends.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The binary, to be run here, without anything of this process's environment.
    pub(crate) fn roomcast(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roomcast"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.args(arguments).current_dir(&self.0).env_clear().env("PATH", path).stdin(Stdio::null());
        command
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The lines that a process has written so far.
#[derive(Clone, Default)]
struct Lines(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Lines {
    /// Reads lines, at most so many, and then closes the stream.
    fn of(stream: impl Read + Send + 'static, most: usize) -> Self {
        let lines = Self::default();
        let writer = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok).take(most) {
                writer.0.0.lock().unwrap().push(line);
                writer.0.1.notify_all();
            }
        });
        lines
    }

    /// The first line, from `from` on, that is wanted; waits for it.
    fn wait(&self, from: usize, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        let mut lines = self.0.0.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().skip(from).find(|line| wanted(line)) {
                return line.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line with {what} came; there are: {lines:#?}");
            lines = self.0.1.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits for the reading thread, which holds the other reference until its pipe is at its end.
    fn wait_for_end(&self) {
        let end = Instant::now() + PATIENCE;
        while Arc::strong_count(&self.0) > 1 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn text(&self) -> String {
        self.0.0.lock().unwrap().join("\n")
    }
}

/// A process that ends with its test, whatever becomes of it.
pub(crate) struct Running {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_and_read(command, usize::MAX)
    }

    /// Closes the process's standard output after so many lines.
    pub(crate) fn start_and_read(command: &mut Command, lines: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap(), lines);
        let stderr = Lines::of(child.stderr.take().unwrap(), usize::MAX);
        Self { child, stdout, stderr }
    }

    pub(crate) fn first_line(&self) -> String {
        self.stdout.wait(0, "anything", |_| true)
    }

    pub(crate) fn line(&self, part: &str) -> String {
        self.stdout.wait(0, part, |line| line.contains(part))
    }

    pub(crate) fn error_line(&self, part: &str) -> String {
        self.stderr.wait(0, part, |line| line.contains(part))
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    #[allow(dead_code, reason = "the binary of the hostile suite uses it")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end, and for everything that was written until then.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.stdout.wait_for_end();
                self.stderr.wait_for_end();
                return status;
            }
            assert!(Instant::now() < end, "it does not end; standard error: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway on a free port.
pub(crate) struct RunningGateway {
    pub(crate) process: Running,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
}

impl RunningGateway {
    pub(crate) fn start(command: &mut Command) -> Self {
        let process = Running::start(command.env("PORT", "0"));
        let first = process.first_line();
        let address = first.strip_prefix("roomcast listening on http://");
        let address = address.unwrap_or_else(|| panic!("the first line is {first:?}")).to_owned();
        Self { process, address }
    }

    pub(crate) fn dev(directory: &Directory) -> Self {
        Self::start(&mut directory.roomcast(&[]))
    }

    pub(crate) fn serve(directory: &Directory) -> Self {
        Self::start(directory.roomcast(&["serve"]).env("JWT_SECRET", SECRET))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit_once(':').unwrap().1
    }

    /// The token that `dev` printed.
    pub(crate) fn token(&self) -> String {
        self.process.stdout.wait(0, "a token", |line| line.starts_with("eyJ"))
    }

    /// A request and its whole answer, head and body.
    pub(crate) fn http(&self, head: &str, body: &str) -> String {
        let mut stream = self.stream();
        let (address, length) = (&self.address, body.len());
        let request =
            format!("{head}\r\nHost: {address}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A WebSocket, opened with these extra header lines, up to its first frame; and what came so far.
    pub(crate) fn socket(&self, path: &str, header: &str) -> (TcpStream, String) {
        let mut stream = self.stream();
        let address = &self.address;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{header}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        loop {
            let count = stream.read(&mut part).unwrap();
            answer.extend_from_slice(&part[..count]);
            let text = String::from_utf8_lossy(&answer);
            if count == 0 || text.contains("\"type\":\"") {
                return (stream, text.into_owned());
            }
        }
    }

    fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// A port that stays free until the test takes it: below those that the system gives to whoever asks for any.
pub(crate) fn quiet_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() % 5000;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let candidate = || u16::try_from(20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000).unwrap();
    std::iter::repeat_with(candidate).take(10_000).find(free).unwrap()
}

/// What a process that has ended said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Said {
    let mut process = Running::start(command);
    let code = process.wait().code();
    Said { code, stdout: process.stdout(), stderr: process.stderr() }
}

/// Runs a command to its end with something on its standard input.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
