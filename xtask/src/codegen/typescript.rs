//! The TypeScript that no generator of types gives: the map of events, rooms, codes.
//!
//! Owns the text of these files. The frames' types come from Node; see `xtask/node/frames.mjs`.

use std::fmt::Write as _;

use roomcast_protocol::server::Reply;
use roomcast_protocol::{Advice, CloseCode, Event, EventType, Room, SCHEMA_VERSION};
use serde_json::Value;

use super::HEADER;

/// The files by name, made from the bundle.
pub(super) fn files(bundle: &Value) -> Vec<(&'static str, String)> {
    vec![
        ("codes.ts", codes(bundle)),
        ("events.ts", events(bundle)),
        ("index.ts", index()),
        ("messages.ts", head() + &messages()),
        ("rooms.ts", rooms()),
    ]
}

/// The types that Node made, with the head that they need.
pub(super) fn frames(types: &str) -> String {
    format!("{}import type {{ CustomEventType }} from \"./events.js\";\n\n{types}", head())
}

fn head() -> String {
    format!("// {HEADER}\n\n")
}

fn index() -> String {
    let version = format!(
        "/** The version of the frames and events in these files. */\nexport const SCHEMA_VERSION = \"{SCHEMA_VERSION}\";\n"
    );
    head()
        + "export * from \"./codes.js\";\nexport * from \"./events.js\";\nexport type * from \"./frames.js\";\n\
           export * from \"./messages.js\";\nexport * from \"./rooms.js\";\n\n"
        + &version
}

/// `issue.created` is `IssueCreated` in the names of types.
fn type_name(wire_type: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    wire_type.split(['.', '_']).map(capital).collect()
}

fn events(bundle: &Value) -> String {
    let names: Vec<(&str, String)> = Event::TYPES.iter().map(|wire_type| (*wire_type, type_name(wire_type))).collect();
    let mut imports: Vec<String> = names.iter().flat_map(|(_, name)| [name.clone(), format!("{name}Event")]).collect();
    imports.extend(["AnyEvent", "Event"].map(Into::into));
    imports.sort();
    let mut text = head() + "import type {\n";
    imports.iter().for_each(|name| line(&mut text, &format!("  {name},")));
    text += "} from \"./frames.js\";\n\n/** The payload of each event type that the protocol names. */\nexport interface EventPayloads {\n";
    for (wire_type, name) in &names {
        line(&mut text, &doc("  ", description(bundle, &format!("{name}Event"))));
        line(&mut text, &format!("  \"{wire_type}\": {name};"));
    }
    text += "}\n\n/** The frame of each event type that the protocol names. */\nexport interface EventMap {\n";
    names.iter().for_each(|(wire_type, name)| line(&mut text, &format!("  \"{wire_type}\": {name}Event;")));
    text += "}\n\n/** The event types that the protocol names. */\nexport type EventType = keyof EventMap;\n\n";
    text += "/** The event types that the protocol names, in its order. */\nexport const EVENT_TYPES = [\n";
    names.iter().for_each(|(wire_type, _)| line(&mut text, &format!("  \"{wire_type}\",")));
    text += "] as const satisfies readonly EventType[];\n";
    text += &CUSTOM
        .replace("RESERVED", &EventType::RESERVED.map(|prefix| prefix.trim_end_matches('.')).join("|"))
        .replace("MAX_LENGTH", &EventType::MAX_LENGTH.to_string());
    text
}

const CUSTOM: &str = r#"
const known: ReadonlySet<string> = new Set(EVENT_TYPES);

/** Whether the protocol names the event's type, so that a `switch` on it tells the payload. */
export function isKnownEvent(event: AnyEvent): event is Event {
  return known.has(event.type);
}

declare const custom: unique symbol;

/** The name of an event type of the application's own, made by `customType`. */
export type CustomEventType = string & { readonly [custom]: true };

/**
 * Names an event type of the application's own, such as `build.finished`.
 *
 * @throws RangeError when the protocol names the type itself, or the name is not two or more lower-case words joined by dots
 * of at most MAX_LENGTH characters.
 */
export function customType(name: string): CustomEventType {
  if (known.has(name) || /^(RESERVED)\./.test(name)) {
    throw new RangeError(`${name} is a type of the protocol's own`);
  }
  if (name.length > MAX_LENGTH || !/^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$/.test(name)) {
    throw new RangeError(`${name} is not an event type: two or more lower-case words joined by dots`);
  }
  return name as CustomEventType;
}
"#;

