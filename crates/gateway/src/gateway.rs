//! The gateway as a value: start it, mount it or run it, publish through it, stop it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{Grants, NewEvent, Published, Service, UserId};
use serde_json::value::to_raw_value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::broker::redis as shared;
use crate::clock::Clock;
use crate::config::{Config, InvalidConfig};
use crate::http;
pub use crate::http::Stats;
use crate::limits::Raised;
use crate::node::Node;
use crate::publish::{Author, Submission};
use crate::rate_limit::Usage;
use crate::{server, shutdown};

/// Connections when the limit of open files is unknown.
const DEFAULT_CONNECTIONS: usize = 10_000;

/// Files that are not connections: listeners, logs, requests under way, and room for `/livez` to answer.
const RESERVED_FILES: u64 = 128;

/// A running gateway. Cheap to clone; [`Service`] has its typed calls.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use roomcast_gateway::{Config, Gateway, Secret, Service};
/// use roomcast_protocol::event::IssueDeleted;
///
/// let config = Config { jwt_secret: Some(Secret::new("0123456789abcdef0123456789abcdef")), ..Config::serve() };
/// let gateway = Gateway::start(config)?;
/// let app: axum::Router = axum::Router::new().merge(gateway.router());
/// let deleted = IssueDeleted { id: "issue_1".into(), team_id: "team_1".into(), ..Default::default() };
/// let published = gateway.issue_deleted(deleted, None).await?;
/// assert_eq!(published.positions.len(), 2);
/// gateway.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Gateway {
    node: Arc<Node>,
}

/// An event was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct PublishError(pub ErrorPayload);

impl Gateway {
    /// Starts a gateway in this runtime. It listens nowhere yet: [`run`](Self::run) it, or mount its
    /// [`router`](Self::router).
    ///
    /// # Errors
    /// [`InvalidConfig`] when the configuration cannot work.
    pub fn start(config: Config) -> Result<Self, InvalidConfig> {
        Self::start_with_clock(config, Clock::system())
    }

    /// The same, with another wall clock.
    ///
    /// # Errors
    /// [`InvalidConfig`] when the configuration cannot work.
    pub fn start_with_clock(config: Config, clock: Clock) -> Result<Self, InvalidConfig> {
        config.validate()?;
        Ok(Self { node: Node::start(config, clock, connections_by_open_files())? })
    }

    /// The same as [`start`](Self::start), but looks at Redis first, where it is configured: a gateway that could never work
    /// with it does not start. One that is only away does not stand in the way; the gateway is not ready until it is there.
    ///
    /// # Errors
    /// [`InvalidConfig`] when the configuration cannot work, also with the Redis that it names.
    pub async fn connect(config: Config) -> Result<Self, InvalidConfig> {
        config.validate()?;
        if config.redis_url.is_some() {
            shared::check_server(&config).await?;
        }
        Self::start(config)
    }

    /// The routes, to be mounted into an axum application. Serve it with
    /// `into_make_service_with_connect_info::<SocketAddr>()`: limits by address need the peer's.
    pub fn router(&self) -> Router {
        http::mountable_router(&self.node)
    }

    /// Serves the listener until `shutdown`, then drains and returns. Binds `ADMIN_ADDR` itself, where it is configured.
    ///
    /// # Errors
    /// When `ADMIN_ADDR` cannot be bound.
    pub async fn run(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let operator = self.node.config.admin_addr.map(server::bind).transpose()?;
        self.run_on(listener, operator, shutdown).await;
        Ok(())
    }

    /// Serves the listener until `shutdown`, then drains and returns. What only operators need is served by `operator`, or
    /// by the same listener without one.
    pub async fn run_on(
        &self,
        listener: TcpListener,
        operator: Option<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) {
        let stop_accepting = CancellationToken::new();
        let accept = |listener, service| {
            let (config, tasks) = (&self.node.config, self.node.tasks.clone());
            let timeouts = server::Timeouts { header: config.header_timeout, unacknowledged: config.idle_timeout };
            tokio::spawn(server::accept(listener, service, timeouts, stop_accepting.clone(), tasks))
        };
        let accepting = match operator {
            None => vec![accept(listener, http::service(&self.node))],
            Some(operator) => {
                // The operator's pages have to be told where the rest is; a listener that is gone tells nothing.
                if let Ok(address) = listener.local_addr() {
                    let _ = self.node.public_address.set(address);
                }
                let public = accept(listener, http::public_service(&self.node));
                vec![public, accept(operator, http::operator_service(&self.node))]
            }
        };
        shutdown.await;
        // Still accepting: health checks and refused upgrades get their answers until the end.
        let drained = shutdown::drain(&self.node);
        tokio::pin!(drained);
        let closing = async {
            self.node.stop.cancelled().await;
            stop_accepting.cancel();
            std::future::pending::<()>().await
        };
        tokio::select! {
            () = &mut drained => {}
            () = closing => {}
        }
        accepting.iter().for_each(tokio::task::JoinHandle::abort);
    }

    /// Serves one byte stream as if it had been accepted from `peer`: for tests and for transports other than TCP.
    pub async fn serve_stream<S>(&self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let header_timeout = self.node.config.header_timeout;
        server::serve_stream(stream, peer, http::service(&self.node), header_timeout, CancellationToken::new()).await;
    }

    /// Drains: closes every connection and ends the gateway's tasks, within the configured time.
    pub async fn shutdown(&self) {
        shutdown::drain(&self.node).await;
    }

    /// Connections and rooms of this node.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.node.stats()
    }

    /// How much of the message limit the connections use.
    #[must_use]
    pub fn rate_limits(&self) -> Usage {
        self.node.message_usage()
    }

    /// A token for the user, signed with the configured secret.
    ///
    /// # Errors
    /// When the secret cannot sign, which an accepted configuration excludes.
    pub fn mint_token(&self, user: &UserId, grants: Option<&Grants>, ttl: std::time::Duration) -> io::Result<String> {
        self.node.authenticator().mint(user, None, grants, &Raised::default(), ttl).map_err(io::Error::other)
    }
}

impl Service for Gateway {
    type Error = PublishError;

    async fn publish(&self, event: impl Into<NewEvent> + Send) -> Result<Published, PublishError> {
        let submission = submission(event.into())?;
        self.node.publish(Author::Library, submission).await.map_err(PublishError)
    }
}

fn submission(new: NewEvent) -> Result<Submission, PublishError> {
    let payload = to_raw_value(&new.event.payload());
    let invalid = |error: serde_json::Error| {
        PublishError(ErrorPayload::new(roomcast_protocol::ErrorCode::InvalidPayload, error.to_string()))
    };
    Ok(Submission {
        event_type: new.event.event_type().into(),
        payload: payload.map_err(invalid)?,
        event_id: new.event_id.map(Into::into),
        rooms: new.rooms.map(|rooms| rooms.into_iter().map(Into::into).collect()),
        user_id: new.user_id.map(Into::into),
        timestamp: new.timestamp.map(Into::into),
    })
}

/// Raises the soft limit of open files to the hard one, and leaves some for what is no connection.
fn connections_by_open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let connections = files.map(|files| files.saturating_sub(RESERVED_FILES).max(1));
    connections.and_then(|connections| usize::try_from(connections).ok()).unwrap_or(DEFAULT_CONNECTIONS)
}
