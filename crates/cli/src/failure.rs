//! How a command fails: words for a person, and an exit code for a script.
//!
//! Owns the two codes and how a failure is written. Its text fits after "failed to".

use std::fmt;
use std::io;
use std::process::ExitCode;

/// A command could not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// Fits after "failed to"; `None` when there is nobody to tell.
    message: Option<String>,
    /// What would help, as a sentence of its own.
    hint: Option<String>,
}

impl Failure {
    /// The configuration cannot be used: starting again without a change is in vain.
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self { code: 2, message: Some(message.into()), hint: None }
    }

    /// Anything else.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self { code: 1, message: Some(message.into()), hint: None }
    }

    /// Ended on a signal, as asked.
    pub(crate) fn signal(number: u8) -> Self {
        Self { code: 128 + number, message: None, hint: None }
    }

    /// Standard output cannot be written. When its reader has gone, as with `| head`, that is no error.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { code: 0, message: None, hint: None },
            _ => Self::other(format!("write to standard output: {error}")),
        }
    }

    /// The same with a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Tells it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        if let Some(message) = &self.message {
            eprintln!("roomcast: failed to {message}");
        }
        if let Some(hint) = &self.hint {
            eprintln!("hint: {hint}");
        }
        ExitCode::from(self.code)
    }
}

/// Fits after "failed to".
impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.message.as_deref().unwrap_or("go on"))
    }
}
