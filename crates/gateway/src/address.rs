//! Addresses: whom a request comes from when proxies stand in between.
//!
//! Owns the walk along `X-Forwarded-For` (or `Forwarded`, RFC 7239): from the right, past every trusted proxy, to the first
//! address that is none. Everything further left is the client's own word and believed by nobody.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The address that a request is counted under.
#[must_use]
pub(crate) fn client_address(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut address = peer.ip().to_canonical();
    if !is_trusted(address) {
        return address;
    }
    for hop in hops(headers) {
        // A hop that cannot be read ends the walk: what stands further left came through an unknown.
        let Some(next) = hop else { break };
        address = next.to_canonical();
        if !is_trusted(address) {
            break;
        }
    }
    address
}

/// The key of limits by address: one user commands a whole /64 of IPv6.
#[must_use]
pub(crate) fn limit_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// The forwarded addresses from the right, the nearest first.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = |name: &str| {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    let (lines, forwarded) = match values("x-forwarded-for") {
        lines if lines.is_empty() => (values("forwarded"), true),
        lines => (lines, false),
    };
    let read = |item: &str| if forwarded { forwarded_for(item) } else { parse_hop(item) };
    lines.iter().rev().flat_map(|line| line.rsplit(',').map(|item| read(item.trim()))).collect()
}

/// The `for` parameter of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let parameter = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"').to_owned())
    };
    parse_hop(&element.split(';').find_map(parameter)?)
}

/// An address, with or without a port, IPv6 with or without brackets.
fn parse_hop(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, name: &'static str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        client_address(SocketAddr::new(peer.parse().unwrap(), 1), &headers, &trusted).to_string()
    }

    #[test]
    fn an_untrusted_peer_is_itself_whatever_it_says() {
        assert_eq!(seen("192.0.2.1", "x-forwarded-for", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn the_first_untrusted_from_the_right_counts() {
        assert_eq!(seen("10.0.0.1", "x-forwarded-for", &["198.51.100.7, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", "x-forwarded-for", &["198.51.100.7", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(seen("10.0.0.1", "x-forwarded-for", &["10.1.1.1,10.0.0.2"]), "10.1.1.1");
        assert_eq!(seen("::1", "x-forwarded-for", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(seen("::ffff:10.0.0.1", "x-forwarded-for", &["[2001:db8::7]:4711"]), "2001:db8::7");
    }

    #[test]
    fn an_unreadable_hop_ends_the_walk() {
        assert_eq!(seen("10.0.0.1", "x-forwarded-for", &["198.51.100.7, nonsense, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(seen("10.0.0.1", "x-forwarded-for", &[""]), "10.0.0.1");
    }

    #[test]
    fn the_standard_header_is_read_too() {
        let lines = ["for=198.51.100.7;proto=https, For=\"[2001:db8::7]:4711\";by=10.0.0.9"];
        assert_eq!(seen("10.0.0.1", "forwarded", &lines), "2001:db8::7");
        assert_eq!(seen("10.0.0.1", "forwarded", &["for=unknown"]), "10.0.0.1");
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_key() {
        let key = |text: &str| limit_key(text.parse().unwrap());
        assert_eq!(key("2001:db8:0:1:aaaa::1"), key("2001:db8:0:1:bbbb::2"));
        assert_ne!(key("2001:db8:0:1::1"), key("2001:db8:0:2::1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
