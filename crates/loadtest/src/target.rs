//! Where the server is.
//!
//! Owns the refusal of every address that is not loopback: a load tool that can be pointed at others is a weapon.

use std::net::SocketAddr;
use std::str::FromStr;

/// The address of a server on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target(SocketAddr);

impl Target {
    /// The address.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("ws://")).unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // The name is not asked of a resolver, which could answer anything.
        let rest = match rest.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => rest.to_owned(),
        };
        let address: SocketAddr = rest.parse().map_err(|_| format!("{text:?} is not http://ADDRESS:PORT"))?;
        if address.ip().is_loopback() {
            Ok(Self(address))
        } else {
            Err(format!("{} is not on this machine: only loopback addresses are loaded", address.ip()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_taken_with_or_without_a_scheme() {
        for text in ["http://127.0.0.1:3001", "ws://localhost:3001/", "127.0.0.1:3001"] {
            assert_eq!(text.parse::<Target>().unwrap().address().to_string(), "127.0.0.1:3001", "{text}");
        }
        assert!("http://[::1]:3001".parse::<Target>().is_ok());
    }

    #[test]
    fn any_other_address_is_refused() {
        for text in
            ["http://10.0.0.1:3001", "0.0.0.0:3001", "http://example.org:80", "localhost.example.org:80", "127.0.0.1"]
        {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
