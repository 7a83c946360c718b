//! What the gateway receives: the frames of clients.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::outgoing::custom_type;
use super::{both, described, named, object, reference, tagged};
use crate::{EventId, Position, RequestId, event};

/// The frames and their unions, by name. The payloads go to the generator.
pub(super) fn definitions(generator: &mut SchemaGenerator) -> Vec<(String, Value)> {
    let actions = ["Authenticate", "Subscribe", "Unsubscribe", "Publish"].map(|name| format!("{name}Frame"));
    let message = json!({
        "description": "A frame from a client: a ping, or a request by its action.",
        "oneOf": [named("PingFrame"), named("Action")],
    });
    vec![
        ("ClientMessage".into(), message),
        ("Action".into(), tagged("action", "A request by its action.", actions)),
        ("PingFrame".into(), ping(generator)),
        ("AuthenticateFrame".into(), authenticate(generator)),
        ("SubscribeFrame".into(), subscribe(generator)),
        ("UnsubscribeFrame".into(), unsubscribe(generator)),
        ("PublishFrame".into(), publish(generator)),
        ("PresenceOptions".into(), presence()),
        ("ClientEvent".into(), client_event(generator)),
        ("ClientContent".into(), contents("What a client can say happened: a type with its payload.", true, generator)),
        ("Typing".into(), typing()),
    ]
}

fn ping(generator: &mut SchemaGenerator) -> Value {
    let properties = [
        ("type", json!({"type": "string", "const": "ping"})),
        ("id", request_id(generator)),
        // A frame has a type or an action, not both.
        ("action", json!(false)),
    ];
    described(object(properties, ["type"]), "Answered with a `connection.ack` whose message is \"pong\".")
}

fn authenticate(generator: &mut SchemaGenerator) -> Value {
    let description = "As the first frame: who this is. Later: the same user's next token.";
    action("authenticate", description, generator, [("token", described(text(), "A JWT."))], &["token"])
}

fn subscribe(generator: &mut SchemaGenerator) -> Value {
    let since = json!({
        "type": "object",
        "description": "The position of the last event seen, for each room to resume. What is not among `rooms` is ignored.",
        "additionalProperties": reference::<Position>(generator),
    });
    let presence = json!({
        "description": "Asks for presence in every room of the request.",
        "anyOf": [{"type": "boolean"}, named("PresenceOptions")],
    });
    let properties = [("rooms", rooms("The rooms to join.")), ("since", since), ("presence", presence)];
    action("subscribe", "Join rooms.", generator, properties, &["rooms"])
}

fn unsubscribe(generator: &mut SchemaGenerator) -> Value {
    action("unsubscribe", "Leave rooms.", generator, [("rooms", rooms("The rooms to leave."))], &["rooms"])
}

fn publish(generator: &mut SchemaGenerator) -> Value {
    let rooms = json!({
        "type": "array",
        "description": "Where to; absent: the rooms of the event's type.",
        "items": {"type": "string"},
    });
    action("publish", "Publish an event.", generator, [("event", named("ClientEvent")), ("rooms", rooms)], &["event"])
}

fn presence() -> Value {
    let data = json!({"description": "What others see beside the user's id, at most 1 KiB."});
    described(object([("data", data)], []), "How a connection takes part in presence.")
}

fn client_event(generator: &mut SchemaGenerator) -> Value {
    let id = described(reference::<EventId>(generator), "Chosen so that the event may safely be published again.");
    let description = "An event as a client publishes it: who and when are stamped by the gateway.";
    both(description, named("ClientContent"), object([("eventId", id)], []))
}

fn typing() -> Value {
    let properties = [
        ("issueId", described(text(), "The issue that they type in.")),
        ("isTyping", json!({"type": "boolean", "description": "False when they stopped."})),
    ];
    described(object(properties, ["issueId", "isTyping"]), "A user types: who it is, the gateway stamps.")
}

/// Every type with its payload, as it is published. A client need not say who types.
pub(super) fn contents(description: &str, from_client: bool, generator: &mut SchemaGenerator) -> Value {
    let content =
        |wire_type: Value, payload: Value| object([("type", wire_type), ("payload", payload)], ["type", "payload"]);
    let mut variants: Vec<Value> = event::registered(generator)
        .into_iter()
        .map(|line| {
            let stamped = from_client && line.wire_type == "user.typing";
            let payload = if stamped { named("Typing") } else { line.payload.to_value() };
            content(json!({"type": "string", "const": line.wire_type}), payload)
        })
        .collect();
    variants.push(content(custom_type(generator), json!({"description": "Whatever the application sends."})));
    json!({"description": description, "oneOf": variants})
}

fn action<const N: usize>(
    name: &str,
    description: &str,
    generator: &mut SchemaGenerator,
    properties: [(&str, Value); N],
    required: &[&str],
) -> Value {
    let common = [("action", json!({"type": "string", "const": name})), ("id", request_id(generator))];
    let mut schema = described(object(common, ["action"]), description);
    for (name, property) in properties {
        schema["properties"][name] = property;
    }
    schema["required"] = std::iter::once("action").chain(required.iter().copied()).collect();
    schema["properties"]["type"] = json!(false);
    schema
}

fn request_id(generator: &mut SchemaGenerator) -> Value {
    described(reference::<RequestId>(generator), "Comes back as `replyTo`.")
}

/// Names as a client writes them: an invalid one is denied by itself, not with its whole frame.
fn rooms(description: &str) -> Value {
    json!({"type": "array", "description": description, "items": {"type": "string"}, "minItems": 1})
}

fn text() -> Value {
    json!({"type": "string"})
}
