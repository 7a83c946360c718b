//! The page that introduces protocol-schema/ to those who build a client.

use roomcast_protocol::{Event, SCHEMA_VERSION, schema};

use super::HEADER;

/// The page.
pub(super) fn text(hash: &str) -> String {
    let roots = schema::ROOTS.map_lines(|name| format!("- [`{name}`](schema/{name}.json)"));
    let events = Event::TYPES.map_lines(|name| format!("- `{name}`: [example](examples/events/{name}.json)"));
    include_str!("readme.md")
        .replace("{{header}}", HEADER)
        .replace("{{version}}", SCHEMA_VERSION)
        .replace("{{hash}}", hash)
        .replace("{{roots}}", &roots)
        .replace("{{events}}", &events)
}

trait MapLines {
    fn map_lines(&self, line: impl Fn(&str) -> String) -> String;
}

impl MapLines for [&str] {
    fn map_lines(&self, line: impl Fn(&str) -> String) -> String {
        self.iter().map(|item| line(item)).collect::<Vec<_>>().join("\n")
    }
}
