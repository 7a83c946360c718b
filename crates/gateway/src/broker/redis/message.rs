//! What goes over the bus between nodes, as text.
//!
//! Owns the formats, each with its version in the first line. A publication, which is also how the history is kept: the
//! event's id, the connection that gets no echo, the number of places and the places, a line each; the rest is the head of the
//! frame, as it goes to clients. The script that gives the positions puts the same together. A change of presence: JSON, put
//! together by its scripts. What nodes say to each other: not looked into here. What is of none of these formats is refused,
//! never guessed at.

use bytes::Bytes;
use roomcast_protocol::{Position, Room, UserId};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::presence::{Change, Data, Member};
use crate::publication::{Draft, MAX_ROOMS, Publication};
use std::sync::Arc;

/// The first line of a change of presence.
pub(crate) const PRESENCE: &str = "presence 1\n";

/// The first line of what nodes say to each other.
pub(crate) const CLUSTER: &str = "cluster 1\n";

/// A message on the bus.
#[derive(Debug)]
pub(super) enum Message {
    Publication(Arc<Publication>),
    Presence(Change),
    /// The text behind the first line.
    Cluster(Vec<u8>),
}

/// A change of presence, as the scripts write it.
#[derive(Deserialize)]
struct WrittenChange {
    room: String,
    user: String,
    /// A text, since it has more digits than a number of JSON is sure to keep.
    version: String,
    before: Option<WrittenMember>,
    after: Option<WrittenMember>,
}

#[derive(Deserialize)]
struct WrittenMember {
    connections: u32,
    /// JSON, as its client wrote it.
    data: Option<String>,
}

/// The first line of a publication.
pub(super) const VERSION: &str = "1";

/// In place of a position, for an event that has none.
const NO_POSITION: &str = "-";

/// The text of an ephemeral event.
pub(super) fn encode_ephemeral(draft: &Draft) -> Vec<u8> {
    let except = draft.except.map(|connection| connection.to_string()).unwrap_or_default();
    let mut text = format!("{VERSION}\n{}\n{except}\n{}\n", draft.event_id, draft.rooms.len()).into_bytes();
    for room in &draft.rooms {
        text.extend_from_slice(format!("{room} {NO_POSITION}\n").as_bytes());
    }
    text.extend_from_slice(&draft.head);
    text
}

/// The message in a text; `None` when it is of no format of this version.
pub(super) fn decode(mut text: Vec<u8>) -> Option<Message> {
    if text.starts_with(CLUSTER.as_bytes()) {
        text.drain(..CLUSTER.len());
        return Some(Message::Cluster(text));
    }
    match text.strip_prefix(PRESENCE.as_bytes()) {
        Some(json) => change(json).map(Message::Presence),
        None => publication(text).map(Message::Publication),
    }
}

fn change(json: &[u8]) -> Option<Change> {
    let written: WrittenChange = serde_json::from_slice(json).ok()?;
    let user: UserId = written.user.parse().ok()?;
    let member = |member: WrittenMember| {
        Some(Member { user: user.clone(), data: data(member.data)?, connections: member.connections })
    };
    let (before, after) = (written.before.map(member), written.after.map(member));
    // One that cannot be read makes the whole unreadable.
    if [&before, &after].into_iter().any(|member| matches!(member, Some(None))) {
        return None;
    }
    let version = written.version.parse().ok()?;
    Some(Change { room: written.room.parse().ok()?, before: before.flatten(), after: after.flatten(), version })
}

/// A member's data from its text; outer `None` when it is no JSON.
pub(crate) fn data(text: Option<String>) -> Option<Option<Data>> {
    text.map_or(Some(None), |text| RawValue::from_string(text).ok().map(|data| Some(Arc::from(data))))
}

/// The publication in a text; `None` when it is no text of this version.
pub(super) fn publication(text: Vec<u8>) -> Option<Arc<Publication>> {
    let text = String::from_utf8(text).ok()?;
    let mut rest = text.as_str();
    let mut line = || {
        let (line, behind) = rest.split_once('\n')?;
        rest = behind;
        Some(line)
    };
    if line()? != VERSION {
        return None;
    }
    let event_id = line()?.parse().ok()?;
    let except = match line()? {
        "" => None,
        connection => Some(connection.parse().ok()?),
    };
    let count = line()?.parse().ok().filter(|count| (1..=MAX_ROOMS).contains(count))?;
    let places = (0..count).map(|_| place(line()?)).collect::<Option<Vec<_>>>()?;
    let head = Bytes::from(rest.to_owned());
    if !head.starts_with(b"{\"type\":") {
        return None;
    }
    let is_ephemeral = places.iter().all(|(_, position)| position.is_none());
    let rooms = Vec::new();
    let draft = Draft { event_id, is_repeatable: false, rooms, head, is_ephemeral, except };
    Some(Publication::new(draft, places))
}

