//! What the gateway sends: replies, news of the connection, and events.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::{Positions, Registered, described, either, named, object, reference, tagged};
use crate::{Event, EventId, EventType, RequestId, Timestamp, UserId, event, server};

/// The frames and their unions, by name. The payloads go to the generator.
pub(super) fn definitions(generator: &mut SchemaGenerator) -> Vec<(String, Value)> {
    let replies = server::registered(generator);
    let events = event::registered(generator);
    let mut all: Vec<(String, Value)> = Vec::new();
    all.push(("Reply".into(), tagged("type", "A frame that is no event.", replies.iter().map(reply_name))));
    all.push((
        "Event".into(),
        tagged("type", "An event of a type that the protocol names.", events.iter().map(event_name)),
    ));
    all.push(("AnyEvent".into(), either("An event.", [named("Event"), named("CustomEvent")])));
    let known = [named("Reply"), named("Event")];
    all.push(("KnownMessage".into(), either("A frame of a type that the protocol names.", known)));
    let members = [named("KnownMessage"), named("CustomEvent")];
    all.push(("ServerMessage".into(), either("A frame from the gateway.", members)));
    all.push(("CustomEvent".into(), custom_event(generator)));
    for line in &replies {
        all.push((reply_name(line), reply_frame(line, generator)));
    }
    for line in &events {
        let wire_type = json!({"type": "string", "const": line.wire_type});
        all.push((
            event_name(line),
            event_frame(line.description, wire_type, line.payload.as_value().clone(), generator),
        ));
    }
    all
}

fn reply_name(line: &Registered) -> String {
    format!("{}Frame", line.name)
}

fn event_name(line: &Registered) -> String {
    format!("{}Event", line.name)
}

fn reply_frame(line: &Registered, generator: &mut SchemaGenerator) -> Value {
    let properties = [
        ("type", json!({"type": "string", "const": line.wire_type})),
        ("replyTo", described(reference::<RequestId>(generator), "The `id` of the request that it answers.")),
        ("payload", line.payload.as_value().clone()),
        ("timestamp", described(reference::<Timestamp>(generator), "When the gateway wrote it.")),
    ];
    described(object(properties, ["type", "payload", "timestamp"]), line.description)
}

fn event_frame(description: &str, wire_type: Value, payload: Value, generator: &mut SchemaGenerator) -> Value {
    let positions =
        "Its place in each of its rooms that the connection is in; absent when it is neither kept nor replayed.";
    let properties = [
        ("type", wire_type),
        ("payload", payload),
        ("timestamp", described(reference::<Timestamp>(generator), "When it happened.")),
        ("userId", described(reference::<UserId>(generator), "Who did it.")),
        ("eventId", described(reference::<EventId>(generator), "The same event may come again under it.")),
        ("positions", described(reference::<Positions>(generator), positions)),
    ];
    described(object(properties, ["type", "payload", "timestamp"]), description)
}

fn custom_event(generator: &mut SchemaGenerator) -> Value {
    let description = "An event of a type that the protocol does not name: the application's own.";
    let payload = json!({"description": "Whatever the application sends."});
    event_frame(description, custom_type(generator), payload, generator)
}

/// The name of a type that is not in the registry.
pub(super) fn custom_type(generator: &mut SchemaGenerator) -> Value {
    let mut schema = reference::<EventType>(generator);
    schema["not"] = json!({"enum": Event::TYPES});
    schema
}
