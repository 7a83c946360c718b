//! The HTTP bodies that carry events, and their answers.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::incoming::contents;
use super::{both, described, either, named, object, reference};
use crate::http::{BatchAnswer, Problem};
use crate::{EventId, Published, Room, Timestamp, UserId};

/// What `POST /api/v1/events` takes.
pub(super) fn bodies(generator: &mut SchemaGenerator) -> Vec<(String, Value)> {
    let events = json!({
        "type": "array",
        "description": "At most 1,000, published in order.",
        "items": named("NewEvent"),
        "maxItems": 1000,
    });
    let batch = described(object([("events", events)], ["events"]), "Several events at once.");
    vec![
        (
            "PublishBody".into(),
            either("What is posted to publish: one event, or several.", [named("NewEvent"), named("Batch")]),
        ),
        ("NewEvent".into(), new_event(generator)),
        ("EventContent".into(), contents("What can have happened: a type with its payload.", false, generator)),
        ("Batch".into(), batch),
    ]
}

fn new_event(generator: &mut SchemaGenerator) -> Value {
    let rooms = json!({
        "type": "array",
        "description": "Where to; absent: the rooms of the event's type.",
        "items": reference::<Room>(generator),
        "minItems": 1,
    });
    let user = "Who did it; counts only from a token that may publish anything in all the event's rooms.";
    let event_id =
        described(reference::<EventId>(generator), "Chosen so that the event may safely be published again.");
    let properties = [
        ("userId", described(reference::<UserId>(generator), user)),
        ("rooms", rooms),
        ("eventId", event_id),
        ("timestamp", described(reference::<Timestamp>(generator), "When it happened; absent: now.")),
    ];
    both("An event to publish.", named("EventContent"), object(properties, []))
}

/// What it answers.
pub(super) fn answers(generator: &mut SchemaGenerator) -> Vec<(String, Value)> {
    let members = [reference::<Published>(generator), reference::<BatchAnswer>(generator)];
    // The problem document is a root of its own, so that it must be among the definitions.
    let _ = reference::<Problem>(generator);
    vec![("PublishAnswer".into(), either("The answer to a publish, in the form of its body.", members))]
}
