//! The gateway as a client sees it: over in-memory pipes where time is paused, over real sockets elsewhere.

mod embedded;
mod harness;
mod order;
mod server;
mod smoke;
