//! The record of presence in Redis, which all nodes share.
//!
//! Each change is one script, which also tells it on the bus; every node, the one that made it too, takes it from there. A
//! node's own connections are the truth about themselves: after an outage Redis is made to follow, whatever it has lost or
//! brought back. A node that says nothing for [`DEAD_AFTER`] is dead, and its users are lost; but not while it was Redis that
//! was away. A room is bounded as in the embedded record, all rooms by Redis' own memory limit.

mod mirror;
#[cfg(test)]
mod outages;
mod scripts;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use roomcast_protocol::{Room, UserId};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::audience::Audience;
use super::{Entry, Guest, Presence, Roster};
use crate::broker::Unavailable;
use crate::broker::redis::Connections;
use crate::config::Config;
use crate::hub::ConnectionId;
use mirror::Mirror;
use scripts::{Beat, Departure, Scripts};

/// How often a node says that it lives, and looks after what is due.
const BEAT: Duration = Duration::from_secs(1);

/// A node that has said nothing for this long is dead: several beats, a command that times out and a reconnection fit in.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(10);

/// When no node at all has said anything for this long, it was Redis that was away.
const SILENCE: Duration = Duration::from_secs(5);

/// Lists are told anew so long after the bus was away: until then the other nodes have come back, too, and nobody is missing
/// only because its node is late.
const SETTLE: Duration = Duration::from_secs(4);

/// Departures that wait for Redis. Beyond them the record is put right as a whole.
const QUEUE: usize = 16 << 10;

/// Calls under way at a time.
const AT_ONCE: usize = 32;

/// Calls of one beat: what is left is due in the next.
const MOST_BEATS: usize = 100;

/// Beats in a row in which Redis must differ from this node by the same number of seats, until it is put right.
const DOUBTFUL_BEATS: u32 = 3;

/// How long a node that goes may take to say so.
const FAREWELL: Duration = Duration::from_secs(1);

/// The shared record.
pub(crate) struct RedisPresence {
    connections: Arc<Connections>,
    audience: Arc<Audience>,
    scripts: Scripts,
    mirror: Mutex<Mirror>,
    departures: mpsc::Sender<Departure>,
    /// What [`Presence::run`] takes.
    inbox: Mutex<Option<mpsc::Receiver<Departure>>>,
    /// Whether Redis may differ from the mirror for good.
    is_in_doubt: AtomicBool,
}

/// What a node knows between its beats.
#[derive(Default)]
struct Watch {
    /// When lists are to be told anew.
    refresh_at: Option<Instant>,
    /// By how many seats Redis differs from the mirror, and for how many beats.
    difference: (i64, u32),
}

impl RedisPresence {
    /// A record over these connections that tells that audience. What is done by time needs it to [run](Presence::run).
    pub(crate) fn new(config: &Config, connections: Arc<Connections>, audience: Arc<Audience>) -> Self {
        let (departures, inbox) = mpsc::channel(QUEUE);
        Self {
            scripts: Scripts::new(config, &connections),
            connections,
            audience,
            mirror: Mutex::default(),
            departures,
            inbox: Mutex::new(Some(inbox)),
            is_in_doubt: AtomicBool::new(false),
        }
    }

