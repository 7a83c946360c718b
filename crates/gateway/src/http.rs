//! HTTP: the routes, and what they have in common.
//!
//! Owns who may call what. The work is done by the node; each group of calls has its file.

mod access;
mod connections;
mod console;
mod dev;
mod events;
mod figures;
mod operator;
mod page;

pub(crate) mod problem;
mod rooms;

pub use operator::Stats;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use tower::ServiceExt;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::access as rights;
use crate::auth::Identity;
use crate::config::Mode;
use crate::node::Node;
use crate::origin;
use crate::upgrade;
use problem::Problem;

/// Bytes in a request's body.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// The address at the other end of the TCP connection, put in by the gateway's own accept loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What answers the requests of a listener: the routes, and before them a short way to the two that are called all the time. The
/// routes' own way costs as much again as reading and answering such a request does.
#[derive(Clone)]
pub(crate) struct Service {
    router: Router,
    /// Whose the short way is; the operator's own listener has none.
    node: Option<Arc<Node>>,
}

impl Service {
    pub(crate) async fn answer(self, request: Request) -> Response {
        if let Some(node) = self.node {
            match (request.method(), request.uri().path()) {
                (&Method::GET, "/ws") => return upgrade::upgrade(node, request).await,
                // What a page sends needs the answer's CORS headers, which are the router's.
                (&Method::POST, "/api/v1/events") if !request.headers().contains_key(header::ORIGIN) => {
                    return events::publish(State(node), request).await;
                }
                _ => {}
            }
        }
        // A router never fails: what it cannot do is an answer.
        self.router.oneshot(request).await.unwrap_or_else(|never| match never {})
    }
}

impl From<Router> for Service {
    fn from(router: Router) -> Self {
        Self { router, node: None }
    }
}

/// Every route, for an application that has others beside them, and a fallback of its own.
pub(crate) fn mountable_router(node: &Arc<Node>) -> Router {
    finish(node, public(node).merge(operator(node)))
}

/// Every route, for one listener.
pub(crate) fn service(node: &Arc<Node>) -> Service {
    let router = finish(node, public(node).merge(operator(node)).fallback(not_found));
    Service { router, node: Some(node.clone()) }
}

/// The routes for everybody, when the operator's have a listener of their own.
pub(crate) fn public_service(node: &Arc<Node>) -> Service {
    Service { router: finish(node, public(node).fallback(not_found)), node: Some(node.clone()) }
}

/// The operator's routes, for a listener of their own.
pub(crate) fn operator_service(node: &Arc<Node>) -> Service {
    // A page may call its own origin only, so what the console calls has to be where the console is.
    let routes = if node.config.console { operator(node).merge(calls(node)) } else { operator(node) };
    finish(node, routes.fallback(not_found)).into()
}

fn public(node: &Node) -> Router<Arc<Node>> {
    calls(node).route("/ws", get(|State(node), request| upgrade::upgrade(node, request)))
}

/// What users and back ends do beside a socket.
fn calls(node: &Node) -> Router<Arc<Node>> {
    let routes = Router::new()
        .route("/api/v1/events", post(events::publish))
        .route("/api/v1/users/{user}/events", post(events::publish_to_user))
        .route("/api/v1/rooms/{room}/history", get(rooms::history))
        .route("/api/v1/rooms/{room}/presence", get(rooms::presence))
        .route("/schema/schema.json", get(operator::schema));
    match node.config.mode {
        Mode::Dev => routes.route("/dev/token", post(dev::token)),
        Mode::Serve => routes,
    }
}

fn operator(node: &Node) -> Router<Arc<Node>> {
    let routes = Router::new()
        .route("/livez", get(operator::live))
        .route("/readyz", get(operator::ready))
        .route("/metrics", get(operator::metrics))
        .route("/api/v1/ws/stats", get(operator::stats))
        .route("/api/v1/ws/rate-limits", get(operator::rate_limits))
        .route("/api/v1/ws/rate-limits/{connection}", delete(operator::reset_rate_limit))
        .route("/api/v1/users/{user}/disconnect", post(operator::disconnect))
        .route("/api/v1/tokens/{token}/revoke", post(operator::revoke_token))
        .route("/api/v1/access/explain", post(access::explain))
        .route("/api/v1/figures", get(figures::figures))
        .route("/api/v1/connections", get(connections::list))
        .route("/api/v1/connections/{connection}/disconnect", post(connections::disconnect))
        .route("/api/v1/rooms", get(rooms::list))
        .merge(console::routes(node));
    match node.config.mode {
        Mode::Dev => routes
            .route("/dev/connections/{connection}/drop", post(connections::cut))
            .route("/dev/connections/{connection}/slow", post(connections::slow)),
        Mode::Serve => routes,
    }
}

