//! What can keep a run from being made. What a run finds out about the server is in its report, and no error.

use std::io;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The run was asked for in a way that cannot be done.
    #[error("{0}")]
    Usage(String),
    /// The server did not do what the run needs.
    #[error("{0}")]
    Server(String),
    /// The system refused something.
    #[error("failed to {what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// The system refused `what`.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// The outcome of what may keep a run from being made.
pub type Result<T = ()> = std::result::Result<T, Error>;