fn place(line: &str) -> Option<(Room, Option<Position>)> {
    let (room, position) = line.split_once(' ')?;
    let position = if position == NO_POSITION { None } else { Some(position.parse().ok()?) };
    Some((room.parse().ok()?, position))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::ConnectionId;

    const HEAD: &str = r#"{"type":"a.b","payload":"line\nbreak","eventId":"e:1""#;

    #[test]
    fn an_ephemeral_event_comes_back_as_it_was() {
        let draft = Draft {
            event_id: "e:1".parse().unwrap(),
            is_repeatable: false,
            rooms: vec!["issue:a".parse().unwrap(), "workspace:b".parse().unwrap()],
            head: HEAD.into(),
            is_ephemeral: true,
            except: Some(ConnectionId::new()),
        };
        let decoded = publication(encode_ephemeral(&draft)).unwrap();
        assert_eq!((decoded.event_id.as_str(), decoded.except), ("e:1", draft.except));
        assert_eq!(decoded.places, draft.rooms.iter().map(|room| (room.clone(), None)).collect::<Vec<_>>());
        assert_eq!(decoded.frame(0b11).as_str(), format!("{HEAD}}}"));
    }

    #[test]
    fn a_kept_event_has_its_positions() {
        let decoded = publication(format!("1\ne:1\n\n1\nteam:a k3x9:7\n{HEAD}").into_bytes()).unwrap();
        assert_eq!(decoded.position(&"team:a".parse().unwrap()), Some("k3x9:7".parse().unwrap()));
        assert_eq!(decoded.except, None);
    }

    #[test]
    fn what_is_no_text_of_this_version_is_refused() {
        let good = format!("1\ne:1\n\n1\nteam:a k3x9:7\n{HEAD}");
        assert!(publication(good.clone().into_bytes()).is_some());
        for (from, to) in [
            ("1\ne", "2\ne"),
            ("e:1\n", "\n"),
            ("\n\n1", "\nx\n1"),
            ("\n1\n", "\n0\n"),
            ("\n1\n", "\n129\n"),
            ("\n1\n", "\n2\n"),
        ] {
            assert!(publication(good.replacen(from, to, 1).into_bytes()).is_none(), "{from:?} -> {to:?}");
        }
        for (from, to) in [("team:a k", "team:a"), ("team:a", "team"), (":7", ":x"), ("{\"type\"", "\"type\"")] {
            assert!(publication(good.replacen(from, to, 1).into_bytes()).is_none(), "{from:?} -> {to:?}");
        }
        assert!(publication(b"\xff\xfe".to_vec()).is_none());
        assert!(publication(Vec::new()).is_none());
    }

    #[test]
    fn a_change_of_presence_is_read_with_its_data_as_they_were() {
        let text = br#"presence 1
{"room":"team:a","user":"ben","version":"1700000000000001","after":{"connections":2,"data":"{\"a\": 1}"}}"#;
        let Some(Message::Presence(change)) = decode(text.to_vec()) else { panic!("not read") };
        assert_eq!((change.room.as_str(), change.version), ("team:a", 1_700_000_000_000_001));
        assert!(change.before.is_none());
        let after = change.after.unwrap();
        assert_eq!((after.user.as_str(), after.connections, after.data.unwrap().get()), ("ben", 2, r#"{"a": 1}"#));
    }

    #[test]
    fn a_change_of_presence_with_anything_unreadable_is_refused() {
        let good = r#"{"room":"team:a","user":"ben","version":"1","before":{"connections":1,"data":"1"}}"#;
        assert!(change(good.as_bytes()).is_some());
        for (from, to) in [
            ("team:a", "team"),
            ("\"ben", "\"be n"),
            ("\"1\",", "\"x\","),
            ("\"1\"}", "\"{\"}"),
            (":1,", ":-1,"),
            ("{", "["),
        ] {
            assert!(change(good.replacen(from, to, 1).as_bytes()).is_none(), "{from:?} -> {to:?}");
        }
    }

    #[test]
    fn what_nodes_say_to_each_other_is_passed_on() {
        assert!(matches!(decode(b"cluster 1\n{}".to_vec()), Some(Message::Cluster(text)) if text == b"{}"));
        assert!(decode(b"cluster 2\n{}".to_vec()).is_none());
        assert!(decode(b"presence 2\n{}".to_vec()).is_none());
    }
}
