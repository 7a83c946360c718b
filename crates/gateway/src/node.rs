//! The node: one process's share of the gateway, put together.
//!
//! Owns what all connections and calls have in common, and the life of a connection's entry: admitted with a guard, gone
//! when the guard drops, whatever happened in between.

mod census;
mod cluster;
mod connections;
mod delivery;
mod parts;
mod rights;
mod slowed;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{ErrorCode, Room, UserId};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address;
use crate::auth::{Authenticator, BadToken, Identity};
use crate::broker::memory::MemoryBroker;
use crate::broker::{Broker, DELIVER_QUEUE, Unavailable};
use crate::callback::Callback;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::config::{Config, InvalidConfig};
use crate::hub::{ConnectionId, Hub, MemberKey};
use crate::limits::meters::Meters;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::presence::Presence;
use crate::presence::audience::Audience;
use crate::publication::Publication;
use crate::rate_limit::{Bucket, FixedWindow, RateLimiter, Usage, Verdict};
use crate::revocation::Revocations;
use crate::wheel::Wheel;
use census::Census;
pub(crate) use census::Refused;
use parts::Parts;
pub(crate) use rights::undecided;
pub(crate) use slowed::{Slowed, TooManySlowed};

/// How often the broker forgets what is too old.
const SWEEP: Duration = Duration::from_secs(5);

/// How often local members are compared with what the broker has reached.
const VERIFY: Duration = Duration::from_secs(4);

/// Rooms that are verified by one call of the broker.
const VERIFY_ROOMS: usize = 200;

/// How long a delivery may take from the broker to the hub before it counts as lost.
const IN_FLIGHT: Duration = Duration::from_secs(1);

/// The window in which failed authentications are counted.
const AUTH_WINDOW: Duration = Duration::from_secs(60);

/// One process's share of the gateway.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) hub: Hub,
    pub(crate) wheel: Wheel,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) presence: Arc<dyn Presence>,
    /// Who of this node's connections is told of presence.
    pub(crate) audience: Arc<Audience>,
    /// The nodes that share Redis with this one; `None` without Redis.
    cluster: Option<Cluster>,
    revocations: Revocations,
    /// Whether all that were made elsewhere are known here.
    has_revocations: AtomicBool,
    authenticator: Authenticator,
    auth_failures: RateLimiter<IpAddr>,
    /// Paces upgrades, so that a wave of them does not drown the node.
    accepts: Option<Bucket>,
    /// What connections, users and addresses have used of their limits.
    pub(crate) meters: Meters,
    /// In the order of ids, which is that of their beginnings, so that a page of them is found without looking at the others.
    registry: Mutex<BTreeMap<ConnectionId, Arc<Handle>>>,
    /// Connections that a developer has slowed down.
    pub(crate) slowed: Slowed,
    census: Census,
    /// Where the public listener is, when the operator's routes have one of their own.
    pub(crate) public_address: OnceLock<SocketAddr>,
    /// Who is asked about what tokens do not decide; `None`: nobody.
    pub(crate) callback: Option<Arc<Callback>>,
    is_draining: AtomicBool,
    is_refusing: AtomicBool,
    /// Connections and the node's own tasks; what shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// Ends the node's own tasks.
    pub(crate) stop: CancellationToken,
}

/// A connection, as others see it.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) id: ConnectionId,
    pub(crate) key: MemberKey,
    pub(crate) outbox: Arc<Outbox>,
    /// Where the client is, as far as the gateway believes it.
    pub(crate) address: IpAddr,
    /// What the token in force says; `None` before the first. The user never changes, since a renewal must name the same one.
    identity: Mutex<Option<Arc<Identity>>>,
    messages: Mutex<FixedWindow>,
}

/// A connection's entry. Dropping it reports its end.
pub(crate) struct Admission {
    pub(crate) node: Arc<Node>,
    pub(crate) handle: Arc<Handle>,
}

