//! The console: a page that shows what the gateway does.
//!
//! Owns its files as they were built, what the page is told of its gateway, and the headers that let a browser run and load
//! nothing else. The page has no rights of its own: what it shows, it gets by the calls that everybody has.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;

use crate::config::Mode;
use crate::node::Node;
use crate::origin;

/// Nothing inline and nothing of another host; sockets may go to the address that is the public one beside `ADMIN_ADDR`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // Asked for again each time: a gateway of another version has another page.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// A file of the console, as it was built.
struct File {
    path: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

/// All of them; no other path is looked up anywhere.
const FILES: [File; 3] = [
    File {
        path: "/console/",
        content_type: "text/html; charset=utf-8",
        content: include_bytes!("../../../../web/console/dist/index.html"),
    },
    File {
        path: "/console/console.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_bytes!("../../../../web/console/dist/console.js"),
    },
    File {
        path: "/console/console.css",
        content_type: "text/css; charset=utf-8",
        content: include_bytes!("../../../../web/console/dist/console.css"),
    },
];

/// What the page is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About {
    mode: &'static str,
    version: &'static str,
    websocket_path: &'static str,
    /// Where sockets and events are, if not where the page is.
    public_url: Option<String>,
}

/// The console's routes; none where it is off.
pub(super) fn routes(node: &Node) -> Router<Arc<Node>> {
    if !node.config.console {
        return Router::new();
    }
    let routes = Router::new().route("/console", get(to_the_page)).route("/console/config.json", get(about));
    FILES.into_iter().fold(routes, |routes, File { path, content_type, content }| {
        routes.route(path, get(async move || (HEADERS, [(header::CONTENT_TYPE, content_type)], content)))
    })
}

/// Without the slash the page's own files would be looked for beside it.
async fn to_the_page() -> Response {
    (StatusCode::PERMANENT_REDIRECT, HEADERS, [(header::LOCATION, "/console/")]).into_response()
}

async fn about(State(node): State<Arc<Node>>, request: Request) -> Response {
    let host = origin::requested_host(request.uri(), request.headers());
    let about = About {
        mode: match node.config.mode {
            Mode::Dev => "dev",
            Mode::Serve => "serve",
        },
        version: env!("CARGO_PKG_VERSION"),
        websocket_path: "/ws",
        public_url: node.public_address.get().map(|address| public_url(*address, host)),
    };
    (HEADERS, Json(about)).into_response()
}

/// Where a gateway that listens there can be reached. One that listens on every address has that by which it was asked.
fn public_url(address: SocketAddr, host: Option<&str>) -> String {
    let asked = host.and_then(|host| host.parse::<Authority>().ok());
    match asked {
        Some(asked) if address.ip().is_unspecified() => format!("http://{}:{}", asked.host(), address.port()),
        _ => format!("http://{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_address_is_one_that_a_browser_can_use() {
        for (address, host, expected) in [
            ("127.0.0.1:3001", Some("localhost:9100"), "http://127.0.0.1:3001"),
            ("0.0.0.0:3001", Some("gateway.test:9100"), "http://gateway.test:3001"),
            ("[::]:3001", Some("[::1]:9100"), "http://[::1]:3001"),
            ("[::1]:3001", None, "http://[::1]:3001"),
        ] {
            assert_eq!(public_url(address.parse().unwrap(), host), expected);
        }
    }
}