fn finish(node: &Arc<Node>, routes: Router<Arc<Node>>) -> Router {
    routes.method_not_allowed_fallback(wrong_method).layer(cors(node)).with_state(node.clone())
}

/// The same origins as for sockets.
fn cors(node: &Arc<Node>) -> CorsLayer {
    let node = node.clone();
    let is_allowed = move |origin: &HeaderValue, parts: &axum::http::request::Parts| {
        let host = origin::requested_host(&parts.uri, &parts.headers);
        origin.to_str().is_ok_and(|origin| origin::is_allowed(&node.config, origin, host))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(is_allowed))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::RETRY_AFTER])
        .max_age(std::time::Duration::from_secs(600))
}

async fn not_found() -> Problem {
    Problem::bare(StatusCode::NOT_FOUND)
}

async fn wrong_method() -> Problem {
    Problem::bare(StatusCode::METHOD_NOT_ALLOWED)
}

/// The address at the other end, from the gateway's own accept loop or from the application that it is mounted into.
pub(crate) fn peer_of(request: &Request) -> Result<SocketAddr, Problem> {
    let own = request.extensions().get::<Peer>().map(|peer| peer.0);
    let mounted = || request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    own.or_else(mounted).ok_or_else(|| {
        tracing::error!("no peer address: serve the application with into_make_service_with_connect_info::<SocketAddr>()");
        Problem::internal("the peer's address is unknown: serve the application with into_make_service_with_connect_info::<SocketAddr>()")
    })
}

/// The origin of the page that makes the request; a header that is no text is an origin that nobody listed.
pub(crate) fn origin_of(headers: &HeaderMap) -> Option<String> {
    let origin = headers.get(header::ORIGIN)?;
    Some(origin.to_str().unwrap_or("null").to_owned())
}

/// The name in a path; "", which names nothing, when it is no text.
pub(crate) fn name_in(path: Result<Path<String>, PathRejection>) -> String {
    path.map(|Path(name)| name).unwrap_or_default()
}

/// What a call brings to say who makes it.
pub(crate) struct Caller {
    address: IpAddr,
    token: Option<String>,
}

impl Caller {
    /// Of the request.
    pub(crate) fn of(node: &Node, request: &Request) -> Result<Self, Problem> {
        let address = upgrade::client_address(node, request)?;
        Ok(Self { address, token: upgrade::bearer(request.headers()) })
    }

    /// Who it is.
    pub(crate) async fn authenticate(self, node: &Node) -> Result<Arc<Identity>, Problem> {
        if let Some(retry_after) = node.auth_block(self.address) {
            return Err(Problem::too_many_authentications(retry_after));
        }
        let token =
            self.token.ok_or_else(|| Problem::unauthorized("a token is required: Authorization: Bearer <token>"))?;
        let checked = node.authenticate_again(&token, self.address).await;
        checked.map_err(|reason| Problem::unauthorized(&reason.to_string()))
    }

    /// That it may run the gateway. On a developer's own machine everybody may.
    pub(crate) async fn check_admin(self, node: &Node) -> Result<(), Problem> {
        match node.config.mode {
            Mode::Dev => Ok(()),
            Mode::Serve => self.check_admin_token(node).await,
        }
    }

    /// The same, on a developer's machine too: what changes anything is not for every page there.
    pub(crate) async fn check_admin_token(self, node: &Node) -> Result<(), Problem> {
        if rights::is_admin(&*self.authenticate(node).await?) {
            Ok(())
        } else {
            Err(Problem::forbidden("the token does not grant admin on *"))
        }
    }
}

/// For calls whose outcome is an answer or a problem.
pub(crate) fn respond(node: &Node, outcome: Result<Response, Problem>) -> Response {
    outcome.unwrap_or_else(|problem| {
        node.metrics.error(problem.code());
        problem.into_response()
    })
}
