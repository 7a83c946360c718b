//! Rules on single files.
//!
//! Each rule takes a path from the root and the text, and gives its findings. What a rule forbids stands here in two halves
//! where this very file would break it.

use super::Finding;
use crate::codegen::HEADER;

/// Every rule on one file.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let rules = [module_docs, places, machine, unfinished, skipped, generated, lock];
    rules.iter().flat_map(|rule| rule(path, text)).collect()
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// The numbered lines that hold code: neither comments nor documentation.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// A module opens with what it owns and what it refuses.
fn module_docs(path: &str, text: &str) -> Vec<Finding> {
    let undocumented = is_rust(path) && !text.starts_with("//!");
    undocumented.then(|| format!("{path}: does not open with //! and what the module owns")).into_iter().collect()
}

/// A library that may be known to a few files only, so that it could be replaced there.
struct Place {
    /// How the library looks in code.
    word: &'static str,
    /// The beginnings of the paths that may know it. Below `src/` no other file may; tests and examples may.
    allowed: &'static [&'static str],
}

const PLACES: &[Place] = &[
    Place { word: "tungstenite", allowed: &["crates/client/src/transport"] },
    // Frames are made with their header.
    Place { word: "roomcast_websocket", allowed: &["crates/gateway/src/connection", "crates/gateway/src/frame.rs"] },
    Place {
        word: "axum",
        // gateway.rs is the library's face: what an application mounts is axum's router.
        allowed: &[
            "crates/gateway/src/gateway.rs",
            "crates/gateway/src/http",
            "crates/gateway/src/server",
            "crates/gateway/src/upgrade",
            // An application of its own.
            "crates/demo/src/",
        ],
    },
    Place { word: "redis::", allowed: &["crates/gateway/src/broker/redis", "crates/gateway/src/presence/redis"] },
    Place { word: "schemars", allowed: &["crates/protocol/src/"] },
];

fn places(path: &str, text: &str) -> Vec<Finding> {
    if !(is_rust(path) && path.starts_with("crates/") && path.contains("/src/")) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for place in PLACES.iter().filter(|place| !place.allowed.iter().any(|allowed| path.starts_with(allowed))) {
        for (number, _) in code(text).filter(|(_, line)| line.contains(place.word)) {
            let allowed = place.allowed.join(", ");
            findings.push(format!("{path}:{number}: {} may be known to {allowed} only", place.word));
        }
    }
    findings
}

/// Nothing of the machine that it was written on, and no registry that is not everybody's.
fn machine(path: &str, text: &str) -> Vec<Finding> {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("registry.", "npmjs.org"),
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("pypi.", "org"),
        concat!("python", "hosted.org"),
    ];
    each(path, text, &words, "a place of one machine, or the host of a registry")
}

/// What is to be done stands in an issue, not in the text.
fn unfinished(path: &str, text: &str) -> Vec<Finding> {
    each(path, text, &[concat!("TO", "DO"), concat!("FIX", "ME")], "unfinished: open an issue instead")
}

/// A test that does not run says nothing.
fn skipped(path: &str, text: &str) -> Vec<Finding> {
    let words: &[&str] = match path.rsplit('.').next() {
        Some("rs") => &[concat!("#[ig", "nore")],
        Some("mjs" | "js" | "ts" | "tsx") => &[
            concat!("test.sk", "ip"),
            concat!("it.sk", "ip"),
            concat!("describe.sk", "ip"),
            concat!("test.to", "do"),
            concat!("test.on", "ly"),
            concat!("skip: ", "true"),
        ],
        Some("py") => &[concat!("unittest.sk", "ip"), concat!("mark.sk", "ip"), concat!("skip", "Test")],
        _ => &[],
    };
    each(path, text, words, "a test that does not run")
}

