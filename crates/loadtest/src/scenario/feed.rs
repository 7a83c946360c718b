//! When the next event is published, and by whom.
//!
//! Owns the two loops. In the closed loop each publisher has one publication outstanding; in the open loop events are due at
//! a fixed rate, whoever is free publishes them, and latency counts from when they were due.

use std::time::Duration;

use clap::ValueEnum;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::histogram::Histogram;

/// When a publisher may publish again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Until {
    /// When the server has answered.
    Answered,
    /// When the event has come to all members too.
    Delivered,
}

/// Refused publishes after which a run is given up.
const MOST_REFUSED: u64 = 1000;

/// What has not come by then, while nothing else came either, never will.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is outstanding at the end may take so long at most.
const LONGEST: Duration = Duration::from_secs(60);

/// What one publisher waits for.
#[derive(Debug, Clone, Copy, Default)]
struct Outstanding {
    due: u64,
    is_answered: bool,
    has_arrived: bool,
}

/// Who publishes what next.
pub(super) struct Feed {
    rooms: u32,
    bytes: usize,
    until: Until,
    /// Nanoseconds between two events of the open loop.
    interval: Option<f64>,
    outstanding: Vec<Outstanding>,
    free: Vec<u32>,
    published: u64,
    /// From when an event was due until the server had answered its publication.
    pub(super) answering: Histogram,
}

impl Feed {
    pub(super) fn new(rooms: u32, publishers: u32, bytes: usize, until: Until, rate: Option<f64>) -> Self {
        Self {
            rooms,
            bytes,
            until,
            interval: rate.map(|rate| 1e9 / rate),
            outstanding: vec![Outstanding::default(); publishers as usize],
            free: (0..publishers).rev().collect(),
            published: 0,
            answering: Histogram::new(),
        }
    }

    /// Publishes until `is_over` says so, then waits for what is outstanding. It is asked seldom.
    pub(super) fn run(&mut self, engine: &mut Engine, mut is_over: impl FnMut() -> Result<bool>) -> Result {
        const BETWEEN: u64 = 20_000_000;
        let start = engine.now();
        let (mut next_look, mut nth) = (start + BETWEEN, 0_u64);
        loop {
            engine.turn()?;
            self.collect(engine)?;
            let now = engine.now();
            match self.interval {
                None => self.publish_closed(engine, now)?,
                Some(interval) => {
                    while let Some(due) = Some(start + (interval * nth as f64) as u64).filter(|due| *due <= now) {
                        let Some(publisher) = self.free.pop() else { break };
                        self.publish(engine, publisher, due)?;
                        nth += 1;
                    }
                }
            }
            if now >= next_look {
                if is_over()? {
                    break;
                }
                next_look = now + BETWEEN;
            }
        }
        self.settle(engine)
    }

    /// Publishes so many events into each room, and waits for the answers.
    pub(super) fn fill(&mut self, engine: &mut Engine, events: u32) -> Result {
        let mut left = u64::from(events) * u64::from(self.rooms);
        let limit = Duration::from_secs(30) + Duration::from_millis(left);
        let done = engine.until_each(limit, |engine| {
            self.collect(engine)?;
            while let Some(publisher) = (left > 0).then(|| self.free.pop()).flatten() {
                self.publish(engine, publisher, engine.now())?;
                left -= 1;
            }
            Ok(left == 0 && !engine.publishers.is_busy())
        })?;
        self.collect(engine)?;
        if done { Ok(()) } else { Err(Error::Server("the events could not be published in time".into())) }
    }

    fn publish_closed(&mut self, engine: &mut Engine, now: u64) -> Result {
        while let Some(publisher) = self.free.pop() {
            self.publish(engine, publisher, now)?;
        }
        Ok(())
    }

    fn publish(&mut self, engine: &mut Engine, publisher: u32, due: u64) -> Result {
        let room = (self.published % u64::from(self.rooms)) as u32;
        self.published += 1;
        self.outstanding[publisher as usize] = Outstanding { due, ..Outstanding::default() };
        engine.publish(publisher, room, self.bytes, due)
    }

    /// Sees who is free again.
    fn collect(&mut self, engine: &mut Engine) -> Result {
        let now = engine.now();
        for answered in std::mem::take(&mut engine.publishers.answered) {
            let outstanding = &mut self.outstanding[answered.publisher as usize];
            outstanding.is_answered = true;
            self.answering.record(now.saturating_sub(outstanding.due));
            // What was not accepted does not arrive.
            outstanding.has_arrived |= answered.status == 0 || answered.status >= 300;
            if self.until == Until::Answered || outstanding.has_arrived {
                self.free.push(answered.publisher);
            }
        }
        for publisher in std::mem::take(&mut engine.audience.arrived) {
            let outstanding = &mut self.outstanding[publisher as usize];
            let is_new = !std::mem::replace(&mut outstanding.has_arrived, true);
            if self.until == Until::Delivered && is_new && outstanding.is_answered {
                self.free.push(publisher);
            }
        }
        if self.free.is_empty() && self.until == Until::Delivered {
            self.give_up_late_ones(now);
        }
        let refused: u64 = engine.publishers.refused.values().sum();
        if refused > MOST_REFUSED {
            let refused = &engine.publishers.refused;
            return Err(Error::Server(format!("publishes are refused, by status: {refused:?}")));
        }
        Ok(())
    }

    /// A loss must not keep its publisher for ever: the ledger has it.
    fn give_up_late_ones(&mut self, now: u64) {
        for (publisher, outstanding) in (0..).zip(&mut self.outstanding) {
            let is_late = now.saturating_sub(outstanding.due) > PATIENCE.as_nanos() as u64;
            if is_late && outstanding.is_answered && !outstanding.has_arrived {
                outstanding.has_arrived = true;
                self.free.push(publisher);
            }
        }
    }

    /// Waits until everything is answered and has come, or nothing has come for a while.
    fn settle(&mut self, engine: &mut Engine) -> Result {
        let (mut come, mut last) = (engine.audience.deliveries, engine.now());
        engine.until(LONGEST, |engine| {
            let now = engine.now();
            if engine.audience.deliveries > come {
                (come, last) = (engine.audience.deliveries, now);
            }
            let is_complete = !engine.publishers.is_busy() && come >= engine.expected;
            is_complete || now - last > PATIENCE.as_nanos() as u64
        })?;
        self.collect(engine)
    }
}
