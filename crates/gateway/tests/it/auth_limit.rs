//! The limit of failed authentications: ten a minute and address, wherever they fail.

use std::net::SocketAddr;
use std::time::Duration;

use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_tungstenite::tungstenite::Error;

use crate::harness::{
    Client, call, call_over, config, pipe, pipe_from, request, start, start_with_paused_clock, token, upgrade,
    with_header, with_token,
};

/// Tries an upgrade: the client, or the status of the refusal with its `Retry-After`.
async fn attempt(stream: DuplexStream, request: http::Request<()>) -> Result<Client, (u16, u64)> {
    match Client::over(stream, request).await {
        Ok((client, _)) => Ok(client),
        Err(Error::Http(response)) => {
            let retry_after = response.headers().get("retry-after").map_or("0", |value| value.to_str().unwrap());
            Err((response.status().as_u16(), retry_after.parse().unwrap()))
        }
        Err(other) => panic!("{other}"),
    }
}

async fn fail(gateway: &Gateway, from: &str) {
    let stream = pipe_from(gateway, from.parse().unwrap());
    attempt(stream, with_token("bad")).await.unwrap_or_else(|refusal| panic!("{refusal:?}")).is_unauthorized().await;
}

const HOME: &str = "192.0.2.1:4711";

async fn is_blocked(gateway: &Gateway, from: &str) -> bool {
    let token = token(gateway, "u", Value::Null);
    let stream = pipe_from(gateway, from.parse::<SocketAddr>().unwrap());
    match attempt(stream, with_token(&token)).await {
        Ok(mut client) => {
            assert_eq!(client.receive().await["type"], "connection.ack");
            false
        }
        Err((status, retry_after)) => {
            assert_eq!(status, 429);
            assert!((1..=60).contains(&retry_after), "{retry_after}");
            true
        }
    }
}

#[tokio::test]
async fn the_eleventh_failure_of_a_minute_is_refused_everywhere() {
    let gateway = start(config());
    let good = token(&gateway, "u", Value::Null);
    let mut waiting = Client::open(&gateway, upgrade()).await;
    let mut open = Client::join(&gateway, "u", Value::Null).await;
    for _ in 0..10 {
        fail(&gateway, HOME).await;
    }
    assert!(is_blocked(&gateway, HOME).await);
    let (status, headers, problem) = call(&gateway, request("POST", "/api/v1/events", Some(&good), json!({}))).await;
    assert_eq!((status, &problem["code"]), (429, &json!("RATE_LIMIT_EXCEEDED")));
    let millis = problem["retryAfterMs"].as_u64().unwrap();
    assert!((1..=60_000).contains(&millis), "{millis}");
    assert_eq!(headers["retry-after"], millis.div_ceil(1000).to_string().as_str());

    waiting.send(json!({"action": "authenticate", "token": good, "id": "1"})).await;
    let error = waiting.is_refused("RATE_LIMIT_EXCEEDED").await;
    assert_eq!(error["replyTo"], "1");
    assert!(error["payload"]["retryAfterMs"].as_u64().unwrap() <= 60_000);
    let closing = waiting.is_closed_with_notice(4003).await;
    assert!(closing["retryAfterMs"].as_u64().unwrap() > 0);

    open.send(json!({"action": "authenticate", "token": good, "id": "2"})).await;
    assert_eq!(open.is_refused("RATE_LIMIT_EXCEEDED").await["replyTo"], "2");
    open.is_quiet().await;
}

#[tokio::test]
async fn sockets_first_frames_renewals_and_calls_count_together() {
    let gateway = start(config());
    let mut open = Client::join(&gateway, "u", Value::Null).await;
    for _ in 0..2 {
        fail(&gateway, HOME).await;
        let offered = with_header(upgrade(), "sec-websocket-protocol", "roomcast.v1, roomcast.bearer.bad");
        Client::open(&gateway, offered).await.is_unauthorized().await;
        let mut client = Client::open(&gateway, upgrade()).await;
        client.send(json!({"action": "authenticate", "token": "bad"})).await;
        client.is_unauthorized().await;
        open.send(json!({"action": "authenticate", "token": "bad"})).await;
        open.is_refused("UNAUTHORIZED").await;
        assert!(!is_blocked(&gateway, HOME).await);
        assert_eq!(call(&gateway, request("POST", "/api/v1/events", Some("bad"), json!({}))).await.0, 401);
    }
    assert!(is_blocked(&gateway, HOME).await);
}

