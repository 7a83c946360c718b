//! Where tokens come from.
//!
//! Owns the question to the application and its deadline. Refuses to look inside a token: whether it is good is the
//! gateway's to say.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::{Error, ErrorKind};

/// How long a provider may take. It usually makes one HTTP request.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a token provider may fail with: any error.
pub type TokenError = Box<dyn std::error::Error + Send + Sync>;

type Answer = Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send>>;

/// Where tokens come from.
#[derive(Clone)]
pub(crate) enum TokenSource {
    /// One token for the whole life of the handle.
    Fixed(String),
    /// Asked whenever a token is needed.
    Provider(Arc<dyn Fn() -> Answer + Send + Sync>),
}

/// A token that fits into a header.
#[derive(Clone)]
pub(crate) struct Token(String);

impl TokenSource {
    pub(crate) fn provider<F, T, E>(provider: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<TokenError>,
    {
        Self::Provider(Arc::new(move || {
            let answer = provider();
            Box::pin(async move { answer.await.map_err(Into::into) })
        }))
    }

    /// Refuses what can be seen at once: a fixed token that no header could carry.
    pub(crate) fn check(self) -> Result<Self, Error> {
        if let Self::Fixed(token) = &self {
            Token::new(token.clone()).map_err(|error| Error::options(error.to_string()))?;
        }
        Ok(self)
    }

    /// Whether asking again can bring another token.
    pub(crate) fn can_renew(&self) -> bool {
        matches!(self, Self::Provider(_))
    }

    pub(crate) async fn get(&self) -> Result<Token, Error> {
        let fail = |message: String| Error::new(ErrorKind::Token, message);
        match self {
            Self::Fixed(token) => Token::new(token.clone()),
            Self::Provider(provider) => match tokio::time::timeout(PROVIDER_TIMEOUT, provider()).await {
                Ok(Ok(token)) => Token::new(token),
                Ok(Err(error)) => Err(fail(format!("get a token: {error}"))),
                Err(_) => Err(fail("get a token: the provider timed out".into())),
            },
        }
    }
}

impl Token {
    fn new(token: String) -> Result<Self, Error> {
        // RFC 6750 section 2.1; every JWT fits.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !token.is_empty() && token.bytes().all(fits) {
            Ok(Self(token))
        } else {
            Err(Error::new(ErrorKind::Token, "use the token: it is empty or has characters that no token has"))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of the `Authorization` header, marked so that nothing prints it.
    pub(crate) fn bearer(&self) -> Result<HeaderValue, Error> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0))
            .map_err(|_| Error::new(ErrorKind::Token, "put the token into a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.can_renew() { "TokenSource::Provider" } else { "TokenSource::Fixed" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_that_no_header_could_carry_is_refused() {
        for token in ["", "a b", "a\r\nX-Evil: 1", "töken"] {
            let source = TokenSource::Fixed(token.into());
            assert_eq!(source.get().await.err().map(|error| error.kind()), Some(ErrorKind::Token));
            assert_eq!(source.check().err().map(|error| error.kind()), Some(ErrorKind::Options));
        }
    }

    #[tokio::test]
    async fn a_failing_provider_is_a_token_error_with_its_words() {
        let source = TokenSource::provider(|| async { Err::<String, _>("the login page is down") });
        let error = source.get().await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Token);
        assert!(error.to_string().contains("the login page is down"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_hangs_is_given_up() {
        let source = TokenSource::provider(std::future::pending::<Result<String, TokenError>>);
        assert_eq!(source.get().await.err().map(|error| error.kind()), Some(ErrorKind::Token));
    }

    #[test]
    fn no_debug_output_shows_a_token() {
        let source = TokenSource::Fixed("secret".into());
        assert!(!format!("{source:?}").contains("secret"));
        let bearer = Token::new("secret".into()).and_then(|token| token.bearer()).unwrap();
        assert!(!format!("{bearer:?}").contains("secret"));
    }
}
