//! Who gets a publication: every local member of its rooms, once each, if it is the next for it there.
//!
//! Owns the way from a publication to the outboxes. No list of members is made on it, and no name is looked up for a member.

use std::sync::Arc;

use roomcast_protocol::Position;

use super::State;
use super::members::{Fit, Hold};
use crate::frame::Frame;
use crate::outbox::{Outbox, Pushed};
use crate::publication::{Publication, RoomSet};

/// Outboxes that were put into during a turn, each once.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Those to be written when the turn ends.
    pub outboxes: Vec<Arc<Outbox>>,
    /// Frames that were put in.
    pub frames: u64,
}

impl Touched {
    fn put(&mut self, outbox: &Arc<Outbox>, frame: Frame) {
        let pushed = outbox.push_in_turn(frame);
        if pushed == Pushed::Queued {
            self.outboxes.push(outbox.clone());
        }
        self.frames += u64::from(pushed != Pushed::Closed);
    }
}

impl State {
    pub(super) fn deliver(&mut self, publication: &Arc<Publication>, touched: &mut Touched) {
        if let [(room, position)] = &publication.places[..] {
            if let Some(&index) = self.by_name.get(room) {
                self.deliver_in(index, *position, publication, touched);
            }
            return;
        }
        let rooms = self.indices(publication);
        for (place, index) in rooms.iter().enumerate() {
            let Some(index) = *index else { continue };
            for seat in 0..self.rooms[index].seats().len() {
                let member = self.rooms[index].seats()[seat].member();
                self.deliver_at(member, publication, &rooms, place, touched);
            }
        }
    }

    /// Delivers to the members of its only room, whose seats are at hand.
    fn deliver_in(
        &mut self,
        index: usize,
        position: Option<Position>,
        publication: &Arc<Publication>,
        touched: &mut Touched,
    ) {
        let frame = publication.frame(publication.all_rooms());
        for seat in 0..self.rooms[index].seats().len() {
            let seat = &mut self.rooms[index].seats_mut()[seat];
            let member = &mut self.members[seat.member()];
            if publication.except == Some(member.connection) {
                continue;
            }
            if let Some(hold) = &mut member.hold {
                hold.keep(publication);
                continue;
            }
            match member.fit(index, seat, position) {
                Fit::Next => {
                    if let Some(position) = position {
                        seat.advance(position);
                    }
                    touched.put(&member.outbox, frame.clone());
                }
                Fit::Ahead => {
                    let member = seat.member();
                    self.interrupt(member, publication);
                }
                Fit::Behind => {}
            }
        }
    }

    /// Delivers to a member found in the room at `place`, unless an earlier room of the publication has found it already.
    fn deliver_at(
        &mut self,
        member: usize,
        publication: &Arc<Publication>,
        rooms: &[Option<usize>],
        place: usize,
        touched: &mut Touched,
    ) {
        let entry = &mut self.members[member];
        if publication.except == Some(entry.connection) {
            return;
        }
        if let Some(hold) = &mut entry.hold {
            return hold.keep(publication);
        }
        let (set, is_ahead) = self.fits(member, publication, rooms);
        if is_ahead {
            self.interrupt(member, publication);
        } else if set.trailing_zeros() as usize == place {
            self.advance(member, publication, rooms, set);
            touched.put(&self.members[member].outbox, publication.frame(set));
        }
    }

    /// Where the rooms of a publication are, of those that have members.
    fn indices(&self, publication: &Publication) -> Vec<Option<usize>> {
        publication.places.iter().map(|(room, _)| self.by_name.get(room).copied()).collect()
    }

    /// Delivers to a member whose hold has ended. Answers false when something is missing before it.
    pub(super) fn deliver_to(&mut self, member: usize, publication: &Arc<Publication>) -> bool {
        let rooms = self.indices(publication);
        let (set, is_ahead) = self.fits(member, publication, &rooms);
        if is_ahead {
            self.interrupt(member, publication);
        } else if set != 0 {
            self.advance(member, publication, &rooms, set);
            self.members[member].outbox.push(publication.frame(set));
        }
        !is_ahead
    }

    /// Puts a member on hold until its connection has filled what is missing before the publication.
    fn interrupt(&mut self, member: usize, publication: &Arc<Publication>) {
        let mut hold = Box::<Hold>::default();
        hold.keep(publication);
        for (room, position) in publication.places.iter().filter_map(|(room, position)| Some((room, (*position)?))) {
            // An offset is at least 1, so there is one before it.
            let until = Position { offset: position.offset.saturating_sub(1), ..position };
            self.note_hole(member, room, until);
        }
        self.members[member].hold = Some(hold);
        self.members[member].outbox.report_hole();
    }

    /// The rooms of the publication in which it is the next for the member, and whether it comes too early in one.
    fn fits(&self, member: usize, publication: &Publication, rooms: &[Option<usize>]) -> (RoomSet, bool) {
        let (mut set, mut is_ahead) = (0, false);
        for (place, (index, (_, position))) in rooms.iter().zip(&publication.places).enumerate() {
            let seat = index.and_then(|index| self.seat_in(member, index));
            let fit = |(index, seat)| self.members[member].fit(index, &self.rooms[index].seats()[seat], *position);
            match seat.map(fit) {
                Some(Fit::Next) => set |= 1 << place,
                Some(Fit::Ahead) => is_ahead = true,
                Some(Fit::Behind) | None => {}
            }
        }
        (set, is_ahead)
    }

    /// The publication is what the member has had last, in these of its rooms.
    fn advance(&mut self, member: usize, publication: &Publication, rooms: &[Option<usize>], set: RoomSet) {
        for (place, (index, (_, position))) in rooms.iter().zip(&publication.places).enumerate() {
            if set & (1 << place) != 0
                && let Some(position) = *position
                && let Some((index, seat)) = index.and_then(|index| self.seat_in(member, index))
            {
                self.rooms[index].seats_mut()[seat].advance(position);
            }
        }
    }
}
