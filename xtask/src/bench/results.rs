//! What was measured so far: samples of each measure and server, medians and spread.
//!
//! Owns the files below `target/bench/results/`, one for each measure, so that a long benchmark can be made in parts.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::measures::{MEASURES, Measure};
use super::servers::Server;
use crate::{Result, shell};

/// What one run found.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    figures: BTreeMap<String, f64>,
    /// Losses, duplicates, order violations, events of other rooms, connections that ended, refused publishes.
    pub(super) faults: u64,
}

impl Sample {
    /// Reads a report of the load tool.
    pub(super) fn read(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).map_err(|_| "the load tool has no report")?;
        let figures = value["figures"].as_object().ok_or("a report without figures")?;
        let figures = figures.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
        let parts = ["verdict", "ended", "refused"].map(|part| value[part].as_object().cloned().unwrap_or_default());
        let faults = parts.iter().flat_map(|part| part.values()).filter_map(Value::as_u64).sum();
        Ok(Self { figures, faults })
    }

    /// The figures that are shown, in one line.
    pub(super) fn line(&self, measure: &Measure) -> String {
        let figures = measure.shown.iter().filter_map(|shown| {
            let value = self.figures.get(shown.figure)? / shown.divisor;
            Some(format!("{}: {value:.*}", shown.heading, shown.places))
        });
        let faults = (self.faults > 0).then(|| format!("FAULTS: {}", self.faults));
        figures.chain(faults).collect::<Vec<_>>().join("; ")
    }
}

/// Median, least and most of some runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// All runs of one measure.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs {
    pub(super) date: String,
    pub(super) commit: String,
    pub(super) samples: BTreeMap<&'static str, Vec<Sample>>,
    pub(super) rate: Option<f64>,
}

impl Runs {
    /// A figure of a server over all its runs; `None` where it was not measured.
    pub(super) fn spread(&self, server: Server, figure: &str) -> Option<Spread> {
        let samples = self.samples.get(server.name())?;
        let mut values: Vec<f64> = samples.iter().filter_map(|sample| sample.figures.get(figure).copied()).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Spread { median: f64::midpoint(low, high), least, most })
    }
}

/// All measures.
pub(super) struct Results {
    folder: PathBuf,
    runs: BTreeMap<&'static str, Runs>,
}

impl Results {
    /// Those that were kept. Quick ones are kept apart.
    pub(super) fn open(quick: bool) -> Result<Self> {
        let folder = shell::target()?.join("bench").join(if quick { "quick" } else { "results" });
        fs::create_dir_all(&folder)?;
        let mut results = Self { folder, runs: BTreeMap::new() };
        for measure in MEASURES {
            if let Ok(text) = fs::read_to_string(results.file(measure)) {
                results.runs.insert(measure.name, read(&text)?);
            }
        }
        Ok(results)
    }

    fn file(&self, measure: &Measure) -> PathBuf {
        self.folder.join(format!("{}.json", measure.name))
    }

    /// A measure is made anew.
    pub(super) fn begin(&mut self, measure: &Measure) -> Result {
        let date = shell::read(&mut shell::command("date", ["-u", "+%Y-%m-%d"]), "")?.trim().to_owned();
        let git = ["-c", "safe.directory=*", "rev-parse", "--short=12", "HEAD"];
        let commit = shell::read(&mut shell::command("git", git), "")?.trim().to_owned();
        let rate = self.rate_for(measure)?;
        self.runs.insert(measure.name, Runs { date, commit, rate, ..Runs::default() });
        Ok(())
    }

    pub(super) fn add(&mut self, measure: &Measure, server: Server, sample: Sample) {
        self.runs.entry(measure.name).or_default().samples.entry(server.name()).or_default().push(sample);
    }

    pub(super) fn of(&self, measure: &Measure) -> Option<&Runs> {
        self.runs.get(measure.name)
    }

    /// The rate at which a measure is to be run, where it is half of what another has found.
    pub(super) fn rate_for(&self, measure: &Measure) -> Result<Option<f64>> {
        let Some(other) = measure.half_rate_of else { return Ok(None) };
        let runs = self.runs.get(other).ok_or_else(|| format!("{} needs {other} first", measure.name))?;
        let rates = [Server::Roomcast, Server::Bun].map(|server| runs.spread(server, "publishes_per_second"));
        let lower = rates.iter().flatten().map(|rate| rate.median).reduce(f64::min);
        Ok(Some((lower.ok_or_else(|| format!("{other} has no rates"))? / 2.0).round()))
    }

    /// Keeps what was measured.
    pub(super) fn keep(&self, measure: &Measure) -> Result {
        let Some(runs) = self.of(measure) else { return Ok(()) };
        let samples: serde_json::Map<String, Value> = runs
            .samples
            .iter()
            .map(|(server, samples)| {
                let samples: Vec<Value> = samples
                    .iter()
                    .map(|sample| json!({"figures": sample.figures, "verdict": {"faults": sample.faults}}))
                    .collect();
                ((*server).to_owned(), samples.into())
            })
            .collect();
        let value = json!({"date": runs.date, "commit": runs.commit, "rate": runs.rate, "samples": samples});
        fs::write(self.file(measure), format!("{value:#}\n"))?;
        Ok(())
    }
}

fn read(text: &str) -> Result<Runs> {
    let value: Value = serde_json::from_str(text)?;
    let word = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let mut runs = Runs { date: word("date"), commit: word("commit"), rate: value["rate"].as_f64(), ..Runs::default() };
    for server in <Server as clap::ValueEnum>::value_variants() {
        let Some(samples) = value["samples"][server.name()].as_array() else { continue };
        let samples = samples.iter().map(|sample| Sample::read(&sample.to_string())).collect::<Result<_>>()?;
        runs.samples.insert(server.name(), samples);
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(values: &[f64]) -> Runs {
        let report = |value: &f64| {
            let text = json!({"figures": {"x": value}, "verdict": {"losses": 1}, "ended": {"lost": 2}, "refused": {}});
            Sample::read(&text.to_string()).unwrap()
        };
        let samples = values.iter().map(report).collect();
        Runs { samples: BTreeMap::from([(Server::Bun.name(), samples)]), ..Runs::default() }
    }

    #[test]
    fn a_median_is_in_the_middle_and_not_moved_by_an_outlier() {
        let of = |values: &[f64]| runs(values).spread(Server::Bun, "x").unwrap();
        assert_eq!(of(&[3.0, 1.0, 100.0]), Spread { median: 3.0, least: 1.0, most: 100.0 });
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(of(&[7.0]).median, 7.0);
        assert!(runs(&[1.0]).spread(Server::Hono, "x").is_none());
        assert!(runs(&[1.0]).spread(Server::Bun, "y").is_none());
    }

    #[test]
    fn faults_of_every_kind_are_added_up() {
        assert_eq!(runs(&[1.0]).samples[Server::Bun.name()][0].faults, 3);
        assert!(Sample::read("error: no").is_err());
    }
}
