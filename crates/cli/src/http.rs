//! The few HTTP calls that a command makes itself: health, and tokens of a gateway on this machine.
//!
//! Owns one exchange, in plain text and with a deadline. Publishing is the SDK's.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The calls are local and their answers at hand: what takes longer is stuck.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A token has at most 8 KiB.
const MAX_ANSWER: usize = 64 << 10;

/// Sends a request to an `http://` URL and reads the answer.
///
/// # Errors
/// In words that fit after "failed to".
pub(crate) async fn exchange(request: Request<String>) -> Result<(StatusCode, Bytes), String> {
    let place = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    match tokio::time::timeout(TIMEOUT, attempt(request)).await {
        Ok(answer) => answer.map_err(|reason| format!("reach http://{place}: {reason}")),
        Err(_) => Err(format!("reach http://{place}: no answer within {} s", TIMEOUT.as_secs())),
    }
}

async fn attempt(mut request: Request<String>) -> Result<(StatusCode, Bytes), String> {
    let words = |error: hyper::Error| error.to_string();
    let authority = request.uri().authority().cloned().ok_or("the url has no host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await;
    let stream = TokioIo::new(stream.map_err(|error| error.to_string())?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(words)?;
    let connection = tokio::spawn(connection);
    let host = authority.as_str().parse().map_err(|_| "the url has no usable host")?;
    request.headers_mut().insert(hyper::header::HOST, host);
    // To the server itself only the path is named.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(|error| error.to_string())?;
    let (head, body) = sender.send_request(request).await.map_err(words)?.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| error.to_string())?.to_bytes();
    connection.abort();
    Ok((head.status, body))
}
