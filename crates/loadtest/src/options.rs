//! What every scenario needs to know: where the server is, what it speaks, which processes it is.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process::Processes;
use crate::protocol::Protocol;
use crate::target::Target;
use crate::tokens::Tokens;

/// Where the server is, and what it speaks.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The server's address, on this machine
    #[arg(long, global = true, default_value = "http://127.0.0.1:3001")]
    pub url: Target,
    /// Where to publish, when that is another node
    #[arg(long, global = true)]
    pub publish_url: Option<Target>,
    /// The server's protocol
    #[arg(long, global = true, value_enum, default_value = "roomcast")]
    pub protocol: Protocol,
    /// Signs a token for each connection
    #[arg(long, global = true, env = "JWT_SECRET", hide_env_values = true)]
    pub secret: Option<String>,
    /// One token for all connections; without secret and token, one of POST /dev/token
    #[arg(long, global = true)]
    pub token: Option<String>,
    /// The server's process, for processor time and memory; may be given again for each node
    #[arg(long, global = true)]
    pub pid: Vec<u32>,
    /// A process that the server needs, such as its Redis: its time is not the server's, nor other work on the machine
    #[arg(long, global = true)]
    pub beside_pid: Vec<u32>,
    /// The processor that this tool keeps to, which should not be the server's
    #[arg(long, global = true)]
    pub cpu: Option<usize>,
    /// Print the report as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

impl Options {
    pub(crate) fn processes(&self) -> Result<Processes> {
        Processes::new(self.pid.clone())
    }

    /// This tool and what the server needs: what works beside the server and belongs to the run.
    pub(crate) fn beside(&self) -> Result<Processes> {
        Processes::new([&self.beside_pid[..], &[std::process::id()]].concat())
    }

    pub(crate) fn tokens(&self) -> Result<Tokens> {
        if self.protocol != Protocol::Roomcast {
            return Ok(Tokens::None);
        }
        if let Some(secret) = &self.secret {
            return Ok(Tokens::signed(secret));
        }
        self.token.clone().map_or_else(|| dev_token(self.url.address()), Ok).map(Tokens::One)
    }

    /// Makes room for as many sockets as this process may have, keeps to its processor, and says how many sockets that is.
    pub(crate) fn prepare(&self) -> Result<u32> {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        if let Some(cpu) = self.cpu {
            let mut set = rustix::thread::CpuSet::new();
            set.set(cpu);
            rustix::thread::sched_setaffinity(None, &set)
                .map_err(|error| Error::system(format!("keep to processor {cpu}"))(error.into()))?;
        }
        let most = getrlimit(Resource::Nofile).maximum;
        // What cannot be raised stays as it is; the number of sockets is checked against what is in force.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
        Ok(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).min(1 << 20) as u32)
    }
}

/// How long the server may take to answer one question.
const PATIENCE: Duration = Duration::from_secs(10);

/// A token of a gateway that runs as `roomcast dev`.
fn dev_token(address: SocketAddr) -> Result<String> {
    let body = r#"{"userId":"bench","grants":{"*":["*"]}}"#;
    let request = format!(
        "POST /dev/token HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.take(64 << 10).read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer: String = ask().map_err(Error::system(format!("ask {address} for a token")))?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let value: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    value["token"]
        .as_str()
        .map(ToOwned::to_owned)
        .ok_or_else(|| Error::Usage("the server gives no token by POST /dev/token: give --secret or --token".into()))
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn options(arguments: &[&str]) -> Options {
        let matches =
            Options::augment_args(clap::Command::new("tool")).get_matches_from([&["tool"], arguments].concat());
        Options::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn what_the_server_needs_is_counted_beside_it_and_must_be_there() {
        let own = options(&[]).beside().unwrap();
        assert!(!options(&[]).processes().unwrap().is_known(), "this tool is not the server");
        let parent = std::os::unix::process::parent_id().to_string();
        let both = options(&["--beside-pid", &parent]);
        assert!(!both.processes().unwrap().is_known());
        assert!(both.beside().unwrap().resident().unwrap() > own.resident().unwrap());
        assert!(options(&["--beside-pid", &u32::MAX.to_string()]).beside().is_err());
    }
}
