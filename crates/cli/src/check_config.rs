//! `roomcast check-config`: what a gateway would run with, and why.
//!
//! Owns a table for people: each setting, its value, and where that came from. Secrets are not shown.

use clap::{Arg, ArgAction, ArgMatches, Command};
use roomcast_gateway::settings::{SETTINGS, Setting};
use roomcast_gateway::{Config, Secret};

use crate::configuration::{self, Configuration};
use crate::dev;
use crate::dev_secret::{self, DevSecret};
use crate::failure::Failure;
use crate::output::print;

/// What separates the two modes' defaults in [`Setting::default`].
const IN_DEV: &str = "; in `dev` ";

pub(crate) fn command() -> Command {
    let command = Command::new("check-config")
        .about("Print the configuration and where each value came from; fails when it cannot work")
        .arg(
            Arg::new("dev")
                .long("dev")
                .action(ArgAction::SetTrue)
                .help("check it for `roomcast dev` instead of `roomcast serve`"),
        );
    configuration::flags(dev_secret::flag(command))
}

pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let is_dev = matches.get_flag("dev");
    let defaults = if is_dev { Config::dev() } else { Config::serve() };
    let mut configuration = configuration::load(defaults, matches)?;
    let mut made = None;
    if is_dev && configuration.config.jwt_secret.is_none() {
        made = Some(use_dev_secret(&mut configuration, &DevSecret::new(matches))?);
    }
    let rows = SETTINGS.iter().map(|setting| match (setting.name, &made) {
        ("JWT_SECRET", Some(source)) => ["JWT_SECRET".into(), "(not shown)".into(), source.clone()],
        _ => row(&configuration, setting, is_dev),
    });
    print(&table(&rows.collect::<Vec<_>>()))?;
    configuration.check()?;
    let warnings = if is_dev { dev::warnings(&configuration.config) } else { Vec::new() };
    for warning in warnings {
        eprintln!("roomcast: warning: {warning}");
    }
    let mode = if is_dev { "dev" } else { "serve" };
    print(&format!("\n`roomcast {mode}` can run with this"))
}

/// Takes the kept secret, or one that stands for what the first start will make. Says which.
fn use_dev_secret(configuration: &mut Configuration, file: &DevSecret) -> Result<String, Failure> {
    let path = file.path();
    let kept = file.read()?;
    let source = match kept {
        Some(_) => format!("file {}", path.display()),
        None => format!("made at the first start, in {}", path.display()),
    };
    configuration.config.jwt_secret = Some(kept.unwrap_or_else(|| Secret::new([0; Secret::MIN_BYTES])));
    Ok(source)
}

fn row(configuration: &Configuration, setting: &Setting, is_dev: bool) -> [String; 3] {
    match configuration.given(setting.name) {
        Some((_, source)) if setting.secret => [setting.name.into(), "(not shown)".into(), source.to_string()],
        Some((value, source)) => [setting.name.into(), value.trim().into(), source.to_string()],
        None => [setting.name.into(), default_of(setting, is_dev).into(), "default".into()],
    }
}

/// The default in the words of the documentation, for one of the modes.
fn default_of(setting: &Setting, is_dev: bool) -> &'static str {
    match setting.default.split_once(IN_DEV) {
        Some((_, dev)) if is_dev => dev,
        Some((serve, _)) => serve,
        None => setting.default,
    }
}

fn table(rows: &[[String; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, value) = (width(0), width(1));
    let line = |row: &[String; 3]| format!("{:name$}  {:value$}  {}", row[0], row[1], row[2]);
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
