//! What can be run; each scenario is a file.

mod connect;
mod fanout;
mod feed;
mod idle;
mod recover;
mod slow;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ledger::Seats;
use crate::options::Options;
use crate::report::{Figures, Report};

/// Sockets that the tool itself needs: standard ones, the watch, a file of the system.
const OTHER_FILES: u32 = 32;

/// What to run.
#[derive(Debug, clap::Subcommand)]
pub enum Scenario {
    /// Publish into rooms and count what comes: closed loop, or open loop with --rate
    Fanout(fanout::Fanout),
    /// Open many connections at once
    Connect(connect::Connect),
    /// Hold connections that do nothing, let them go, and come back
    Idle(idle::Idle),
    /// Let all clients come back at once to what they have missed
    Recover(recover::Recover),
    /// One reader that reads nothing among many: what it costs them, and what becomes of it
    Slow(slow::Slow),
}

impl Scenario {
    /// Runs it.
    ///
    /// # Errors
    /// When there can be no report: see [`Error`].
    pub fn run(&self, options: &Options) -> Result<Report> {
        let files = options.prepare()?;
        let (seats, publishers) = match self {
            Self::Fanout(fanout) => (fanout.seats.seats(), fanout.publishers),
            Self::Connect(connect) => (connect.seats.seats(), 1),
            Self::Idle(idle) => (idle.seats.seats(), 1),
            Self::Recover(recover) => (recover.seats.seats(), recover.at_once),
            Self::Slow(slow) => (slow.seats.seats(), slow.publishers),
        };
        let wanted = seats.connections.saturating_add(publishers).saturating_add(OTHER_FILES);
        if wanted > files {
            return Err(Error::Usage(format!("{wanted} open files are needed, and {files} are allowed")));
        }
        let mut engine = Engine::new(options, seats, publishers)?;
        match self {
            Self::Fanout(fanout) => fanout.run(&mut engine, options),
            Self::Connect(connect) => connect.run(&mut engine, options),
            Self::Idle(idle) => idle.run(&mut engine, options),
            Self::Recover(recover) => recover.run(&mut engine, options),
            Self::Slow(slow) => slow.run(&mut engine, options),
        }
    }
}

/// How many connections are in how many rooms.
#[derive(Debug, clap::Args)]
pub(crate) struct SeatOptions {
    /// WebSocket connections
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    connections: u32,
    /// Rooms in all
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    rooms: u32,
    /// Rooms of each connection
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=128))]
    rooms_per_connection: u32,
}

impl SeatOptions {
    fn seats(&self) -> Seats {
        Seats { connections: self.connections, rooms: self.rooms, per_connection: self.rooms_per_connection }
    }
}

fn report(scenario: &'static str, engine: &Engine, options: &Options, figures: Figures) -> Report {
    Report {
        scenario,
        protocol: options.protocol,
        figures,
        verdict: engine.audience.verdict(&engine.published),
        ended: engine.audience.ended.clone(),
        refused: engine.publishers.refused.clone(),
    }
}
