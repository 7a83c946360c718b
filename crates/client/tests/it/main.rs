//! The SDK against gateways: scripted ones over in-memory pipes, where time is paused, and real ones over sockets.

mod connection;
mod deliveries;
mod publisher;
mod publishing;
mod rooms;
mod scripted;
mod secure;
