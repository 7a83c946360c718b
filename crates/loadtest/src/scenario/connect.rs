//! Connect storm: what it costs the server to accept and authenticate a connection.

use std::time::{Duration, Instant};

use super::{SeatOptions, report};
use crate::engine::Engine;
use crate::error::Result;
use crate::options::Options;
use crate::process::Cost;
use crate::report::{Figures, Report};

/// Between two waves: what leaving costs the server is not counted.
const REST: Duration = Duration::from_secs(2);

/// Open many connections at once.
#[derive(Debug, clap::Args)]
pub struct Connect {
    #[command(flatten)]
    pub(super) seats: SeatOptions,
    /// Connections that are being opened at once
    #[arg(long, default_value_t = 256)]
    at_once: u32,
    /// How often they come
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    waves: u32,
}

impl Connect {
    pub(super) fn run(&self, engine: &mut Engine, options: &Options) -> Result<Report> {
        let processes = options.processes()?;
        let (mut cost, mut seconds) = (Cost::default(), 0.0);
        for wave in 0..self.waves {
            if wave > 0 {
                engine.audience.leave();
                engine.until(REST, |_| false)?;
            }
            let (usage, start) = (processes.usage()?, Instant::now());
            engine.open_all(self.at_once.max(1))?;
            seconds += start.elapsed().as_secs_f64();
            let of_wave = processes.usage()?.since(usage);
            cost = Cost {
                total: cost.total + of_wave.total,
                user: cost.user + of_wave.user,
                system: cost.system + of_wave.system,
            };
        }
        let count = f64::from(self.seats.connections) * f64::from(self.waves);
        let mut figures = Figures::default();
        figures.add("connections", self.seats.connections.into());
        figures.add("rooms_per_connection", self.seats.rooms_per_connection.into());
        figures.add("waves", self.waves.into());
        figures.add("seconds", seconds);
        figures.add("connections_per_second", count / seconds);
        if processes.is_known() {
            figures.add("server_seconds", cost.total / 1e6);
            figures.add_cost("cpu_per_connection", cost, count);
        }
        figures.add_latency("connecting", &engine.audience.joining);
        Ok(report("connect", engine, options, figures))
    }
}
