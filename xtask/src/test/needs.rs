//! What the tests need of the system, and how to get it.
//!
//! Owns the list. On a Debian-like system root gets what is missing, after being told; anybody else gets the one command.

use std::path::{Path, PathBuf};

use super::Part;
use crate::{Result, shell};

/// A program of the system.
struct Need {
    name: &'static str,
    /// The packages that bring it.
    packages: &'static [&'static str],
    is_there: fn() -> bool,
}

const NODE: Need = Need { name: "Node", packages: &["nodejs"], is_there: || shell::has("node", "--version") };

const NPM: Need = Need { name: "npm", packages: &["npm"], is_there: || shell::has("npm", "--version") };

const CHROMIUM: Need = Need { name: "Chromium", packages: &["chromium"], is_there: || chromium().is_some() };

const PYTHON: Need = Need {
    name: "Python 3 with venv",
    packages: &["python3", "python3-venv"],
    is_there: || shell::works("python3", &["-c", "import ensurepip, venv"]),
};

const CURL: Need = Need { name: "curl", packages: &["curl"], is_there: || shell::has("curl", "--version") };

const OPENSSL: Need = Need { name: "OpenSSL", packages: &["openssl"], is_there: || shell::has("openssl", "version") };

const REDIS: Need =
    Need { name: "redis-server", packages: &["redis-server"], is_there: || shell::has("redis-server", "--version") };

/// What libFuzzer is built with.
const COMPILER: Need = Need { name: "g++", packages: &["g++"], is_there: || shell::has("g++", "--version") };

const VALGRIND: Need =
    Need { name: "Valgrind", packages: &["valgrind"], is_there: || shell::has("valgrind", "--version") };

impl Part {
    fn needs(self) -> &'static [Need] {
        match self {
            Self::Rust => &[REDIS],
            Self::Schema | Self::Node => &[NODE, NPM],
            Self::Browser | Self::Web | Self::Console | Self::Demo => &[NODE, NPM, CHROMIUM],
            Self::Python => &[PYTHON],
            Self::Readme => &[NODE, NPM, CURL, OPENSSL],
        }
    }
}

/// The browser: the one that `CHROMIUM` names, or the first on the path.
pub(crate) fn chromium() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM").filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names
        .iter()
        .find_map(|name| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file()))
}

/// Installs what these parts need and the system does not have.
pub(crate) fn meet(parts: &[Part]) -> Result {
    meet_each(parts.iter().flat_map(|part| part.needs()))
}

/// The same for fuzzing.
pub(crate) fn meet_fuzzing() -> Result {
    meet_each([&COMPILER])
}

/// The same for counting instructions.
pub(crate) fn meet_counting() -> Result {
    meet_each([&VALGRIND])
}

fn meet_each(needs: impl IntoIterator<Item = &'static Need>) -> Result {
    let missing: Vec<&Need> = needs.into_iter().filter(|need| !(need.is_there)()).collect();
    if missing.is_empty() {
        println!("everything that this needs of the system is there");
        return Ok(());
    }
    let can_install = is_root() && Path::new("/usr/bin/apt-get").exists();
    if can_install {
        println!("some of what these tests need is missing; as root, it is installed now");
        apt(&["update", "--quiet"])?;
    }
    let (names, mut packages) = summary(&missing);
    if packages.contains(&"nodejs") && node_brings_npm() {
        packages.retain(|package| *package != "npm");
    }
    let install = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    if !can_install {
        return Err(format!("missing: {names}; on a Debian-like system this installs it: sudo {install}").into());
    }
    println!("missing: {names}; installing: {install}");
    apt(&[&["install", "--yes", "--quiet", "--no-install-recommends"], packages.as_slice()].concat())?;
    match missing.iter().find(|need| !(need.is_there)()) {
        Some(need) => Err(format!("{} is still missing after {install}", need.name).into()),
        None => Ok(()),
    }
}

fn apt(arguments: &[&str]) -> Result {
    shell::run(shell::command("apt-get", arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Whether the system's package of Node has npm in it; such a one does not go together with Debian's package of npm.
fn node_brings_npm() -> bool {
    let shown =
        shell::read(&mut shell::command("apt-cache", ["show", "--no-all-versions", "nodejs"]), "").unwrap_or_default();
    let provides = shown.lines().find_map(|line| line.strip_prefix("Provides: ")).unwrap_or_default();
    provides.split(", ").any(|package| package == "npm" || package.starts_with("npm "))
}

/// The names and the packages, each once.
fn summary(missing: &[&Need]) -> (String, Vec<&'static str>) {
    let once = |mut items: Vec<&'static str>| {
        items.sort_unstable();
        items.dedup();
        items
    };
    let names = once(missing.iter().map(|need| need.name).collect());
    (names.join(", "), once(missing.iter().flat_map(|need| need.packages.iter().copied()).collect()))
}

fn is_root() -> bool {
    shell::read(&mut shell::command("id", ["-u"]), "").is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_parts_need_is_named_once() {
        let (names, packages) = summary(&[&NODE, &CHROMIUM, &NODE]);
        assert_eq!(names, "Chromium, Node");
        assert_eq!(packages, ["chromium", "nodejs"]);
    }
}
