//! Pages of a list: `?limit=<n>&after=<name>`.
//!
//! Owns how they are asked for, and how large one may be.

use axum::extract::{Query, Request};
use roomcast_protocol::ErrorCode;
use roomcast_protocol::server::ErrorPayload;

use super::problem::Problem;

/// Entries in one page when the caller does not say.
pub(super) const DEFAULT_LIMIT: usize = 100;

/// Entries in one page at most.
const MAX_LIMIT: usize = 1000;

/// A query that makes no sense.
pub(super) fn invalid(detail: &str) -> Problem {
    Problem::of(ErrorPayload::new(ErrorCode::InvalidMessage, detail))
}

/// The names and values of a query.
pub(super) fn pairs(request: &Request) -> Result<Vec<(String, String)>, Problem> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    query.map(|Query(pairs)| pairs).map_err(|_| invalid("the query is malformed"))
}

/// A number of entries.
pub(super) fn limit(value: &str) -> Result<usize, Problem> {
    let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| invalid("limit is a number from 1 to 1000"))
}
