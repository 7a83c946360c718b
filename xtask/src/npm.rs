//! The packages of Node that the tasks use: one `package.json` in the root, pinned by its lock file.

use std::fs;

use crate::{Result, shell};

/// Whether Node and npm are on this machine.
pub(crate) fn is_there() -> bool {
    shell::has("node", "--version") && shell::has("npm", "--version")
}

/// Installs the packages as the lock file names them, unless that was done already.
pub(crate) fn install() -> Result {
    let root = shell::root();
    let lock = fs::read_to_string(root.join("package-lock.json"))?;
    let stamp = root.join("node_modules/.installed-lock.json");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    // Browsers come from the system; a package that downloads one of its own shall not.
    // The cache stays in the repository like everything else that a test writes.
    let cache = shell::target()?.join("npm");
    let mut install =
        shell::command("npm", ["ci", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]);
    shell::run(install.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1").env("npm_config_cache", cache))?;
    fs::write(stamp, lock)?;
    Ok(())
}
