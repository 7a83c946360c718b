//! One acknowledged connection: what was asked over it, and its heartbeat.
//!
//! Owns the requests without an answer, the pauses that the gateway asked for, and the pings. Refuses to wait: the driver
//! polls the socket and the clock and hands over what they bring.

mod rooms;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roomcast_protocol::server::{Connected, ErrorPayload, Reply, ReplyFrame, RoomOutcome};
use roomcast_protocol::{ClientMessage, ErrorCode, Request, Room, ServerMessage};
use tokio::time::Instant;

use super::demand::{Demand, Publishing};
use super::failure::Failure;
use crate::backoff::Backoff;
use crate::options::Options;
use crate::registry::is_transient;
use crate::token::Token;
use crate::transport::{Incoming, Transport, encode};
use crate::{ConnectionState, Delivery, Error, ErrorKind};
use rooms::news;

/// Requests without an answer. Events behind them wait, and when too many wait, their callers are told.
const MAX_AWAITING: usize = 1024;

/// A pause that the gateway asked for without saying how long.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two tries to join rooms while the broker is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// One acknowledged connection.
pub(super) struct Link {
    transport: Transport,
    connected: Connected,
    /// Requests without an answer, in the order of sending.
    awaiting: BTreeMap<u64, Awaiting>,
    next_request: u64,
    request_timeout: Duration,
    /// Rooms to leave.
    leaving: BTreeSet<Room>,
    /// No request about rooms before this moment.
    rooms_paused: Option<Instant>,
    /// The pauses between requests about rooms that the gateway could not serve.
    room_retry: Backoff,
    /// No request at all before this moment.
    rate_limited: Option<Instant>,
    /// Not to come back before this moment, as the gateway said.
    come_back: Option<Instant>,
    ping_interval: Duration,
    next_ping: Instant,
    /// How long the gateway may be silent: a ping is answered well within it.
    patience: Duration,
    last_heard: Instant,
}

struct Awaiting {
    request: Sent,
    deadline: Instant,
}

/// What is remembered of a request. The rooms of a subscribe stand in the registry.
enum Sent {
    Subscribe,
    Unsubscribe(Vec<Room>),
    Publish(Publishing),
    Renewal,
}

/// What a frame means for the driver.
pub(super) enum Heard {
    Nothing,
    /// The token runs out soon.
    Expiring,
    /// The link is gone.
    Ended(Failure),
}

impl Link {
    pub(super) fn new(transport: Transport, connected: Connected, options: &Options) -> Self {
        let now = Instant::now();
        // The gateway must hear something within its time-out, and one lost ping is forgiven.
        let ping_interval = options.ping_interval.min(Duration::from_millis(connected.heartbeat.timeout_ms / 2));
        let ping_interval = ping_interval.max(Duration::from_millis(1));
        Self {
            transport,
            connected,
            awaiting: BTreeMap::new(),
            next_request: 1,
            request_timeout: options.request_timeout,
            leaving: BTreeSet::new(),
            rooms_paused: None,
            room_retry: Backoff::new(PAUSE, LONGEST_PAUSE),
            rate_limited: None,
            come_back: None,
            ping_interval,
            next_ping: now + ping_interval,
            patience: ping_interval + options.pong_timeout,
            last_heard: now,
        }
    }

    pub(super) fn state(&self) -> ConnectionState {
        ConnectionState::Open {
            connection_id: self.connected.connection_id.clone(),
            user_id: self.connected.user_id.clone(),
        }
    }

    /// The next thing from the socket. May be dropped at any time without loss.
    pub(super) async fn next(&mut self) -> Result<Incoming, Error> {
        self.transport.next().await
    }

    /// The end: what was not answered goes back to the demand.
    pub(super) fn end(self, demand: &mut Demand, error: &Error) -> Transport {
        let publishings = self.awaiting.into_values().filter_map(|awaiting| match awaiting.request {
            Sent::Publish(publishing) => Some(publishing),
            _ => None,
        });
        demand.put_back(publishings.collect(), error);
        demand.registry.disconnected();
        self.transport
    }

    // Sending.

