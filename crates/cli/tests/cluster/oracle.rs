//! The oracle: whether what readers were told agrees with what was published.
//!
//! Owns the truth (which position names which event) and the verdict over journals. It knows no gateway and no clock.

mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use roomcast_protocol::server::GapReason;
use roomcast_protocol::{Epoch, EventId, Position, Room};

/// Complaints that a verdict keeps in words; all of them are counted.
const WORDS: usize = 20;

/// Which event each position names, from the answers to publishers and from the frames of readers.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    events: HashMap<(Room, Position), EventId>,
    places: HashMap<(Room, Epoch, EventId), u64>,
    /// Positions that name two events.
    reused: Vec<String>,
    /// Events with two positions in one life of a stream.
    republished: Vec<String>,
}

/// What one reader was told, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal {
    /// Behind which positions it was promised everything.
    pub(crate) start: BTreeMap<Room, Position>,
    pub(crate) told: Vec<Told>,
}

/// One delivery.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Event {
        id: EventId,
        positions: BTreeMap<Room, Position>,
    },
    /// Events are lost; it goes on behind the position.
    Gap {
        room: Room,
        position: Position,
        reason: Option<GapReason>,
    },
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) deliveries: usize,
    pub(crate) gaps: usize,
    /// The same by their reasons.
    reasons: BTreeMap<String, usize>,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    pub(crate) disordered: usize,
    /// Positions that name two events, and events that were published twice.
    pub(crate) reused: usize,
    /// A stream's life ended without a word to its reader.
    pub(crate) silent: usize,
    words: Vec<String>,
}

impl Truth {
    /// The position names the event, somebody says.
    pub(crate) fn note(&mut self, room: &Room, position: Position, id: &EventId) {
        let known = self.events.entry((room.clone(), position)).or_insert_with(|| id.clone());
        if known != id {
            self.reused.push(format!("{room} {position} names {known} and {id}"));
        }
        let place = self.places.entry((room.clone(), position.epoch, id.clone())).or_insert(position.offset);
        if *place != position.offset {
            self.republished.push(format!("{id} stands in {room} at {position} and at offset {place}"));
        }
    }

    /// How many events there are.
    pub(crate) fn published(&self) -> usize {
        self.events.values().collect::<HashSet<_>>().len()
    }

    fn event(&self, room: &Room, position: Position) -> Option<&EventId> {
        self.events.get(&(room.clone(), position))
    }
}

impl Verdict {
    /// Whether everybody was told everything once and in order, or that it is lost.
    pub(crate) fn is_clean(&self) -> bool {
        (self.lost, self.doubled, self.disordered, self.reused, self.silent) == (0, 0, 0, 0, 0)
    }

    fn say(&mut self, words: impl FnOnce() -> String) {
        if self.words.len() < WORDS {
            self.words.push(words());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "deliveries {}, lost {}, doubled {}, out of order {}, positions given twice {}, silent changes of epoch {}, \
             gaps told {}",
            self.deliveries, self.lost, self.doubled, self.disordered, self.reused, self.silent, self.gaps
        )?;
        if !self.reasons.is_empty() {
            write!(out, " {:?}", self.reasons)?;
        }
        self.words.iter().try_for_each(|words| write!(out, "\n  {words}"))
    }
}

/// Judges what readers were told, of streams that end at these positions.
pub(crate) fn judge(truth: &mut Truth, journals: &[Journal], ends: &BTreeMap<Room, Position>) -> Verdict {
    for told in journals.iter().flat_map(|journal| &journal.told) {
        if let Told::Event { id, positions } = told {
            positions.iter().for_each(|(room, position)| truth.note(room, *position, id));
        }
    }
    let mut verdict = Verdict { reused: truth.reused.len() + truth.republished.len(), ..Verdict::default() };
    for words in truth.reused.iter().chain(&truth.republished) {
        verdict.say(|| words.clone());
    }
    for (reader, journal) in journals.iter().enumerate() {
        Reading::of(reader, journal, truth, &mut verdict).read(ends);
    }
    verdict
}

