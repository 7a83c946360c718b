//! One room: who sits in it, how far each has come, and where it stands with the gateway.
//!
//! Owns the decision from which position a room is asked for, what an answer means for each seat, and which events a seat
//! has had. All subscriptions of a room share one stream of the gateway, which an answer may put back to serve one that
//! has missed more; a seat takes from it only what lies behind its own position. Refuses to know mailboxes.

use std::collections::BTreeMap;

use roomcast_protocol::Position;
use roomcast_protocol::server::GapReason;

use super::presence::Presence;
use crate::subscription::SubscriptionId;

/// A room that somebody wants.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) seats: BTreeMap<SubscriptionId, Seat>,
    standing: Standing,
    /// Whether the gateway may count the client in: then it is told when nobody wants the room any more.
    is_inside: bool,
    /// How far the connection has come in the room's stream, while it is joined.
    position: Option<Position>,
    /// Who is in it, for those who want to know.
    pub(super) presence: Presence,
}

/// Where a room stands on the current connection.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// To be asked for.
    #[default]
    Out,
    /// Asked for by the request of this number; an answer to another one says nothing about it. What comes of the room
    /// meanwhile is ignored: it lies before the answer's position, or the replay has it.
    Asked { request: u64, since: Option<Position> },
    /// In it.
    Joined,
}

/// The place of one subscription.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    /// How far the subscription has come, over all connections. `None`: to start where the room is joined.
    position: Option<Position>,
    /// Whether everything behind the position will come, as things stand.
    is_settled: bool,
    /// Whether the subscription is to be told how it goes on: it was cut off, or has named a position.
    is_owed_word: bool,
}

/// How the gateway let the client in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entrance {
    /// From the position on; of what came before nothing is said.
    Subscribed,
    /// So many missed events follow.
    Recovered(u64),
    /// Events are lost.
    Gap(GapReason),
}

/// A seat whose holder gets from now on everything behind its position.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) id: SubscriptionId,
    /// From where it went on, if it went on from anywhere; else where it starts.
    pub(super) start: Position,
    pub(super) notice: Option<Notice>,
}

/// What the holder of a seat is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    Resumed { recovered: u64 },
    Gap { position: Position, reason: Option<GapReason> },
}

impl Entry {
    /// Gives a subscription a seat. Answers how it goes on when the room is joined at just the place that it wants, which
    /// for one that names none is wherever the room is.
    pub(super) fn sit(&mut self, id: SubscriptionId, since: Option<Position>) -> Option<Settled> {
        let mut seat = Seat { position: since, is_settled: false, is_owed_word: since.is_some() };
        let joined_at = self.position.filter(|_| self.is_joined());
        let settled = joined_at.and_then(|position| seat.settle(id, position, None, Entrance::Subscribed));
        self.seats.insert(id, seat);
        settled
    }

    pub(super) fn is_joined(&self) -> bool {
        self.standing == Standing::Joined
    }

    pub(super) fn is_asked_by(&self, number: u64) -> bool {
        matches!(self.standing, Standing::Asked { request, .. } if request == number)
            || self.presence.is_asked_by(number)
    }

    /// Whether the gateway is to be told when nobody wants the room.
    pub(super) fn is_known_to_gateway(&self) -> bool {
        self.is_inside || matches!(self.standing, Standing::Asked { .. })
    }

    pub(super) fn needs_asking(&self) -> bool {
        match self.standing {
            Standing::Out => true,
            Standing::Asked { .. } => false,
            Standing::Joined => self.has_unsettled() || self.presence.needs_asking(),
        }
    }

    fn has_unsettled(&self) -> bool {
        self.seats.values().any(|seat| !seat.is_settled)
    }

    /// From where to ask: the furthest back of the seats that wait, so that one answer serves as many as possible. Seats of
    /// another epoch have their turn later. `None`: from now on.
    pub(super) fn since(&self) -> Option<Position> {
        let waiting = self.seats.values().filter(|seat| !seat.is_settled).filter_map(|seat| seat.position);
        waiting.reduce(|least, position| if position.is_before(&least) == Some(true) { position } else { least })
    }

    /// The room is asked for. Nobody is settled before the answer: what comes meanwhile is ignored. Where only presence is
    /// asked for, what happens in the room goes on coming.
    pub(super) fn ask(&mut self, request: u64, since: Option<Position>) {
        if self.is_joined() && !self.has_unsettled() {
            return self.presence.ask(Some(request));
        }
        self.presence.ask(None);
        self.standing = Standing::Asked { request, since };
        self.unsettle();
    }

