//! The gateway as a client sees it: over in-memory pipes where time is paused, over real sockets elsewhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod auth_limit;
mod callback;
mod connect;
mod console;
mod console_trials;
mod embedded;
mod forged;
mod frames;
mod harness;
mod http_events;
mod http_rules;
mod keys;
mod lifetimes;
mod limits;
mod logs;
mod operator;
mod order;
mod positions;
mod presence;
mod publish;
mod rates;
mod raw;
mod recovery;
mod redis_nodes;
mod redis_server;
mod revocation;
mod rooms;
mod server;
mod slow;
mod smoke;
mod sockets;
mod tenants;
mod tokens;
mod typing;
mod upgrades;
