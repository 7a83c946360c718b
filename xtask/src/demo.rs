//! `demo`: the issue board, started with all that it needs.
//!
//! Owns the processes: a gateway in `dev` with the embedded broker, and the demo's back end, which serves the page. Each is
//! waited for until it says that it is well, and none outlives the task. Settings of the shell that it is started from do
//! not reach them.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{Result, npm, shell};

/// How long a process may take until it is well: debug builds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// How often processes and signals are looked at.
const BEAT: Duration = Duration::from_millis(50);

/// Events that the gateway keeps of a room: fewer than the demo's busy day has, so that one can see what a gap is.
const HISTORY_SIZE: &str = "50";

/// Of the environment, what the processes get beside their settings.
const INHERITED: [&str; 3] = ["PATH", "TMPDIR", "RUST_LOG"];

/// What the demo is started with.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The port of the page; 0 takes a free one.
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// The port of the gateway; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    gateway_port: u16,
}

/// What the demo consists of, as it was built.
pub(crate) struct Built {
    pub(crate) gateway: PathBuf,
    pub(crate) back_end: PathBuf,
    /// The folder of the page.
    pub(crate) page: PathBuf,
}

/// Builds everything; the page into this folder below `target/`.
pub(crate) fn build(page: &str) -> Result<Built> {
    npm::install()?;
    let target = shell::target()?;
    let page = target.join(page);
    let vite = ["node_modules/vite/bin/vite.js", "build", "web/demo", "--config", "web/demo/vite.config.mjs"];
    let mut vite = shell::command("node", vite);
    shell::run(vite.args(["--logLevel", "warn", "--outDir"]).arg(&page))?;
    shell::run(&mut shell::cargo(["build", "--package", "roomcast-cli", "--package", "roomcast-demo"]))?;
    Ok(Built { gateway: target.join("debug/roomcast"), back_end: target.join("debug/roomcast-demo"), page })
}

/// Starts the demo, and ends it when it is told to, or when one of its processes has ended.
pub(crate) fn run(options: &Options) -> Result {
    if !npm::is_there() {
        return Err(
            "the demo needs Node 20.19 or later and npm; on a Debian-like system: sudo apt-get install nodejs npm"
                .into(),
        );
    }
    check_free(options.port, "--port")?;
    check_free(options.gateway_port, "--gateway-port")?;
    let built = build("demo/page")?;
    // From here on a signal ends what was started, and not this process before it.
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let secret = secret()?;
    let mut gateway = Command::new(built.gateway);
    gateway.arg("dev").args(["--host", "127.0.0.1", "--port", &options.gateway_port.to_string()]);
    gateway.args(["--history-size", HISTORY_SIZE]).env("JWT_SECRET", &secret).env("RUST_LOG", "warn");
    let mut gateway = Process::start("the gateway", &mut gateway, &stop)?;
    gateway.wait_until_well("/readyz", &stop)?;
    let mut back_end = Command::new(built.back_end);
    back_end.args(["--port", &options.port.to_string(), "--gateway", &format!("http://{}", gateway.address)]);
    back_end.arg("--page").arg(built.page).env("JWT_SECRET", &secret);
    let mut back_end = Process::start("the back end", &mut back_end, &stop)?;
    back_end.wait_until_well("/livez", &stop)?;
    println!("the demo is at http://{}/ until Ctrl-C", back_end.address);
    std::io::stdout().flush()?;
    while !stop.load(Ordering::Relaxed) {
        gateway.check()?;
        back_end.check()?;
        std::thread::sleep(BEAT);
    }
    println!("the demo ends");
    Ok(())
}

/// Says early, and in words, what a process would say late.
fn check_free(port: u16, flag: &str) -> Result {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(format!("port {port} cannot be had ({error}): choose another one by {flag}, or 0 for a free one")
                .into())
        }
    }
}

/// What signs the tokens of this run: 256 bits of chance, which are written nowhere.
fn secret() -> Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A process of the demo, which ends with the value that holds it.
struct Process {
    name: &'static str,
    child: Child,
    /// Where it listens, as it says in its first line.
    address: SocketAddr,
}

impl Process {
    /// Starts it, and waits until it says where it listens.
    fn start(name: &'static str, command: &mut Command, stop: &AtomicBool) -> Result<Self> {
        let settings: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
        command.env_clear().current_dir(shell::root()).stdin(Stdio::null()).stdout(Stdio::piped());
        command.envs(settings.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // Ctrl-C reaches every process of a terminal's group; these are ended by this one, in its order.
        let mut child =
            command.process_group(0).spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
        let lines = lines(&mut child)?;
        let mut process = Self { name, child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match lines.recv_timeout(BEAT) {
                Ok(line) => {
                    let address =
                        line.rsplit_once("listening on http://").and_then(|(_, address)| address.parse().ok());
                    process.address = address.ok_or_else(|| format!("{name} does not say where it listens: {line}"))?;
                    return Ok(process);
                }
                // Its output ends before its process does.
                Err(mpsc::RecvTimeoutError::Disconnected) => std::thread::sleep(BEAT),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            process.patience(deadline, stop)?;
        }
    }

    /// Waits until a call of its health is answered well.
    fn wait_until_well(&mut self, path: &str, stop: &AtomicBool) -> Result {
        let deadline = Instant::now() + PATIENCE;
        while !is_well(self.address, path) {
            self.patience(deadline, stop)?;
            std::thread::sleep(BEAT);
        }
        Ok(())
    }

    /// Fails when there is nothing more to wait for.
    fn patience(&mut self, deadline: Instant, stop: &AtomicBool) -> Result {
        self.check()?;
        if stop.load(Ordering::Relaxed) {
            return Err("ended before the demo was up".into());
        }
        if Instant::now() > deadline {
            return Err(format!("{} is not up after {} s", self.name, PATIENCE.as_secs()).into());
        }
        Ok(())
    }

    /// Fails when it has ended.
    fn check(&mut self) -> Result {
        match self.child.try_wait()? {
            Some(status) => Err(format!("{} has ended ({status}), and with it the demo", self.name).into()),
            None => Ok(()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        shell::works("kill", &["-TERM", &self.child.id().to_string()]);
        let deadline = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(BEAT);
        }
        // What has ended by itself needs no more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first line that a process writes. All others are read and forgotten, so that it never waits for a reader.
fn lines(child: &mut Child) -> Result<mpsc::Receiver<String>> {
    let output = child.stdout.take().ok_or("no standard output")?;
    let (first, lines) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
            let _ = first.try_send(line);
        }
    });
    Ok(lines)
}

/// Whether a GET of the path is answered by 200.
fn is_well(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, GRACE)?;
        stream.set_read_timeout(Some(GRACE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line)
    };
    ask().is_ok_and(|line| line.starts_with("HTTP/1.1 200 "))
}
