//! One slow reader among many: what it costs the others, in alternating runs with and without it; and what becomes of it.
//!
//! Owns the pairs. The slow reader itself is [`laggard`]'s.

mod laggard;

use std::time::{Duration, Instant};

use self::laggard::{End, Laggard};
use super::feed::{Feed, Until};
use super::{SeatOptions, report};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::protocol::{LEAST_BYTES, Protocol};
use crate::report::{Figures, Report};

/// One reader that reads nothing, among many.
#[derive(Debug, clap::Args)]
pub struct Slow {
    #[command(flatten)]
    pub(super) seats: SeatOptions,
    /// HTTP connections that publish
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) publishers: u32,
    /// Runs without and with the slow reader, in turns
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,
    /// Events a second, in all
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Bytes of an event, as it is published
    #[arg(long, default_value_t = 8000)]
    bytes: usize,
    /// Seconds of a run: long enough that the slow reader is given up within it
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
}

/// Latencies of one run, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Latency {
    p50: f64,
    p99: f64,
}

impl Slow {
    pub(super) fn run(&self, engine: &mut Engine, options: &Options) -> Result<Report> {
        let is_sane = (0.1..=60.0).contains(&self.seconds) && self.rate > 0.0 && self.rate.is_finite();
        if options.protocol != Protocol::Roomcast || !is_sane || self.bytes < LEAST_BYTES {
            let usage = format!("only Roomcast, runs of up to a minute, a rate above 0, {LEAST_BYTES} bytes at least");
            return Err(Error::Usage(usage));
        }
        engine.open_all(256)?;
        // What is done for the first time takes longer.
        self.measure(engine)?;
        let (mut pairs, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..self.pairs {
            let without = self.measure(engine)?;
            let laggard = Laggard::join(options)?;
            let with = self.measure(engine)?;
            ends.push(laggard.come_back(options)?);
            pairs.push((without, with));
        }
        let mut figures = Figures::default();
        self.figures(&mut figures, &pairs, &ends);
        Ok(report("slow", engine, options, figures))
    }

    fn measure(&self, engine: &mut Engine) -> Result<Latency> {
        let mut feed = Feed::new(self.seats.rooms, self.publishers, self.bytes, Until::Answered, Some(self.rate));
        engine.audience.latency.clear();
        let end = Instant::now() + Duration::from_secs_f64(self.seconds);
        feed.run(engine, || Ok(Instant::now() >= end))?;
        let quantile = |share| engine.audience.latency.quantile(share) as f64;
        Ok(Latency { p50: quantile(0.5), p99: quantile(0.99) })
    }

    fn figures(&self, figures: &mut Figures, pairs: &[(Latency, Latency)], ends: &[End]) {
        figures.add("connections", self.seats.connections.into());
        figures.add("pairs", pairs.len() as f64);
        figures.add("events_per_second", self.rate);
        figures.add("event_bytes", self.bytes as f64);
        for (name, of) in [("p50", (|run| run.p50) as fn(&Latency) -> f64), ("p99", |run| run.p99)] {
            figures.add(format!("without_{name}_us"), middle(pairs.iter().map(|(without, _)| of(without) / 1000.0)));
            figures.add(format!("with_{name}_us"), middle(pairs.iter().map(|(_, with)| of(with) / 1000.0)));
            figures.add(format!("ratio_{name}"), middle(pairs.iter().map(|(without, with)| of(with) / of(without))));
        }
        let count = |is: fn(&End) -> bool| ends.iter().filter(|end| is(end)).count() as f64;
        figures.add("slow_readers_closed", count(|end| end.code.is_some()));
        figures.add("slow_readers_told_4000", count(|end| end.code == Some(4000)));
        figures.add("slow_readers_that_have_everything", count(|end| end.is_whole));
        figures.add("events_recovered_by_each", middle(ends.iter().map(|end| f64::from(end.recovered))));
    }
}

/// The middle one of these.
fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
