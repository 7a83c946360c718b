//! The frames of presence, encoded from the record without reading anybody's data again.

use roomcast_protocol::{Room, Timestamp, UserId};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Member, Roster};
use crate::frame::{Frame, encode};

/// [`roomcast_protocol::server::PresenceMember`], with the data as it came.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberView<'a> {
    user_id: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    connections: u32,
}

/// [`roomcast_protocol::server::PresenceState`]; also the answer over HTTP.
#[derive(Serialize)]
pub(crate) struct StateView<'a> {
    room: &'a Room,
    members: Vec<MemberView<'a>>,
}

#[derive(Serialize)]
struct ChangeView<'a> {
    room: &'a Room,
    member: MemberView<'a>,
}

#[derive(Serialize)]
struct Envelope<P> {
    #[serde(rename = "type")]
    frame_type: &'static str,
    payload: P,
    timestamp: Timestamp,
}

impl<'a> From<&'a Member> for MemberView<'a> {
    fn from(member: &'a Member) -> Self {
        Self { user_id: &member.user, data: member.data.as_deref(), connections: member.connections }
    }
}

impl<'a> StateView<'a> {
    /// Everybody in the room.
    pub(crate) fn new(room: &'a Room, roster: &'a Roster) -> Self {
        Self { room, members: roster.members.iter().map(MemberView::from).collect() }
    }
}

/// `presence.state`.
pub(crate) fn state(room: &Room, roster: &Roster, timestamp: Timestamp) -> Frame {
    frame("presence.state", StateView::new(room, roster), timestamp)
}

/// `presence.joined`.
pub(super) fn joined(room: &Room, member: &Member, timestamp: Timestamp) -> Frame {
    frame("presence.joined", ChangeView { room, member: member.into() }, timestamp)
}

/// `presence.left`: the member as it was, without connections.
pub(super) fn left(room: &Room, member: &Member, timestamp: Timestamp) -> Frame {
    let member = MemberView { connections: 0, ..member.into() };
    frame("presence.left", ChangeView { room, member }, timestamp)
}

fn frame<P: Serialize>(frame_type: &'static str, payload: P, timestamp: Timestamp) -> Frame {
    Frame::of_json(&encode(&Envelope { frame_type, payload, timestamp }))
}
