//! Recovery storm: all clients come back at once to what they have missed, by their positions; and beside it the same
//! clients, who come back without positions and load what they have missed by HTTP.

use std::time::{Duration, Instant};

use super::feed::{Feed, Until};
use super::{SeatOptions, report};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::mark;
use crate::options::Options;
use crate::protocol::Protocol;
use crate::report::{Figures, Report};

/// Between two steps: what leaving costs the server is not counted.
const REST: Duration = Duration::from_secs(2);

/// How long the missed events may take to come.
const PATIENCE: Duration = Duration::from_secs(120);

/// Let all clients come back at once.
#[derive(Debug, clap::Args)]
pub struct Recover {
    #[command(flatten)]
    pub(super) seats: SeatOptions,
    /// Clients that come back at once
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) at_once: u32,
    /// Events that each room has meanwhile
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    events: u32,
    /// Bytes of an event, as it is published
    #[arg(long, default_value_t = 250)]
    bytes: usize,
}

impl Recover {
    pub(super) fn run(&self, engine: &mut Engine, options: &Options) -> Result<Report> {
        if options.protocol != Protocol::Roomcast || self.seats.rooms_per_connection == 0 {
            return Err(Error::Usage("only Roomcast has positions to come back to, and only in rooms".into()));
        }
        let processes = options.processes()?;
        engine.open_all(self.at_once)?;
        let positions = self.positions(engine)?;
        engine.audience.leave();
        engine.until(REST, |_| false)?;
        let mut feed = Feed::new(self.seats.rooms, self.at_once, self.bytes, Until::Answered, None);
        feed.fill(engine, self.events)?;

        let clients = f64::from(self.seats.connections);
        let missed = clients * f64::from(self.seats.rooms_per_connection) * f64::from(self.events);
        let mut figures = Figures::default();
        figures.add("clients", clients);
        figures.add("rooms", self.seats.rooms.into());
        figures.add("events_missed_by_each", missed / clients);

        engine.audience.since.clone_from(&positions);
        let (usage, start) = (processes.usage()?, Instant::now());
        engine.open_all(self.at_once)?;
        engine.until(PATIENCE, |engine| engine.audience.deliveries as f64 >= missed)?;
        figures.add("recovery_seconds", start.elapsed().as_secs_f64());
        figures.add("recovered_events", engine.audience.deliveries as f64);
        figures.add_cost("recovery_cpu_per_client", processes.usage()?.since(usage), clients);
        let report_of_recovery = report("recover", engine, options, Figures::default());

        engine.audience.leave();
        engine.audience.since.clear();
        engine.until(REST, |_| false)?;
        let (usage, start) = (processes.usage()?, Instant::now());
        engine.open_all(self.at_once)?;
        let loaded = self.load(engine, &positions)?;
        figures.add("loading_seconds", start.elapsed().as_secs_f64());
        figures.add("loaded_events", loaded as f64);
        figures.add_cost("loading_cpu_per_client", processes.usage()?.since(usage), clients);
        Ok(Report { figures, ..report_of_recovery })
    }

    /// Where each room stands.
    fn positions(&self, engine: &mut Engine) -> Result<Vec<String>> {
        let mut positions = vec![String::new(); self.seats.rooms as usize];
        for room in 0..self.seats.rooms {
            engine.ask_history(0, room, None)?;
            let answered = engine.until(PATIENCE, |engine| !engine.publishers.is_busy())?;
            let answer = String::from_utf8_lossy(engine.publishers.answer(0));
            let position = answer.rsplit_once("\"position\":\"").and_then(|(_, rest)| rest.split('"').next());
            let Some(position) = position.filter(|_| answered) else {
                return Err(Error::Server(format!("room {room} has no position: {}", first_line(&answer))));
            };
            position.clone_into(&mut positions[room as usize]);
        }
        engine.publishers.answered.clear();
        Ok(positions)
    }

    /// Each client opens an HTTP connection and asks for what each of its rooms has had; counts the events that come.
    fn load(&self, engine: &mut Engine, positions: &[String]) -> Result<u64> {
        let clients = self.seats.connections;
        let (mut next, mut loaded) = (0, 0);
        // What each HTTP connection has still to ask for.
        let mut errands: Vec<Vec<u32>> = vec![Vec::new(); self.at_once as usize];
        let mut free: Vec<u32> = (0..self.at_once).collect();
        let done = engine.until_each(PATIENCE, |engine| {
            for answered in std::mem::take(&mut engine.publishers.answered) {
                loaded += mark::count(engine.publishers.answer(answered.publisher)) as u64;
                free.push(answered.publisher);
            }
            while let Some(publisher) = free.pop() {
                let errand = &mut errands[publisher as usize];
                if errand.is_empty() {
                    // The next client has a connection of its own.
                    engine.publishers.hang_up(publisher);
                    if next == clients {
                        continue;
                    }
                    *errand = engine.rooms_of(next);
                    next += 1;
                }
                if let Some(room) = errand.pop() {
                    engine.ask_history(publisher, room, positions.get(room as usize).map(String::as_str))?;
                }
            }
            Ok(next == clients && !engine.publishers.is_busy() && engine.publishers.answered.is_empty())
        })?;
        if done { Ok(loaded) } else { Err(Error::Server("the history could not be loaded in time".into())) }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
