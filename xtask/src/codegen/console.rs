//! The console's page, built by esbuild and committed, so that the gateway has it in it where there is no Node.
//!
//! Owns the list of its files. Their bytes depend on the sources in `web/console` and `web/client`, and on the lock file.

use std::fs;
use std::path::PathBuf;

use super::Files;
use crate::{Result, npm, shell};

/// Where the built files stand, and nothing else.
pub(super) const FOLDER: &str = "web/console/dist";

const NAMES: [&str; 3] = ["console.css", "console.js", "index.html"];

/// Builds the page from the sources as they stand now, the generated types of the SDK among them.
pub(super) fn files() -> Result<Files> {
    npm::install()?;
    let built = shell::target()?.join("tmp/console");
    let script = ["web/console/build.mjs".into(), built.clone()];
    shell::run(&mut shell::command("node", script))?;
    let read = |name: &str| Ok((PathBuf::from(FOLDER).join(name), fs::read_to_string(built.join(name))?));
    NAMES.into_iter().map(read).collect()
}
