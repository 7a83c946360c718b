//! JSON Schema 2020-12 of the wire: every frame in both directions, the events, and the HTTP bodies that carry events.
//!
//! Owns how the types of this crate look as a schema, and refuses to say anything that they do not: payloads are derived
//! from their structs, and the frames around them, which are read and written by hand, are put together here from the two
//! registries. What the gateway sends is described as it is written, what it receives as it is read.

mod http;
mod incoming;
mod outgoing;
mod text;

use std::collections::BTreeSet;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

pub use text::Positions;

/// A line of a registry, with the schema of its payload.
#[derive(Debug)]
pub(crate) struct Registered {
    /// The variant's name, such as `IssueCreated`.
    pub(crate) name: &'static str,
    /// The name on the wire, such as `issue.created`.
    pub(crate) wire_type: &'static str,
    /// What it means.
    pub(crate) description: &'static str,
    /// A reference to the payload.
    pub(crate) payload: Schema,
}

/// The definitions that stand for a whole message, each with a schema document of its own.
pub const ROOTS: &[&str] =
    &["AnyEvent", "ClientMessage", "CustomEvent", "Event", "Problem", "PublishAnswer", "PublishBody", "ServerMessage"];

/// The dialect of every document.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Every definition in one document. It validates nothing by itself: refer into its `$defs`.
///
/// # Panics
/// When a type looks different as it is written and as it is read: such a type needs two names.
#[must_use]
pub fn bundle() -> Value {
    json!({
        "$schema": DIALECT,
        "$id": id("bundle"),
        "title": "Roomcast",
        "description": format!("Every frame, event and body of the Roomcast protocol, version {}.", crate::SCHEMA_VERSION),
        "$defs": definitions(),
    })
}

/// A document that validates one root and holds the definitions that it needs; `None` for a name outside [`ROOTS`].
#[must_use]
pub fn root(name: &str) -> Option<Value> {
    if !ROOTS.contains(&name) {
        return None;
    }
    let all = definitions();
    let mut needed = BTreeSet::new();
    reach(&all, name, &mut needed);
    let defs: Map<String, Value> = all.into_iter().filter(|(key, _)| needed.contains(key)).collect();
    Some(json!({
        "$schema": DIALECT,
        "$id": id(name),
        "title": name,
        "$ref": format!("#/$defs/{name}"),
        "$defs": defs,
    }))
}

fn id(name: &str) -> String {
    format!("urn:roomcast:schema:{}:{name}", crate::SCHEMA_VERSION)
}

/// All definitions by name, sorted.
fn definitions() -> Map<String, Value> {
    let mut written = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut outgoing = outgoing::definitions(&mut written);
    outgoing.extend(http::answers(&mut written));
    outgoing.extend(written.take_definitions(true));
    let mut read = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let mut incoming = incoming::definitions(&mut read);
    incoming.extend(http::bodies(&mut read));
    incoming.extend(read.take_definitions(true));
    let mut all = Map::new();
    for (name, mut schema) in outgoing.into_iter().chain(incoming) {
        tidy(&mut schema);
        let same = all.get(&name).is_none_or(|known| *known == schema);
        assert!(same, "{name} differs between what is written and what is read");
        all.insert(name, schema);
    }
    all.sort_keys();
    all
}

/// Takes out what says nothing to a validator or a reader.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(object) => {
            // `uint64` and the like are no formats of JSON Schema; `minimum` and `maximum` stand beside them.
            if object.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                object.remove("format");
            }
            // Other fields are allowed anyway; said of a payload, it would make a generated type accept any field.
            let named = object.get("properties").and_then(Value::as_object).is_some_and(|named| !named.is_empty());
            if named && object.get("additionalProperties") == Some(&Value::Bool(true)) {
                object.remove("additionalProperties");
            }
            drop_null(object);
            object.values_mut().for_each(tidy);
        }
        _ => {}
    }
}

/// An absent field is left out and never `null`, in both directions.
fn drop_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({"type": "null"}));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            object.extend(only);
        }
    }
}

/// Collects the names that a definition needs, itself included.
fn reach(all: &Map<String, Value>, name: &str, needed: &mut BTreeSet<String>) {
    if needed.insert(name.into())
        && let Some(schema) = all.get(name)
    {
        references(schema, &mut |name| reach(all, name, needed));
    }
}

fn references(schema: &Value, visit: &mut impl FnMut(&str)) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| references(item, visit)),
        Value::Object(object) => {
            if let Some(name) = object.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/$defs/")) {
                visit(name);
            }
            object.values().for_each(|value| references(value, visit));
        }
        _ => {}
    }
}

/// A payload with fields of its own may say its workspace; see [`Event::rooms`](crate::Event::rooms).
pub(crate) fn add_workspace(schema: &mut Schema) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let description = "The workspace: without rooms of its own, the event goes to the workspace's room too.";
        properties.insert("workspaceId".into(), json!({"type": "string", "description": description}));
    }
}

/// A reference to a type's definition.
fn reference<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// A reference to a definition that is put together here.
fn named(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// A reference with words of its own.
fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

/// An object with these properties, of which some are required. Other properties are allowed.
fn object<const N: usize, const R: usize>(properties: [(&str, Value); N], required: [&str; R]) -> Value {
    let properties: Map<String, Value> = properties.into_iter().map(|(name, schema)| (name.into(), schema)).collect();
    json!({"type": "object", "properties": properties, "required": required.as_slice()})
}

/// A union whose members are told apart by the constant in one property.
fn tagged(property: &str, description: &str, members: impl IntoIterator<Item = String>) -> Value {
    let members: Vec<Value> = members.into_iter().map(|name| named(&name)).collect();
    json!({
        "type": "object",
        "description": description,
        "discriminator": {"propertyName": property},
        "oneOf": members,
    })
}

/// A union whose members need a look at more than one constant.
fn either<const N: usize>(description: &str, members: [Value; N]) -> Value {
    json!({"description": description, "anyOf": members.as_slice()})
}

/// What must be one thing and the other.
fn both(description: &str, one: Value, other: Value) -> Value {
    json!({"description": description, "allOf": [one, other]})
}
