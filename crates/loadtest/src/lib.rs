//! A load tool for Roomcast and its peers: what a delivery, a connection and a recovery cost a server on this machine.
//!
//! One thread and one loop over all sockets: no task for a connection, no copy of an event, no parsing but of the numbers
//! that an event carries. It refuses addresses other than loopback, and ends by itself.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "counts of one run, shown to three digits"
)]

mod audience;
mod engine;
mod error;
mod frames;
mod histogram;
mod ledger;
mod mark;
mod options;
mod process;
mod protocol;
mod publishers;
mod report;
mod scenario;
mod target;
mod tokens;

use std::process::ExitCode;

pub use error::{Error, Result};
pub use ledger::Verdict;
pub use options::Options;
pub use process::Cost;
pub use protocol::Protocol;
pub use report::{Figures, Report};
pub use scenario::Scenario;
pub use target::Target;

/// What a run is asked for on a command line.
#[derive(Debug, clap::Parser)]
#[command(
    name = "roomcast-loadtest",
    version,
    about = "Loads a server on this machine, and measures what it costs the server",
    after_help = "Exit codes: 0 nothing was lost, doubled or out of order; 1 something was, or the run failed; 2 wrong usage."
)]
pub struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    scenario: Scenario,
}

impl Arguments {
    /// Runs what was asked for.
    ///
    /// # Errors
    /// When there can be no report: see [`Error`].
    pub fn measure(&self) -> Result<Report> {
        self.scenario.run(&self.options)
    }

    /// The report in the form that was asked for: a table, or JSON.
    #[must_use]
    pub fn shown(&self, report: &Report) -> String {
        if self.options.json { serde_json::to_string_pretty(report).unwrap_or_default() } else { report.to_string() }
    }

    /// Runs what was asked for and prints the report.
    pub fn run(&self) -> ExitCode {
        let report = match self.measure() {
            Ok(report) => report,
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 });
            }
        };
        println!("{}", self.shown(&report).trim_end());
        if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
