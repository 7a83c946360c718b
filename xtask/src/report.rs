//! Steps that are run one after the other, and what became of each.
//!
//! Owns the summary at the end. A step that fails does not keep the next ones from running: one run shows all that is wrong.

use std::time::{Duration, Instant};

use crate::Result;

/// What became of the steps so far.
#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<(String, Duration, Option<String>)>,
}

impl Report {
    /// Runs a step.
    pub(crate) fn step(&mut self, name: &str, step: impl FnOnce() -> Result) {
        println!("\n== {name}");
        let start = Instant::now();
        let failure = step().err().map(|error| error.to_string());
        if let Some(error) = &failure {
            println!("{name} failed: {error}");
        }
        self.steps.push((name.into(), start.elapsed(), failure));
    }

    /// Prints the summary, and fails if any step did.
    pub(crate) fn finish(self) -> Result {
        println!("\n== summary");
        for (name, time, failure) in &self.steps {
            let verdict = if failure.is_none() { "ok    " } else { "FAILED" };
            println!("{verdict} {:>6.1} s  {name}", time.as_secs_f64());
        }
        let failed: Vec<&str> =
            self.steps.iter().filter(|(_, _, failure)| failure.is_some()).map(|(name, _, _)| name.as_str()).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("{} failed", failed.join(", ")).into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_and_the_next_one_still_runs() {
        let (mut report, mut ran) = (Report::default(), false);
        report.step("one", || Err("it broke".into()));
        report.step("two", || {
            ran = true;
            Ok(())
        });
        assert!(ran);
        assert_eq!(report.finish().unwrap_err().to_string(), "one failed");
    }
}
