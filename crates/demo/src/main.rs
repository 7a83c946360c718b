//! The back end of the demo: an issue board in memory, and the page that shows it.
//!
//! Owns the order of a start. It is an application of Roomcast and no part of it: it knows the gateway by its URL, a secret
//! that both have, and the SDK. It is meant for a developer's own machine, listens on loopback only, and forgets everything
//! when it ends.

mod announcer;
mod api;
mod board;
mod gateway;
mod page;
mod person;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use announcer::Announcer;
use api::Application;
use board::Board;
use gateway::Gateway;
use page::Page;
use person::Tokens;

/// The back end of the demo. JWT_SECRET is the gateway's.
#[derive(Parser)]
#[command(name = "roomcast-demo")]
struct Options {
    /// The port of the page; 0 takes a free one.
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// The gateway, which must run in `dev`.
    #[arg(long, default_value = "http://127.0.0.1:3001")]
    gateway: String,
    /// The folder of the page, as Vite built it.
    #[arg(long)]
    page: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> Result<(), String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let secret = std::env::var("JWT_SECRET").map_err(|_| "JWT_SECRET is not set: it is the gateway's secret")?;
    let tokens = Arc::new(Tokens::new(&secret)?);
    let gateway = Gateway::at(&options.gateway)?;
    let page = Page::read(&options.page, &gateway.socket_origin())?;
    let announcer = Announcer::start(&gateway.url(), tokens.clone()).map_err(|error| error.to_string())?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = TcpListener::bind(address).await.map_err(|error| format!("listen on {address}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let board = Mutex::new(Board::with_some_work());
    let routes = api::routes(Arc::new(Application { board, announcer, tokens, gateway, page }));
    println!("demo listening on http://{address}");
    // Nothing outlives it that would be worth a wait for requests under way.
    tokio::select! {
        ended = axum::serve(listener, routes) => ended.map_err(|error| error.to_string()),
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}
