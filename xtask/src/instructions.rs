//! `instructions`: what a publish costs, in instructions, against what it may cost.
//!
//! Owns the bounds. A count is the same on every machine of a kind and does not depend on what else runs there, so that a change
//! that makes the way of an event dearer is seen where no clock could tell. The gateway's probe goes that way in one thread,
//! with sockets that only count; callgrind counts what its publish takes, with all that it calls.

use std::path::Path;

use crate::test::needs;
use crate::{Result, shell};

/// Publishes in one count.
const PUBLISHES: u64 = 100;

/// A publish to a room of one: the JSON, the checks, the history, the frame. A tenth above what was counted, as the next.
const MOST_FOR_PUBLISH: u64 = 16_600;

/// Each further member: from the seat in the room to the call that writes.
const MOST_FOR_DELIVERY: u64 = 750;

/// Counts, and compares.
pub(crate) fn run() -> Result {
    needs::meet_counting()?;
    let build = ["build", "--release", "--package", "roomcast-gateway", "--features", "probe", "--example", "probe"];
    shell::run(&mut shell::cargo(build))?;
    let probe = shell::target()?.join("release/examples/probe");
    let (one, thousand) = (count(&probe, 1)?, count(&probe, 1000)?);
    let delivery = thousand.saturating_sub(one) / 999;
    println!("instructions: {one} for a publish to one member, at most {MOST_FOR_PUBLISH}");
    println!("instructions: {delivery} for each further member, at most {MOST_FOR_DELIVERY}");
    if one > MOST_FOR_PUBLISH || delivery > MOST_FOR_DELIVERY {
        return Err("a publish costs more instructions than it did: xtask/src/instructions.rs has the bounds".into());
    }
    Ok(())
}

/// Instructions for a publish to a room of so many.
fn count(probe: &Path, members: u64) -> Result<u64> {
    let (members, publishes) = (members.to_string(), PUBLISHES.to_string());
    let mut valgrind = shell::command(
        "valgrind",
        [
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=*Probe*publish*",
            "--log-fd=1",
            &probe.display().to_string(),
            &members,
            &publishes,
        ],
    );
    let output = shell::read(&mut valgrind, "")?;
    Ok(collected(&output).ok_or_else(|| format!("callgrind has counted nothing: {output}"))? / PUBLISHES)
}

/// The sum that callgrind names at its end.
fn collected(output: &str) -> Option<u64> {
    let sum = output.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, sum)| sum.trim())?;
    sum.parse().ok().filter(|sum| *sum > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_found_and_none_is_none() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 123456\n"), Some(123_456));
        assert_eq!(collected("==7== Collected : 0\n"), None);
        assert_eq!(collected("valgrind: not found\n"), None);
    }
}
