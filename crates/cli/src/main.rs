//! The binary `roomcast`: the gateway and what belongs to it on a command line.
//!
//! Owns the list of commands; each has its file. What a gateway does is `roomcast-gateway`'s, what a client does is
//! `roomcast-client`'s: here they get their configuration and their words.

mod bench;
mod check_config;
mod configuration;
mod dev;
mod dev_secret;
mod failure;
mod healthcheck;
mod http;
mod listen;
mod logging;
mod output;
mod publish;
mod remote;
mod schema;
mod serve;
mod signals;
mod subscribe;
mod token;

use std::process::ExitCode;

use clap::Command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let matches = command().get_matches();
    let outcome = match matches.subcommand() {
        None => dev::run(&dev::command().get_matches_from(["roomcast"])),
        Some(("dev", matches)) => dev::run(matches),
        Some(("serve", matches)) => serve::run(matches),
        Some(("token", matches)) => token::run(matches),
        Some(("publish", matches)) => publish::run(matches),
        Some(("subscribe", matches)) => subscribe::run(matches),
        Some(("check-config", matches)) => check_config::run(matches),
        Some(("healthcheck", matches)) => healthcheck::run(matches),
        Some(("schema", matches)) => schema::run(matches),
        Some(("bench", matches)) => bench::run(matches),
        Some((unknown, _)) => unreachable!("a command without an arm: {unknown}"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn command() -> Command {
    Command::new("roomcast")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Carries events from back ends to users' browsers over WebSockets")
        .after_help("Without a command: dev. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.")
        .subcommand(dev::command())
        .subcommand(serve::command())
        .subcommand(token::command())
        .subcommand(publish::command())
        .subcommand(subscribe::command())
        .subcommand(check_config::command())
        .subcommand(healthcheck::command())
        .subcommand(schema::command())
        .subcommand(bench::command())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_command_is_put_together_without_a_contradiction() {
        super::command().debug_assert();
    }
}
