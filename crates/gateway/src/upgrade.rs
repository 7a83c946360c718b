//! The upgrade: from an HTTP request to a connection.
//!
//! Owns the opening handshake (RFC 6455 section 4.2) with all of its checks, the refusals in their order, and the four places
//! of a token. Once a socket is open only close codes speak, so that a browser can see the reason.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use roomcast_protocol::server::ErrorPayload;
use roomcast_protocol::{BEARER_PREFIX, ErrorCode, SUBPROTOCOL};
use tokio::net::TcpStream;

use crate::address;
use crate::connection::{self, Bare, Connection, Life, Piped, UnderWay};
use crate::http::problem::Problem;
use crate::http::{origin_of, peer_of};
use crate::node::{Admission, Node};
use crate::origin;
use crate::outbox::Outbox;
use crate::session::{Presented, Session};

/// A handshake that RFC 6455 allows.
struct Handshake {
    accept: String,
    offer: Offer,
}

/// What the client offered as subprotocols.
#[derive(Debug, Default, PartialEq, Eq)]
struct Offer {
    has_subprotocol: bool,
    token: Option<String>,
}

/// Answers `GET /ws`.
pub(crate) async fn upgrade(node: Arc<Node>, mut request: Request) -> Response {
    match accept(&node, &mut request).await {
        Ok(response) => response,
        Err(problem) => {
            node.metrics.connection_error(problem.reason());
            problem.into_response()
        }
    }
}

async fn accept(node: &Arc<Node>, request: &mut Request) -> Result<Response, Problem> {
    let handshake = handshake(request)?;
    check_origin(node, request)?;
    let peer = peer_of(request)?;
    let address = address::client_address(peer, request.headers(), &node.config.trusted_proxies);
    if node.is_refusing() {
        return Err(Problem::unavailable("the gateway is draining"));
    }
    let admission = node.admit(address).map_err(Problem::too_many_connections)?;
    if let Some(retry_after) = node.auth_block(address) {
        return Err(Problem::too_many_authentications(retry_after));
    }
    // Last, so that whoever is refused anyway takes nobody's turn.
    node.pace().map_err(Problem::too_many_upgrades)?;
    let token = token(node, request, handshake.offer.token.as_deref())?;
    let identity = match token {
        Some(token) => Some(node.authenticate(&token, address).await),
        None => None,
    };
    let presented = Presented { identity, has_subprotocol: handshake.offer.has_subprotocol };
    start(node, admission, presented, request);
    Ok(switching_protocols(&handshake))
}

/// A connection over the bare socket where there is one, so that nothing of the HTTP connection stays behind.
fn open(upgraded: Upgraded, node: Arc<Node>, outbox: Arc<Outbox>, begin: UnderWay) -> Life {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let wire = Bare::new(parts.io.into_inner(), &outbox);
            Life::Bare(Connection::new(wire, parts.read_buf.to_vec(), node, outbox, begin))
        }
        Err(upgraded) => {
            let wire = Piped::new(TokioIo::new(upgraded));
            Life::Piped(Connection::new(wire, Vec::new(), node, outbox, begin))
        }
    }
}

/// Runs the connection once the response is out.
fn start(node: &Arc<Node>, admission: Admission, presented: Presented, request: &mut Request) {
    let upgraded = hyper::upgrade::on(request);
    node.metrics.accepted.inc();
    let (node, outbox) = (node.clone(), admission.handle.outbox.clone());
    let session = Session::new(admission, presented.has_subprotocol);
    let begin = connection::begin(Box::new(session), presented.identity);
    let tasks = node.tasks.clone();
    tasks.spawn(Life::begin(async move { Some(open(upgraded.await.ok()?, node, outbox, begin)) }));
}

/// Echoes whatever is said on any path, for test suites of WebSocket.
#[cfg(feature = "echo")]
pub async fn echo(listener: tokio::net::TcpListener) {
    let router = axum::Router::new().fallback(async |mut request: Request| match handshake(&request) {
        Ok(handshake) => {
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let Ok(parts) = upgraded.await.map(|upgraded| upgraded.downcast::<TokioIo<TcpStream>>()) else {
                    return;
                };
                let Ok(parts) = parts else { return };
                connection::echo::run(parts.io.into_inner(), parts.read_buf.to_vec()).await;
            });
            switching_protocols(&handshake)
        }
        Err(problem) => problem.into_response(),
    });
    let timeout = std::time::Duration::from_secs(10);
    let timeouts = crate::server::Timeouts { header: timeout, unacknowledged: timeout };
    crate::server::accept(listener, router.into(), timeouts, Default::default(), Default::default()).await;
}