impl Node {
    /// A node with the configured broker, its tasks running.
    ///
    /// # Errors
    /// When the broker cannot work with this configuration.
    pub(crate) fn start(config: Config, clock: Clock, max_connections: usize) -> Result<Arc<Self>, InvalidConfig> {
        let (deliver, publications) = mpsc::channel(DELIVER_QUEUE);
        let (metrics, audience) = (Metrics::new(), Arc::new(Audience::new(clock.clone())));
        let parts = match config.redis_url {
            None => Parts::embedded(&config, audience, Arc::new(MemoryBroker::new(&config, deliver))),
            Some(_) => Parts::shared(&config, audience, deliver, &metrics)?,
        };
        Self::assemble(config, clock, max_connections, metrics, parts, publications)
    }

    /// The same over another broker, which is told where to deliver.
    #[cfg(test)]
    pub(crate) fn start_with(
        config: Config,
        clock: Clock,
        max_connections: usize,
        broker: impl FnOnce(&Config, crate::broker::Deliver) -> Arc<dyn Broker>,
    ) -> Arc<Self> {
        let (deliver, publications) = mpsc::channel(DELIVER_QUEUE);
        let broker = broker(&config, deliver);
        let parts = Parts::embedded(&config, Arc::new(Audience::new(clock.clone())), broker);
        #[allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]
        Self::assemble(config, clock, max_connections, Metrics::new(), parts, publications).unwrap()
    }

    fn assemble(
        config: Config,
        clock: Clock,
        max_connections: usize,
        metrics: Metrics,
        parts: Parts,
        publications: mpsc::Receiver<Arc<Publication>>,
    ) -> Result<Arc<Self>, InvalidConfig> {
        let (cluster, said) = parts.cluster.unzip();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let node = Arc::new(Self {
            authenticator: Authenticator::new(&config, clock.clone())?,
            accepts: config.accept_rate.map(Bucket::new),
            auth_failures: RateLimiter::new(config.auth_attempts_per_minute, AUTH_WINDOW),
            meters: Meters::new(config.limits),
            callback: Callback::new(&config, &metrics, &tasks, &stop)?,
            census: Census::new(&config, config.max_connections.unwrap_or(max_connections)),
            wheel: Wheel::new(config.ping_interval),
            config,
            clock,
            metrics,
            hub: Hub::default(),
            broker: parts.broker,
            presence: parts.presence,
            audience: parts.audience,
            has_revocations: AtomicBool::new(cluster.is_none()),
            cluster,
            revocations: Revocations::default(),
            registry: Mutex::default(),
            slowed: Slowed::default(),
            public_address: OnceLock::new(),
            is_draining: AtomicBool::new(false),
            is_refusing: AtomicBool::new(false),
            tasks,
            stop,
        });
        node.spawn(|node| node.deliver(publications));
        node.spawn(|node| async move { node.wheel.run(&node.metrics).await });
        node.spawn(|node| async move { node.sweep().await });
        node.spawn(|node| async move { node.verify().await });
        node.spawn(|node| async move { node.broker.run().await });
        node.spawn(|node| async move { node.presence.run().await });
        node.spawn(|node| async move { node.audience.run(&*node.presence).await });
        if let Some(said) = said {
            node.spawn(|node| async move { node.listen(said).await });
            node.spawn(|node| async move { node.keep_revocations().await });
        }
        if let Some(jwks) = node.authenticator.jwks().cloned() {
            node.spawn(|_| async move { jwks.run().await });
        }
        Ok(node)
    }

    /// Runs one of the node's own tasks until the node stops.
    fn spawn<F: Future<Output = ()> + Send>(self: &Arc<Self>, task: impl FnOnce(Arc<Self>) -> F + Send + 'static) {
        let (node, stop) = (self.clone(), self.stop.clone());
        self.tasks.spawn(async move { stop.run_until_cancelled(task(node)).await });
    }

    /// Verifies, every few seconds and after each outage of the broker, that no local member has missed anything.
    async fn verify(&self) {
        let Some(mut resynced) = self.broker.resynced() else { return };
        loop {
            let waited = tokio::time::timeout(VERIFY, resynced.changed()).await;
            // A broker that is gone for good resyncs no more.
            if let Ok(Err(_)) = waited {
                return;
            }
            let rooms: Vec<Room> = self.hub.rooms().into_iter().map(|(room, _)| room).collect();
            for rooms in rooms.chunks(VERIFY_ROOMS) {
                self.verify_rooms(rooms.to_vec()).await;
            }
        }
    }

