//! How bytes reach a gateway: TCP, and TLS for the secure schemes.
//!
//! Owns the one TLS configuration of the SDK, for the socket and for HTTP. It names its crypto provider itself, so that
//! neither a missing nor another process-wide default matters.

use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::Error;

/// Opens byte streams by URI.
pub(crate) type Connector = HttpsConnector<HttpConnector>;

/// How TLS is done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    /// Trusted beside the web's roots.
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// The application's own configuration, in place of all the rest.
    pub(crate) config: Option<ClientConfig>,
}

impl Tls {
    pub(crate) fn connector(&self, connect_timeout: Duration) -> Result<Connector, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        Ok(HttpsConnectorBuilder::new()
            .with_tls_config(self.client_config()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp))
    }

    fn client_config(&self) -> Result<ClientConfig, Error> {
        if let Some(config) = &self.config {
            let mut config = config.clone();
            // A WebSocket begins as HTTP/1.1, which is what no protocol list means.
            config.alpn_protocols.clear();
            return Ok(config);
        }
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in &self.roots {
            roots
                .add(certificate.clone())
                .map_err(|error| Error::options(format!("use a root certificate: {error}")))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::options(format!("set up tls: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn tls_needs_no_process_wide_crypto_provider() {
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
        assert!(Tls::default().connector(Duration::from_secs(1)).is_ok());
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }

    #[test]
    fn a_root_certificate_that_is_none_is_refused() {
        let tls = Tls { roots: vec![CertificateDer::from(vec![1, 2, 3])], config: None };
        assert_eq!(tls.connector(Duration::from_secs(1)).err().map(|error| error.kind()), Some(ErrorKind::Options));
    }

    #[test]
    fn protocol_lists_of_an_own_configuration_are_left_out() {
        let mut config = Tls::default().client_config().unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        assert!(Tls { roots: Vec::new(), config: Some(config) }.connector(Duration::from_secs(1)).is_ok());
    }
}
