//! Values: how the text of a setting is read.
//!
//! Owns the grammars that several settings share. Each error is what is expected, for a sentence that names the rest.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

pub(super) fn parsed<T: FromStr>(value: &str, expected: &str) -> Result<T, String> {
    value.parse().map_err(|_| expected.to_owned())
}

pub(super) fn text(value: &str) -> Result<String, String> {
    if value.is_empty() { Err("a text".into()) } else { Ok(value.into()) }
}

pub(super) fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("true or false".into()),
    }
}

/// What is part of the gateway, or left out.
pub(super) fn switch(value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("on or off".into()),
    }
}

pub(super) fn number(value: &str, least: usize, most: usize) -> Result<usize, String> {
    let expected = format!("a number from {least} to {most}");
    value.parse().ok().filter(|number| (least..=most).contains(number)).ok_or(expected)
}

pub(super) fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

pub(super) fn list<T: FromStr>(value: &str, expected: &str) -> Result<Vec<T>, String> {
    let parsed: Vec<T> = items(value).map(str::parse).collect::<Result<_, _>>().map_err(|_| expected.to_owned())?;
    if parsed.is_empty() { Err(expected.into()) } else { Ok(parsed) }
}

pub(super) fn networks(value: &str) -> Result<Vec<ipnet::IpNet>, String> {
    // A single address is a network of one.
    let network = |item: &str| item.parse().ok().or_else(|| item.parse::<IpAddr>().ok().map(ipnet::IpNet::from));
    items(value).map(network).collect::<Option<_>>().ok_or_else(|| "networks such as 10.0.0.0/8".into())
}

pub(super) fn room_kinds(value: &str) -> Result<Vec<String>, String> {
    let is_kind = |kind: &&str| roomcast_protocol::Room::new(kind, "x").is_ok();
    if items(value).all(|kind| is_kind(&kind)) {
        Ok(items(value).map(Into::into).collect())
    } else {
        Err("lower-case words".into())
    }
}

/// What a number without a unit counts.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    Millis,
    Seconds,
}

pub(super) fn nonzero(value: &str, unit: Unit) -> Result<Duration, String> {
    duration(value, unit).and_then(|found| if found.is_zero() { Err("more than zero".into()) } else { Ok(found) })
}

/// `10m`, `30s`, `250ms`, `24h`, `7d`, or a number of the unit in the setting's name.
pub(super) fn duration(value: &str, unit: Unit) -> Result<Duration, String> {
    /// A year: anything above is a slip of the finger.
    const MOST: Duration = Duration::from_secs(366 * 24 * 3600);
    let (bare, plural) = match unit {
        Unit::Millis => (1, "milliseconds"),
        Unit::Seconds => (1000, "seconds"),
    };
    let expected = || format!("a time such as 10m, 30s or 250ms, or a number of {plural}");
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let millis_per = match value[digits..].trim_start() {
        "" => bare,
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected()),
    };
    let count: u64 = value[..digits].parse().map_err(|_| expected())?;
    let found = count.checked_mul(millis_per).map(Duration::from_millis);
    found.filter(|found| *found <= MOST).ok_or_else(|| "at most a year".into())
}
