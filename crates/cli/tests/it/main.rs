//! The binary from outside: its words, its exit codes, and what happens on its port.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod bench;
mod configuration;
mod events;
mod files;
mod harness;
mod health;
mod logs;
mod schema;
mod starting;
mod stopping;
mod tokens;
