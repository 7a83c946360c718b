//! `roomcast token mint`: a token, signed with the secret at hand.
//!
//! Owns the reading of grants and raised limits on a command line. Stricter than the protocol, which ignores operations and
//! limits that it does not know: here they are misspelt.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use jiff::{Span, SpanRelativeTo};
use roomcast_gateway::auth::Authenticator;
use roomcast_gateway::clock::Clock;
use roomcast_gateway::limits::Raised;
use roomcast_protocol::{Grants, UserId};

use crate::failure::Failure;
use crate::output::print;

/// A pattern of rooms and what is allowed there.
type Grant = (String, Vec<String>);

pub(super) fn command() -> Command {
    Command::new("mint")
        .about("Print a token, signed with JWT_SECRET or else with the secret of `roomcast dev`")
        .arg(
            Arg::new("user")
                .long("user")
                .value_name("USER")
                .required(true)
                .value_parser(value_parser!(UserId))
                .help("the user's id, the token's sub"),
        )
        .arg(Arg::new("email").long("email").value_name("EMAIL").help("the user's e-mail address"))
        .arg(
            Arg::new("grant")
                .long("grant")
                .value_name("ROOMS=OPERATIONS")
                .action(ArgAction::Append)
                .value_parser(grant)
                .help(
                    "such as 'team:*=subscribe,presence' or '*=*'; may be repeated [default: no grants: what such a \
                     token may do is ROOM_ACCESS's]",
                ),
        )
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("LIMIT=COUNT")
                .action(ArgAction::Append)
                .value_parser(limit)
                .help(
                    "raises one of the gateway's LIMITS, such as user.publishes=6000 or connection.messages=1000, in the \
                     time that the gateway's own has; may be repeated",
                ),
        )
        .arg(
            Arg::new("ttl")
                .long("ttl")
                .value_name("TIME")
                .default_value("1h")
                .value_parser(ttl)
                .help("how long it is valid, such as 30s, 10m, 12h or 7d"),
        )
}

pub(super) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let (configuration, source) = super::with_secret(matches)?;
    let Some(source) = source else {
        return Err(Failure::configuration("find a secret: JWT_SECRET is not set, and there is no dev secret here")
            .hint("set JWT_SECRET to the gateway's secret, or start `roomcast dev` in this directory once"));
    };
    configuration.check_secret()?;
    let user = matches.get_one::<UserId>("user").ok_or_else(|| Failure::configuration("find the user"))?;
    let email = matches.get_one::<String>("email").map(String::as_str);
    let ttl = matches.get_one::<Duration>("ttl").copied().unwrap_or_default();
    let token = Authenticator::new(&configuration.config, Clock::system())
        .map_err(|error| configuration.cannot_work(&error))?
        .mint(user, email, grants(matches)?.as_ref(), &limits(matches)?, ttl)
        .map_err(|error| Failure::other(format!("sign the token: {error}")))?;
    eprintln!("roomcast: signed with {source}");
    print(&token)
}

fn grants(matches: &ArgMatches) -> Result<Option<Grants>, Failure> {
    let Some(given) = matches.get_many::<Grant>("grant") else { return Ok(None) };
    let mut union: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (pattern, operations) in given {
        union.entry(pattern).or_default().extend(operations.iter().map(String::as_str));
    }
    Grants::parse(union).map(Some).map_err(|error| Failure::configuration(format!("use the grants: {error}")))
}

fn limits(matches: &ArgMatches) -> Result<Raised, Failure> {
    let given = matches.get_many::<String>("limit").into_iter().flatten();
    let raised = Raised::parse(given.map(String::as_str));
    raised.map_err(|expected| Failure::configuration(format!("use the limits: expected {expected}")))
}

fn limit(text: &str) -> Result<String, String> {
    Raised::parse([text]).map(|_| text.into()).map_err(|expected| format!("expected {expected}"))
}

fn grant(text: &str) -> Result<Grant, String> {
    let (pattern, operations) = text.rsplit_once('=').ok_or("expected ROOMS=OPERATIONS, such as team:*=subscribe")?;
    for operation in operations.split(',') {
        let parsed = Grants::parse([(pattern, [operation])]).map_err(|error| error.to_string())?;
        // The written claim shows what was understood.
        let claim = serde_json::to_value(&parsed).map_err(|error| error.to_string())?;
        if claim[pattern] != serde_json::json!([operation]) {
            return Err(format!(
                "found the operation {operation:?}; expected subscribe, history, presence, publish, publish:<type>, admin or *"
            ));
        }
        if operation == "admin" && pattern != "*" {
            return Err("admin counts only under the pattern *".into());
        }
    }
    Ok((pattern.into(), operations.split(',').map(Into::into).collect()))
}

fn ttl(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time such as 30s, 10m, 12h or 7d".to_owned();
    let span: Span = text.parse().map_err(|_| expected())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    let duration = Duration::try_from(duration).map_err(|_| expected())?;
    if duration < Duration::from_secs(1) { Err("expected a second or more".into()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_patterns_and_operations() {
        let expected = ("team:*".to_owned(), vec!["subscribe".to_owned(), "publish:user.typing".to_owned()]);
        assert_eq!(grant("team:*=subscribe,publish:user.typing"), Ok(expected));
        assert!(grant("*=*").is_ok());
        assert!(grant("*=admin").is_ok());
        for wrong in
            ["team:*", "team=subscribe", "team:*=", "team:*=subscrib", "=subscribe", "team:*=admin", "*=publish:X"]
        {
            assert!(grant(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("12h", 43200), ("7d", 604_800), ("1h30m", 5400)] {
            assert_eq!(ttl(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "10", "-1h", "0s", "1y", "soon"] {
            assert!(ttl(wrong).is_err(), "{wrong}");
        }
    }
}
