//! The timer wheel: one task and one ring of slots for the deadlines of all connections.
//!
//! Owns when a connection's task is woken by time, and its pings until then: they ask nothing of the task, which would have to
//! be fetched from memory for each. Which deadline it was, and what follows, is the connection's to find out: it puts in only
//! its next one.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior};

use crate::heartbeat::jittered;
use crate::metrics::Metrics;
use crate::moment::{Moment, Stopwatch};
use crate::outbox::Outbox;

/// How far apart the slots are: deadlines are late by at most this. Promised deadlines are of seconds, and pings that leave
/// together cost less.
const TICK: Duration = Duration::from_millis(50);

/// Slots of the ring. A deadline further away than the ring is long is put in again when its slot comes by.
const SLOTS: usize = 1024;

/// Ticks that a deadline may be ahead: more than a year. One that is further away is looked at then.
const FURTHEST: u32 = 1 << 30;

/// Pings that are written before all others have a turn.
const PINGS: usize = 16;

/// Deadlines of connections.
#[derive(Debug)]
pub(crate) struct Wheel {
    watch: Stopwatch,
    ping_interval: Duration,
    slots: Mutex<Vec<Vec<Entry>>>,
}

/// What is to be done for a connection.
#[derive(Debug)]
struct Entry {
    tick: Tick,
    /// Whether it is the one that pings the connection until its deadline, and rings then; any other just rings.
    keeps_alive: bool,
    outbox: Weak<Outbox>,
}

/// A turn of the wheel. They are counted on beyond the largest number, from the smallest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tick(NonZeroU32);

/// When a connection is to be rung, as the connection and the wheel share it.
#[derive(Debug, Default)]
pub(crate) struct Deadline(
    /// The tick; 0 while nobody keeps the connection alive.
    AtomicU32,
);

/// What a connection knows of its entries in the wheel: when one rings that keeps nothing alive.
#[derive(Debug, Default)]
pub(crate) struct Appointment(Option<Tick>);

impl Tick {
    fn of(number: u64) -> Self {
        Self(NonZeroU32::new(number as u32).unwrap_or(NonZeroU32::MIN))
    }

    /// Whether it comes before the other, of which neither is further than [`FURTHEST`] from now.
    fn is_before(self, other: Self) -> bool {
        (self.0.get().wrapping_sub(other.0.get()) as i32) < 0
    }

    fn slot(self) -> usize {
        self.0.get() as usize % SLOTS
    }
}

impl Deadline {
    /// Whether the connection is kept alive until then.
    pub(crate) fn is_set(&self) -> bool {
        self.tick().is_some()
    }

    fn tick(&self) -> Option<Tick> {
        NonZeroU32::new(self.0.load(Ordering::Acquire)).map(Tick)
    }

    /// Puts it off, or brings it forward. Answers what it was.
    fn set(&self, tick: Tick) -> Option<Tick> {
        NonZeroU32::new(self.0.swap(tick.0.get(), Ordering::AcqRel)).map(Tick)
    }