    fn mirror(&self) -> MutexGuard<'_, Mirror> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubt(&self) {
        self.is_in_doubt.store(true, Ordering::Relaxed);
    }

    fn depart(&self, rooms: &[Room], user: &UserId, connection: ConnectionId, is_lost: bool) {
        let seq = self.mirror().leave(rooms, connection);
        let departure = Departure { rooms: rooms.to_vec(), user: user.clone(), connection, seq, is_lost };
        if self.departures.try_send(departure).is_err() {
            self.doubt();
        }
    }

    /// Tells Redis who has gone, in an order of chance: what was asked later has a later number.
    async fn carry_out(&self, departures: &mut Vec<Departure>) {
        let calls = departures.iter().map(|departure| self.connections.link.run(|_| self.scripts.leave(departure)));
        let outcomes: Vec<Result<(), Unavailable>> = join_all(calls).await;
        if outcomes.contains(&Err(Unavailable)) {
            self.doubt();
        }
        departures.clear();
    }

    /// Says that this node lives, does what is due, and finds out whether Redis knows the same as this node.
    async fn beat(&self, watch: &mut Watch) {
        for _ in 0..MOST_BEATS {
            let call = self.connections.link.run(|_| self.scripts.beat());
            let Ok(Beat { is_new, seats, is_more_left }) = call.await else { return };
            if is_new {
                self.doubt();
            }
            if !is_more_left {
                let own = i64::try_from(self.mirror().seats()).unwrap_or(i64::MAX);
                watch.compare(seats - own);
                break;
            }
        }
        if watch.is_doubtful() {
            tracing::warn!(seats = watch.difference.0, "presence in Redis differs from this node's, putting it right");
            self.doubt();
        }
        if self.is_in_doubt.swap(false, Ordering::Relaxed) && self.put_right().await.is_err() {
            self.doubt();
        }
    }

    /// Makes Redis follow this node, room by room.
    async fn put_right(&self) -> Result<(), Unavailable> {
        let mut rooms: BTreeSet<Room> = self.known_rooms().await?;
        rooms.extend(self.mirror().rooms());
        let rooms: Vec<Room> = rooms.into_iter().collect();
        for rooms in rooms.chunks(AT_ONCE) {
            let calls = rooms.iter().map(|room| {
                let (seq, seats) = self.mirror().said_in(room);
                async move { self.connections.link.run(|_| self.scripts.sync(room, seq, &seats)).await }
            });
            let outcomes: Vec<Result<(), Unavailable>> = join_all(calls).await;
            outcomes.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// The rooms in which Redis thinks that this node has seats.
    async fn known_rooms(&self) -> Result<BTreeSet<Room>, Unavailable> {
        let (mut rooms, mut cursor) = (BTreeSet::new(), String::from("0"));
        loop {
            let scan = self.scripts.scan_seats(&cursor);
            let (next, seats): (String, Vec<String>) = self.connections.link.ask(&scan).await?;
            rooms.extend(seats.iter().filter_map(|seat| seat.split(' ').next()?.parse().ok()));
            if next == "0" {
                return Ok(rooms);
            }
            cursor = next;
        }
    }
}

impl Watch {
    fn compare(&mut self, difference: i64) {
        let (known, beats) = self.difference;
        self.difference = if difference == known { (known, beats.saturating_add(1)) } else { (difference, 1) };
    }

    fn is_doubtful(&self) -> bool {
        self.difference.0 != 0 && self.difference.1 >= DOUBTFUL_BEATS
    }
}

impl Presence for RedisPresence {
    fn enter<'a>(&'a self, rooms: &'a [Room], guest: &'a Guest) -> BoxFuture<'a, Result<Vec<Entry>, Unavailable>> {
        Box::pin(async move {
            let (seq, before) = self.mirror().enter(rooms, guest);
            let call = self.connections.link.run(|_| self.scripts.enter(rooms, guest, seq));
            let answers: Option<Vec<u8>> = call.await.ok().filter(|answers: &Vec<u8>| answers.len() == rooms.len());
            let Some(answers) = answers else {
                // Whether they were entered is not known; whoever asked leaves them now, under a later number.
                self.mirror().restore(rooms.iter().zip(before), guest.connection, seq);
                return Err(Unavailable);
            };
            let refused = rooms.iter().zip(before).zip(&answers).filter(|(_, answer)| **answer == 0);
            self.mirror().restore(refused.map(|(room, _)| room), guest.connection, seq);
            Ok(answers.into_iter().map(|answer| if answer == 1 { Entry::Entered } else { Entry::Full }).collect())
        })
    }

    fn leave(&self, rooms: &[Room], user: &UserId, connection: ConnectionId) {
        self.depart(rooms, user, connection, false);
    }

    fn lose(&self, rooms: &[Room], user: &UserId, connection: ConnectionId) {
        self.depart(rooms, user, connection, true);
    }

    fn roster<'a>(&'a self, room: &'a Room) -> BoxFuture<'a, Result<Roster, Unavailable>> {
        Box::pin(async move { self.connections.link.run(|_| self.scripts.roster(room)).await })
    }

    fn run(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(mut inbox) = inbox else { return };
            let (mut connected, mut resynced) = (self.connections.link.connected(), self.connections.feed.resynced());
            let mut beats = tokio::time::interval(BEAT);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut watch, mut batch) = (Watch::default(), Vec::new());
            loop {
                let refresh_at = watch.refresh_at;
                // One after the other: what is put right knows of every departure before it.
                tokio::select! {
                    _ = inbox.recv_many(&mut batch, AT_ONCE) => self.carry_out(&mut batch).await,
                    _ = beats.tick() => self.beat(&mut watch).await,
                    Ok(()) = connected.changed() => {
                        self.doubt();
                        self.beat(&mut watch).await;
                    }
                    Ok(()) = resynced.changed() => watch.refresh_at = Some(Instant::now() + SETTLE),
                    () = tokio::time::sleep_until(refresh_at.unwrap_or_else(Instant::now)), if refresh_at.is_some() => {
                        watch.refresh_at = None;
                        self.audience.owe_everybody();
                    }
                }
            }
        })
    }

    fn retire(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let farewell = async { while self.connections.link.run(|_| self.scripts.retire()).await == Ok(true) {} };
            // Otherwise the others find out by themselves.
            let _ = tokio::time::timeout(FAREWELL, farewell).await;
        })
    }
}
