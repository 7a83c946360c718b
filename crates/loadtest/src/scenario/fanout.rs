//! Fan-out: what a delivery costs the server, and how long it takes.

use std::time::{Duration, Instant};

use super::feed::{Feed, Until};
use super::{SeatOptions, report};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::process::{Processes, Usage, machine_ticks};
use crate::protocol::LEAST_BYTES;
use crate::report::{Figures, Report};

/// A run ends then, however little the server has done.
const LONGEST: Duration = Duration::from_secs(120);

/// Publish into rooms, and count what comes.
#[derive(Debug, clap::Args)]
pub struct Fanout {
    #[command(flatten)]
    pub(super) seats: SeatOptions,
    /// HTTP connections that publish, each with one publication outstanding
    #[arg(long, visible_alias = "window", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) publishers: u32,
    /// Open loop: events a second in all
    #[arg(long)]
    rate: Option<f64>,
    /// When a publisher publishes again, in the closed loop
    #[arg(long, value_enum, default_value = "answered")]
    until: Until,
    /// Bytes of an event, as it is published
    #[arg(long, default_value_t = 250)]
    bytes: usize,
    /// Seconds before anything is measured
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Seconds that are measured, at least
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds of the server's processor time that are measured, at least
    #[arg(long, default_value_t = 0.0)]
    server_seconds: f64,
}

/// Where everything stood at a moment.
struct Moment {
    time: Instant,
    usage: Usage,
    /// What this tool and what the server needs have used, and what the whole machine has.
    beside: Usage,
    machine: u64,
    deliveries: u64,
    reads: u64,
    published: u64,
    busy: Duration,
}

impl Moment {
    fn now(engine: &Engine, processes: &Processes, beside: &Processes) -> Result<Self> {
        Ok(Self {
            time: Instant::now(),
            usage: processes.usage()?,
            beside: beside.usage()?,
            machine: machine_ticks()?,
            deliveries: engine.audience.deliveries,
            reads: engine.audience.reads,
            published: engine.published.iter().map(|count| u64::from(*count)).sum(),
            busy: engine.busy(),
        })
    }
}

impl Fanout {
    pub(super) fn run(&self, engine: &mut Engine, options: &Options) -> Result<Report> {
        self.check()?;
        let (processes, beside) = (options.processes()?, options.beside()?);
        engine.open_all(512)?;
        let mut feed = Feed::new(self.seats.rooms, self.publishers, self.bytes, self.until, self.rate);
        let warm = Instant::now() + Duration::from_secs_f64(self.warm_up);
        feed.run(engine, || Ok(Instant::now() >= warm))?;
        engine.audience.latency.clear();
        feed.answering.clear();
        let before = Moment::now(engine, &processes, &beside)?;
        feed.run(engine, || self.is_over(&before, &processes))?;
        let after = Moment::now(engine, &processes, &beside)?;
        let mut figures = Figures::default();
        self.figures(&mut figures, &before, &after, &processes);
        figures.add_latency("latency", &engine.audience.latency);
        figures.add_latency("publish_latency", &feed.answering);
        Ok(report("fanout", engine, options, figures))
    }

    fn check(&self) -> Result {
        if self.bytes < LEAST_BYTES {
            return Err(Error::Usage(format!("an event has {LEAST_BYTES} bytes at least")));
        }
        if self.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            return Err(Error::Usage("a rate is above 0".into()));
        }
        let times = [self.warm_up, self.seconds, self.server_seconds];
        if times.iter().all(|seconds| (0.0..=LONGEST.as_secs_f64()).contains(seconds)) {
            Ok(())
        } else {
            Err(Error::Usage(format!("a run takes {} s at most", LONGEST.as_secs())))
        }
    }

    fn is_over(&self, before: &Moment, processes: &Processes) -> Result<bool> {
        let elapsed = before.time.elapsed();
        if elapsed.as_secs_f64() < self.seconds {
            return Ok(false);
        }
        let used = processes.usage()?.total().saturating_sub(before.usage.total());
        Ok(!processes.is_known() || used.as_secs_f64() >= self.server_seconds || elapsed > LONGEST)
    }

    fn figures(&self, figures: &mut Figures, before: &Moment, after: &Moment, processes: &Processes) {
        let seconds = (after.time - before.time).as_secs_f64();
        let (deliveries, published) =
            ((after.deliveries - before.deliveries) as f64, (after.published - before.published) as f64);
        figures.add("connections", self.seats.connections.into());
        figures.add("rooms", self.seats.rooms.into());
        figures.add("rooms_per_connection", self.seats.rooms_per_connection.into());
        figures.add("publishers", self.publishers.into());
        figures.add("event_bytes", self.bytes as f64);
        figures.add("seconds", seconds);
        figures.add("publishes", published);
        figures.add("publishes_per_second", published / seconds);
        figures.add("deliveries", deliveries);
        figures.add("deliveries_per_second", deliveries / seconds);
        figures.add("deliveries_per_read", deliveries / (after.reads - before.reads).max(1) as f64);
        // Above nine tenths, the tool and not the server may be what is measured.
        let busy = (after.busy - before.busy).as_secs_f64();
        figures.add("tool_busy_share", busy / seconds);
        if deliveries > 0.0 {
            figures.add("tool_cpu_per_delivery_us", busy * 1e6 / deliveries);
        }
        if processes.is_known() {
            let cost = after.usage.since(before.usage);
            let machine = (after.machine - before.machine) as f64 / 100.0;
            let others = machine - (cost.total + after.beside.since(before.beside).total) / 1e6;
            // What else ran on the machine: figures of a run beside other work are not to be trusted.
            figures.add("other_processes_processors", (others / seconds).max(0.0));
            figures.add("server_seconds", cost.total / 1e6);
            figures.add("server_share", cost.total / 1e6 / seconds);
            figures.add_cost("cpu_per_delivery", cost, deliveries);
            figures.add_cost("cpu_per_publish", cost, published);
        }
    }
}