    async fn verify_rooms(&self, rooms: Vec<Room>) {
        let Ok(positions) = self.broker.positions(rooms.clone()).await else { return };
        // What was published before the answer may still be on its way.
        tokio::time::sleep(IN_FLIGHT).await;
        let behind: usize = rooms.iter().zip(positions).map(|(room, position)| self.hub.verify(room, position)).sum();
        if behind > 0 {
            tracing::warn!(behind, "members had missed events");
        }
    }

    async fn sweep(&self) {
        let mut interval = tokio::time::interval(SWEEP);
        loop {
            interval.tick().await;
            self.broker.sweep();
            self.revocations.sweep(self.clock.now());
            self.meters.sweep();
            if let Some(callback) = &self.callback {
                callback.sweep();
            }
        }
    }

    /// Checks a token that came from the address, and counts a failure there.
    pub(crate) async fn authenticate(&self, token: &str, address: IpAddr) -> Result<Identity, BadToken> {
        self.check_token(token).await.inspect_err(|reason| self.count_failure(address, *reason))
    }

    /// The same for a token that comes with each of many calls.
    pub(crate) async fn authenticate_again(&self, token: &str, address: IpAddr) -> Result<Arc<Identity>, BadToken> {
        let checked = self.authenticator.check_again(token).await;
        let current = checked.and_then(|identity| self.not_revoked(identity));
        current.inspect_err(|reason| self.count_failure(address, *reason))
    }

    fn count_failure(&self, address: IpAddr, reason: BadToken) {
        tracing::debug!(%address, %reason, "authentication failed");
        self.metrics.auth_failures.inc();
        let _ = self.auth_failures.hit(address::limit_key(address));
    }

    /// Checks a token.
    pub(crate) async fn check_token(&self, token: &str) -> Result<Identity, BadToken> {
        self.not_revoked(self.authenticator.check_with_new_keys(token).await?)
    }

    fn not_revoked<I: Borrow<Identity>>(&self, identity: I) -> Result<I, BadToken> {
        if self.is_revoked(identity.borrow()) { Err(BadToken::Revoked) } else { Ok(identity) }
    }

    /// How long the address has to wait until it may try to authenticate again; `None`: it may now.
    pub(crate) fn auth_block(&self, address: IpAddr) -> Option<Duration> {
        let key = address::limit_key(address);
        self.auth_failures.is_limited(&key).then(|| {
            self.metrics.rate_limited("address", "authentications");
            self.auth_failures.reset_after(&key)
        })
    }

    /// That another upgrade may be accepted now.
    ///
    /// # Errors
    /// How long it takes until one may.
    pub(crate) fn pace(&self) -> Result<(), Duration> {
        let paced = self.accepts.as_ref().map_or(Ok(()), Bucket::take);
        paced.inspect_err(|_| self.metrics.rate_limited("node", "upgrades"))
    }

    /// Mints tokens.
    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Admits a connection of that address, unless it is one too many.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admission, Refused> {
        self.census.admit(address::limit_key(address)).inspect_err(|refused| match refused {
            Refused::Full => self.metrics.rate_limited("node", "connections"),
            Refused::Unauthenticated => self.metrics.rate_limited("node", "unauthenticated"),
            Refused::Address => self.metrics.rate_limited("address", "connections"),
        })?;
        let outbox = Arc::new(Outbox::new(self.config.max_queue_bytes));
        let id = ConnectionId::new();
        let key = self.hub.admit(id, outbox.clone());
        let handle =
            Arc::new(Handle { id, key, outbox, address, identity: Mutex::default(), messages: Mutex::default() });
        self.registry().insert(id, handle.clone());
        self.metrics.connections.inc();
        Ok(Admission { node: self.clone(), handle })
    }

