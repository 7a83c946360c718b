//! Access: who may do what in which room.
//!
//! Owns the one decision, for sockets and HTTP alike: deny, unless the room is the user's own, a grant allows it, or the
//! gateway is open.

use roomcast_protocol::{Grants, Operation, Room, UserId};

use crate::auth::Identity;
use crate::config::RoomAccess;

/// Whether the identity may do it.
#[must_use]
pub fn is_allowed(policy: RoomAccess, identity: &Identity, room: &Room, operation: &Operation) -> bool {
    let own_room = is_own(&identity.user, room) && *operation == Operation::Subscribe;
    own_room
        || identity.grants.as_ref().is_some_and(|grants| grants.allows(room, operation))
        || (is_typing(room, operation) && is_allowed(policy, identity, room, &Operation::Subscribe))
        || (policy == RoomAccess::Open && identity.grants.is_none() && is_open(&identity.user, room, operation))
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
