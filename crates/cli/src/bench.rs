//! `roomcast bench`: how much a gateway on this machine can take, for those who size a node.
//!
//! The load tool is `roomcast-loadtest`; here it gets its words and its exit codes.

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};
use roomcast_loadtest::{Arguments, Error};

use crate::failure::Failure;
use crate::output::print;

pub(crate) fn command() -> Command {
    Arguments::augment_args(Command::new("bench"))
        .about("Load a gateway on this machine, and say what that costs it")
        .after_help(
            "Only loopback addresses are loaded. Exit codes: 0 nothing was lost, doubled or out of order, 1 something \
             was or there is no report, 2 wrong usage.",
        )
}

pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let arguments =
        Arguments::from_arg_matches(matches).map_err(|error| Failure::configuration(format!("measure: {error}")))?;
    let report = arguments.measure().map_err(|error| match error {
        Error::Usage(_) => Failure::configuration(format!("measure: {error}")),
        _ => Failure::other(format!("measure: {error}")),
    })?;
    print(arguments.shown(&report).trim_end())?;
    if report.is_clean() {
        Ok(())
    } else {
        Err(Failure::other("deliver every event once and in order to everybody: the report says what went wrong"))
    }
}