    /// Sends what can be sent now.
    pub(super) fn flush(&mut self, demand: &mut Demand, now: Instant) -> Result<(), Error> {
        self.leaving.append(&mut demand.registry.take_left());
        // A room that is wanted again is kept by the subscribe; the gateway answers with its current position.
        self.leaving.retain(|room| !demand.registry.wants(room));
        if self.rooms_pause().is_none_or(|until| until <= now) {
            self.flush_rooms(&mut demand.registry)?;
        }
        while self.transport.has_room()
            && self.awaiting.len() < MAX_AWAITING
            && let Some(publishing) = demand.publishings.pop_front()
        {
            self.publish(publishing, now)?;
        }
        Ok(())
    }

    fn publish(&mut self, publishing: Publishing, now: Instant) -> Result<(), Error> {
        if publishing.reply.is_closed() {
            return Ok(());
        }
        if let Some(until) = self.rate_limited.filter(|until| *until > now) {
            let code = ErrorCode::RateLimitExceeded;
            let error = Error::new(ErrorKind::Denied { code }, "publish: the gateway's rate limit is exceeded");
            publishing.fail(error.after(Some(until - now)));
            return Ok(());
        }
        let message = ClientMessage::Publish(publishing.publish.clone());
        let text = match encode(&self.numbered(message)) {
            Ok(text) => text,
            Err(error) => {
                publishing.fail(error);
                return Ok(());
            }
        };
        // Sent, it would end the connection.
        if text.len() as u64 > self.connected.limits.max_message_bytes {
            let limit = self.connected.limits.max_message_bytes;
            let error = format!("publish: the event makes a message of {} bytes, over {limit}", text.len());
            publishing.fail(Error::new(ErrorKind::Invalid, error));
            return Ok(());
        }
        self.transmit(text, Sent::Publish(publishing))
    }

    /// Sends the next token, where the provider had one. Without it the gateway ends the connection in its time.
    pub(super) fn renew(&mut self, token: Result<Token, Error>) {
        let renewed = token.and_then(|token| {
            self.request(ClientMessage::Authenticate { token: token.as_str().into() }, Sent::Renewal)
        });
        if let Err(error) = renewed {
            tracing::warn!(%error, "the token is not renewed");
        }
    }

    fn request(&mut self, message: ClientMessage, sent: Sent) -> Result<(), Error> {
        self.transmit(encode(&self.numbered(message))?, sent)
    }

    fn numbered(&self, message: ClientMessage) -> Request {
        Request { id: self.next_request.to_string().parse().ok(), message }
    }

    /// Sends a message that carries the next number.
    fn transmit(&mut self, text: String, request: Sent) -> Result<(), Error> {
        self.transport.send(text)?;
        let deadline = Instant::now() + self.request_timeout;
        self.awaiting.insert(self.next_request, Awaiting { request, deadline });
        self.next_request += 1;
        Ok(())
    }

    // Receiving.

    /// Takes what the socket brought.
    pub(super) fn receive(&mut self, incoming: Result<Incoming, Error>, demand: &mut Demand) -> Heard {
        if !matches!(incoming, Ok(Incoming::Writable)) {
            self.last_heard = Instant::now();
        }
        match incoming {
            Ok(Incoming::Message(ServerMessage::Event(frame))) => demand.registry.route(frame),
            Ok(Incoming::Message(ServerMessage::Reply(frame))) => return self.reply(*frame, demand),
            Ok(Incoming::Message(ServerMessage::Unknown { .. }) | Incoming::Alive | Incoming::Writable) => {}
            Ok(Incoming::Closed(code)) => return Heard::Ended(Failure::closed(code, self.hint())),
            Err(error) => return Heard::Ended(Failure::lost_with_hint(error, self.hint())),
        }
        Heard::Nothing
    }

