//! What an operator limits by `LIMITS`: of a connection, a user and an address, over sockets and HTTP.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use roomcast_gateway::settings::{SETTINGS, Source};
use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{
    Client, call, config, pipe_from, request, signed, start, token, upgrade, with_header, with_token,
};

/// A configuration with these limits, and so many messages of a connection that its own limit does not matter.
fn limited(limits: &str) -> Config {
    let mut config = Config { messages_per_minute: 10_000, ..config() };
    let setting = SETTINGS.iter().find(|setting| setting.name == "LIMITS").unwrap();
    setting.apply(&mut config, limits, Source::Environment).unwrap();
    config
}

fn event() -> Value {
    json!({"type": "custom.event", "payload": 1, "rooms": ["team:a"]})
}

fn publishing() -> Value {
    json!({"action": "publish", "event": {"type": "custom.event", "payload": 1}, "rooms": ["team:a"]})
}

async fn join(gateway: &Gateway, user: &str) -> Client {
    Client::join(gateway, user, json!({"*": ["*"]})).await
}

async fn join_from(gateway: &Gateway, peer: &str, user: &str) -> Client {
    let request = with_token(&token(gateway, user, json!({"*": ["*"]})));
    let mut client = Client::over(pipe_from(gateway, peer.parse().unwrap()), request).await.unwrap().0;
    assert_eq!(client.receive().await["type"], "connection.ack");
    client
}

/// The answer to a request, past everything else that comes.
async fn answer(client: &mut Client, frame: &Value) -> Value {
    let mut frame = frame.clone();
    frame["id"] = json!("a request with a long id, so that it has some bytes");
    client.send(frame.clone()).await;
    loop {
        let answer = client.receive().await;
        if answer["replyTo"] == frame["id"] {
            return answer;
        }
    }
}

async fn is_done(client: &mut Client, frame: &Value) {
    let answer = answer(client, frame).await;
    assert_ne!(answer["type"], "error", "{answer}");
}

/// That the request is refused, in the words of the original, for about so many seconds: answers how long.
async fn is_limited(client: &mut Client, frame: &Value, seconds: u64) -> Duration {
    let error = answer(client, frame).await;
    assert_eq!(error["payload"]["code"], "RATE_LIMIT_EXCEEDED", "{error}");
    let retry_after = error["payload"]["retryAfterMs"].as_u64().unwrap();
    assert!(retry_after.abs_diff(seconds * 1000) < 200, "{error}");
    let words = format!("Rate limit exceeded. Try again in {} seconds.", retry_after.div_ceil(1000));
    assert_eq!(error["payload"]["message"], words);
    Duration::from_millis(retry_after)
}