/// Who opens a generated file must see that it is one. JSON has no place for it.
fn generated(path: &str, text: &str) -> Vec<Finding> {
    let folders = ["protocol-schema/", "web/client/src/schema/", "web/console/dist/"];
    let generated = folders.iter().any(|folder| path.starts_with(folder)) || path.ends_with("/generated.rs");
    let silent = generated && !path.ends_with(".json") && !text.lines().take(4).any(|line| line.contains(HEADER));
    silent.then(|| format!("{path}: does not say in its first lines that it is generated")).into_iter().collect()
}

/// A lock file pins contents by their hashes, from whichever registry they come. A folder of this repository is named.
fn lock(path: &str, text: &str) -> Vec<Finding> {
    if !path.ends_with("package-lock.json") {
        return Vec::new();
    }
    let names = |line: &str| line.contains("\"resolved\"") && !line.trim().starts_with("\"resolved\": \"web/");
    let found = text.lines().enumerate().filter(|(_, line)| names(line));
    found.map(|(index, _)| format!("{path}:{}: names a registry", index + 1)).collect()
}

fn each(path: &str, text: &str, words: &[&str], reason: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(**word)) {
            findings.push(format!("{path}:{}: {word}: {reason}", index + 1));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOC: &str = "//! A module.\n";

    fn findings(path: &str, code: &str) -> usize {
        check(path, &format!("{DOC}{code}")).len()
    }

    #[test]
    fn a_module_without_words_is_found() {
        assert_eq!(check("crates/x/src/a.rs", "use a::b;\n").len(), 1);
        assert_eq!(check("crates/x/src/a.rs", DOC).len(), 0);
        assert_eq!(check("notes.md", "words").len(), 0);
    }

    #[test]
    fn a_websocket_type_outside_its_places_is_found() {
        let library = "use tokio_tungstenite::WebSocketStream;\n";
        assert_eq!(findings("crates/gateway/src/connection.rs", library), 1);
        assert_eq!(findings("crates/client/src/transport.rs", library), 0);
        assert_eq!(findings("crates/client/tests/it/main.rs", library), 0);
        let codec = "use roomcast_websocket::Decoder;\n";
        assert_eq!(findings("crates/gateway/src/hub.rs", codec), 1);
        assert_eq!(findings("crates/gateway/src/connection.rs", codec), 0);
        assert_eq!(findings("crates/gateway/src/connection/socket.rs", codec), 0);
    }

    #[test]
    fn a_comment_may_name_a_library() {
        assert_eq!(findings("crates/gateway/src/hub.rs", "    /// Unlike axum, it waits.\n"), 0);
        assert_eq!(findings("crates/gateway/src/hub.rs", "fn f(_: axum::Router) {}\n"), 1);
    }

    #[test]
    fn a_place_of_one_machine_is_found() {
        assert_eq!(findings("a.rs", concat!("const P: &str = \"/ho", "me/me/x\";\n")), 1);
        assert_eq!(findings("a.rs", "const P: &str = \"/usr/bin/x\";\n"), 0);
    }

    #[test]
    fn a_test_that_does_not_run_is_found() {
        assert_eq!(findings("a.rs", concat!("#[ig", "nore = \"slow\"]\n")), 1);
        assert_eq!(check("a.test.mjs", concat!("test.sk", "ip('x', () => {});")).len(), 1);
        assert_eq!(findings("a.rs", "list.iter().skip(1)\n"), 0);
    }

    #[test]
    fn a_generated_file_that_does_not_say_so_is_found() {
        assert_eq!(check("protocol-schema/typescript/a.ts", "export {};\n").len(), 1);
        assert_eq!(check("protocol-schema/typescript/a.ts", &format!("// {HEADER}\n")).len(), 0);
        assert_eq!(check("protocol-schema/a.json", "{}\n").len(), 0);
    }

    #[test]
    fn a_lock_file_that_names_its_registry_is_found() {
        assert_eq!(check("package-lock.json", "{\"resolved\": \"https://example.org/x.tgz\"}\n").len(), 1);
        assert_eq!(check("package-lock.json", "\"resolved\": \"web/client\",\n").len(), 0);
    }
}
