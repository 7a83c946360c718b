//! Whom the broker trusts over TLS.
//!
//! Owns the authorities in `REDIS_CA`, and what a refused certificate means. Where Redis is, and what is secret about it, is
//! [`address`](super::address)'s.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use redis::{Client, ConnectionAddr, ConnectionInfo, RedisError, TlsCertificates};
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::address::Failure;

/// The authorities that are trusted in place of the web's: a private one should be the only one that can name a Redis.
#[derive(Clone)]
pub(super) struct Authorities(Vec<u8>);

impl Authorities {
    /// Those in a file of PEM.
    ///
    /// # Errors
    /// What is wrong with the file, and what is expected.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let expected = "expected a file of certificates in PEM";
        let pem =
            std::fs::read(path).map_err(|error| format!("cannot read {}: {error}; {expected}", path.display()))?;
        let mut store = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let is_usable = certificate.is_ok_and(|certificate| store.add(certificate).is_ok());
            if !is_usable {
                return Err(format!("{} holds a certificate that cannot be read; {expected}", path.display()));
            }
        }
        if store.is_empty() {
            return Err(format!("{} holds no certificate; {expected}", path.display()));
        }
        Ok(Self(pem))
    }

    /// The same server, trusted by these; one without TLS stays as it is.
    pub(super) fn trusted(&self, server: ConnectionInfo) -> Result<ConnectionInfo, RedisError> {
        match server.addr() {
            ConnectionAddr::TcpTls { .. } => {
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(self.0.clone()) };
                Ok(Client::build_with_tls(server, certificates)?.get_connection_info().clone())
            }
            _ => Ok(server),
        }
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "({} bytes)", self.0.len())
    }
}

/// What it means that the server's certificate was refused, if that is the error. Trust comes by configuration only, here or
/// at the server; a certificate whose time is not now is renewed without either.
pub(super) fn refusal(error: &RedisError) -> Option<Failure> {
    let rustls::Error::InvalidCertificate(reason) = cause(error)? else { return None };
    Some(match reason {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            Failure::Passing(format!("its certificate is not valid now: {reason}"))
        }
        _ => Failure::Lasting(format!(
            "its certificate is not trusted: {reason}; expected one for this host by an authority of REDIS_CA, or of the \
             web where that is not set"
        )),
    })
}

/// The error of TLS inside: wrapped as one of input and output, which the library shares.
fn cause(error: &RedisError) -> Option<&rustls::Error> {
    let shared = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    let inner = shared.downcast_ref::<std::io::Error>()?.get_ref()?;
    inner.downcast_ref::<rustls::Error>()
}
