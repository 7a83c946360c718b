//! Where settings come from, which wins, and what is refused.

use std::process::Command;

use crate::harness::{Directory, SECRET, Said, run};

fn assert_refused(command: &mut Command, parts: &[&str]) {
    let Said { code, stdout, stderr } = run(command);
    assert_eq!(code, Some(2), "{stderr}");
    assert_eq!(stdout, "");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is missing in {stderr}");
    }
}

/// The rest of the setting's line in the table.
fn row(said: &Said, name: &str) -> String {
    let row = said.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    row.unwrap_or_else(|| panic!("no {name} in {} {}", said.stdout, said.stderr))
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_bad_value_is_an_error_that_names_its_key_wherever_it_comes_from() {
    let directory = Directory::new();
    let expected = "expected a port from 0 to 65535";
    assert_refused(&mut directory.roomcast(&["dev", "--port", "many"]), &["--port (flag): found \"many\"", expected]);
    assert_refused(directory.roomcast(&[]).env("PORT", "many"), &["PORT (environment): found \"many\"", expected]);
    directory.write("bad.toml", "port = \"many\"\n");
    let from_file = ["port (file bad.toml): found \"many\"", expected];
    assert_refused(&mut directory.roomcast(&["serve", "--config", "bad.toml"]), &from_file);
    assert_refused(directory.roomcast(&["serve"]).env("ROOMCAST_CONFIG", "bad.toml"), &from_file);
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion() {
    let directory = Directory::new();
    directory.write("r.toml", "histroy_size = 7\n");
    let parts = ["histroy_size (file r.toml): unknown key", "did you mean history_size?"];
    assert_refused(&mut directory.roomcast(&["dev", "--config", "r.toml"]), &parts);
    assert_refused(&mut directory.roomcast(&["dev", "--histroy-size", "7"]), &["--histroy-size", "--history-size"]);
}

#[test]
fn a_file_that_is_not_there_or_no_toml_is_an_error() {
    let directory = Directory::new();
    assert_refused(&mut directory.roomcast(&["dev", "--config", "none.toml"]), &["none.toml", "No such file"]);
    directory.write("odd.toml", "port = = 1");
    assert_refused(&mut directory.roomcast(&["dev", "--config", "odd.toml"]), &["odd.toml"]);
}

#[test]
fn no_file_is_read_unasked() {
    let directory = Directory::new();
    for name in ["roomcast.toml", "config.toml", ".env"] {
        directory.write(name, "PORT=1\nport = = 1");
    }
    let said = run(&mut directory.roomcast(&["check-config", "--dev"]));
    assert_eq!((said.code, row(&said, "PORT")), (Some(0), "3001 default".into()), "{}", said.stderr);
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let directory = Directory::new();
    directory.write("r.toml", "port = 1\nmax_rooms = 2\nhistory_size = 3\n");
    let mut command = directory.roomcast(&["check-config", "--config", "r.toml", "--port", "4001"]);
    let said = run(command.env("JWT_SECRET", SECRET).env("PORT", "4002").env("MAX_ROOMS", "5"));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(row(&said, "PORT"), "4001 flag");
    assert_eq!(row(&said, "MAX_ROOMS"), "5 environment");
    assert_eq!(row(&said, "HISTORY_SIZE"), "3 file r.toml");
    assert_eq!(row(&said, "HISTORY_TTL"), "10m default");
    assert_eq!(row(&said, "JWT_SECRET"), "(not shown) environment");
    assert!(!said.stdout.contains(SECRET));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let directory = Directory::new();
    let said = run(directory.roomcast(&["check-config", "--dev"]).env("PORT", "").env("ROOMCAST_CONFIG", ""));
    assert_eq!((said.code, row(&said, "PORT")), (Some(0), "3001 default".into()), "{}", said.stderr);
}

#[test]
fn the_modes_have_their_defaults() {
    let directory = Directory::new();
    let dev = run(&mut directory.roomcast(&["check-config", "--dev"]));
    assert_eq!(row(&dev, "ROOM_ACCESS"), "open default");
    assert!(row(&dev, "JWT_SECRET").contains("made at the first start"));
    assert!(!directory.path().join(".roomcast").exists(), "a check makes nothing");
    let serve = run(directory.roomcast(&["check-config"]).env("JWT_SECRET", SECRET));
    assert_eq!(row(&serve, "ROOM_ACCESS"), "grants default");
}

#[test]
fn serve_refuses_a_secret_that_is_missing_or_short_and_shows_none() {
    let directory = Directory::new();
    let hint = "openssl rand -hex 32";
    assert_refused(&mut directory.roomcast(&["serve"]), &["JWT_SECRET", "not set", "32 bytes", hint]);
    // The example of the original's documentation.
    let short = ["JWT_SECRET (environment): found 15 bytes", hint];
    assert_refused(directory.roomcast(&["serve"]).env("JWT_SECRET", "your-secret-key"), &short);
    let said = run(directory.roomcast(&["check-config"]).env("JWT_SECRET", "your-secret-key"));
    assert_eq!(said.code, Some(2));
    assert!(!said.stdout.contains("your-secret-key") && !said.stderr.contains("your-secret-key"));
    // The secret of dev is none for serve.
    std::fs::create_dir(directory.path().join(".roomcast")).unwrap();
    directory.write(".roomcast/dev-secret", SECRET);
    assert_refused(&mut directory.roomcast(&["serve"]), &["JWT_SECRET", "not set"]);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let directory = Directory::new();
    let mut command = directory.roomcast(&["serve", "--ping-interval-ms", "60s"]);
    assert_refused(command.env("JWT_SECRET", SECRET), &["IDLE_TIMEOUT_MS", "PING_INTERVAL_MS"]);
    let mut command = directory.roomcast(&["serve"]);
    let sentinels = command.env("JWT_SECRET", SECRET).env("REDIS_SENTINELS", "localhost:26379");
    assert_refused(sentinels, &["REDIS_MASTER", "not set"]);
}

#[test]
fn a_redis_address_that_is_none_is_refused_and_not_shown() {
    let directory = Directory::new();
    let mut command = directory.roomcast(&["serve"]);
    let redis = command.env("JWT_SECRET", SECRET).env("REDIS_URL", "http://:hush@localhost");
    assert_refused(redis, &["REDIS_URL (environment)", "rediss://"]);
    assert!(!run(redis).stderr.contains("hush"));
}

#[test]
fn the_originals_variables_are_accepted() {
    let directory = Directory::new();
    let mut command = directory.roomcast(&["check-config"]);
    command.env("PORT", "3001").env("JWT_SECRET", SECRET).env("FRONTEND_URL", "http://localhost:3000");
    let said = run(command.env("NODE_ENV", "production"));
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(row(&said, "FRONTEND_URL"), "http://localhost:3000 environment");
}

#[test]
fn a_log_filter_that_is_none_is_refused() {
    let directory = Directory::new();
    assert_refused(directory.roomcast(&["dev"]).env("RUST_LOG", "a=b=c"), &["RUST_LOG (environment)", "a=b=c"]);
}
