//! `test`: the parts of the tests, alone or together.
//!
//! Owns what a part runs and what it is given: the built binary, a browser, a Python of its own. Nothing is left out in
//! silence: what a part needs and does not find is a failure. It writes below `target/` and `node_modules/` only.

pub(crate) mod needs;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::report::Report;
use crate::{Result, codegen, demo as task, npm, shell};

/// A part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// All Rust tests of the workspace, those in the documentation too
    Rust,
    /// The generated files: current, accepted by ajv, and TypeScript that compiles where it should and nowhere else
    Schema,
    /// Node's ws against the gateway
    Node,
    /// A real Chromium against the gateway
    Browser,
    /// Python's websockets against the gateway
    Python,
    /// The TypeScript SDK: its tests, its package, and Node, Bun, Deno and a real Chromium against the gateway
    Web,
    /// The console: its types and its size, and a real Chromium that presses its buttons on a real gateway
    Console,
    /// The demo: its types, a real Chromium that presses its buttons, and the command that starts it
    Demo,
    /// What the README says, word for word
    Readme,
}

/// Says what the parts are.
pub(crate) fn list() -> Result {
    for part in Part::value_variants() {
        if let Some(value) = part.to_possible_value() {
            println!("{:<8} {}", value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default());
        }
    }
    Ok(())
}

/// Runs these parts, or all if none is named.
pub(crate) fn run(parts: &[Part]) -> Result {
    let wanted = if parts.is_empty() { Part::value_variants() } else { parts };
    needs::meet(wanted)?;
    let mut report = Report::default();
    self::parts(&mut report, wanted);
    report.finish()
}

/// Runs parts whose needs are met.
pub(crate) fn parts(report: &mut Report, parts: &[Part]) {
    for part in parts {
        let name =
            format!("test {}", part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default());
        report.step(&name, || part.run());
    }
}

impl Part {
    fn run(self) -> Result {
        match self {
            Self::Rust => shell::run(contained(&mut shell::cargo(["test", "--workspace", "--no-fail-fast"]))?),
            Self::Schema => schema(),
            Self::Node => scripts("tests/clients/node", &[("ROOMCAST_BIN", binary()?)]),
            Self::Browser => {
                let chromium = needs::chromium().ok_or("no chromium")?;
                scripts("tests/clients/browser", &[("ROOMCAST_BIN", binary()?), ("CHROMIUM", chromium)])
            }
            Self::Python => python(),
            Self::Web => web(),
            Self::Console => console(),
            Self::Demo => demo(),
            Self::Readme => scripts("tests/clients/readme", &[("ROOMCAST_BIN", binary()?)]),
        }
    }
}

/// Builds the product, and says where it is.
fn binary() -> Result<PathBuf> {
    shell::run(&mut shell::cargo(["build", "--package", "roomcast-cli"]))?;
    let binary = shell::target()?.join("debug/roomcast");
    if binary.exists() { Ok(binary) } else { Err(format!("{} was not built", binary.display()).into()) }
}

fn schema() -> Result {
    codegen::check()?;
    shell::run(&mut shell::command("node", ["node_modules/typescript/bin/tsc", "--project", "tests/schema"]))?;
    scripts("tests/schema", &[])
}

/// Where the SDK's tests in Bun and Deno are, and these two.
const RUNTIMES: &str = "web/client/tests/runtimes";

/// Builds the TypeScript SDK, and tests it from its smallest part to a page in a browser.
fn web() -> Result {
    npm::install()?;
    let chromium = needs::chromium().ok_or("no chromium")?;
    let environment = [("ROOMCAST_BIN", binary()?), ("CHROMIUM", chromium)];
    shell::run(&mut shell::command("node", ["web/client/build.mjs"]))?;
    let mut units = shell::command("node", ["node_modules/vitest/vitest.mjs", "run", "--root", "web/client"]);
    shell::run(contained(&mut units)?.envs(environment.iter().map(|(name, value)| (name, value))))?;
    scripts("web/client/tests/package", &environment)?;
    npm::install_in(&shell::root().join(RUNTIMES))?;
    scripts(RUNTIMES, &environment)?;
    scripts("web/client/tests/browser", &environment)
}

