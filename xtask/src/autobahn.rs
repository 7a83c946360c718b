//! `autobahn`: Autobahn's test suite against the codec, over the gateway's way of reading and writing.
//!
//! Owns the suite's installation below `target/autobahn`, which needs a Python 2.7, and the judgement: the suite itself
//! succeeds whatever it finds. It is no part of continuous integration, since few systems have such a Python.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::{Result, shell};

/// What the suite runs with, in the order in which it installs: the last versions that know Python 2.7.
const PACKAGES: &[&[&str]] = &[
    &["incremental==16.10.1", "cryptography==3.3.2", "pyOpenSSL==19.1.0"],
    &["Twisted==19.10.0", "autobahntestsuite==25.10.1"],
];

/// Compression, which the gateway does not offer.
const EXCLUDED: &[&str] = &["12.*", "13.*"];

/// Verdicts that are no failure. Stricter than the suite: what it calls non-strict is a failure here.
const GOOD: &[&str] = &["OK", "INFORMATIONAL"];

/// An echo that ends with this.
struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the suite and judges its report.
pub(crate) fn run() -> Result {
    let folder = shell::target()?.join("autobahn");
    fs::create_dir_all(&folder)?;
    let suite = install(&folder)?;
    let (_echo, address) = echo()?;
    let reports = folder.join("reports");
    let specification = json!({
        "outdir": reports,
        "servers": [{ "agent": "roomcast", "url": format!("ws://{address}") }],
        "cases": ["*"],
        "exclude-cases": EXCLUDED,
        "exclude-agent-cases": {},
    });
    let file = folder.join("fuzzingclient.json");
    fs::write(&file, specification.to_string())?;
    shell::run(&mut shell::command(suite, ["-m".as_ref(), "fuzzingclient".as_ref(), "-s".as_ref(), file.as_os_str()]))?;
    judge(&fs::read_to_string(reports.join("index.json"))?)
}

/// Installs the suite, unless it is there.
fn install(folder: &Path) -> Result<PathBuf> {
    let (environment, tools) = (folder.join("env"), folder.join("tools"));
    let suite = environment.join("bin/wstest");
    if suite.exists() {
        return Ok(suite);
    }
    let python = python().ok_or("missing: Python 2.7; name one with PYTHON27, or install it: pyenv install 2.7.18")?;
    let tools_as: [&std::ffi::OsStr; 7] = [
        "-m".as_ref(),
        "pip".as_ref(),
        "install".as_ref(),
        "--quiet".as_ref(),
        "--target".as_ref(),
        tools.as_os_str(),
        "virtualenv==20.15.1".as_ref(),
    ];
    shell::run(&mut shell::command(&python, tools_as))?;
    let pins = ["-m", "virtualenv", "--pip", "20.3.4", "--setuptools", "44.0.0", "--wheel", "0.36.2"];
    shell::run(shell::command(&python, pins).arg(&environment).env("PYTHONPATH", &tools))?;
    for packages in PACKAGES {
        let options = ["install", "--quiet", "--no-build-isolation"];
        shell::run(shell::command(environment.join("bin/pip"), options).args(*packages))?;
    }
    Ok(suite)
}

/// The first Python 2.7: the one that `PYTHON27` names, one on the path, one of pyenv's.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("PYTHON27").map(PathBuf::from);
    let versions = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv/versions"));
    let of_pyenv = versions.and_then(|versions| fs::read_dir(versions).ok()).into_iter().flatten().flatten();
    let of_pyenv = of_pyenv.map(|version| version.path().join("bin/python2.7"));
    let all = named.into_iter().chain([PathBuf::from("python2.7")]).chain(of_pyenv);
    all.into_iter().find(|python| {
        shell::command(python, ["-c", "import ssl"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    })
}

/// Builds and starts the echo, and says where it listens.
fn echo() -> Result<(Echo, String)> {
    let example = ["build", "--package", "roomcast-gateway", "--features", "echo", "--example", "echo"];
    shell::run(&mut shell::cargo(example))?;
    let mut command = shell::command(shell::target()?.join("debug/examples/echo"), [""; 0]);
    let mut echo = Echo(command.stdout(Stdio::piped()).spawn()?);
    let mut address = String::new();
    BufReader::new(echo.0.stdout.take().ok_or("no output")?).read_line(&mut address)?;
    match address.trim() {
        "" => Err("the echo did not say where it listens".into()),
        address => Ok((echo, address.to_owned())),
    }
}

/// Counts the verdicts, and fails over each that is not good.
fn judge(index: &str) -> Result {
    let index: Value = serde_json::from_str(index)?;
    let cases = index["roomcast"].as_object().filter(|cases| !cases.is_empty()).ok_or("the suite reports no case")?;
    let mut counts = BTreeMap::new();
    let mut failed = Vec::new();
    for (case, report) in cases {
        let verdicts =
            [&report["behavior"], &report["behaviorClose"]].map(|verdict| verdict.as_str().unwrap_or("none"));
        *counts.entry(verdicts).or_insert(0) += 1;
        let code = report["remoteCloseCode"].as_u64();
        if !verdicts.iter().all(|verdict| GOOD.contains(verdict)) || !is_right(case, code) {
            failed.push(format!("{case}: {}, close {}, code {code:?}", verdicts[0], verdicts[1]));
        }
    }
    for ([behaviour, close], count) in &counts {
        println!("{count:>4} {behaviour}, close {close}");
    }
    failed.iter().for_each(|failed| println!("{failed}"));
    if failed.is_empty() { Ok(()) } else { Err(format!("{} of {} cases failed", failed.len(), cases.len()).into()) }
}

/// Whether a case may end with this close code, which the suite itself does not judge: what is no frame with 1002, what is no
/// text with 1007.
fn is_right(case: &str, code: Option<u64>) -> bool {
    match case.split('.').next() {
        Some("3" | "4") => code == Some(1002),
        Some("6") => matches!(code, Some(1000 | 1007)),
        _ if case.starts_with("7.9.") => code == Some(1002),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_that_is_not_good_fails_and_so_does_an_empty_report() {
        let report = |behaviour: &str, close: &str| {
            json!({ "roomcast": { "1.1.1": { "behavior": behaviour, "behaviorClose": close } } }).to_string()
        };
        assert!(judge(&report("OK", "OK")).is_ok());
        assert!(judge(&report("INFORMATIONAL", "OK")).is_ok());
        assert!(judge(&report("NON-STRICT", "OK")).is_err());
        assert!(judge(&report("OK", "FAILED")).is_err());
        assert!(judge(r#"{ "roomcast": {} }"#).is_err());
    }

    #[test]
    fn a_wrong_close_code_fails() {
        assert!(is_right("3.1", Some(1002)) && !is_right("3.1", Some(1000)) && !is_right("3.1", None));
        assert!(is_right("6.1.1", Some(1000)) && is_right("6.3.1", Some(1007)) && !is_right("6.3.1", Some(1002)));
    }
}
