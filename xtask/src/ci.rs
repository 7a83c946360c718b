//! `ci`: what continuous integration runs, here or there.

use clap::ValueEnum as _;

use crate::report::Report;
use crate::{Result, codegen, fuzz, instructions, shell, test, tidy};

/// Runs every check and every test.
pub(crate) fn run() -> Result {
    let mut report = Report::default();
    report.step("needs", || test::needs::meet(test::Part::value_variants()));
    report.step("fmt", || shell::run(&mut shell::cargo(["fmt", "--all", "--check"])));
    report.step("clippy", || {
        shell::run(&mut shell::cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            // What nothing that is shipped has must build too.
            "--all-features",
            "--keep-going",
            "--",
            "-D",
            "warnings",
        ]))
    });
    report.step("tidy", tidy::run);
    report.step("codegen", codegen::check);
    report.step("doc", || {
        shell::run(
            shell::cargo(["doc", "--workspace", "--no-deps", "--features", "roomcast-client/testing"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    });
    test::parts(&mut report, test::Part::value_variants());
    report.step("instructions", instructions::run);
    report.step("fuzz", || fuzz::run(fuzz::SECONDS));
    report.finish()
}
