//! Standard output: what a command answers. Everything else goes to standard error.

use std::io::Write;

use crate::failure::Failure;

/// Writes a line (or several) and passes it on at once, so that a reader behind a pipe sees it when it happens.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}
