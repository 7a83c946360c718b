//! Idle connections: what they hold, what they cost, and what the server gives back when they are gone.

use std::time::{Duration, Instant};

use super::{SeatOptions, report};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::process::Processes;
use crate::report::{Figures, Report};

/// After the last connection is in its rooms: what opening them has left behind is let go.
const REST: Duration = Duration::from_secs(3);

/// Hold connections that do nothing, let them go, and come back.
#[derive(Debug, clap::Args)]
pub struct Idle {
    #[command(flatten)]
    pub(super) seats: SeatOptions,
    /// Connections that are being opened at once
    #[arg(long, default_value_t = 256)]
    at_once: u32,
    /// Seconds for which those of the first wave do nothing, and their cost is measured
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Seconds in which the server may give memory back
    #[arg(long, default_value_t = 60.0)]
    release: f64,
    /// How often they come
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    waves: u32,
}

impl Idle {
    pub(super) fn run(&self, engine: &mut Engine, options: &Options) -> Result<Report> {
        let processes = options.processes()?;
        if !processes.is_known() {
            return Err(Error::Usage("name the server's process: --pid".into()));
        }
        let mut figures = Figures::default();
        let baseline = processes.resident()?;
        figures.add("connections", self.seats.connections.into());
        figures.add("rooms_per_connection", self.seats.rooms_per_connection.into());
        figures.add("resident_before_bytes", baseline as f64);
        for wave in 1..=self.waves {
            self.wave(wave, baseline, engine, &processes, &mut figures)?;
        }
        Ok(report("idle", engine, options, figures))
    }

    fn wave(
        &self,
        wave: u32,
        baseline: u64,
        engine: &mut Engine,
        processes: &Processes,
        figures: &mut Figures,
    ) -> Result {
        let count = f64::from(self.seats.connections);
        engine.open_all(self.at_once.max(1))?;
        engine.until(REST, |_| false)?;
        let held = processes.resident()?;
        let per_connection = (held.saturating_sub(baseline)) as f64 / count;
        figures.add(format!("wave_{wave}_resident_bytes"), held as f64);
        figures.add(format!("wave_{wave}_resident_per_connection_bytes"), per_connection);

        if wave == 1 {
            let (usage, start) = (processes.usage()?, Instant::now());
            engine.until(Duration::from_secs_f64(self.seconds.clamp(0.0, 600.0)), |_| false)?;
            let seconds = start.elapsed().as_secs_f64();
            let cost = processes.usage()?.since(usage);
            figures.add_cost("cpu_per_connection_and_second", cost, count * seconds);
        }

        engine.audience.leave();
        engine.until(Duration::from_secs_f64(self.release.clamp(0.0, 600.0)), |_| false)?;
        let left = processes.resident()?;
        let returned = held.saturating_sub(left) as f64 / held.saturating_sub(baseline).max(1) as f64;
        figures.add(format!("wave_{wave}_resident_after_bytes"), left as f64);
        figures.add(format!("wave_{wave}_returned_share"), returned);
        Ok(())
    }
}
