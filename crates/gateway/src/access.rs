//! Access: who may do what in which room.
//!
//! Owns the one decision, for sockets and HTTP alike: deny, unless the room is the user's own, a grant allows it, or the
//! gateway is open. It can be told why.

use std::fmt;

use roomcast_protocol::{Grants, Operation, Pattern, Room, UserId};

use crate::auth::Identity;
use crate::config::RoomAccess;

/// What decides, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Allowed: the room is the user's own.
    OwnRoom,
    /// Allowed: by the grant under this pattern.
    Grant(&'a Pattern),
    /// Allowed: whoever may subscribe to an issue may type there.
    Typing,
    /// Allowed: the gateway is open to tokens without grants.
    Open,
    /// Denied: the token has grants, and none of them allows it.
    NotGranted,
    /// Denied: the token has no grants, and the gateway does not allow it to such.
    NoGrants,
}

impl Decision<'_> {
    /// Which way it goes.
    #[must_use]
    pub fn is_allowed(self) -> bool {
        !matches!(self, Self::NotGranted | Self::NoGrants)
    }

    /// The name of the rule.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::OwnRoom => "own room",
            Self::Grant(_) => "grant",
            Self::Typing => "typing",
            Self::Open => "open",
            Self::NotGranted => "not granted",
            Self::NoGrants => "no grants",
        }
    }

    /// The pattern of the grant that decides.
    #[must_use]
    pub fn pattern(&self) -> Option<&Pattern> {
        if let Self::Grant(pattern) = self { Some(pattern) } else { None }
    }
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnRoom => out.write_str("the room is the user's own"),
            Self::Grant(pattern) => write!(out, "the grant under {pattern} allows it"),
            Self::Typing => out.write_str("whoever may subscribe to an issue may type there"),
            Self::Open => out.write_str("ROOM_ACCESS=open allows it to a token without grants"),
            Self::NotGranted => out.write_str("none of the token's grants allows it"),
            Self::NoGrants => out.write_str("the token has no grants, and without them it is not allowed here"),
        }
    }
}

/// Whether the identity may do it, and why.
#[must_use]
pub fn decide<'a>(policy: RoomAccess, identity: &'a Identity, room: &Room, operation: &Operation) -> Decision<'a> {
    if is_own(&identity.user, room) && *operation == Operation::Subscribe {
        return Decision::OwnRoom;
    }
    if let Some(pattern) = identity.grants.as_ref().and_then(|grants| grants.deciding(room, operation)) {
        return Decision::Grant(pattern);
    }
    if is_typing(room, operation) && is_allowed(policy, identity, room, &Operation::Subscribe) {
        return Decision::Typing;
    }
    match &identity.grants {
        Some(_) => Decision::NotGranted,
        None if policy == RoomAccess::Open && is_open(&identity.user, room, operation) => Decision::Open,
        None => Decision::NoGrants,
    }
}

/// Whether the identity may do it.
#[must_use]
pub fn is_allowed(policy: RoomAccess, identity: &Identity, room: &Room, operation: &Operation) -> bool {
    decide(policy, identity, room, operation).is_allowed()
}

/// What a back end is asked about it when the token does not allow it; `None`: nothing.
#[must_use]
pub fn question(room: &Room, operation: &Operation) -> Option<Operation> {
    match operation {
        Operation::Admin => None,
        // Whoever may subscribe may type, and has been asked about already.
        _ if is_typing(room, operation) => Some(Operation::Subscribe),
        _ => Some(operation.clone()),
    }
}

/// Whether the identity may say who did what: only a token that publishes everything to the room speaks for others.
#[must_use]
pub fn may_speak_for_others(identity: &Identity, room: &Room) -> bool {
    identity.grants.as_ref().is_some_and(|grants| grants.allows(room, &Operation::Publish))
}

/// Whether the identity may run the gateway.
#[must_use]
pub fn is_admin(identity: &Identity) -> bool {
    identity.grants.as_ref().is_some_and(Grants::is_admin)
}

fn is_own(user: &UserId, room: &Room) -> bool {
    room.kind() == "user" && room.id() == user.as_str()
}