    /// Notes that a connection has said who it is, for the first time. False when the user has too many.
    pub(crate) fn enter(&self, handle: &Handle, identity: &Arc<Identity>) -> bool {
        let is_counted = self.census.authenticate(&identity.user);
        if is_counted {
            handle.set_identity(identity.clone());
        } else {
            self.metrics.rate_limited("user", "connections");
        }
        is_counted
    }

    /// Every connection.
    pub(crate) fn connections(&self) -> Vec<Arc<Handle>> {
        self.registry().values().cloned().collect()
    }

    /// How many connections are authenticated.
    pub(crate) fn total_clients(&self) -> usize {
        self.registry().values().filter(|handle| handle.is_authenticated()).count()
    }

    /// How much of the message limit the authenticated connections use.
    pub(crate) fn message_usage(&self) -> Usage {
        let now = Instant::now();
        let registry = self.registry();
        let clients = registry.values().filter(|handle| handle.is_authenticated());
        // Whoever's token raises the limit uses at most all of it.
        let (most, window) = (self.config.messages_per_minute, self.config.message_window);
        Usage::of(clients.map(|handle| handle.messages().used(window, now).min(most)), most)
    }

    /// Forgets what a connection has used of its message limit. False when there is no such connection.
    pub(crate) fn reset_messages(&self, id: ConnectionId) -> bool {
        let handle = self.registry().get(&id).cloned();
        handle.map(|handle| handle.reset_messages()).is_some()
    }

    /// Whether new connections are welcome.
    pub(crate) fn is_ready(&self) -> bool {
        let has_keys = self.authenticator.jwks().is_none_or(|jwks| jwks.is_loaded());
        let is_whole = has_keys && self.broker.is_ready() && self.has_revocations.load(Ordering::Relaxed);
        is_whole && !self.is_draining.load(Ordering::Relaxed)
    }

    /// Tells load balancers to look elsewhere. Upgrades are still accepted.
    pub(crate) fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Refuses upgrades from now on.
    pub(crate) fn refuse_upgrades(&self) {
        self.is_refusing.store(true, Ordering::Relaxed);
    }

    /// Whether upgrades are refused since the node drains.
    pub(crate) fn is_refusing(&self) -> bool {
        self.is_refusing.load(Ordering::Relaxed)
    }

    fn registry(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, Arc<Handle>>> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle {
    /// Counts a message of the connection, which may send so many in a window.
    pub(crate) fn count_message(&self, most: u32, window: Duration) -> Verdict {
        self.messages().hit(most, window, Instant::now())
    }

    /// What the token in force says; `None` while the connection has not said who it is.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.lock_identity().clone()
    }

    fn is_authenticated(&self) -> bool {
        self.lock_identity().is_some()
    }

    fn lock_identity(&self) -> MutexGuard<'_, Option<Arc<Identity>>> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the connection is that user's.
    pub(crate) fn is_of(&self, user: &UserId) -> bool {
        self.lock_identity().as_ref().is_some_and(|identity| identity.user == *user)
    }

    /// Says which token is in force from now on, before it is looked up once more whether it was revoked: so that whoever
    /// revokes it meanwhile finds the connection, or is found.
    pub(crate) fn set_identity(&self, identity: Arc<Identity>) {
        *self.lock_identity() = Some(identity);
    }

    fn messages(&self) -> MutexGuard<'_, FixedWindow> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.handle.outbox.abandon();
        let identity = self.handle.identity();
        let user = identity.as_ref().map(|identity| &identity.user);
        let present = self.node.audience.remove(self.handle.id);
        if let (false, Some(user)) = (present.is_empty(), user) {
            self.node.presence.lose(&present, user, self.handle.id);
        }
        let rooms: Vec<Room> = self.node.hub.remove(self.handle.key);
        self.node.broker.release(&rooms);
        self.node.registry().remove(&self.handle.id);
        self.node.metrics.connections.dec();
        self.node.census.leave(address::limit_key(self.handle.address), user);
    }
}

/// The answer when the broker is away.
pub(crate) fn unavailable(error: Unavailable) -> ErrorPayload {
    let retry = Duration::from_secs(1).as_millis() as u64;
    ErrorPayload { retry_after_ms: Some(retry), ..ErrorPayload::new(ErrorCode::Unavailable, error.to_string()) }
}