/// One journal, read from its start to its end.
struct Reading<'a> {
    reader: usize,
    journal: &'a Journal,
    truth: &'a Truth,
    verdict: &'a mut Verdict,
    at: BTreeMap<Room, Position>,
    /// Lives of streams that are over for this reader.
    left: HashSet<(Room, Epoch)>,
    seen: HashSet<&'a EventId>,
    /// What was passed over: lost, unless it comes later, which is out of order.
    missing: Vec<(Room, Position)>,
}

impl<'a> Reading<'a> {
    fn of(reader: usize, journal: &'a Journal, truth: &'a Truth, verdict: &'a mut Verdict) -> Self {
        let (at, left) = (journal.start.clone(), HashSet::new());
        Self { reader, journal, truth, verdict, at, left, seen: HashSet::new(), missing: Vec::new() }
    }

    fn read(mut self, ends: &BTreeMap<Room, Position>) {
        for told in &self.journal.told {
            match told {
                Told::Event { id, positions } => self.event(id, positions),
                Told::Gap { room, position, reason } => self.gap(room, *position, *reason),
            }
        }
        for (room, at) in self.at.clone() {
            let end = ends[&room];
            match at.is_before(&end) {
                None => {
                    self.verdict.lost += 1;
                    self.verdict
                        .say(|| format!("reader {}: stands in {room} at {at}, which ends at {end}", self.reader));
                }
                Some(_) => self.pass_over(&room, at, end.offset + 1),
            }
        }
        for (room, position) in &self.missing {
            let id = self.truth.event(room, *position);
            if !id.is_some_and(|id| self.seen.contains(id)) {
                self.verdict.lost += 1;
                self.verdict.say(|| format!("reader {}: {room} {position} ({id:?}) is lost", self.reader));
            }
        }
    }

    fn event(&mut self, id: &'a EventId, positions: &BTreeMap<Room, Position>) {
        self.verdict.deliveries += 1;
        if !self.seen.insert(id) {
            self.verdict.doubled += 1;
            self.verdict.say(|| format!("reader {}: {id} came again at {positions:?}", self.reader));
            return;
        }
        for (room, position) in positions {
            let at = self.at[room];
            match at.is_before(position) {
                Some(true) => self.pass_over(room, at, position.offset),
                Some(false) => {
                    self.verdict.disordered += 1;
                    self.verdict.say(|| format!("reader {}: {room} {position} ({id}) came behind {at}", self.reader));
                    continue;
                }
                None => {
                    self.verdict.silent += 1;
                    self.verdict.say(|| format!("reader {}: {room} went from {at} to {position}", self.reader));
                }
            }
            self.go_on(room, *position);
        }
    }

    /// The reader stands at the position. A life that is over does not come back.
    fn go_on(&mut self, room: &Room, position: Position) {
        let before = self.at.insert(room.clone(), position);
        if let Some(before) = before.filter(|before| before.epoch != position.epoch) {
            self.left.insert((room.clone(), before.epoch));
        }
        if self.left.contains(&(room.clone(), position.epoch)) {
            self.verdict.disordered += 1;
            self.verdict
                .say(|| format!("reader {}: {room} went back to {position}, of a life that was over", self.reader));
        }
    }

    fn gap(&mut self, room: &Room, position: Position, reason: Option<GapReason>) {
        self.verdict.gaps += 1;
        let reason = reason.map_or_else(|| "no reason".to_owned(), |reason| reason.to_string());
        *self.verdict.reasons.entry(reason).or_default() += 1;
        if position.is_before(&self.at[room]) == Some(true) {
            self.verdict.disordered += 1;
            self.verdict.say(|| format!("reader {}: a gap in {room} went back to {position}", self.reader));
        }
        self.go_on(room, position);
    }

    /// The reader goes on at an offset. What lies between it must have had: through another room, or in another epoch before
    /// the publisher, who had no answer, repeated it.
    fn pass_over(&mut self, room: &Room, at: Position, next: u64) {
        for offset in at.offset + 1..next {
            let position = Position { offset, ..at };
            if !self.truth.event(room, position).is_some_and(|id| self.seen.contains(id)) {
                self.missing.push((room.clone(), position));
            }
        }
    }
}
