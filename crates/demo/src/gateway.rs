//! The gateway, as far as this back end asks something of it beside publishing.
//!
//! Owns its address in the forms that are needed, and one call: to break a connection off, which only a gateway in `dev` has.

use std::time::Duration;

use axum::http::uri::{Authority, Uri};
use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// The gateway is on this machine: what takes longer is stuck.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Characters of a connection's id, at most.
const LONGEST_ID: usize = 64;

/// Where the gateway is, and the means to ask it.
pub(crate) struct Gateway {
    authority: Authority,
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// What became of a wish to break a connection off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Done,
    /// There is no such connection.
    Unknown,
    /// The gateway could not be asked, or would not.
    Failed,
}

impl Gateway {
    /// The gateway at this URL, such as `http://127.0.0.1:3001`.
    ///
    /// # Errors
    /// In words, when it is no such URL.
    pub(crate) fn at(url: &str) -> Result<Self, String> {
        let expected = || format!("the gateway is named by a URL such as http://127.0.0.1:3001, and not by {url:?}");
        let uri: Uri = url.parse().map_err(|_| expected())?;
        match (uri.scheme_str(), uri.authority(), uri.path()) {
            (Some("http"), Some(authority), "/" | "") if uri.query().is_none() => {
                Ok(Self { authority: authority.clone(), client: Client::builder(TokioExecutor::new()).build_http() })
            }
            _ => Err(expected()),
        }
    }

    /// Where back ends publish.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// The origin that pages connect to.
    pub(crate) fn socket_origin(&self) -> String {
        format!("ws://{}", self.authority)
    }

    /// Ends the TCP connection without a word, as a network does that is gone.
    pub(crate) async fn cut(&self, connection: &str, token: &str) -> Cut {
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if connection.is_empty() || connection.len() > LONGEST_ID || !connection.bytes().all(is_id) {
            return Cut::Unknown;
        }
        let request = Request::post(format!("{}/dev/connections/{connection}/drop", self.url()))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Empty::new());
        let Ok(request) = request else { return Cut::Unknown };
        match tokio::time::timeout(TIMEOUT, self.client.request(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => Cut::Done,
            Ok(Ok(answer)) if answer.status() == StatusCode::NOT_FOUND => Cut::Unknown,
            _ => Cut::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_named_by_a_plain_url() {
        let gateway = Gateway::at("http://127.0.0.1:3001").unwrap();
        assert_eq!(
            (gateway.url(), gateway.socket_origin()),
            ("http://127.0.0.1:3001".into(), "ws://127.0.0.1:3001".into())
        );
        for wrong in ["", "127.0.0.1:3001", "https://a.test", "ws://a.test", "http://a.test/path", "http://a.test/?q"] {
            assert!(Gateway::at(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn what_is_no_id_is_not_asked_for() {
        let gateway = Gateway::at("http://127.0.0.1:1").unwrap();
        for wrong in ["", "../../api", "a/b", "a?b", &"a".repeat(LONGEST_ID + 1)] {
            assert_eq!(gateway.cut(wrong, "token").await, Cut::Unknown, "{wrong}");
        }
        assert_eq!(gateway.cut("0190b5f0-7c1a", "token").await, Cut::Failed);
    }
}