#[tokio::test]
async fn successes_do_not_count() {
    let gateway = start(config());
    for _ in 0..9 {
        fail(&gateway, HOME).await;
    }
    for _ in 0..30 {
        assert!(!is_blocked(&gateway, HOME).await);
    }
}

#[tokio::test]
async fn the_number_is_configured() {
    let gateway = start(Config { auth_attempts_per_minute: 2, ..config() });
    fail(&gateway, HOME).await;
    assert!(!is_blocked(&gateway, HOME).await);
    fail(&gateway, HOME).await;
    assert!(is_blocked(&gateway, HOME).await);
}

#[tokio::test]
async fn another_address_is_not_refused_but_another_port_is() {
    let gateway = start(config());
    for _ in 0..10 {
        fail(&gateway, HOME).await;
    }
    assert!(is_blocked(&gateway, "192.0.2.1:1").await);
    assert!(is_blocked(&gateway, "[::ffff:192.0.2.1]:1").await);
    assert!(!is_blocked(&gateway, "192.0.2.2:4711").await);
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_address() {
    let gateway = start(config());
    for host in 1..=10 {
        fail(&gateway, &format!("[2001:db8:0:1::{host:x}]:1")).await;
    }
    assert!(is_blocked(&gateway, "[2001:db8:0:1:ffff::1]:1").await);
    assert!(!is_blocked(&gateway, "[2001:db8:0:2::1]:1").await);
}

#[tokio::test(start_paused = true)]
async fn the_window_ends_a_minute_behind_the_first_failure() {
    let gateway = start_with_paused_clock(config());
    for _ in 0..10 {
        fail(&gateway, HOME).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let good = token(&gateway, "u", Value::Null);
    let refusal = attempt(pipe(&gateway), with_token(&good)).await.err().unwrap();
    assert!((38..=40).contains(&refusal.1), "{refusal:?}");
    tokio::time::sleep(Duration::from_secs(refusal.1 - 2)).await;
    assert!(is_blocked(&gateway, HOME).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!is_blocked(&gateway, HOME).await, "waiting what Retry-After says is waiting long enough");
}

fn forwarded(request: http::Request<()>, by: &str) -> http::Request<()> {
    with_header(request, "x-forwarded-for", by)
}

#[tokio::test]
async fn an_untrusted_peer_does_not_evade_by_naming_others() {
    let gateway = start(Config { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..config() });
    for host in 1..=10 {
        let request = forwarded(with_token("bad"), &format!("198.51.100.{host}"));
        attempt(pipe(&gateway), request).await.ok().unwrap().is_unauthorized().await;
    }
    let request = forwarded(with_token("bad"), "198.51.100.99");
    assert_eq!(attempt(pipe(&gateway), request).await.err().unwrap().0, 429);
    assert!(!is_blocked(&gateway, "198.51.100.1:1").await, "nobody else pays for it");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_what_its_client_says_is_not() {
    let gateway = start(Config { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..config() });
    let proxy = || pipe_from(&gateway, "10.1.2.3:4711".parse().unwrap());
    for host in 1..=10 {
        // The client's own word stands left of what the proxy added.
        let request = forwarded(with_token("bad"), &format!("198.51.100.{host}, 203.0.113.7"));
        attempt(proxy(), request).await.ok().unwrap().is_unauthorized().await;
    }
    let good = token(&gateway, "u", Value::Null);
    let status = |request| async { attempt(proxy(), request).await.map_or_else(|refusal| refusal.0, |_| 101) };
    assert_eq!(status(forwarded(with_token(&good), "203.0.113.7")).await, 429);
    assert_eq!(status(forwarded(with_token(&good), "198.51.100.1, 203.0.113.7")).await, 429);
    assert_eq!(status(forwarded(with_token(&good), "203.0.113.8")).await, 101);
    assert_eq!(status(with_token(&good)).await, 101, "the proxy itself");
    let mut http = request("POST", "/api/v1/events", Some(&good), json!({}));
    http.headers_mut().insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
    assert_eq!(call_over(proxy(), http).await.0, 429);
}
