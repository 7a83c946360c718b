//! The Roomcast gateway: carries events from back ends to users' browsers over WebSockets, with rooms, rights and limits.
//!
//! The path of the data, in one breath: a frame comes in through `connection`, which alone reads from the socket; `session`
//! decides whether the client may; `publish` checks and stamps; the `broker` gives positions, keeps and delivers; the `hub`
//! puts one shared frame into the `outbox` of every member; and at the end of a turn each outbox writes what it holds.
//!
//! ```text
//! socket -> connection -> session -> node -> broker -+
//!    ^                                               |
//!    +----- connection <- outbox <- hub <- deliver <-+
//! ```
//!
//! Use it as a server ([`Gateway::run`]) or inside an axum application ([`Gateway::router`]).

pub mod access;
mod address;
pub mod auth;
pub mod broker;
mod callback;
pub mod clock;
mod cluster;
pub mod config;
mod connection;
mod fault;
mod frame;
mod gateway;
mod heartbeat;
mod http;
mod hub;
pub mod limits;
mod metrics;
#[cfg(test)]
mod model;
mod moment;
mod node;
pub mod origin;
mod outbound;
mod outbox;
pub mod per_kind;
mod presence;
#[cfg(any(test, feature = "probe"))]
mod probe;
mod publication;
mod publish;
pub mod rate_limit;
mod revocation;
mod secret;
pub mod server;
mod session;
pub mod settings;
mod shutdown;
mod upgrade;
mod wheel;

pub use config::{Config, Mode, RoomAccess, Secret};
pub use gateway::{Gateway, PublishError, Stats};
#[cfg(any(test, feature = "probe"))]
pub use probe::Probe;
pub use roomcast_protocol::Service;
#[cfg(feature = "echo")]
pub use upgrade::echo;
