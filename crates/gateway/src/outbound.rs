//! Calls that the gateway makes by itself, to addresses of its configuration.
//!
//! Owns their bounds: https, or plain HTTP to the machine itself; no redirects; a time for the whole call, and a size for the
//! answer. What is asked and what an answer means is the caller's.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

/// Makes calls. Connections are kept and shared.
#[derive(Debug)]
pub(crate) struct Outbound {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    most_bytes: usize,
}

/// Why a call has no answer. Says nothing of the address beyond what an operator configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallFailure {
    #[error("no connection")]
    Connect,
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("it answered {0}")]
    Status(u16),
    #[error("its answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("its answer broke off")]
    Broken,
}

/// The address, when the gateway may call it.
///
/// # Errors
/// What is expected instead.
pub(crate) fn address(text: &str) -> Result<Uri, String> {
    let expected = || "an https:// address, or an http:// one of this machine".to_owned();
    let uri: Uri = text.parse().map_err(|_| expected())?;
    let host = uri.host().ok_or_else(expected)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match uri.scheme_str() {
        _ if has_user => Err(format!("{} without a user or password in it", expected())),
        Some("https") => Ok(uri),
        Some("http") if is_local => Ok(uri),
        _ => Err(expected()),
    }
}

impl Outbound {
    /// Calls that take at most so long and answer at most so much.
    ///
    /// # Errors
    /// When TLS cannot be set up, which is a fault of the build.
    pub(crate) fn new(timeout: Duration, most_bytes: usize) -> Result<Self, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(timeout));
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new()).build(connector.wrap_connector(tcp));
        Ok(Self { client, timeout, most_bytes })
    }

    /// Makes the call, and answers the body of a 200.
    ///
    /// # Errors
    /// [`CallFailure`] for everything else, a redirect too.
    pub(crate) async fn call(&self, request: Request<Bytes>) -> Result<Bytes, CallFailure> {
        let exchange = async {
            let response = self.client.request(request.map(Full::new)).await.map_err(|_| CallFailure::Connect)?;
            self.read(response).await
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or(Err(CallFailure::Timeout(self.timeout)))
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Bytes, CallFailure> {
        if response.status() != http::StatusCode::OK {
            return Err(CallFailure::Status(response.status().as_u16()));
        }
        match Limited::new(response.into_body(), self.most_bytes).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(CallFailure::TooLarge(self.most_bytes)),
            Err(_) => Err(CallFailure::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_called() {
        for good in ["https://id.example.com/keys", "http://127.0.0.1:80/x", "http://[::1]:8080/", "http://localhost/"]
        {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "keys",
            "/keys",
            "http://id.example.com/keys",
            "http://10.0.0.1/keys",
            "http://localhost.example.com/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "https://user:hush@id.example.com/",
        ] {
            let error = address(bad).unwrap_err();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
