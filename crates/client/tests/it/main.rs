//! The SDK against gateways: scripted ones over in-memory pipes, where time is paused, and real ones over sockets.
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod batching;
mod connection;
mod deliveries;
mod documents;
mod fake;
mod gateway;
mod http;
mod presence;
mod presence_frames;
mod proxy;
mod publisher;
mod publishing;
mod recovery;
mod repeating;
mod resuming;
mod rooms;
mod scenarios;
mod scripted;
mod secure;
