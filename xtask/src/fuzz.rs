//! `fuzz`: hostile input for the codec and the parser, made up by libFuzzer.
//!
//! Owns the targets and how they are built: on the stable compiler, with the coverage that libFuzzer looks at. What it found
//! interesting stays in `target/fuzz/corpus`, and is where the next run goes on; what made a target fail is written to
//! `target/fuzz/failures`, and the failure says which file.

use std::fs;
use std::path::Path;

use crate::test::needs;
use crate::{Result, shell};

/// One file each in `fuzz/targets`.
const TARGETS: &[&str] = &["bytes", "frames", "requests"];

/// The least time for a target where nobody asks for another, in seconds.
pub(crate) const SECONDS: u64 = 60;

/// The longest input, in bytes: a few frames, one of them long enough for each form of a length.
const MAX_INPUT: usize = 4096;

/// What libFuzzer needs to see where an input has led: a counter for each edge, and what was compared.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs each target for so many seconds.
pub(crate) fn run(seconds: u64) -> Result {
    needs::meet_fuzzing()?;
    let folder = shell::target()?.join("fuzz");
    let host = host()?;
    let build = ["build", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target", &host];
    // Named, so that the flags are for the target's code only and not for build scripts, which link without libFuzzer.
    shell::run(shell::cargo(build).env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &folder))?;
    for target in TARGETS {
        let binary = folder.join(&host).join("release").join(target);
        fuzz(target, &binary, &folder, seconds)?;
    }
    Ok(())
}

fn fuzz(target: &str, binary: &Path, folder: &Path, seconds: u64) -> Result {
    let (corpus, failures) = (folder.join("corpus").join(target), folder.join("failures"));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&failures)?;
    let arguments = [
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_INPUT}"),
        // An input that takes longer, or more memory, is a finding too.
        "-timeout=10".into(),
        "-rss_limit_mb=1024".into(),
        "-print_final_stats=1".into(),
        "-verbosity=0".into(),
        format!("-artifact_prefix={}/{target}-", failures.display()),
        corpus.display().to_string(),
    ];
    println!("fuzzing {target} for {seconds} s");
    shell::run(&mut shell::command(binary, arguments))
}

/// The triple of the machine that this runs on.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = shell::read(&mut shell::command(rustc, ["-vV"]), "")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    Ok(host.to_owned())
}