    fn reply(&mut self, frame: ReplyFrame, demand: &mut Demand) -> Heard {
        let number = frame.reply_to.and_then(|id| id.as_str().parse::<u64>().ok());
        let sent = number.and_then(|number| self.awaiting.remove(&number));
        match (frame.reply, sent.map(|awaiting| awaiting.request)) {
            (Reply::SubscriptionAck(ack), Some(Sent::Subscribe)) => {
                number.into_iter().for_each(|number| self.joined(number, &ack, demand));
            }
            (Reply::SubscriptionAck(ack), None) if number.is_none() => news(&ack, demand),
            (Reply::PublishAck(published), Some(Sent::Publish(publishing))) => {
                let _ = publishing.reply.send(Ok(published));
            }
            (Reply::AuthAck(ack), _) => {
                ack.lost_rooms.iter().for_each(|room| demand.registry.lost(room, ErrorCode::Forbidden));
                demand.registry.renewed();
            }
            (Reply::AuthExpiring(_), _) => return Heard::Expiring,
            (Reply::PresenceState(state), _) => demand.registry.present(&Delivery::PresenceState(state)),
            (Reply::PresenceJoined(change), _) => demand.registry.present(&Delivery::PresenceJoined(change)),
            (Reply::PresenceLeft(change), _) => demand.registry.present(&Delivery::PresenceLeft(change)),
            (Reply::ConnectionClosing(closing), _) => {
                self.come_back = later(closing.retry_after_ms.map(Duration::from_millis));
            }
            (Reply::Error(error), sent) => self.refused(number, sent, &error, demand),
            _ => {}
        }
        Heard::Nothing
    }

    /// The gateway refused a request, or something that it could not tell.
    fn refused(&mut self, number: Option<u64>, sent: Option<Sent>, error: &ErrorPayload, demand: &mut Demand) {
        let after = error.retry_after_ms.map(Duration::from_millis);
        if error.code == ErrorCode::RateLimitExceeded {
            self.rate_limited = later(after.or(Some(PAUSE)));
            self.come_back = self.rate_limited;
        }
        match (sent, number) {
            (Some(Sent::Publish(publishing)), _) => publishing.fail(Error::refused("publish", error)),
            (Some(Sent::Subscribe), Some(number)) if is_transient(error.code) => {
                demand.registry.ask_again(number);
                self.pause_rooms(after);
            }
            (Some(Sent::Subscribe), Some(number)) => {
                for room in demand.registry.asked(number) {
                    demand.registry.outcome(number, &room, RoomOutcome::Denied { code: error.code });
                }
            }
            (Some(Sent::Unsubscribe(rooms)), _) if is_transient(error.code) => {
                self.leaving.extend(rooms);
                self.pause_rooms(after);
            }
            (Some(Sent::Renewal), _) => tracing::warn!(code = %error.code, "the gateway refuses the next token"),
            _ => tracing::warn!(code = %error.code, message = error.message, "the gateway reports an error"),
        }
    }

    // Time.

    /// When [`Link::tick`] has something to do.
    pub(super) fn wake_at(&self, demand: &Demand) -> Instant {
        let now = Instant::now();
        let wants_rooms = demand.registry.has_idle() || !self.leaving.is_empty();
        let unanswered = self.awaiting.first_key_value().map(|(_, awaiting)| awaiting.deadline);
        [unanswered, self.rooms_pause().filter(|until| wants_rooms && *until > now)]
            .into_iter()
            .flatten()
            .fold(self.next_ping.min(self.last_heard + self.patience), Instant::min)
    }

    /// Does what is due. The end of a pause needs nothing here: the driver flushes after each turn.
    pub(super) fn tick(&mut self, demand: &mut Demand, now: Instant) -> Result<(), Error> {
        if now >= self.last_heard + self.patience {
            return Err(Error::disconnected("keep the connection: the gateway has fallen silent"));
        }
        if now >= self.next_ping {
            self.transport.ping()?;
            self.next_ping = now + self.ping_interval;
        }
        while let Some(entry) = self.awaiting.first_entry().filter(|entry| entry.get().deadline <= now) {
            let (number, awaiting) = entry.remove_entry();
            match awaiting.request {
                Sent::Subscribe if demand.registry.ask_again(number) => self.pause_rooms(None),
                // Its caller's time is over too.
                _ => {}
            }
        }
        Ok(())
    }

    /// How long it is until the gateway wants the client back.
    fn hint(&self) -> Option<Duration> {
        self.come_back.map(|moment| moment.saturating_duration_since(Instant::now()))
    }
}

/// The moment after this time. A time beyond any clock is no moment.
fn later(after: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(after?)
}
