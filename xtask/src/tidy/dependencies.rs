//! Rules on dependencies: who may depend on whom, and on what at all.
//!
//! Edges between our own crates come from cargo's metadata; what is really built comes from `cargo tree`, since metadata also
//! names optional packages that nothing switches on.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use super::{Finding, licences};
use crate::{Result, shell};

/// A crate of ours, what it must not depend on, and the reason.
struct Forbidden {
    from: &'static str,
    to: &'static [&'static str],
    /// Whether its tests may.
    tests_may: bool,
    reason: &'static str,
}

const FORBIDDEN: &[Forbidden] = &[
    Forbidden {
        from: "roomcast-protocol",
        to: &["roomcast-gateway", "roomcast-client", "roomcast-cli", "tokio", "axum", "hyper", "rand", "uuid"],
        tests_may: false,
        reason: "the protocol is the wire and nothing else: no runtime, no input or output, no clock, no chance",
    },
    Forbidden {
        from: "roomcast-websocket",
        to: &[
            "roomcast-protocol",
            "roomcast-gateway",
            "roomcast-client",
            "tokio",
            "tokio-tungstenite",
            "axum",
            "hyper",
        ],
        tests_may: true,
        reason: "the codec knows bytes and nothing else: no runtime, no input or output, no other codec",
    },
    Forbidden {
        from: "roomcast-gateway",
        to: &["tokio-tungstenite"],
        tests_may: true,
        reason: "the gateway speaks WebSocket by roomcast-websocket",
    },
    Forbidden {
        from: "roomcast-gateway",
        to: &["roomcast-client", "roomcast-cli"],
        tests_may: false,
        reason: "the gateway does not know who speaks to it",
    },
    Forbidden {
        from: "roomcast-client",
        to: &["roomcast-gateway", "roomcast-cli", "axum"],
        tests_may: true,
        reason: "a client speaks to any gateway",
    },
    Forbidden {
        from: "roomcast-loadtest",
        to: &["roomcast-gateway", "roomcast-client", "roomcast-cli", "tokio", "hyper"],
        tests_may: true,
        reason: "the load tool measures any server from outside, in one loop of its own",
    },
    Forbidden {
        from: "roomcast-demo",
        to: &["roomcast-gateway", "roomcast-cli", "roomcast-loadtest"],
        tests_may: false,
        reason: "the demo is an application: it knows a gateway by its URL, and the SDK",
    },
    Forbidden {
        from: "xtask",
        to: &["roomcast-gateway", "roomcast-client", "roomcast-cli", "roomcast-loadtest", "roomcast-demo"],
        tests_may: false,
        reason: "a task must run while the product does not compile",
    },
];

/// Packages that may be built in two versions, and why.
const DUPLICATES: &[(&str, &str)] = &[
    ("getrandom", "jsonwebtoken asks for an older one on wasm, where nothing of this runs"),
    ("syn", "the ecosystem is between its versions 2 and 3"),
    ("untrusted", "aws-lc-rs and rustls-webpki ask for different ones; a few lines each"),
];

/// Cryptography that would be a second provider beside aws-lc-rs, and TLS that is not rustls.
const SECOND_PROVIDERS: &[&str] =
    &["ring", "openssl", "openssl-sys", "native-tls", "boring", "rustls-rustcrypto", "mbedtls"];

/// A package that is really built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Built {
    name: String,
    version: String,
    licence: String,
}

/// Every rule on dependencies.
pub(super) fn check() -> Result<Vec<Finding>> {
    let metadata = MetadataCommand::new().current_dir(shell::root()).no_deps().exec()?;
    let mut findings = edges(&metadata);
    findings.extend(schemars(&metadata));
    let built = built()?;
    findings.extend(providers(&built));
    findings.extend(licence(&built));
    findings.extend(duplicates(&built));
    Ok(findings)
}

fn edges(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in FORBIDDEN {
        for package in metadata.packages.iter().filter(|package| package.name == rule.from) {
            let counts = |kind: DependencyKind| !(rule.tests_may && kind == DependencyKind::Development);
            let broken =
                package.dependencies.iter().filter(|to| rule.to.contains(&to.name.as_str()) && counts(to.kind));
            findings.extend(broken.map(|to| format!("{} depends on {}: {}", rule.from, to.name, rule.reason)));
        }
    }
    findings
}

