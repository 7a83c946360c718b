//! `roomcast token inspect`: what a token says, and what a gateway would say to it.
//!
//! Owns the words. Reads any JWT without its secret; the verdict is the gateway's own check, and needs the secret.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Arg, ArgMatches, Command};
use roomcast_gateway::auth::{Authenticator, BadToken};
use roomcast_gateway::clock::Clock;
use roomcast_protocol::Timestamp;
use serde_json::Value;

use crate::failure::Failure;
use crate::output::print;

pub(super) fn command() -> Command {
    Command::new("inspect")
        .about("Show a token's header, claims and times, and what a gateway with this secret would say to it")
        .arg(
            Arg::new("token")
                .value_name("JWT")
                .required(true)
                .help("the token; - reads it from standard input, where no list of processes shows it"),
        )
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let token = super::token_of(matches)?;
    let token = token.as_str();
    let [header, claims] = read(token).map_err(|problem| Failure::other(format!("read the token: {problem}")))?;
    let clock = Clock::system();
    let now = clock.now();
    let mut text = format!("header     {header}\nclaims     {claims:#}\n");
    for (claim, word) in [("iat", "issued"), ("nbf", "valid from"), ("exp", "expires")] {
        let _ = writeln!(text, "{word:<10} {}", time(&claims[claim], now));
    }
    let (configuration, source) = super::with_secret(matches)?;
    let Some(source) = source else {
        return print(&format!("{text}signature  not checked: JWT_SECRET is not set, and there is no dev secret here"));
    };
    configuration.check_secret()?;
    let authenticator = Authenticator::new(&configuration.config, clock);
    let authenticator = authenticator.map_err(|error| configuration.cannot_work(&error))?;
    let (signature, verdict) = match authenticator.check(token) {
        Ok(identity) => ("good: made", format!("accepted, as user {}", identity.user)),
        Err(BadToken::Signature) => ("not made", format!("refused: {}", BadToken::Signature)),
        // Such a token is refused before its signature is looked at.
        Err(refusal @ (BadToken::Malformed | BadToken::Missing)) => ("not checked", format!("refused: {refusal}")),
        Err(refusal) => ("good: made", format!("refused: {refusal}")),
    };
    print(&format!("{text}signature  {signature} with {source}\nverdict    {verdict}"))
}

/// Header and claims of a JWT, whatever its signature.
fn read(token: &str) -> Result<[Value; 2], String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, _] = parts[..] else {
        return Err(format!("found {} parts; expected a JWT, three parts joined by dots", parts.len()));
    };
    let part = |text: &str, name: &str| -> Result<Value, String> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("its {name} is not base64url: {error}"))?;
        serde_json::from_slice(&bytes).map_err(|error| format!("its {name} is not JSON: {error}"))
    };
    Ok([part(header, "header")?, part(claims, "claims")?])
}

/// A claim's point in time, and how far it is from now.
fn time(claim: &Value, now: Timestamp) -> String {
    if claim.is_null() {
        return "(does not say)".into();
    }
    let millis = claim.as_f64().map(|seconds| seconds * 1000.0).filter(|millis| millis.abs() < 1e15);
    match millis.and_then(|millis| Timestamp::from_millis(millis as i64).ok()) {
        Some(time) => format!("{time} ({})", distance(time.as_millis() - now.as_millis())),
        None => format!("{claim} (no point in time)"),
    }
}

/// A span of time in its two largest units.
fn distance(millis: i64) -> String {
    let seconds = millis.unsigned_abs() / 1000;
    let units = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let largest = units.iter().skip_while(|(count, _)| *count == 0).take(2).filter(|(count, _)| *count > 0);
    let words = largest.map(|(count, unit)| format!("{count} {unit}")).collect::<Vec<_>>().join(" ");
    match (words.is_empty(), millis > 0) {
        (true, _) => "now".into(),
        (false, true) => format!("in {words}"),
        (false, false) => format!("{words} ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told_in_two_units() {
        assert_eq!(distance(3_599_000), "in 59 min 59 s");
        assert_eq!(distance(-90_000), "1 min 30 s ago");
        assert_eq!(distance(7 * 86_400_000), "in 7 d");
        assert_eq!(distance(-999), "now");
    }

    #[test]
    fn what_is_no_jwt_is_refused_in_words() {
        assert!(read("abc").unwrap_err().contains("found 1 parts"));
        assert!(read("a.b.c").unwrap_err().contains("header"));
    }
}