fn switching_protocols(handshake: &Handshake) -> Response {
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, &handshake.accept);
    if handshake.offer.has_subprotocol {
        response = response.header(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    }
    response.body(Body::empty()).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn check_origin(node: &Node, request: &Request) -> Result<(), Problem> {
    let Some(origin) = origin_of(request.headers()) else { return Ok(()) };
    let host = origin::requested_host(request.uri(), request.headers());
    if origin::is_allowed(&node.config, &origin, host) {
        return Ok(());
    }
    tracing::warn!(origin = ?origin, "origin refused; set FRONTEND_URL to the origins of your pages to allow it");
    Err(Problem::of(ErrorPayload::new(ErrorCode::Forbidden, "this origin may not connect; see FRONTEND_URL")))
}

/// RFC 6455 section 4.2.1, item by item.
fn handshake(request: &Request) -> Result<Handshake, Problem> {
    let headers = request.headers();
    let malformed = |detail: &str| Problem::of(ErrorPayload::new(ErrorCode::InvalidMessage, detail));
    // The router brings HEAD along with GET.
    if request.method() != Method::GET {
        return Err(Problem::bare(StatusCode::METHOD_NOT_ALLOWED));
    }
    if request.version() != axum::http::Version::HTTP_11 {
        return Err(malformed("a WebSocket upgrade needs HTTP/1.1"));
    }
    if single(headers, header::HOST).is_none_or(|host| host.parse::<Authority>().is_err()) {
        return Err(malformed("a WebSocket upgrade has one Host header"));
    }
    if !has_token(headers, header::UPGRADE, "websocket") || !has_token(headers, header::CONNECTION, "upgrade") {
        return Err(malformed("this is the WebSocket endpoint: connect with Upgrade: websocket"));
    }
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    if has_body {
        return Err(malformed("a WebSocket upgrade has no body"));
    }
    match single(headers, header::SEC_WEBSOCKET_VERSION).map(str::trim) {
        Some("13") => {}
        Some(_) => return Err(Problem::upgrade_required()),
        None => return Err(malformed("a WebSocket upgrade has one Sec-WebSocket-Version header")),
    }
    let key = single(headers, header::SEC_WEBSOCKET_KEY).map(str::trim);
    let key = key.filter(|key| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16));
    let key =
        key.ok_or_else(|| malformed("a WebSocket upgrade has one Sec-WebSocket-Key header of 16 bytes in base64"))?;
    let offer = offer(headers).ok_or_else(|| {
        malformed("Sec-WebSocket-Protocol: roomcast.bearer.<token> needs roomcast.v1 beside it, once")
    })?;
    Ok(Handshake { accept: accept_key(key), offer })
}

/// The proof that the key was understood (RFC 6455 section 4.2.2).
fn accept_key(key: &str) -> String {
    let mut hash = sha1_smol::Sha1::from(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.digest().bytes())
}

/// The value of a header that stands there exactly once.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok();
    if values.next().is_some() { None } else { value }
}

/// Whether one of the comma-separated words is the wanted one, in any case.
fn has_token(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(wanted))
}

fn items(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',').map(str::trim)).filter(|item| !item.is_empty())
}

/// `None` for an offer that makes no sense: a token without the protocol, or two tokens.
fn offer(headers: &HeaderMap) -> Option<Offer> {
    let mut offer = Offer::default();
    for item in items(headers, header::SEC_WEBSOCKET_PROTOCOL) {
        if item == SUBPROTOCOL {
            offer.has_subprotocol = true;
        } else if let Some(token) = item.strip_prefix(BEARER_PREFIX)
            && offer.token.replace(token.into()).is_some()
        {
            return None;
        }
    }
    (offer.token.is_none() || offer.has_subprotocol).then_some(offer)
}

/// The token from the first place that has one; `None` when the first frame must bring it.
fn token(node: &Node, request: &Request, offered: Option<&str>) -> Result<Option<String>, Problem> {
    if let Some(token) = bearer(request.headers()) {
        return Ok(Some(token));
    }
    if let Some(token) = offered {
        return Ok(Some(token.into()));
    }
    if !node.config.query_token {
        return Ok(None);
    }
    let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let Ok(Query(pairs)) = query else {
        return Err(Problem::of(ErrorPayload::new(ErrorCode::InvalidMessage, "the query is malformed")));
    };
    Ok(pairs.into_iter().find(|(name, _)| name == "token").map(|(_, token)| token))
}

/// The token of `Authorization: Bearer`; another scheme is not looked at.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = std::str::from_utf8(headers.get(header::AUTHORIZATION)?.as_bytes()).ok()?.trim();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// The address that a request counts under.
pub(crate) fn client_address(node: &Node, request: &Request) -> Result<IpAddr, Problem> {
    Ok(address::client_address(peer_of(request)?, request.headers(), &node.config.trusted_proxies))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(lines: &[&str]) -> Option<Offer> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::SEC_WEBSOCKET_PROTOCOL, line.parse().unwrap());
        }
        offer(&headers)
    }

    #[test]
    fn a_token_may_come_as_a_subprotocol_beside_the_protocol() {
        let both = Some(Offer { has_subprotocol: true, token: Some("a.b.c".into()) });
        assert_eq!(offered(&["roomcast.v1, roomcast.bearer.a.b.c"]), both);
        assert_eq!(offered(&["roomcast.bearer.a.b.c", "roomcast.v1"]), both);
        assert_eq!(offered(&["roomcast.v1"]), Some(Offer { has_subprotocol: true, token: None }));
        assert_eq!(offered(&["graphql-ws"]), Some(Offer::default()));
        assert_eq!(offered(&[]), Some(Offer::default()));
    }

    #[test]
    fn a_token_without_the_protocol_or_two_tokens_make_no_sense() {
        assert_eq!(offered(&["roomcast.bearer.a.b.c"]), None);
        assert_eq!(offered(&["roomcast.v1, roomcast.bearer.a, roomcast.bearer.b"]), None);
    }

    #[test]
    fn the_answer_to_a_key_is_the_one_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn another_scheme_of_authorization_is_skipped() {
        let bearer_of = |value: &str| bearer(&HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]));
        assert_eq!(bearer_of("Bearer a.b.c"), Some("a.b.c".into()));
        assert_eq!(bearer_of("bearer a.b.c"), Some("a.b.c".into()));
        assert_eq!(bearer_of("Bearer"), Some(String::new()));
        assert_eq!(bearer_of("Basic dTpw"), None);
    }
}
