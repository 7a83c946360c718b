//! `roomcast schema`: the protocol as JSON Schema, as this binary speaks it.
//!
//! Owns nothing of the schema itself, which is generated and built in; one definition is cut out with all that it refers to.

use std::collections::BTreeSet;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::output::print;

const BUNDLE: &str = include_str!("../../../protocol-schema/schema.json");

/// How one definition refers to another.
const REFERENCE: &str = "#/$defs/";

pub(crate) fn command() -> Command {
    Command::new("schema")
        .about("Print the protocol's JSON Schema: everything, or one definition with what it refers to")
        .arg(Arg::new("definition").value_name("NAME").help("a definition, such as ServerMessage or PublishBody"))
        .arg(
            Arg::new("list")
                .long("list")
                .action(ArgAction::SetTrue)
                .conflicts_with("definition")
                .help("print the names of all definitions"),
        )
}

pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let unreadable = |error: serde_json::Error| Failure::other(format!("read the schema that is built in: {error}"));
    let bundle: Value = serde_json::from_str(BUNDLE).map_err(unreadable)?;
    if matches.get_flag("list") {
        let names: Vec<&str> = definitions(&bundle).map(|(name, _)| name.as_str()).collect();
        return print(&names.join("\n"));
    }
    match matches.get_one::<String>("definition") {
        None => print(BUNDLE.trim_end()),
        Some(name) => {
            let schema = cut_out(&bundle, name).ok_or_else(|| {
                Failure::other(format!("find {name}: no definition has this name"))
                    .hint("`roomcast schema --list` names all")
            })?;
            print(&serde_json::to_string_pretty(&schema).map_err(unreadable)?)
        }
    }
}

fn definitions(bundle: &Value) -> impl Iterator<Item = (&String, &Value)> {
    bundle["$defs"].as_object().into_iter().flatten()
}

/// A document of its own for the definition; `None` when there is none of that name.
fn cut_out(bundle: &Value, name: &str) -> Option<Value> {
    let all = bundle["$defs"].as_object()?;
    let (mut needed, mut open) = (BTreeSet::new(), vec![name]);
    while let Some(name) = open.pop() {
        let definition = all.get(name)?;
        if needed.insert(name) {
            references(definition, &mut open);
        }
    }
    let definitions: Map<String, Value> = needed.iter().map(|name| ((*name).to_owned(), all[*name].clone())).collect();
    let id = bundle["$id"].as_str()?.strip_suffix("bundle")?;
    Some(json!({
        "$defs": definitions,
        "$id": format!("{id}{name}"),
        "$ref": format!("{REFERENCE}{name}"),
        "$schema": bundle["$schema"],
        "title": name,
    }))
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str().and_then(|text| text.strip_prefix(REFERENCE)) {
                    Some(name) if key == "$ref" => found.push(name),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}
