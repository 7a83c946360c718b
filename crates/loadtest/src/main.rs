//! `roomcast-loadtest`: the load tool as a program of its own.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    roomcast_loadtest::Arguments::parse().run()
}
