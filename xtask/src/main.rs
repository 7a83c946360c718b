//! The repository's own tasks: `cargo xtask <task>`.
//!
//! Owns nothing of the product. Each task is a file; this one only chooses.

mod autobahn;
mod bench;
mod ci;
mod codegen;
mod demo;
mod fuzz;
mod instructions;
mod npm;
mod report;
mod shell;
mod test;
mod tidy;

use clap::{Parser, Subcommand};

/// What can go wrong in a task: words for whoever runs it.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The repository's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write protocol-schema/ and what else is generated from the protocol's types.
    Codegen {
        /// Write nothing: print what would change, and fail if anything would.
        #[arg(long)]
        check: bool,
    },
    /// Run the tests: all parts, or those that are named.
    Test {
        /// Which parts.
        parts: Vec<test::Part>,
        /// Only say what the parts are.
        #[arg(long)]
        list: bool,
    },
    /// Start the demo: an issue board for two users, its back end and a gateway, until Ctrl-C.
    Demo(demo::Options),
    /// Run Autobahn's test suite against the codec, over the gateway's way of reading and writing.
    Autobahn,
    /// Feed the codec and the parser with what libFuzzer makes up.
    Fuzz {
        /// How long each target runs.
        #[arg(long, default_value_t = fuzz::SECONDS)]
        seconds: u64,
    },
    /// Count the instructions of a publish, and compare them with what it may cost.
    Instructions,
    /// Check the rules of the repository that a command can check.
    Tidy,
    /// Run what continuous integration runs.
    Ci,
    /// Measure Roomcast beside its peers, and write docs/benchmarks.md.
    Bench(bench::Options),
}

fn main() -> std::process::ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Codegen { check: false } => codegen::write(),
        Task::Codegen { check: true } => codegen::check(),
        Task::Test { list: true, .. } => test::list(),
        Task::Test { parts, .. } => test::run(&parts),
        Task::Demo(options) => demo::run(&options),
        Task::Autobahn => autobahn::run(),
        Task::Fuzz { seconds } => fuzz::run(seconds),
        Task::Instructions => instructions::run(),
        Task::Tidy => tidy::run(),
        Task::Ci => ci::run(),
        Task::Bench(options) => bench::run(&options),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
