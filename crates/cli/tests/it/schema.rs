//! `schema`: the generated files, out of the binary.

use std::path::Path;

use crate::harness::{Directory, run};

fn generated(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol-schema").join(name);
    std::fs::read_to_string(path).unwrap().trim_end().to_owned()
}

#[test]
fn the_whole_schema_is_the_generated_one() {
    let directory = Directory::new();
    assert!(run(&mut directory.roomcast(&["schema"])).stdout == generated("schema.json"));
}

#[test]
fn one_definition_comes_with_what_it_refers_to_as_in_the_generated_files() {
    let directory = Directory::new();
    for name in ["ServerMessage", "ClientMessage", "PublishBody", "Problem"] {
        let said = run(&mut directory.roomcast(&["schema", name]));
        assert!(said.stdout == generated(&format!("schema/{name}.json")), "{name} differs");
    }
}

#[test]
fn definitions_are_listed_and_an_unknown_one_is_told() {
    let directory = Directory::new();
    let listed = run(&mut directory.roomcast(&["schema", "--list"])).stdout;
    assert!(listed.lines().any(|line| line == "ServerMessage"), "{listed}");
    let said = run(&mut directory.roomcast(&["schema", "Nothing"]));
    assert!(said.code == Some(1) && said.stderr.contains("schema --list"), "{}", said.stderr);
}
