//! An echo over the gateway's way of reading and writing: what `cargo xtask autobahn` talks to. Says where it listens.

use std::net::{Ipv4Addr, SocketAddr};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = roomcast_gateway::server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    println!("{}", listener.local_addr()?);
    roomcast_gateway::echo(listener).await;
    Ok(())
}
