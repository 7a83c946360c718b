//! The task that owns the connection.
//!
//! Owns the life of a client: connect, serve the link until it ends, wait, again. Each wake-up of the task stands in one of
//! two `select!`s, [`Driver::offline`] and [`Driver::online`]. What the application wants lies in [`Demand`] and outlives
//! every link; what the gateway was asked lies in [`Link`](link::Link) and dies with it.

mod connect;
mod demand;
mod failure;
mod link;

use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use roomcast_protocol::CloseCode;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::backoff::Backoff;
use crate::options::Options;
use crate::subscription::Departures;
use crate::token::Token;
use crate::{ConnectionState, Error};

use demand::Demand;
pub(crate) use demand::{Command, Publishing};
use failure::{Failure, Verdict};
use link::{Heard, Link};

/// A connection that held this long was a success: the next loss starts a new series of attempts. One that a gateway
/// accepts and drops at once is not.
const STABLE: Duration = Duration::from_secs(10);

/// The driver of one client.
pub(crate) struct Driver {
    options: Arc<Options>,
    /// Closed when every handle and every subscription is gone.
    commands: mpsc::Receiver<Command>,
    departures: Arc<Departures>,
    state: watch::Sender<ConnectionState>,
    demand: Demand,
    backoff: Backoff,
    /// Who waits for the end. Dropping them is the news.
    closers: Vec<oneshot::Sender<()>>,
    /// Why it ends; set once.
    ending: Option<Ending>,
}

/// Why a client ended for good.
#[derive(Debug)]
struct Ending {
    code: Option<CloseCode>,
    reason: String,
}

impl Ending {
    fn by_application() -> Self {
        Self { code: Some(CloseCode::Normal), reason: "closed by the application".into() }
    }
}

impl Driver {
    pub(crate) fn new(
        options: Arc<Options>,
        commands: mpsc::Receiver<Command>,
        departures: Arc<Departures>,
        state: watch::Sender<ConnectionState>,
    ) -> Self {
        let backoff = Backoff::new(options.first_retry, options.longest_retry);
        let (demand, closers) = (Demand::default(), Vec::new());
        Self { options, commands, departures, state, demand, backoff, closers, ending: None }
    }

    /// Runs until the client ends; [`Drop`] tells everybody.
    pub(crate) async fn run(mut self) {
        let Err(ending) = self.live().await;
        self.ending = Some(ending);
    }

    async fn live(&mut self) -> Result<std::convert::Infallible, Ending> {
        let mut asked_for_fresh_token = false;
        loop {
            let failure = match self.offline(connect::connect(self.options.clone())).await? {
                Ok(link) => {
                    asked_for_fresh_token = false;
                    self.serve(link).await?
                }
                Err(failure) => failure,
            };
            tracing::debug!(error = %failure.error, "not connected");
            match failure.verdict {
                Verdict::StayAway { code } => return Err(Ending { code, reason: failure.reason }),
                Verdict::FreshToken if asked_for_fresh_token || !self.options.token.can_renew() => {
                    return Err(Ending { code: Some(CloseCode::Unauthorized), reason: failure.reason });
                }
                Verdict::FreshToken => asked_for_fresh_token = true,
                Verdict::Retry { hint } => self.pause(failure.error, hint).await?,
            }
        }
    }

    /// Waits before the next attempt.
    async fn pause(&mut self, error: Error, hint: Option<Duration>) -> Result<(), Ending> {
        let next_try = self.backoff.next(hint, &mut rand::rng());
        self.state.send_replace(ConnectionState::Reconnecting { attempt: self.backoff.attempt(), next_try, error });
        self.offline(sleep(next_try)).await
    }

    /// Does something that needs no link, and takes commands meanwhile.
    async fn offline<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Ending> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                command = self.commands.recv() => self.accept(command)?,
                () = self.departures.wait() => self.demand.depart(self.departures.take()),
            }
        }
    }

    /// Serves a link from its first to its last moment.
    async fn serve(&mut self, mut link: Link) -> Result<Failure, Ending> {
        let opened = Instant::now();
        self.state.send_replace(link.state());
        match self.online(&mut link).await {
            Ok(failure) => {
                if opened.elapsed() >= STABLE {
                    self.backoff.reset();
                }
                let transport = link.end(&mut self.demand, &failure.error);
                if failure.goodbye {
                    self.offline(transport.close()).await?;
                }
                Ok(failure)
            }
            Err(ending) => {
                // Subscriptions that were dropped just before the close.
                self.demand.depart(self.departures.take());
                link.leave_before_goodbye(&mut self.demand.registry);
                link.end(&mut self.demand, &Error::closed(ending.code, &ending.reason)).close().await;
                Err(ending)
            }
        }
    }

    async fn online(&mut self, link: &mut Link) -> Result<Failure, Ending> {
        let mut renewal: Option<Renewal> = None;
        loop {
            if let Err(error) = link.flush(&mut self.demand, Instant::now()) {
                return Ok(Failure::lost(error));
            }
            let wake = sleep_until(link.wake_at(&self.demand));
            tokio::select! {
                // A frame of the gateway, or the end of the socket; what is queued is written meanwhile.
                incoming = link.next() => match link.receive(incoming, &mut self.demand) {
                    Heard::Nothing => {}
                    Heard::Expiring => renewal = self.renewal(),
                    Heard::Ended(failure) => return Ok(failure),
                },
                // A call of the application.
                command = self.commands.recv() => self.accept(command)?,
                // Subscriptions were dropped.
                () = self.departures.wait() => self.demand.depart(self.departures.take()),
                // The provider has answered.
                token = answer(&mut renewal) => {
                    renewal = None;
                    link.renew(token);
                }
                // A ping is due, the gateway is silent, a request was not answered, a forced pause is over.
                () = wake => {
                    if let Err(error) = link.tick(&mut self.demand, Instant::now()) {
                        return Ok(Failure::lost(error));
                    }
                }
            }
        }
    }

    /// Asks for the next token, where there may be one. Without one the gateway ends the connection in its time.
    fn renewal(&self) -> Option<Renewal> {
        let options = self.options.clone();
        options.token.can_renew().then(|| -> Renewal { Box::pin(async move { options.token.get().await }) })
    }

    /// Takes a command, and all that wait behind it: what they ask goes out in as few frames as can be.
    fn accept(&mut self, command: Option<Command>) -> Result<(), Ending> {
        // Nobody is left who could ask for anything.
        let mut next = Some(command.ok_or_else(Ending::by_application)?);
        while let Some(command) = next {
            if let Command::Close { done } = command {
                self.closers.push(done);
                return Err(Ending::by_application());
            }
            self.demand.accept(command);
            next = self.commands.try_recv().ok();
        }
        Ok(())
    }
}

/// The provider's answer that a renewal waits for.
type Renewal = Pin<Box<dyn Future<Output = Result<Token, Error>> + Send>>;

async fn answer(renewal: &mut Option<Renewal>) -> Result<Token, Error> {
    match renewal {
        Some(renewal) => renewal.await,
        None => pending().await,
    }
}

/// The one exit, also when the runtime drops the task: every stream ends, every call is answered, the state is final.
impl Drop for Driver {
    fn drop(&mut self) {
        let ending =
            self.ending.take().unwrap_or_else(|| Ending { code: None, reason: "its runtime has ended".into() });
        self.state.send_replace(ConnectionState::Closed { code: ending.code, reason: ending.reason.clone() });
        self.demand.close(ending.code, &ending.reason);
    }
}
