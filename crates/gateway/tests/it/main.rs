//! The gateway as a client sees it: over in-memory pipes where time is paused, over real sockets elsewhere.

mod harness;
mod order;
mod server;
mod smoke;