    /// Ends it, unless it has been put off. Answers whether it has ended.
    fn end(&self, tick: Tick) -> bool {
        self.0.compare_exchange(tick.0.get(), 0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Wheel {
    /// An empty wheel, to be run by [`Wheel::run`], that pings as often as this.
    #[must_use]
    pub(crate) fn new(ping_interval: Duration) -> Self {
        let slots = Mutex::new((0..SLOTS).map(|_| Vec::new()).collect());
        Self { watch: Stopwatch::start(), ping_interval, slots }
    }

    /// The time by which the wheel turns.
    pub(crate) fn now(&self) -> Moment {
        self.watch.now()
    }

    /// An instant, in that time.
    pub(crate) fn moment(&self, at: Instant) -> Moment {
        self.watch.moment(at)
    }

    /// Rings the outbox at that time, or within a tick after it.
    pub(crate) fn ring(&self, at: Moment, outbox: &Arc<Outbox>) {
        self.insert(Entry { tick: self.tick_behind(at), keeps_alive: false, outbox: Arc::downgrade(outbox) });
    }

    /// Pings the connection until its deadline, and rings its outbox then, or within a tick after it. Said again, it is another
    /// deadline; to put it off costs next to nothing. Who is rung says it again.
    pub(crate) fn keep_alive(&self, deadline: Moment, appointment: &mut Appointment, outbox: &Arc<Outbox>) {
        let (tick, now) = (self.tick_behind(deadline), self.now());
        if outbox.deadline.set(tick).is_none() {
            return self.insert(Entry {
                tick: self.next_ping(tick),
                keeps_alive: true,
                outbox: Arc::downgrade(outbox),
            });
        }
        // The entry that keeps it alive looks at the deadline with each ping.
        if !tick.is_before(self.tick_behind(now.plus(self.ping_interval))) {
            return;
        }
        let now = Tick::of(self.tick_of(now));
        let Appointment(rings_at) = appointment;
        if rings_at.filter(|rings_at| now.is_before(*rings_at)).is_none_or(|rings_at| tick.is_before(rings_at)) {
            *rings_at = Some(tick);
            self.insert(Entry { tick, keeps_alive: false, outbox: Arc::downgrade(outbox) });
        }
    }

    /// Turns the wheel for ever.
    pub(crate) async fn run(&self, metrics: &Metrics) {
        let mut interval = tokio::time::interval_at(self.watch.started() + TICK, TICK);
        // After a stall every slot that was passed over comes by at once.
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut done = 0;
        loop {
            interval.tick().await;
            let now = self.tick_of(self.now());
            // More than one round is the same slots again.
            for tick in done.max(now.saturating_sub(SLOTS as u64)) + 1..=now {
                self.turn(Tick::of(tick), Tick::of(now), metrics).await;
            }
            done = now;
        }
    }

    async fn turn(&self, tick: Tick, now: Tick, metrics: &Metrics) {
        let (due, mut pings) = (std::mem::take(&mut self.lock()[tick.slot()]), 0);
        for entry in due {
            if now.is_before(entry.tick) {
                self.insert(entry);
            } else if let Some(outbox) = entry.outbox.upgrade() {
                if !entry.keeps_alive {
                    outbox.ring();
                    continue;
                }
                outbox.ping();
                outbox.write(metrics);
                if let Some(tick) = self.go_on(now, &outbox.deadline) {
                    self.insert(Entry { tick, ..entry });
                } else {
                    outbox.ring();
                }
                pings += 1;
                if pings % PINGS == 0 {
                    yield_now().await;
                }
            }
        }
    }

    /// When to look again at a connection that is kept alive; `None` when its deadline has come.
    fn go_on(&self, now: Tick, deadline: &Deadline) -> Option<Tick> {
        loop {
            let tick = deadline.tick()?;
            if now.is_before(tick) {
                return Some(self.next_ping(tick));
            }
            if deadline.end(tick) {
                return None;
            }
        }
    }

    fn insert(&self, entry: Entry) {
        self.lock()[entry.tick.slot()].push(entry);
    }

    /// The tick of the next ping, or of the deadline if that comes before.
    fn next_ping(&self, deadline: Tick) -> Tick {
        let tick = self.tick_behind(self.now().plus(jittered(self.ping_interval)));
        if tick.is_before(deadline) { tick } else { deadline }
    }

    /// The first tick that is behind the moment, and yet to come.
    fn tick_behind(&self, at: Moment) -> Tick {
        let now = self.tick_of(self.now());
        let ahead = (self.tick_of(at) + 1).saturating_sub(now).clamp(1, FURTHEST.into());
        Tick::of(now + ahead)
    }

    fn tick_of(&self, at: Moment) -> u64 {
        let ticks = self.watch.until(at).as_millis() / TICK.as_millis();
        u64::try_from(ticks).unwrap_or(u64::MAX >> 1)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Entry>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// A wheel that turns, and pings every ten seconds.
    fn turning() -> Arc<Wheel> {
        let wheel = Arc::new(Wheel::new(Duration::from_secs(10)));
        let turned = wheel.clone();
        tokio::spawn(async move { turned.run(&Metrics::new()).await });
        wheel
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_rings_within_a_tick_and_never_early() {
        for micros in [0, 1, 999, 1000, 20_000, 49_001, 1_000_000, 30_000_000, 100_000_000] {
            let (wheel, outbox, delay) = (turning(), Arc::new(Outbox::new(10)), Duration::from_micros(micros));
            let start = Instant::now();
            wheel.ring(wheel.now().plus(delay), &outbox);
            outbox.flushed().await;
            assert!(outbox.take(&mut VecDeque::new()).is_time);
            let elapsed = start.elapsed();
            assert!(elapsed >= delay && elapsed <= delay + 2 * TICK, "{delay:?} rang after {elapsed:?}");
        }
    }

    fn is_in_time(at: Duration, seconds: u64) {
        let deadline = Duration::from_secs(seconds);
        assert!(at >= deadline && at <= deadline + 2 * TICK, "{deadline:?} rang after {at:?}");
    }

    /// A connection that is kept alive.
    struct Kept {
        wheel: Arc<Wheel>,
        outbox: Arc<Outbox>,
        appointment: Appointment,
        start: Instant,
        metrics: Metrics,
    }

    impl Kept {
        fn new() -> Self {
            let (wheel, outbox) = (turning(), Arc::new(Outbox::new(10)));
            let (appointment, start) = (Appointment::default(), Instant::now());
            Self { wheel, outbox, appointment, start, metrics: Metrics::new() }
        }

        fn until(&mut self, seconds: u64) {
            self.until_millis(seconds * 1000);
        }

        fn until_millis(&mut self, millis: u64) {
            let deadline = self.wheel.moment(self.start + Duration::from_millis(millis));
            self.wheel.keep_alive(deadline, &mut self.appointment, &self.outbox);
        }

        /// Waits for the next ping or ring: when it came, and whether it was a ring.
        async fn next(&mut self) -> (Duration, bool) {
            self.outbox.flushed().await;
            let mut written = 0;
            self.outbox.write_in_turn(&self.metrics, |slices| {
                written += slices.iter().map(|slice| slice.len()).sum::<usize>();
                Ok(written)
            });
            let is_rung = self.outbox.news().is_time;
            assert!(is_rung || written == 2, "a ping has two bytes: {written}");
            (self.start.elapsed(), is_rung)
        }

        async fn rings_at(&mut self, seconds: u64) {
            let at = loop {
                if let (at, true) = self.next().await {
                    break at;
                }
            };
            is_in_time(at, seconds);
        }

        async fn is_quiet(&self) {
            let more = tokio::time::timeout(Duration::from_secs(100), self.outbox.flushed()).await;
            assert!(more.is_err(), "nothing comes behind the deadline");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn until_its_deadline_a_connection_is_pinged_and_not_disturbed() {
        let mut kept = Kept::new();
        kept.until(95);
        let (mut pings, mut last) = (0, Duration::ZERO);
        loop {
            let (at, is_rung) = kept.next().await;
            if is_rung {
                is_in_time(at, 95);
                break;
            }
            let since = at - last;
            assert!(
                since >= Duration::from_secs(10) * 6 / 7 && since <= Duration::from_secs(10) + 2 * TICK,
                "{since:?}"
            );
            (pings, last) = (pings + 1, at);
        }
        assert!((9..=11).contains(&pings), "{pings}");
        kept.is_quiet().await;
        // Whoever was rung says when next.
        kept.until(250);
        kept.rings_at(250).await;
        kept.is_quiet().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_put_off_again_and_again_does_not_ring() {
        let mut kept = Kept::new();
        kept.until(20);
        for _ in 0..50 {
            let (at, is_rung) = kept.next().await;
            assert!(!is_rung, "{at:?}");
            kept.until(at.as_secs() + 20);
        }
        let last = kept.start.elapsed().as_secs() + 20;
        kept.rings_at(last).await;
        kept.is_quiet().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_brought_forward_rings_in_time_and_once_for_many() {
        let mut kept = Kept::new();
        kept.until(1000);
        // Forward, back again, and forward to another: the entry of the first looks for the last.
        for _ in 0..1000 {
            kept.until(5);
            kept.until(1000);
        }
        kept.until(7);
        let entries: usize = kept.wheel.lock().iter().map(Vec::len).sum();
        assert_eq!(entries, 2, "one that keeps alive, one that rings");
        kept.rings_at(5).await;
        kept.until(7);
        kept.rings_at(7).await;
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_standstill_what_is_overdue_rings_at_once() {
        for stood_still in [101, 160, 300, 3000] {
            let mut kept = Kept::new();
            kept.until(30);
            kept.until(100);
            // Until the wheel has begun to turn.
            tokio::time::sleep(TICK).await;
            tokio::time::advance(Duration::from_secs(stood_still)).await;
            kept.rings_at(kept.start.elapsed().as_secs()).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_becomes_of_a_deadline_the_last_one_rings_in_time() {
        for seed in 0..5 {
            let (mut kept, mut random) = (Kept::new(), StdRng::seed_from_u64(seed));
            let mut deadline;
            for _ in 0..100 {
                let now = kept.start.elapsed().as_millis() as u64;
                deadline = now + random.random_range(0..40_000);
                kept.until_millis(deadline);
                let pause = Duration::from_millis(random.random_range(0..12_000));
                let end = Instant::now() + pause;
                while let Ok((at, is_rung)) = tokio::time::timeout_at(end, kept.next()).await {
                    let late = at.saturating_sub(Duration::from_millis(deadline));
                    assert!(late <= 2 * TICK, "seed {seed}: {late:?} late");
                    // Who is rung looks again, and goes on if it was too early.
                    if is_rung {
                        let now = at.as_millis() as u64;
                        deadline = if now >= deadline { now + random.random_range(1..40_000) } else { deadline };
                        kept.until_millis(deadline);
                    }
                }
                let late = kept.start.elapsed().saturating_sub(Duration::from_millis(deadline));
                assert!(late <= 2 * TICK, "seed {seed}: {late:?} late, and nobody has rung");
            }
        }
    }

    #[test]
    fn ticks_are_compared_beyond_the_largest_number() {
        let is_before = |one: u64, other: u64| Tick::of(one).is_before(Tick::of(other));
        let turn = 1_u64 << 32;
        assert!(is_before(1, 2) && !is_before(2, 2) && !is_before(3, 2));
        assert!(is_before(turn - 1, turn) && is_before(turn - 5, turn + 5) && !is_before(turn + 5, turn - 5));
        assert!(is_before(turn - 1, turn + u64::from(FURTHEST) - 1));
    }
}
