//! Logging: lines on standard error, for people or for machines.
//!
//! Owns which lines are written and how; `RUST_LOG` decides when it is set. Refuses the libraries that log whole messages and
//! headers at their finest levels: those write to `log`, which is not bridged to here.

use std::io::IsTerminal;

use roomcast_gateway::config::LogFormat;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

/// What a gateway says.
pub(crate) const GATEWAY: &str = "warn,roomcast=info";

/// What a command says that has its own words for its user.
pub(crate) const CLIENT: &str = "error";

/// Begins to write log lines.
///
/// # Errors
/// When `RUST_LOG` is no filter.
pub(crate) fn start(default: &str, format: LogFormat) -> Result<(), Failure> {
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.trim().is_empty());
    let filter = EnvFilter::builder().parse(wanted.as_deref().unwrap_or(default)).map_err(|error| {
        let found = wanted.unwrap_or_default();
        Failure::configuration(format!(
            "use the configuration: RUST_LOG (environment): found {found:?}: {error}; expected such as info or warn,roomcast=debug"
        ))
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).init(),
        LogFormat::Text => {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            lines.with_ansi(!plain && std::io::stderr().is_terminal()).init();
        }
    }
    Ok(())
}
