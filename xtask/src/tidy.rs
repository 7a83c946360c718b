//! `tidy`: the rules of the repository that a command can check.
//!
//! Owns the run; the rules stand in the modules below, each with its reason. All findings are printed before it fails.

mod dependencies;
mod licences;
mod sources;

use std::fs;

use crate::{Result, shell};

/// Something that breaks a rule, with its place.
type Finding = String;

/// Checks everything.
pub(crate) fn run() -> Result {
    let mut findings = dependencies::check()?;
    let files = files()?;
    for (path, text) in &files {
        findings.extend(sources::check(path, text));
    }
    if findings.is_empty() {
        println!("{} files and their dependencies keep the rules", files.len());
        return Ok(());
    }
    findings.iter().for_each(|finding| println!("{finding}"));
    Err(format!("{} places break a rule", findings.len()).into())
}

/// The files of the repository, tracked or about to be, that are texts.
fn files() -> Result<Vec<(String, String)>> {
    // A checkout may belong to another user than the one who checks it; this only lists names.
    let arguments = ["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"];
    let mut git = shell::command("git", arguments);
    let listed = shell::read(&mut git, "")?;
    let root = shell::root();
    // What is deleted and not yet committed is listed too.
    let text = |path: &str| fs::read_to_string(root.join(path)).ok().map(|text| (path.to_owned(), text));
    Ok(listed.lines().filter_map(text).collect())
}