async fn metric(gateway: &Gateway, line: &str) -> bool {
    let metrics = call(gateway, request("GET", "/metrics", None, Value::Null)).await.2;
    metrics.as_str().unwrap().contains(line)
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_request_has_its_own_limit_and_the_time_until_it_is_over_is_true() {
    let subscribe = json!({"action": "subscribe", "rooms": ["team:a", "team:b", "team:a"]});
    let present = json!({"action": "subscribe", "rooms": ["team:a"], "presence": true});
    let ping = json!({"type": "ping"});
    for (kind, most, frame, other) in [
        ("publishes", 2, publishing(), Some(subscribe.clone())),
        ("subscriptions", 4, subscribe.clone(), Some(publishing())),
        ("presence", 2, present, Some(subscribe)),
        ("bytes", 130, ping.clone(), None),
        ("messages", 2, ping, None),
    ] {
        for scope in ["connection", "user", "address"] {
            if (scope, kind) == ("connection", "messages") {
                continue;
            }
            let gateway = start(limited(&format!("{scope}.{kind}={most}/30s")));
            let mut client = join(&gateway, "u").await;
            for _ in 0..2 {
                is_done(&mut client, &frame).await;
                sleep(Duration::from_secs(5)).await;
            }
            let retry_after = is_limited(&mut client, &frame, 20).await;
            if let Some(other) = &other {
                is_done(&mut client, other).await;
            }
            sleep(retry_after).await;
            is_done(&mut client, &frame).await;
            let line = format!("roomcast_rate_limited_total{{scope=\"{scope}\",kind=\"{kind}\"}} 1\n");
            assert!(metric(&gateway, &line).await, "{line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_users_connections_and_calls_count_together_and_nobody_elses() {
    let gateway = start(limited("user.publishes=3/1m"));
    let (mut one, mut two) = (join(&gateway, "u").await, join(&gateway, "u").await);
    is_done(&mut one, &publishing()).await;
    is_done(&mut two, &publishing()).await;
    let token = token(&gateway, "u", json!({"*": ["*"]}));
    let publish = |body| call(&gateway, request("POST", "/api/v1/events", Some(&token), body));
    assert_eq!(publish(event()).await.0, 200);
    is_limited(&mut one, &publishing(), 60).await;
    drop((one, two));
    let mut again = join(&gateway, "u").await;
    is_limited(&mut again, &publishing(), 60).await;
    sleep(Duration::from_secs(20)).await;
    let (status, headers, problem) = publish(event()).await;
    assert_eq!((status, &problem["code"]), (429, &json!("RATE_LIMIT_EXCEEDED")), "{problem}");
    assert_eq!(headers["content-type"], "application/problem+json");
    let millis = problem["retryAfterMs"].as_u64().unwrap();
    assert!((39_000..=40_000).contains(&millis), "{millis}");
    assert_eq!(headers["retry-after"], millis.div_ceil(1000).to_string().as_str());
    let to_user = request("POST", "/api/v1/users/u/events", Some(&token), json!({"type": "a.b", "payload": 1}));
    assert_eq!(call(&gateway, to_user).await.0, 429);
    is_done(&mut join(&gateway, "other").await, &publishing()).await;
    sleep(Duration::from_millis(millis)).await;
    assert_eq!(publish(event()).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_what_is_over_the_limit_is_refused_one_by_one() {
    let gateway = start(limited("user.publishes=2/1m,address.bytes=1000/1m"));
    let token = token(&gateway, "u", json!({"*": ["*"]}));
    let publish = |body| call(&gateway, request("POST", "/api/v1/events", Some(&token), body));
    let (status, _, answer) = publish(json!({"events": [event(), event(), event()]})).await;
    assert_eq!(status, 200);
    assert!(answer["results"][1]["eventId"].is_string(), "{answer}");
    assert_eq!(answer["results"][2]["code"], "RATE_LIMIT_EXCEEDED", "{answer}");
    assert!(answer["results"][2]["retryAfterMs"].as_u64().unwrap() > 59_000);
    let large = json!({"type": "custom.event", "payload": "x".repeat(2000), "rooms": ["team:a"]});
    publish(large).await;
    let (status, headers, _) = publish(json!({"events": [event()]})).await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (429, "60"), "the body's bytes are over");
    assert!(metric(&gateway, "roomcast_rate_limited_total{scope=\"address\",kind=\"bytes\"} 1\n").await);
}

#[tokio::test(start_paused = true)]
async fn an_address_is_limited_whoever_comes_from_it_and_a_network_of_ipv6_is_one() {
    let gateway = start(limited("address.messages=2/1m"));
    for (first, second, other) in [
        ("192.0.2.7:1", "192.0.2.7:2", "192.0.2.8:1"),
        ("[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff::2]:1", "[2001:db8:0:2::1]:1"),
    ] {
        let mut clients = [join_from(&gateway, first, "anna").await, join_from(&gateway, second, "ben").await];
        for client in &mut clients {
            is_done(client, &json!({"type": "ping"})).await;
        }
        for client in &mut clients {
            is_limited(client, &json!({"type": "ping"}), 60).await;
        }
        is_done(&mut join_from(&gateway, other, "anna").await, &json!({"type": "ping"})).await;
    }
}

type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

/// A connection for many calls.
async fn sender(gateway: &Gateway, peer: &str) -> Sender {
    let stream = TokioIo::new(pipe_from(gateway, peer.parse().unwrap()));
    let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(sender: &mut Sender, request: http::Request<String>) -> u16 {
    sender.ready().await.unwrap();
    let response = sender.send_request(request.map(|body| Full::new(Bytes::from(body)))).await.unwrap();
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    status
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_forwarded_addresses_evade_no_limit_and_a_trusted_proxys_are_counted_apart() {
    let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    let gateway = start(Config { trusted_proxies, ..limited("address.publishes=3/1m,address.messages=2/1m") });
    let token = token(&gateway, "u", json!({"*": ["*"]}));
    // One connection from an address of nobody's trust, and one from a proxy.
    let mut peer = sender(&gateway, "192.0.2.1:4711").await;
    let mut proxy = sender(&gateway, "10.1.2.3:1").await;
    let forwarded = |by: String| {
        let mut request = request("POST", "/api/v1/events", Some(&token), event());
        request.headers_mut().insert("x-forwarded-for", by.parse().unwrap());
        request
    };
    let forged = |number: u32| std::net::Ipv4Addr::from_bits(0x0b00_0000 + number).to_string();
    let mut accepted = 0;
    for number in 0..10_000 {
        // Its own word alone, and in the place where a proxy's would stand.
        let by = if number % 2 == 0 { forged(number) } else { format!("10.0.0.1, {}", forged(number)) };
        accepted += usize::from(send(&mut peer, forwarded(by)).await == 200);
    }
    assert_eq!(accepted, 3);
    for number in 0..50 {
        let status = send(&mut proxy, forwarded(forged(number))).await;
        assert_eq!(status, 200, "each client of the proxy has its own");
    }
    // What its client says to the proxy is no address of the proxy's.
    let mut through = 0;
    for number in 0..100 {
        let claimed = format!("{}, 203.0.113.7", forged(number));
        through += usize::from(send(&mut proxy, forwarded(claimed)).await == 200);
    }
    assert_eq!(through, 3);

    let connect = async |number: u32| {
        let request = with_header(with_token(&token), "x-forwarded-for", &forged(number));
        let mut client = Client::over(pipe_from(&gateway, "192.0.2.2:1".parse().unwrap()), request).await.unwrap().0;
        assert_eq!(client.receive().await["type"], "connection.ack");
        client
    };
    for number in 0..2 {
        is_done(&mut connect(number).await, &json!({"type": "ping"})).await;
    }
    is_limited(&mut connect(3).await, &json!({"type": "ping"}), 60).await;
}

fn claiming(limits: Value) -> String {
    signed(&json!({"sub": "u", "exp": 4_000_000_000u32, "grants": {"*": ["*"]}, "limits": limits}))
}

#[tokio::test(start_paused = true)]
async fn a_token_raises_its_users_limits_and_the_connection_is_told() {
    let config = Config { messages_per_minute: 1, ..limited("user.publishes=1/1m,connection.bytes=9000/1m") };
    let gateway = start(config);
    let limits =
        json!({"user.publishes": 3, "connection.messages": 6, "connection.bytes": 1, "address.bytes": 1, "x.y": 1});
    let mut client = Client::open(&gateway, with_token(&claiming(limits))).await;
    let told = client.receive().await["payload"]["limits"].clone();
    assert_eq!(told["messagesPerMinute"], 6, "{told}");
    let rates = json!({
        "user.publishes": {"count": 3, "windowMs": 60_000},
        "connection.bytes": {"count": 9000, "windowMs": 60_000},
    });
    assert_eq!(told["rates"], rates, "a token never lowers");
    for _ in 0..3 {
        is_done(&mut client, &publishing()).await;
    }
    is_limited(&mut client, &publishing(), 60).await;

    // The next token has no such claim: what was used stays used, and the lower limits count.
    let renewal = json!({"action": "authenticate", "token": token(&gateway, "u", json!({"*": ["*"]}))});
    assert_eq!(answer(&mut client, &renewal).await["type"], "auth.ack");
    is_limited(&mut client, &json!({"type": "ping"}), 60).await;
    let mut plain = join(&gateway, "u").await;
    is_limited(&mut plain, &publishing(), 60).await;
}

#[tokio::test]
async fn a_malformed_claim_refuses_the_token() {
    let gateway = start(Config { auth_attempts_per_minute: 100, ..config() });
    for limits in
        [json!([]), json!("user.publishes=3/1m"), json!({"user.publishes": "3"}), json!({"user.publishes": 0})]
    {
        let error = Client::open(&gateway, with_token(&claiming(limits))).await.is_unauthorized().await;
        assert_eq!(error["payload"]["message"], "the token's limits claim is missing or not valid");
    }
    let mut client = Client::open(&gateway, with_token(&claiming(Value::Null))).await;
    assert_eq!(client.receive().await["payload"]["limits"]["rates"], Value::Null, "nothing is limited here");
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_over_a_limit_is_closed_and_others_of_the_address_are_not() {
    let gateway = start(limited("address.publishes=1/10m"));
    let (mut abuser, mut honest) = (join(&gateway, "anna").await, join(&gateway, "ben").await);
    is_done(&mut honest, &publishing()).await;
    for _ in 0..100 {
        is_limited(&mut abuser, &publishing(), 600).await;
    }
    let closing = abuser.is_closed_with_notice(4003).await;
    assert!(closing["retryAfterMs"].as_u64().unwrap() > 599_000, "{closing}");
    is_limited(&mut honest, &publishing(), 600).await;
    sleep(Duration::from_secs(1)).await;
    is_limited(&mut honest, &publishing(), 599).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_frame_counts_for_the_address() {
    let gateway = start(limited("address.messages=1/1m"));
    let token = token(&gateway, "u", Value::Null);
    let mut clients = [Client::open(&gateway, upgrade()).await, Client::open(&gateway, upgrade()).await];
    let first = json!({"action": "authenticate", "token": token});
    is_done(&mut clients[0], &first).await;
    is_limited(&mut clients[1], &first, 60).await;
    sleep(Duration::from_secs(1)).await;
    is_limited(&mut clients[1], &first, 59).await;
}
