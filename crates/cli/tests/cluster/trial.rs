//! A trial: a cluster with clients under load, something that breaks, and what became of it.
//!
//! Owns the order of a trial, the promised deadlines, and the line of figures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roomcast_client::protocol::Room;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::eventually;
use crate::load::Load;
use crate::oracle::{Verdict, judge};
use crate::readers::Readers;

/// `/readyz` tells within ten seconds, it is promised. Three times that is asserted, since machines are busy.
const TOLD: Duration = Duration::from_secs(3 * 10);

/// A publication is answered within 1.5 s, whatever the answer is.
const ANSWERED: Duration = Duration::from_millis(3 * 1500);

/// How much of everything there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) clients: usize,
    /// How many of them do not use the SDK.
    pub(crate) plain: usize,
    pub(crate) rooms: usize,
    pub(crate) per_second: u32,
}

/// A cluster under load.
pub(crate) struct Trial {
    name: &'static str,
    size: Size,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) readers: Readers,
    pub(crate) load: Load,
    /// What the line of figures says besides.
    figures: Vec<String>,
    began: Instant,
    struck: Instant,
}

/// What became of it.
pub(crate) struct Outcome {
    pub(crate) gaps: usize,
    /// How often a client's room went on without a hole after a lost connection.
    pub(crate) resumed: u64,
}

impl Trial {
    /// Connects the clients, each to two rooms, starts the load, and waits until every client gets something everywhere.
    pub(crate) async fn begin(name: &'static str, size: Size, cluster: Arc<Cluster>) -> Self {
        let rooms: Vec<Room> = (0..size.rooms).map(|number| Room::team(&format!("r{number}"))).collect();
        let readers = Readers::join(cluster.balancer.address, size.clients, size.plain, |number| {
            // Neighbours in one direction share one room, those in another the other.
            let second = number + 1 + number / size.rooms;
            vec![rooms[number % size.rooms].clone(), rooms[second % size.rooms].clone()]
        })
        .await;
        let load = Load::start(&cluster, &rooms, size.per_second);
        let (began, figures) = (Instant::now(), Vec::new());
        let trial = Self { name, size, cluster, readers, load, figures, began, struck: began };
        trial.delivers_from(0).await;
        trial
    }

    /// Something breaks now.
    pub(crate) fn strike<T>(&mut self, strike: impl FnOnce() -> T) -> T {
        self.load.slowest();
        self.struck = Instant::now();
        strike()
    }

    /// Waits until `/readyz` of these nodes tells.
    pub(crate) async fn is_told_by(&mut self, places: &[usize]) {
        // Beside each other: with a failover the moment is short.
        let mut watching = JoinSet::new();
        for node in places.iter().map(|place| self.cluster.node(*place)) {
            watching.spawn(async move { node.until_ready(false).await });
        }
        watching.join_all().await;
        let told = self.struck.elapsed();
        assert!(told < TOLD, "{}: /readyz tells after {told:?}", self.name);
        self.note("readyz told after", told);
    }

    /// Lets it be broken for so long in all. That is no wait for a condition: it is the length of the outage.
    pub(crate) async fn is_broken_for(&self, duration: Duration) {
        tokio::time::sleep(duration.saturating_sub(self.struck.elapsed())).await;
    }

    /// It is whole again: all nodes get ready and all rooms deliver, without a restart of any node; and every answer
    /// that publishers got meanwhile came soon.
    pub(crate) async fn heal<T>(&mut self, heal: impl FnOnce() -> T) -> T {
        let healed = heal();
        let (start, number) = (Instant::now(), self.load.next());
        for place in 0..self.cluster.size() {
            self.cluster.node(place).until_ready(true).await;
        }
        self.note("ready again after", start.elapsed());
        self.delivers_from(number).await;
        self.note("all rooms delivered again after", start.elapsed());
        let slowest = self.load.slowest();
        assert!(slowest < ANSWERED, "{}: a publication was answered after {slowest:?}", self.name);
        self.note("slowest answer to a publisher", slowest);
        healed
    }

    /// Waits until every client has, in each of its rooms, an event that was published from this number on.
    pub(crate) async fn delivers_from(&self, number: u64) {
        let what = format!("every client gets e{number} or later in its rooms");
        eventually(&what, || self.readers.have_come_to(number), || self.state()).await;
    }

    /// Waits until so many more events are published, as long as there is any progress: a slow machine takes longer.
    pub(crate) async fn publishes(&self, more: u64) {
        let wanted = self.load.published() + more;
        while self.load.published() < wanted {
            let before = self.load.published();
            eventually("something is published", || self.load.published() > before, || self.state()).await;
        }
    }

    fn state(&self) -> String {
        let (published, failed) = (self.load.published(), self.load.failed());
        format!("{}, {published} published, {failed} tries failed, strange: {:?}", self.name, self.readers.strange())
    }

    pub(crate) fn note(&mut self, what: &str, duration: Duration) {
        self.figures.push(format!("{what} {:.2} s", duration.as_secs_f64()));
    }

    /// Stops the load, waits until every client has everything, judges, and prints the figures.
    pub(crate) async fn end(self) -> Outcome {
        let (failed, size, took) = (self.load.failed(), self.size, self.began.elapsed().as_secs_f64());
        let (mut truth, ends) = self.load.stop().await;
        let published = truth.published();
        let readers = &self.readers;
        let state = || format!("{}\n  {}", judge(&mut truth, &readers.journals(), &ends), readers.stragglers(&ends));
        eventually("every client is at the end", || readers.are_at(&ends), state).await;
        let verdict: Verdict = judge(&mut truth, &readers.journals(), &ends);
        let Size { clients, rooms, .. } = size;
        let (resumed, figures) = (readers.resumed(), self.figures.join(", "));
        println!(
            "{}: clients {clients}, rooms {rooms}, events {published} in {took:.0} s, {verdict}; rooms resumed {resumed}, \
             publications repeated {failed}, {figures}",
            self.name
        );
        assert!(verdict.is_clean(), "{}: {verdict}", self.name);
        assert_eq!(readers.strange(), Vec::<String>::new(), "{}", self.name);
        Outcome { gaps: verdict.gaps, resumed: readers.resumed() }
    }
}