/// Checks the console's sources, and drives the page that the gateway serves.
fn console() -> Result {
    npm::install()?;
    let chromium = needs::chromium().ok_or("no chromium")?;
    shell::run(&mut shell::command("node", ["node_modules/typescript/bin/tsc", "--project", "web/console"]))?;
    scripts("web/console/tests", &[("ROOMCAST_BIN", binary()?), ("CHROMIUM", chromium)])
}

/// Checks the demo's sources, and drives its page, its back end and the task that starts both.
fn demo() -> Result {
    // Another folder than that of the task, which one of these tests runs.
    let built = task::build("demo/tested-page")?;
    let chromium = needs::chromium().ok_or("no chromium")?;
    shell::run(&mut shell::command("node", ["node_modules/typescript/bin/tsc", "--project", "web/demo"]))?;
    let environment = [
        ("ROOMCAST_BIN", built.gateway),
        ("DEMO_BIN", built.back_end),
        ("DEMO_PAGE", built.page),
        ("CHROMIUM", chromium),
    ];
    scripts("web/demo/tests", &environment)
}

/// Runs the scripts of a folder by Node's own runner.
fn scripts(folder: &str, environment: &[(&str, PathBuf)]) -> Result {
    npm::install()?;
    let scripts = files(folder, |name| name.ends_with(".test.mjs"))?;
    let arguments = ["--test", "--test-reporter=spec"].map(Into::into).into_iter().chain(scripts);
    let mut node = shell::command("node", arguments);
    shell::run(contained(&mut node)?.envs(environment.iter().map(|(name, value)| (name, value))))
}

/// Runs the Python tests in an environment of their own.
fn python() -> Result {
    let folder = "tests/clients/python";
    files(folder, |name| name.starts_with("test_") && name.ends_with(".py"))?;
    let environment = shell::target()?.join("python");
    let python = environment.join("bin/python");
    let requirements = fs::read_to_string(shell::root().join(folder).join("requirements.txt"))?;
    let stamp = environment.join("installed-requirements.txt");
    if fs::read_to_string(&stamp).unwrap_or_default() != requirements {
        let create: [&OsStr; 4] = ["-m".as_ref(), "venv".as_ref(), "--clear".as_ref(), environment.as_ref()];
        shell::run(contained(&mut shell::command("python3", create))?)?;
        let wanted = format!("{folder}/requirements.txt");
        let quiet = ["-m", "pip", "--disable-pip-version-check", "--no-cache-dir", "install", "--quiet", "-r", &wanted];
        shell::run(contained(&mut shell::command(&python, quiet))?)?;
        fs::write(stamp, requirements)?;
    }
    let mut tests = shell::command(&python, ["-m", "unittest", "discover", "-v", "-s", folder, "-p", "test_*.py"]);
    shell::run(contained(&mut tests)?.env("ROOMCAST_BIN", binary()?))
}

/// The files of a folder whose names fit, sorted. A part without any is a mistake and no success.
fn files(folder: &str, fits: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(shell::root().join(folder)).map_err(|error| format!("{folder}: {error}"))?;
    let mut files = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if name.to_str().is_some_and(&fits) {
            files.push(Path::new(folder).join(name));
        }
    }
    files.sort();
    if files.is_empty() { Err(format!("{folder} has no tests").into()) } else { Ok(files) }
}

/// The command with everything that programs write by themselves (temporary files, profiles, caches) below `target/`.
fn contained(command: &mut Command) -> Result<&mut Command> {
    let folder = shell::target()?.join("tmp/xtask");
    fs::create_dir_all(&folder)?;
    for name in ["TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
        command.env(name, &folder);
    }
    Ok(command.env("PYTHONDONTWRITEBYTECODE", "1"))
}
