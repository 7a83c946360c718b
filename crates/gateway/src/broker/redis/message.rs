//! A publication as text, for the bus and for the history in Redis.
//!
//! Owns the format: a line with its version, then the event's id, the connection that gets no echo, the number of places and
//! the places, a line each; the rest is the head of the frame, as it goes to clients. The script that gives the positions puts
//! the same together. What is not of this format is refused, never guessed at.

use bytes::Bytes;
use roomcast_protocol::{Position, Room};

use crate::publication::{Draft, MAX_ROOMS, Publication};
use std::sync::Arc;

/// The format's version, the first line.
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

/// The publication in a text; `None` when it is no text of this version.
pub(super) fn decode(text: Vec<u8>) -> Option<Arc<Publication>> {
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
        let decoded = decode(encode_ephemeral(&draft)).unwrap();
        assert_eq!((decoded.event_id.as_str(), decoded.except), ("e:1", draft.except));
        assert_eq!(decoded.places, draft.rooms.iter().map(|room| (room.clone(), None)).collect::<Vec<_>>());
        assert_eq!(decoded.frame(0b11).as_str(), format!("{HEAD}}}"));
    }

    #[test]
    fn a_kept_event_has_its_positions() {
        let decoded = decode(format!("1\ne:1\n\n1\nteam:a k3x9:7\n{HEAD}").into_bytes()).unwrap();
        assert_eq!(decoded.position(&"team:a".parse().unwrap()), Some("k3x9:7".parse().unwrap()));
        assert_eq!(decoded.except, None);
    }

    #[test]
    fn what_is_no_text_of_this_version_is_refused() {
        let good = format!("1\ne:1\n\n1\nteam:a k3x9:7\n{HEAD}");
        assert!(decode(good.clone().into_bytes()).is_some());
        for (from, to) in [
            ("1\ne", "2\ne"),
            ("e:1\n", "\n"),
            ("\n\n1", "\nx\n1"),
            ("\n1\n", "\n0\n"),
            ("\n1\n", "\n129\n"),
            ("\n1\n", "\n2\n"),
        ] {
            assert!(decode(good.replacen(from, to, 1).into_bytes()).is_none(), "{from:?} -> {to:?}");
        }
        for (from, to) in [("team:a k", "team:a"), ("team:a", "team"), (":7", ":x"), ("{\"type\"", "\"type\"")] {
            assert!(decode(good.replacen(from, to, 1).into_bytes()).is_none(), "{from:?} -> {to:?}");
        }
        assert!(decode(b"\xff\xfe".to_vec()).is_none());
        assert!(decode(Vec::new()).is_none());
    }
}