/// Schemas are a build product: what runs has none in it.
fn schemars(metadata: &Metadata) -> Vec<Finding> {
    let users = metadata.packages.iter().filter(|package| {
        package
            .dependencies
            .iter()
            .any(|to| to.name == "schemars" && !(to.optional && package.name == "roomcast-protocol"))
    });
    users
        .map(|package| format!("{} depends on schemars: only the protocol's feature `schema` may", package.name))
        .collect()
}

/// What is built for any target, tests included.
fn built() -> Result<BTreeSet<Built>> {
    let arguments = ["tree", "--workspace", "--target", "all", "--prefix", "none", "--format", "{p}\t{l}"];
    let text = shell::read(&mut shell::cargo(arguments), "")?;
    Ok(text.lines().filter_map(parse).collect())
}

/// `name vVERSION (source)\tLICENCE (*)`; our own packages, which have a path, are left out.
fn parse(line: &str) -> Option<Built> {
    let (package, licence) = line.split_once('\t')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let ours = words.any(|word| word.starts_with("(/"));
    let licence = licence.trim_end_matches("(*)").trim().to_owned();
    (!ours).then(|| Built { name: name.into(), version: version.into(), licence })
}

fn providers(built: &BTreeSet<Built>) -> Vec<Finding> {
    let second = built.iter().filter(|package| SECOND_PROVIDERS.contains(&package.name.as_str()));
    second.map(|package| format!("{} is built: aws-lc-rs is the only provider of cryptography", package.name)).collect()
}

fn licence(built: &BTreeSet<Built>) -> Vec<Finding> {
    let refused = built.iter().filter(|package| !licences::is_allowed(&package.licence));
    refused.map(|package| format!("{} {}: licence {:?}", package.name, package.version, package.licence)).collect()
}

fn duplicates(built: &BTreeSet<Built>) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in built {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let allowed = |name: &str| DUPLICATES.iter().any(|(allowed, _)| *allowed == name);
    let mut findings: Vec<Finding> = versions
        .iter()
        .filter(|(name, _)| !allowed(name))
        .map(|(name, versions)| format!("{name} is built in versions {}", versions.join(" and ")))
        .collect();
    let stale = DUPLICATES.iter().filter(|(name, _)| !versions.contains_key(name));
    findings.extend(
        stale.map(|(name, _)| format!("{name} is allowed in two versions and is built in one: take it off the list")),
    );
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(line: &str) -> Built {
        parse(line).unwrap()
    }

    #[test]
    fn a_line_of_the_tree_is_read() {
        let syn = package("syn v2.0.1\tMIT OR Apache-2.0 (*)");
        assert_eq!((&*syn.name, &*syn.version, &*syn.licence), ("syn", "2.0.1", "MIT OR Apache-2.0"));
        assert_eq!(package("x-macros v1.0.0 (proc-macro)\tMIT").name, "x-macros");
        assert_eq!(parse("roomcast-cli v0.1.0 (/some/where)\tMIT"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_second_provider_is_found() {
        let built = BTreeSet::from([package("aws-lc-rs v1.0.0\tISC"), package("ring v0.17.0\tISC")]);
        assert_eq!(providers(&built).len(), 1);
    }

    #[test]
    fn a_duplicate_is_found_and_so_is_a_permission_that_nothing_uses() {
        let built = BTreeSet::from([package("log v0.3.0\tMIT"), package("log v0.4.0\tMIT")]);
        let findings = duplicates(&built);
        assert_eq!(findings.len(), 1 + DUPLICATES.len(), "{findings:?}");
        assert!(findings[0].contains("0.3.0 and 0.4.0"));
    }

    #[test]
    fn a_licence_off_the_list_is_found() {
        let built = BTreeSet::from([package("a v1.0.0\tGPL-3.0"), package("b v1.0.0\tMIT"), package("c v1.0.0\t")]);
        assert_eq!(licence(&built).len(), 2);
    }
}
