//! The secret of `roomcast dev`: made once, kept beside the project, so that a token outlives a restart.
//!
//! Owns `.roomcast/dev-secret`. Refuses to be more than that: `serve` never reads it.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use rand::RngExt;
use roomcast_gateway::Secret;

use crate::failure::Failure;

/// The file that keeps the secret.
#[derive(Debug)]
pub(crate) struct DevSecret {
    directory: PathBuf,
}

/// Adds `--state-dir`.
pub(crate) fn flag(command: Command) -> Command {
    let directory = Arg::new("state-dir")
        .long("state-dir")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help("directory in which .roomcast/dev-secret is kept [default: the current one]");
    command.arg(directory)
}

impl DevSecret {
    /// Where the flags say.
    pub(crate) fn new(matches: &ArgMatches) -> Self {
        let below = matches.get_one::<PathBuf>("state-dir").map_or(Path::new(""), PathBuf::as_path);
        Self { directory: below.join(".roomcast") }
    }

    /// The file's path, for words about it.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join("dev-secret")
    }

    /// The secret; `None` when there is none yet.
    ///
    /// # Errors
    /// When there is a file that cannot be read or holds no secret.
    pub(crate) fn read(&self) -> Result<Option<Secret>, Failure> {
        let path = self.path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::other(format!("read {}: {error}", path.display()))),
        };
        let secret = text.trim();
        if secret.len() < Secret::MIN_BYTES {
            let failure = Failure::configuration(format!(
                "use {}: found {} bytes; expected a secret of at least {} bytes",
                path.display(),
                secret.len(),
                Secret::MIN_BYTES
            ));
            return Err(failure.hint("delete the file, and a new one is made at the next start"));
        }
        Ok(Some(Secret::new(secret)))
    }

    /// The secret, made now when there is none yet.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub(crate) fn read_or_make(&self) -> Result<Secret, Failure> {
        if let Some(secret) = self.read()? {
            return Ok(secret);
        }
        let failed = |error: io::Error| {
            Failure::other(format!("keep a secret in {}: {error}", self.directory.display()))
                .hint("name a writable directory by --state-dir, or set JWT_SECRET")
        };
        self.make().map_err(failed)?;
        self.read()?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        // The directory keeps itself out of the repository around it.
        fs::write(self.directory.join(".gitignore"), "*\n")?;
        // Written aside and linked into place: gateways that start together agree on one secret, and none reads half of it.
        // Aside by a name of chance: in containers that share the directory every gateway has the same process id.
        let aside = self.directory.join(format!("dev-secret.{}", random_hex()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        writeln!(file, "{}", random_hex())?;
        let placed = match fs::hard_link(&aside, self.path()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            // Some file systems have no links.
            Err(_) => fs::rename(&aside, self.path()),
            Ok(()) => Ok(()),
        };
        let _ = fs::remove_file(&aside);
        placed
    }
}

/// 256 random bits.
fn random_hex() -> String {
    rand::rng().random::<[u8; 32]>().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    /// As containers on one volume are: each of them is process 1.
    #[test]
    fn gateways_with_the_same_process_id_that_start_together_agree_on_one_secret() {
        for _ in 0..50 {
            let below = std::env::temp_dir().join(format!("roomcast-{}", random_hex()));
            let together = Barrier::new(8);
            let start = || {
                together.wait();
                DevSecret { directory: below.join(".roomcast") }
                    .read_or_make()
                    .map_err(|failure| format!("{failure:?}"))
            };
            let made: Vec<_> = thread::scope(|scope| {
                let gateways: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
                gateways.into_iter().map(|gateway| gateway.join().unwrap()).collect()
            });
            let kept = DevSecret { directory: below.join(".roomcast") }.read().unwrap().unwrap();
            fs::remove_dir_all(&below).unwrap();
            for secret in made {
                assert_eq!(secret.unwrap(), kept);
            }
        }
    }
}
