//! Running other programs, always from the repository's root.
//!
//! Owns where they run and what a failure says. Nothing here goes through a shell: arguments are arguments.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// A program with its arguments, to run in the root without a standard input.
pub(crate) fn command<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// This very cargo, as cargo sets it for what it runs.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments);
    // These describe xtask's own package; a build script that reads them would be built anew for each caller.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// How long one command may take where nobody watches: a test that hangs must fail, and say which it was.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Runs a command to its end, its output going where ours goes. In continuous integration it is ended after 15 minutes.
pub(crate) fn run(command: &mut Command) -> Result {
    println!("$ {}", line(command));
    std::io::stdout().flush()?;
    let status = if std::env::var_os("CI").is_some() {
        run_for(command, LIMIT)?
    } else {
        command.status().map_err(|error| format!("{}: {error}", line(command)))?
    };
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", line(command)).into()) }
}

/// Runs a command in a process group of its own, so that all that it started ends with it when the time is over.
fn run_for(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    let mut child = command.process_group(0).spawn().map_err(|error| format!("{}: {error}", line(command)))?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > limit {
            works("kill", &["-KILL", "--", &format!("-{}", child.id())]);
            child.wait()?;
            return Err(format!("{} was ended after {} s", line(command), limit.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a command and takes its standard output; `input` goes to its standard input.
pub(crate) fn read(command: &mut Command, input: &str) -> Result<String> {
    let line = line(command);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|error| format!("{line}: {error}"))?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    let input = input.to_owned();
    // From a thread, since neither side may wait for the other. A program that reads nothing may be gone by then.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(format!("{line} failed ({})", output.status).into())
    }
}

/// Whether a program can be started with this argument.
pub(crate) fn has(program: &str, argument: &str) -> bool {
    works(program, &[argument])
}

/// Whether a program succeeds. What it says is not shown.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = command(program, arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The folder that cargo builds into.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(root()).no_deps().exec()?;
    Ok(metadata.target_directory.into_std_path_buf())
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_ended_with_all_that_it_started() {
        let start = Instant::now();
        let error = run_for(&mut command("sh", ["-c", "sleep 60 & wait"]), Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("was ended after"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_command_gets_its_input_and_gives_its_output() {
        assert_eq!(read(&mut command("cat", [""; 0]), "words").unwrap(), "words");
        assert!(read(&mut command("false", [""; 0]), "").is_err());
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_that_names_it() {
        let error = run(&mut command("no-such-program", ["x"])).unwrap_err();
        assert!(error.to_string().starts_with("no-such-program x: "), "{error}");
    }
}