    /// The request told nothing: what it asked for is to be asked for again.
    pub(super) fn ask_again(&mut self, request: u64) {
        if self.presence.is_asked_by(request) {
            self.presence.ask_again();
        } else {
            self.put_out(true);
        }
    }

    /// The room is to be asked for (again). `is_inside`: whether the gateway may count the client in all the same.
    pub(super) fn put_out(&mut self, is_inside: bool) {
        self.standing = Standing::Out;
        self.is_inside &= is_inside;
        self.presence.put_out();
        self.unsettle();
    }

    /// The connection is gone: whoever had come anywhere is told how it goes on.
    pub(super) fn disconnected(&mut self) {
        self.put_out(false);
        for seat in self.seats.values_mut() {
            seat.is_owed_word |= seat.position.is_some();
        }
    }

    fn unsettle(&mut self) {
        self.seats.values_mut().for_each(|seat| seat.is_settled = false);
    }

    /// The answer: the room is joined. Seats that it leaves unsettled have to ask again.
    pub(super) fn enter(&mut self, position: Position, entrance: Entrance) -> Vec<Settled> {
        let since = match self.standing {
            Standing::Asked { since, .. } => since,
            _ => None,
        };
        (self.standing, self.is_inside, self.position) = (Standing::Joined, true, Some(position));
        let settle = |(id, seat): (&SubscriptionId, &mut Seat)| seat.settle(*id, position, since, entrance);
        self.seats.iter_mut().filter_map(settle).collect()
    }

    /// The gateway's own word that live delivery has lost something and goes on behind the position.
    pub(super) fn gap(&mut self, position: Position, reason: GapReason) -> Vec<Settled> {
        self.position = Some(position);
        let settled = self.seats.iter_mut().filter(|(_, seat)| seat.is_settled);
        let gap = Notice::Gap { position, reason: Some(reason) };
        let tell = |(id, seat): (&SubscriptionId, &mut Seat)| {
            let start = seat.position.replace(position).unwrap_or(position);
            Settled { id: *id, start, notice: Some(gap) }
        };
        settled.map(tell).collect()
    }

    /// An event came at this position: each seat, and whether the event is new to it as far as this room can tell.
    pub(super) fn advance(&mut self, position: Position) -> impl Iterator<Item = (SubscriptionId, bool)> {
        if self.is_joined() && self.position.is_none_or(|last| last.is_before(&position) != Some(false)) {
            self.position = Some(position);
        }
        self.seats.iter_mut().map(move |(id, seat)| (*id, seat.advance(position)))
    }
}

impl Seat {
    /// What the gateway's answer to `since`, at `position`, means for this seat; `None` when nothing.
    fn settle(
        &mut self,
        id: SubscriptionId,
        at: Position,
        since: Option<Position>,
        entrance: Entrance,
    ) -> Option<Settled> {
        let Some(own) = self.position else {
            (self.position, self.is_settled) = (Some(at), true);
            return Some(Settled { id, start: at, notice: None });
        };
        let has_asked = since == Some(own);
        let is_ahead = since.and_then(|since| since.is_before(&own)) == Some(true);
        let notice = match entrance {
            // A replay from further back has everything that this seat has missed, too.
            Entrance::Recovered(recovered) if has_asked || is_ahead => Notice::Resumed { recovered },
            Entrance::Gap(reason) if has_asked => Notice::Gap { position: at, reason: Some(reason) },
            // Live delivery goes on at just this place.
            _ if own == at => Notice::Resumed { recovered: 0 },
            Entrance::Subscribed if has_asked => Notice::Gap { position: at, reason: None },
            _ => return None,
        };
        let is_told = self.is_owed_word || matches!(notice, Notice::Gap { .. });
        if let Notice::Gap { position, .. } = notice {
            self.position = Some(position);
        }
        (self.is_settled, self.is_owed_word) = (true, false);
        Some(Settled { id, start: own, notice: is_told.then_some(notice) })
    }

    fn advance(&mut self, position: Position) -> bool {
        let is_new = self.is_settled && self.position.is_none_or(|own| own.is_before(&position) != Some(false));
        if is_new {
            self.position = Some(position);
        }
        is_new
    }
}
