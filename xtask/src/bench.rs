//! `bench`: Roomcast beside its peers, measured alternately on this machine.
//!
//! Owns the order of a run: build what is needed, then for each measure each server in turn, again and again, so that what
//! drifts on the machine drifts for all. Results are kept below `target/bench/`, and docs/benchmarks.md is written from all
//! that are there. It is no part of continuous integration.

mod measures;
mod page;
mod plot;
mod results;
mod servers;

use std::path::PathBuf;

use self::measures::{MEASURES, Measure};
use self::results::{Results, Sample};
use self::servers::Server;
use crate::{Result, shell};

/// What is measured, and how thoroughly.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Which measures, by the beginnings of their names; all without any
    measures: Vec<String>,
    /// Only say what the measures are
    #[arg(long)]
    list: bool,
    /// Few and short runs, to see whether it works: writes no page
    #[arg(long)]
    quick: bool,
    /// Runs of each server in each measure, where the measure does not ask for fewer
    #[arg(long, default_value_t = 9)]
    runs: u32,
    /// Leave out a server, such as sockudo, which takes long to build
    #[arg(long, value_enum)]
    without: Vec<Server>,
    /// Measure nothing: write the page again from the results that are there
    #[arg(long)]
    page: bool,
}

/// The processor that servers are kept to, and the one of the load tool.
const SERVER_CPU: &str = "0";
const TOOL_CPU: &str = "1";

/// Runs what was asked for.
pub(crate) fn run(options: &Options) -> Result {
    if options.list {
        MEASURES.iter().for_each(|measure| println!("{:<14} {}", measure.name, measure.title));
        return Ok(());
    }
    let mut results = Results::open(options.quick)?;
    if !options.page {
        measure(options, &mut results)?;
    }
    if options.quick {
        return Ok(());
    }
    page::write(&results)
}

fn measure(options: &Options, results: &mut Results) -> Result {
    let wanted = wanted(options)?;
    if std::thread::available_parallelism()?.get() < 2 {
        return Err("one processor is the server's and one the load tool's: this machine has one".into());
    }
    let servers = |measure: &Measure| -> Vec<Server> {
        measure.servers.iter().copied().filter(|server| !options.without.contains(server)).collect()
    };
    let mut all: Vec<Server> = wanted.iter().flat_map(|measure| servers(measure)).collect();
    all.sort_unstable();
    all.dedup();
    let tool = servers::build_tool()?;
    all.iter().try_for_each(|server| server.build())?;
    for measure in wanted {
        let runs = if options.quick { 1 } else { options.runs.min(measure.runs) };
        results.begin(measure)?;
        for number in 1..=runs {
            for server in servers(measure) {
                let sample = once(measure, server, &tool, options.quick, results)?;
                println!("{} {number}/{runs} {:<16} {}", measure.name, server.name(), sample.line(measure));
                results.add(measure, server, sample);
            }
        }
        results.keep(measure)?;
    }
    Ok(())
}

fn wanted(options: &Options) -> Result<Vec<&'static Measure>> {
    let named = |measure: &&Measure| {
        options.measures.is_empty() || options.measures.iter().any(|name| measure.name.starts_with(name.as_str()))
    };
    let wanted: Vec<&Measure> = MEASURES.iter().filter(named).collect();
    if wanted.is_empty() { Err("no measure has such a name; see --list".into()) } else { Ok(wanted) }
}

/// One run: a fresh server, and the load tool on it.
fn once(measure: &Measure, server: Server, tool: &PathBuf, quick: bool, results: &Results) -> Result<Sample> {
    let running = server.start()?;
    let mut tool = shell::command(tool, measure.load.iter().copied());
    tool.args(running.arguments()).args(["--json", "--cpu", TOOL_CPU]);
    if let Some(rate) = results.rate_for(measure)? {
        tool.args(["--rate", &rate.to_string()]);
    }
    tool.args(if quick { measure.quick } else { measure.full });
    let output = tool.stderr(std::process::Stdio::inherit()).output()?;
    drop(running);
    // A run with losses fails, and has a report all the same.
    let text = String::from_utf8(output.stdout)?;
    Sample::read(&text).map_err(|error| format!("{} against {}: {error}", measure.name, server.name()).into())
}