/// Who may subscribe to an issue may type there.
fn is_typing(room: &Room, operation: &Operation) -> bool {
    room.kind() == "issue" && matches!(operation, Operation::PublishType(name) if name.as_str() == "user.typing")
}

/// What an open gateway allows to a token without grants.
fn is_open(user: &UserId, room: &Room, operation: &Operation) -> bool {
    let of_another = room.kind() == "user" && !is_own(user, room);
    !of_another && matches!(operation, Operation::Subscribe | Operation::Presence | Operation::History)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Identity;

    fn identity(grants: Option<&[(&str, &[&str])]>) -> Identity {
        let parse =
            |grants: &[(&str, &[&str])]| Grants::parse(grants.iter().map(|(p, o)| (*p, o.iter().copied()))).unwrap();
        Identity::of("user_1".parse().unwrap(), grants.map(parse))
    }

    fn typing() -> Operation {
        Operation::PublishType("user.typing".parse().unwrap())
    }

    #[test]
    fn without_grants_only_the_own_room_is_allowed() {
        let nobody = identity(None);
        let allowed = |room: &Room, operation| is_allowed(RoomAccess::Grants, &nobody, room, &operation);
        assert!(allowed(&Room::user("user_1"), Operation::Subscribe));
        assert!(!allowed(&Room::user("user_1"), Operation::History));
        assert!(!allowed(&Room::user("user_2"), Operation::Subscribe));
        assert!(!allowed(&Room::team("t"), Operation::Subscribe));
        assert!(!allowed(&Room::issue("i"), typing()));
    }

    #[test]
    fn who_may_subscribe_to_an_issue_may_type_there() {
        let reader = identity(Some(&[("*", &["subscribe"])]));
        assert!(is_allowed(RoomAccess::Grants, &reader, &Room::issue("i"), &typing()));
        assert!(!is_allowed(RoomAccess::Grants, &reader, &Room::team("t"), &typing()));
        assert!(!is_allowed(RoomAccess::Grants, &reader, &Room::issue("i"), &Operation::Publish));
    }

    #[test]
    fn a_decision_says_what_it_rests_on() {
        let reader = identity(Some(&[("team:*", &["subscribe"]), ("issue:*", &["subscribe"])]));
        let decided = |room: &Room, operation| decide(RoomAccess::Grants, &reader, room, &operation);
        let by = decided(&Room::team("t"), Operation::Subscribe);
        assert_eq!((by.rule(), by.pattern().map(ToString::to_string)), ("grant", Some("team:*".into())));
        assert_eq!(decided(&Room::user("user_1"), Operation::Subscribe), Decision::OwnRoom);
        assert_eq!(decided(&Room::issue("i"), typing()), Decision::Typing);
        assert_eq!(decided(&Room::team("t"), Operation::Presence), Decision::NotGranted);
        let nobody = identity(None);
        let operation = Operation::Subscribe;
        assert_eq!(decide(RoomAccess::Grants, &nobody, &Room::team("t"), &operation), Decision::NoGrants);
        assert_eq!(decide(RoomAccess::Open, &nobody, &Room::team("t"), &operation), Decision::Open);
    }

    #[test]
    fn an_open_gateway_opens_rooms_to_tokens_without_grants_but_nobody_elses_and_no_publishing() {
        let (nobody, limited) = (identity(None), identity(Some(&[])));
        let open = |who: &Identity, room: &Room, operation| is_allowed(RoomAccess::Open, who, room, &operation);
        for operation in [Operation::Subscribe, Operation::Presence, Operation::History] {
            assert!(open(&nobody, &Room::team("t"), operation.clone()));
            assert!(!open(&nobody, &Room::user("user_2"), operation.clone()));
            assert!(!open(&limited, &Room::team("t"), operation), "a token with grants has those only");
        }
        assert!(open(&nobody, &Room::issue("i"), typing()));
        assert!(!open(&nobody, &Room::team("t"), Operation::Publish));
        assert!(!open(&nobody, &Room::team("t"), Operation::Admin));
    }
}
