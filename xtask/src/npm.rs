//! The packages of Node that the tasks use, each set of them pinned by its lock file: those of the root, and in folders of
//! their own what is large and few need.

use std::fs;
use std::path::Path;

use crate::{Result, shell};

/// Whether Node and npm are on this machine.
pub(crate) fn is_there() -> bool {
    shell::has("node", "--version") && shell::has("npm", "--version")
}

/// Installs the packages of the root as the lock file names them, unless that was done already.
pub(crate) fn install() -> Result {
    install_in(&shell::root())
}

/// The same for the `package.json` of that folder, with their install scripts: Bun and Deno come by one.
pub(crate) fn install_in(folder: &Path) -> Result {
    let lock = fs::read_to_string(folder.join("package-lock.json"))?;
    let stamp = folder.join("node_modules/.installed-lock.json");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    // Browsers come from the system; a package that downloads one of its own shall not.
    // The cache stays in the repository like everything else that a test writes.
    let cache = shell::target()?.join("npm");
    let mut install =
        shell::command("npm", ["ci", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]);
    install.current_dir(folder).env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1").env("npm_config_cache", cache);
    shell::run(&mut install)?;
    fs::write(stamp, lock)?;
    Ok(())
}
