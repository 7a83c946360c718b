//! A gateway on a port: what `dev` and `serve` have in common.
//!
//! Owns the order of a start: signals are caught, the configuration accepted and the port bound before the first line says
//! so. That line is a promise to scripts, `roomcast listening on http://ADDRESS:PORT`, with the port that was really taken.

use std::io;
use std::net::SocketAddr;

use roomcast_gateway::{Gateway, server};
use tokio::net::TcpListener;

use crate::configuration::Configuration;
use crate::failure::Failure;
use crate::output::print;
use crate::signals::Signals;

/// Where a gateway listens, with the ports that were really taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// Sockets, and everybody's calls.
    pub(crate) public: SocketAddr,
    /// The operator's side, where that is a second listener.
    pub(crate) operator: Option<SocketAddr>,
}

/// Runs a gateway until a signal. `more` is what is said behind the first line, one text a line.
///
/// # Errors
/// When the configuration cannot work or an address cannot be bound.
pub(crate) fn run(
    configuration: Configuration,
    more: impl FnOnce(&Gateway, Addresses) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::other(format!("start a runtime: {error}")))?;
    let outcome = runtime.block_on(serve(configuration, more));
    // Nothing is left that would be worth waiting for.
    runtime.shutdown_background();
    outcome
}

async fn serve(
    configuration: Configuration,
    more: impl FnOnce(&Gateway, Addresses) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let signals = Signals::catch()?;
    let config = configuration.config.clone();
    let (wanted, admin) = (SocketAddr::new(config.host, config.port), config.admin_addr);
    let gateway = Gateway::connect(config).await.map_err(|error| configuration.cannot_work(&error))?;
    let listener = server::bind(wanted).map_err(|error| not_bound(wanted, &error))?;
    let operator = admin.map(bind_admin).transpose()?;
    let address = listener.local_addr().map_err(|error| not_bound(wanted, &error))?;
    let operators = operator.as_ref().map(TcpListener::local_addr).transpose();
    let operators = operators.map_err(|error| Failure::other(format!("name the address of ADMIN_ADDR: {error}")))?;
    let more = more(&gateway, Addresses { public: address, operator: operators })?;
    // A gateway whose first reader has gone serves all the same.
    let _ = print(&format!("roomcast listening on http://{address}{more}"));
    gateway.run_on(listener, operator, signals.stop()).await;
    Ok(())
}

fn bind_admin(address: SocketAddr) -> Result<TcpListener, Failure> {
    server::bind(address).map_err(|error| Failure::other(format!("listen on ADMIN_ADDR {address}: {error}")))
}

fn not_bound(address: SocketAddr, error: &io::Error) -> Failure {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            Failure::other(format!("listen on {address}: PORT {port} is in use by another program"))
                .hint("stop that program, or choose another PORT; 0 takes a free one")
        }
        io::ErrorKind::PermissionDenied => {
            Failure::other(format!("listen on {address}: PORT {port} needs a permission that this process lacks"))
        }
        io::ErrorKind::AddrNotAvailable => {
            Failure::other(format!("listen on {address}: HOST {} is no address of this machine", address.ip()))
        }
        _ => Failure::other(format!("listen on {address}: {error}")),
    }
}
