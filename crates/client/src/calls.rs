//! The way of a call to the driver.
//!
//! Owns the bound of the queue and the deadline of a call: sending the command and waiting for its outcome.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::driver::Command;
use crate::{ConnectionState, Error};

/// What a handle needs to call its driver, and what keeps the driver running.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<ConnectionState>,
    /// For sending and answer together.
    timeout: Duration,
}

/// Where the outcome of a call goes.
pub(crate) type Outcome<T> = oneshot::Sender<Result<T, Error>>;

impl Calls {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        state: watch::Receiver<ConnectionState>,
        timeout: Duration,
    ) -> Self {
        Self { commands, state, timeout }
    }

    pub(crate) fn state(&self) -> &watch::Receiver<ConnectionState> {
        &self.state
    }

    /// Sends a command that has no outcome; answers false when the driver has ended.
    pub(crate) async fn tell(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// Sends a command and waits for its outcome, both within the deadline.
    pub(crate) async fn request<T>(
        &self,
        doing: &str,
        command: impl FnOnce(Outcome<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, outcome) = oneshot::channel();
        let exchange = async {
            self.commands.send(command(reply)).await.ok()?;
            outcome.await.ok()
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Err(self.state.borrow().closed_error()),
            Err(_) => Err(self.state.borrow().timeout_error(doing)),
        }
    }
}