fn messages() -> String {
    let replies: String = Reply::TYPES.iter().map(|wire_type| format!("  \"{wire_type}\": true,\n")).collect();
    MESSAGES.replace("REPLIES", &replies)
}

const MESSAGES: &str = r#"import { EVENT_TYPES } from "./events.js";
import type { Event, KnownMessage, Reply, ServerMessage } from "./frames.js";

const replies: { readonly [T in Reply["type"]]: true } = {
REPLIES};

const events: ReadonlySet<string> = new Set(EVENT_TYPES);

/** Whether this is a frame of a type that the protocol names, so that a `switch` on it tells the payload. */
export function isKnown(message: ServerMessage): message is KnownMessage {
  return isReply(message) || events.has(message.type);
}

/** Whether this is no event but an answer, or news of the connection itself. */
export function isReply(message: ServerMessage): message is Reply {
  return Object.hasOwn(replies, message.type);
}

/** Whether this is an event of a type that the protocol names. */
export function isEvent(message: ServerMessage): message is Event {
  return events.has(message.type);
}
"#;

fn rooms() -> String {
    let mut text = head() + "/** The kinds of room that every gateway has. */\n";
    let kinds = Room::KINDS.map(|kind| format!("\"{kind}\"")).join(", ");
    line(&mut text, &format!("export const ROOM_KINDS = [{kinds}] as const;\n"));
    text += "export type RoomKind = (typeof ROOM_KINDS)[number];\n\n";
    text += "/** Names rooms: `RoomNames.team(\"team_456\")` is `\"team:team_456\"`. */\nexport const RoomNames = {\n";
    for (kind, what) in Room::KINDS.iter().zip(ROOM_WORDS) {
        let id = format!("{kind}Id");
        line(&mut text, &doc("  ", what));
        line(&mut text, &format!("  {kind}: <I extends string>({id}: I) => `{kind}:${{{id}}}` as const,"));
    }
    text + "} as const;\n"
}

/// What each kind of room is for, in the order of [`Room::KINDS`].
const ROOM_WORDS: [&str; Room::KINDS.len()] = [
    "Everything that happens in a workspace.",
    "A team: its issues, projects and cycles.",
    "One issue: its changes, comments and typing.",
    "One project.",
    "One cycle.",
    "One user: what is addressed to them alone.",
];

fn codes(bundle: &Value) -> String {
    let mut text = head()
        + "import type { ErrorCode } from \"./frames.js\";\n\n/** Why a frame or a call was refused. */\nexport const ERROR_CODES = {\n";
    let variants = bundle["$defs"]["ErrorCode"]["oneOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    for variant in variants {
        let code = variant["const"].as_str().unwrap_or_default();
        line(&mut text, &doc("  ", variant["description"].as_str().unwrap_or_default()));
        line(&mut text, &format!("  {code}: \"{code}\","));
    }
    text += "} as const satisfies { readonly [C in ErrorCode]: C };\n\n/** Why the gateway ended a connection: the numbers in a close frame. */\nexport const CLOSE_CODES = {\n";
    for code in CloseCode::ALL {
        line(&mut text, &doc("  ", code.reason()));
        line(&mut text, &format!("  {code:?}: {},", code.code()));
    }
    text += "} as const;\n\nexport type CloseCode = (typeof CLOSE_CODES)[keyof typeof CLOSE_CODES];\n";
    text + &stay_away()
}

/// The rule in TypeScript, taken from the rule in Rust: the codes to stay away for are one range.
fn stay_away() -> String {
    let mut away = (0..=u16::MAX).filter(|code| CloseCode::from(*code).advice() == Advice::StayAway);
    let (first, last) = (away.next().unwrap_or_default(), away.next_back().unwrap_or_default());
    MAY_RECONNECT.replace("FIRST", &first.to_string()).replace("LAST", &last.to_string())
}

const MAY_RECONNECT: &str = r"
/**
 * Whether to come back after a connection ended with this code. From FIRST to LAST: not before something changed, such as the
 * token.
 */
export function mayReconnect(code: number): boolean {
  return code < FIRST || code > LAST;
}
";

fn description<'a>(bundle: &'a Value, name: &str) -> &'a str {
    bundle["$defs"][name]["description"].as_str().unwrap_or_default()
}

fn doc(indent: &str, words: &str) -> String {
    format!("{indent}/** {words} */")
}

fn line(text: &mut String, line: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{line}");
}
