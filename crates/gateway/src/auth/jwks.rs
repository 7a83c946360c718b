//! Keys from an address (JWKS, RFC 7517): fetched, kept, and looked for again.
//!
//! Owns when: at the start, from time to time, and when a token names a key that is not known, but then at most every
//! [`PAUSE`] and once for all who ask. The last good set stays in force whatever a later try brings. The address is the
//! operator's; nothing that a token says leads anywhere.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{Request, Uri};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::keys::Keys;
use crate::outbound::Outbound;

/// Between two tries for the sake of an unknown key.
const PAUSE: Duration = Duration::from_secs(30);

/// How long a set is taken for current: a key that was taken out is refused after this.
const FRESH: Duration = Duration::from_secs(300);

/// Between tries as long as there is no set at all: nobody can come in without one.
const FIRST_TRIES: Duration = Duration::from_secs(2);

/// How long a fetch may take, and how many bytes a set may have: far above what is usual.
const TIMEOUT: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 256 << 10;

/// The keys behind an address.
pub(crate) struct Jwks {
    address: Uri,
    outbound: Outbound,
    keys: RwLock<Arc<Keys>>,
    /// When a token was the reason to look last. Held during each fetch: others wait for the same.
    looked: Mutex<Option<Instant>>,
}

impl Jwks {
    /// # Errors
    /// When TLS cannot be set up.
    pub(super) fn new(address: Uri) -> Result<Self, rustls::Error> {
        let outbound = Outbound::new(TIMEOUT, MOST_BYTES)?;
        Ok(Self { address, outbound, keys: RwLock::default(), looked: Mutex::new(None) })
    }

    /// The last good set; empty before the first.
    pub(super) fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is a set.
    pub(crate) fn is_loaded(&self) -> bool {
        !self.keys().is_empty()
    }

    /// Looks for a key that is not known, unless it was just looked for.
    pub(super) async fn look_again(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_none_or(|at| at.elapsed() >= PAUSE) {
            *looked = Some(Instant::now());
            self.fetch().await;
        }
    }

    /// Keeps the set fresh, for ever.
    pub(crate) async fn run(&self) {
        loop {
            {
                let _one_at_a_time = self.looked.lock().await;
                self.fetch().await;
            }
            tokio::time::sleep(if self.is_loaded() { FRESH } else { FIRST_TRIES }).await;
        }
    }

    async fn fetch(&self) {
        let request = Request::get(&self.address).header("accept", "application/json").body(bytes::Bytes::new());
        let Ok(request) = request else { return };
        let fetched = self.outbound.call(request).await.map_err(|failure| failure.to_string());
        match fetched.and_then(|json| Keys::of_jwks(&json)) {
            Ok(keys) => *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys),
            Err(reason) => {
                let host = self.address.host().unwrap_or_default();
                tracing::warn!(host, %reason, "cannot get keys from JWKS_URL, keeping those that are there");
            }
        }
    }
}
