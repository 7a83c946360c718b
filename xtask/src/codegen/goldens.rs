//! The goldens as examples: read from the protocol's tests, where they are written by hand.

use std::fs;
use std::path::PathBuf;

use crate::{Result, shell};

/// Every golden by its path from the folder of goldens.
pub(super) fn read() -> Result<Vec<(PathBuf, String)>> {
    let folder = shell::root().join("crates/protocol/goldens");
    let mut goldens = Vec::new();
    for group in fs::read_dir(&folder)? {
        for golden in fs::read_dir(group?.path())? {
            let path = golden?.path();
            goldens.push((path.strip_prefix(&folder)?.to_owned(), fs::read_to_string(&path)?));
        }
    }
    Ok(goldens)
}
