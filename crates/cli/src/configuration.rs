//! Configuration: flags over environment over the file.
//!
//! Owns that order, for all commands, and the memory of where each value came from. Which settings exist and how they are
//! read is `roomcast_gateway::settings`'s table; no command names one that is not in it.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Command};
use roomcast_gateway::Config;
use roomcast_gateway::config::InvalidConfig;
use roomcast_gateway::settings::{InvalidSetting, SETTINGS, Setting, Source, read_file};

use crate::failure::Failure;

/// Names the file when the flag does not.
const FILE_VARIABLE: &str = "ROOMCAST_CONFIG";

/// A configuration and its history.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// What the gateway gets.
    pub(crate) config: Config,
    /// The value that won, as it was written, and its source, by the setting's name.
    given: BTreeMap<&'static str, (String, Source)>,
}

/// Adds a flag for every setting, and `--config`.
pub(crate) fn flags(command: Command) -> Command {
    flags_for(command, |_| true)
}

/// Adds flags for some of the settings, and `--config`.
pub(crate) fn flags_for(command: Command, wanted: impl Fn(&str) -> bool) -> Command {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help(format!("TOML file with settings; no file is read unasked [env: {FILE_VARIABLE}]"));
    let settings = SETTINGS.iter().filter(|setting| wanted(setting.name)).map(flag);
    command.arg(file).next_help_heading("Settings (flags over environment over file)").args(settings)
}

fn flag(setting: &'static Setting) -> Arg {
    // Who lists the processes of a machine sees their flags.
    let advice = if setting.secret { "; rather by the environment, flags are visible to others" } else { "" };
    let help = format!("{}{advice} [env: {}] [default: {}]", setting.help, setting.name, setting.default);
    Arg::new(setting.name).long(setting.flag()).value_name("VALUE").help(help)
}

/// Puts the configuration together, beginning with `defaults`. What only the whole can tell is [`Configuration::check`]'s.
///
/// # Errors
/// Names the key, where it was found, what was found and what is expected.
pub(crate) fn load(defaults: Config, matches: &ArgMatches) -> Result<Configuration, Failure> {
    let path = match matches.get_one::<String>("config") {
        Some(path) => Some(path.clone()),
        None => environment(FILE_VARIABLE)?,
    };
    let file = match &path {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::configuration(format!("read the configuration file {path}: {error}")))?;
            read_file(path, &text).map_err(refused)?
        }
        None => Vec::new(),
    };
    let file =
        file.into_iter().map(|(setting, value)| (setting, value, Source::File(path.clone().unwrap_or_default())));
    let mut variables = Vec::new();
    for setting in SETTINGS {
        let value = environment(setting.name)?;
        variables.extend(value.map(|value| (setting, value, Source::Environment)));
    }
    let flags = SETTINGS.iter().filter_map(|setting| {
        // A command that has no flag for the setting does not know its name.
        let value = matches.try_get_one::<String>(setting.name).ok().flatten()?;
        Some((setting, value.clone(), Source::Flag))
    });
    merge(defaults, file.chain(variables).chain(flags)).map_err(refused)
}

/// Applies the values, in order: a later one wins, but an earlier one has to be good as well.
fn merge(
    mut config: Config,
    values: impl IntoIterator<Item = (&'static Setting, String, Source)>,
) -> Result<Configuration, InvalidSetting> {
    let mut given = BTreeMap::new();
    for (setting, value, source) in values {
        setting.apply(&mut config, &value, source.clone())?;
        given.insert(setting.name, (value, source));
    }
    Ok(Configuration { config, given })
}

/// A variable of the environment. An empty one counts as not set: that is how compose files and CI pass on what they do
/// not have.
fn environment(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::configuration(format!(
            "use the configuration: {name} (environment): found a value that is no text"
        ))),
    }
}

fn refused(error: InvalidSetting) -> Failure {
    Failure::configuration(format!("use the configuration: {error}"))
}

impl Configuration {
    /// The value that was given for a setting, as it was written, and where; `None`: its default.
    pub(crate) fn given(&self, name: &str) -> Option<(&str, &Source)> {
        self.given.get(name).map(|(value, source)| (value.as_str(), source))
    }

    /// Checks what no single setting can know.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.config.validate().map_err(|error| self.cannot_work(&error))
    }

    /// Checks the secret alone, for what runs no gateway.
    ///
    /// # Errors
    /// When there is none, or one that cannot be used.
    pub(crate) fn check_secret(&self) -> Result<(), Failure> {
        match self.config.validate() {
            Err(error) if error.key.starts_with("JW") => Err(self.cannot_work(&error)),
            _ => Ok(()),
        }
    }

    /// The failure to use this configuration.
    pub(crate) fn cannot_work(&self, error: &InvalidConfig) -> Failure {
        let InvalidConfig { key, problem } = error;
        let source = self.given(key).map_or_else(|| "default".into(), |(_, source)| source.to_string());
        let failure = Failure::configuration(format!("use the configuration: {key} ({source}): {problem}"));
        match *key {
            "JWT_SECRET" => failure.hint(
                "set JWT_SECRET to a secret that your back end signs tokens with, such as the output of \
                 `openssl rand -hex 32`; to try things out on your own machine, run `roomcast dev`, which makes one",
            ),
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, value: &str, source: Source) -> (&'static Setting, String, Source) {
        (SETTINGS.iter().find(|setting| setting.name == name).unwrap(), value.into(), source)
    }

    #[test]
    fn a_later_source_wins_and_is_remembered() {
        let file = Source::File("r.toml".into());
        let values = [
            value("PORT", "1", file.clone()),
            value("MAX_ROOMS", "7", file.clone()),
            value("PORT", "2", Source::Environment),
            value("PORT", "3", Source::Flag),
        ];
        let merged = merge(Config::serve(), values).unwrap();
        assert_eq!((merged.config.port, merged.config.max_rooms), (3, 7));
        assert_eq!(merged.given("PORT"), Some(("3", &Source::Flag)));
        assert_eq!(merged.given("MAX_ROOMS"), Some(("7", &file)));
        assert_eq!(merged.given("HOST"), None);
    }

    #[test]
    fn a_bad_value_is_an_error_even_where_a_later_one_would_win() {
        let values = [value("PORT", "many", Source::File("r.toml".into())), value("PORT", "3", Source::Flag)];
        let error = merge(Config::serve(), values).unwrap_err().to_string();
        assert!(error.starts_with("port (file r.toml): found \"many\""), "{error}");
    }
}
