//! What the server's processes have cost: processor time and memory, as the system counts them.
//!
//! Owns the reading of `/proc`. The total is counted in nanoseconds, but of threads that live only; the split in hundredths of
//! a second, those that have ended included. Where threads have ended meanwhile, the split's sum is the total.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Result};

/// A hundredth of a second.
const MICROSECONDS_PER_TICK: f64 = 10_000.0;

/// By so many ticks the split may be more than the total without a thread having ended: each of its halves is rounded.
const TICKS_OF_ROUNDING: f64 = 2.0;

/// The processes of the server.
#[derive(Debug, Clone)]
pub(crate) struct Processes(Vec<u32>);

/// Processor time up to now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    nanoseconds: u64,
    user_ticks: u64,
    system_ticks: u64,
}

/// Processor time of the whole machine up to now, in hundredths of a second: everything but waiting.
pub(crate) fn machine_ticks() -> Result<u64> {
    Ok(busy_ticks(&read("/proc/stat")?))
}

/// Of the first line: user, nice, system, then idle and iowait, which are left out, then irq, softirq and steal.
fn busy_ticks(stat: &str) -> u64 {
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    fields
        .enumerate()
        .filter(|(nth, _)| ![3, 4].contains(nth))
        .take(6)
        .filter_map(|(_, ticks)| ticks.parse::<u64>().ok())
        .sum()
}

/// Processor time between two moments, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cost {
    /// In all.
    pub total: f64,
    /// In the program itself.
    pub user: f64,
    /// In the system on its behalf.
    pub system: f64,
}

impl Cost {
    /// The cost of one of so many.
    #[must_use]
    pub fn per(self, count: f64) -> Self {
        Self { total: self.total / count, user: self.user / count, system: self.system / count }
    }
}

impl Processes {
    /// Processes by their ids, which must be there.
    pub(crate) fn new(ids: Vec<u32>) -> Result<Self> {
        let processes = Self(ids);
        processes.usage()?;
        Ok(processes)
    }

    pub(crate) fn is_known(&self) -> bool {
        !self.0.is_empty()
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for id in &self.0 {
            let stat = read(&format!("/proc/{id}/stat"))?;
            let (user, system) = ticks(&stat).ok_or_else(|| Error::Server(format!("process {id} cannot be read")))?;
            usage.user_ticks += user;
            usage.system_ticks += system;
            usage.nanoseconds += threads(*id)?.unwrap_or((user + system) * 10_000_000);
        }
        Ok(usage)
    }

    /// Bytes of memory that are in use now.
    pub(crate) fn resident(&self) -> Result<u64> {
        let mut bytes = 0;
        for id in &self.0 {
            let text = read(&format!("/proc/{id}/smaps_rollup"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap_or_default();
            bytes += line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) << 10;
        }
        Ok(bytes)
    }
}

impl Usage {
    /// What was used since an earlier moment.
    pub(crate) fn since(self, earlier: Self) -> Cost {
        let total = self.nanoseconds.saturating_sub(earlier.nanoseconds) as f64 / 1000.0;
        let user = self.user_ticks.saturating_sub(earlier.user_ticks) as f64;
        let system = self.system_ticks.saturating_sub(earlier.system_ticks) as f64;
        let counted = (user + system) * MICROSECONDS_PER_TICK;
        let total = if total + TICKS_OF_ROUNDING * MICROSECONDS_PER_TICK < counted { counted } else { total };
        let share = if user + system > 0.0 { user / (user + system) } else { 0.0 };
        Cost { total, user: total * share, system: total * (1.0 - share) }
    }

    pub(crate) fn total(self) -> Duration {
        Duration::from_nanos(self.nanoseconds)
    }
}

/// The fields `utime` and `stime`, in hundredths of a second. The name before them may contain anything.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The time that all threads of a process have run, in nanoseconds; `None` where the system does not count it.
fn threads(id: u32) -> Result<Option<u64>> {
    let folder = format!("/proc/{id}/task");
    let mut sum = 0;
    for entry in fs::read_dir(&folder).map_err(Error::system(format!("read {folder}")))?.flatten() {
        // A thread may end while this is read.
        let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
        sum += text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok((sum > 0).then_some(sum))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).map_err(Error::system(format!("read {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_anything_in_it_does_not_move_the_fields() {
        let stat = "7 (a) b ( c)) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 1 1 1";
        assert_eq!(ticks(stat), Some((250, 50)));
        assert_eq!(ticks("nothing"), None);
    }

    #[test]
    fn work_and_memory_of_this_process_are_seen() {
        let processes = Processes::new(vec![std::process::id()]).unwrap();
        let before = processes.usage().unwrap();
        let (mut number, start) = (1_u64, std::time::Instant::now());
        let mut usage = before;
        // Until the system has counted some: how soon it does is its own affair.
        while usage.since(before).total < 1000.0 && start.elapsed() < Duration::from_secs(30) {
            number = std::hint::black_box(number.wrapping_mul(3));
            usage = processes.usage().unwrap();
        }
        assert!(usage.since(before).total >= 1000.0);
        assert!(processes.resident().unwrap() > 100_000);
    }

    #[test]
    fn time_of_threads_that_have_ended_counts() {
        let at = |nanoseconds, user_ticks, system_ticks| Usage { nanoseconds, user_ticks, system_ticks };
        let alive = at(2_000_000_000, 250, 50).since(at(1_000_000_000, 200, 0));
        assert_eq!(alive, Cost { total: 1_000_000.0, user: 500_000.0, system: 500_000.0 });
        // One ended: what it had used is no longer among the living.
        let ended = at(900_000_000, 250, 50).since(at(1_000_000_000, 200, 0));
        assert_eq!(ended, Cost { total: 1_000_000.0, user: 500_000.0, system: 500_000.0 });
        // Rounding is no thread.
        assert_eq!(at(1_005_000_000, 1, 1).since(at(1_000_000_000, 0, 0)).total, 5_000.0);
    }

    #[test]
    fn what_the_machine_did_is_everything_but_waiting() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 2000 8 16 32 64 128\ncpu0 9 9 9"), 63);
        assert!(machine_ticks().unwrap() > 0);
    }

    #[test]
    fn the_split_is_a_share_of_the_exact_total() {
        let earlier = Usage { nanoseconds: 1_000_000, user_ticks: 10, system_ticks: 10 };
        let later = Usage { nanoseconds: 37_000_000, user_ticks: 13, system_ticks: 11 };
        assert_eq!(later.since(earlier), Cost { total: 36_000.0, user: 27_000.0, system: 9_000.0 });
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Processes::new(vec![u32::MAX]).is_err());
    }
}
