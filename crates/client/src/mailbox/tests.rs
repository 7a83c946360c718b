//! The buffer by itself: its order, what gives way, and what its reader knows.

use futures_util::future::poll_fn;
use roomcast_protocol::server::{PresenceChange, PresenceState};
use roomcast_protocol::{Epoch, ErrorCode};

use super::*;

fn gap(room: &str) -> Item {
    Item::Notice(Delivery::Gap { room: Room::team(room), reason: None })
}

fn at(offset: u64) -> Position {
    Position { epoch: Epoch(7), offset }
}

/// A delivery that moves the reader of room `x` to this offset.
fn push(mailbox: &Mailbox, text: &str, offset: u64) {
    mailbox.push(gap(text), vec![(Room::team("x"), at(offset))]);
}

async fn take(mailbox: &Mailbox) -> Option<u64> {
    poll_fn(|cx| mailbox.poll_next(cx)).await;
    mailbox.position(&Room::team("x")).map(|position| position.offset)
}

async fn texts(mailbox: &Mailbox) -> Vec<String> {
    let mut texts = Vec::new();
    mailbox.finish();
    while let Some(delivery) = poll_fn(|cx| mailbox.poll_next(cx)).await {
        texts.push(match delivery {
            Delivery::Gap { room, .. } => room.id().into(),
            Delivery::Lagged { missed } => format!("lagged {missed}"),
            Delivery::Denied { room, .. } => format!("denied {}", room.id()),
            other => format!("{other:?}"),
        });
    }
    texts
}

#[tokio::test]
async fn deliveries_come_in_order() {
    let mailbox = Mailbox::new(3);
    ["a", "b", "c"].into_iter().for_each(|room| mailbox.push(gap(room), Moves::new()));
    assert_eq!(texts(&mailbox).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_full_mailbox_drops_the_oldest_and_says_how_many() {
    let mailbox = Mailbox::new(2);
    ["a", "b", "c", "d", "e"].into_iter().for_each(|room| mailbox.push(gap(room), Moves::new()));
    assert_eq!(texts(&mailbox).await, ["lagged 3", "d", "e"]);
}

#[tokio::test]
async fn a_denied_room_is_never_dropped() {
    let mailbox = Mailbox::new(2);
    let denied = Delivery::Denied { room: Room::team("x"), code: ErrorCode::Forbidden };
    mailbox.push(Item::Notice(denied), Moves::new());
    ["a", "b", "c"].into_iter().for_each(|room| mailbox.push(gap(room), Moves::new()));
    assert_eq!(texts(&mailbox).await, ["lagged 2", "denied x", "c"]);
}

#[tokio::test]
async fn a_finished_mailbox_takes_nothing_more() {
    let mailbox = Mailbox::new(2);
    mailbox.push(gap("a"), Moves::new());
    mailbox.finish();
    mailbox.push(gap("b"), Moves::new());
    assert_eq!(texts(&mailbox).await, ["a"]);
}

#[tokio::test]
async fn a_position_moves_with_what_the_reader_takes() {
    let mailbox = Mailbox::new(4);
    mailbox.start(&Room::team("x"), at(1));
    push(&mailbox, "a", 2);
    push(&mailbox, "b", 3);
    mailbox.pass(vec![(Room::team("x"), at(4))]);
    assert_eq!(mailbox.position(&Room::team("x")), Some(at(1)));
    assert_eq!([take(&mailbox).await, take(&mailbox).await], [Some(2), Some(4)]);
    mailbox.pass(vec![(Room::team("x"), at(5))]);
    assert_eq!(mailbox.positions()[&Room::team("x")], at(5), "nothing lies before it");
}

#[tokio::test]
async fn a_reader_who_is_told_that_it_lagged_stands_behind_what_was_dropped() {
    let mailbox = Mailbox::new(1);
    for (text, offset) in [("a", 2), ("b", 3), ("c", 4)] {
        push(&mailbox, text, offset);
    }
    assert_eq!(mailbox.position(&Room::team("x")), None, "it does not know yet");
    assert_eq!([take(&mailbox).await, take(&mailbox).await], [Some(3), Some(4)]);
}

fn state(users: &[&str]) -> Delivery {
    let member = |user: &&str| PresenceMember { user_id: user.parse().unwrap(), data: None, connections: 1 };
    Delivery::PresenceState(PresenceState { room: Room::team("x"), members: users.iter().map(member).collect() })
}

fn joined(user: &str) -> Delivery {
    let member = PresenceMember { user_id: user.parse().unwrap(), data: None, connections: 1 };
    Delivery::PresenceJoined(PresenceChange { room: Room::team("x"), member })
}

fn members(mailbox: &Mailbox) -> Vec<String> {
    let members = mailbox.members(&Room::team("x")).into_iter().flatten();
    members.map(|member| member.user_id.into()).collect()
}

#[tokio::test]
async fn the_list_of_a_room_moves_with_what_the_reader_takes() {
    let mailbox = Mailbox::new(4);
    let denied = Delivery::PresenceDenied { room: Room::team("x") };
    for delivery in [state(&["ann", "ben"]), joined("cleo"), denied, state(&[])] {
        mailbox.push(Item::Notice(delivery), Moves::new());
    }
    let mut known = vec![mailbox.members(&Room::team("x")).map(|members| members.len())];
    for _ in 0..4 {
        poll_fn(|cx| mailbox.poll_next(cx)).await;
        known.push(mailbox.members(&Room::team("x")).map(|members| members.len()));
    }
    assert_eq!(known, [None, Some(2), Some(3), None, Some(0)]);
}

#[tokio::test]
async fn a_reader_who_lagged_is_told_the_list_that_the_rest_goes_on_from() {
    let mailbox = Mailbox::new(2);
    mailbox.push(Item::Notice(state(&["ann"])), Moves::new());
    take(&mailbox).await;
    for user in ["ben", "cleo", "dan"] {
        mailbox.push(Item::Notice(joined(user)), Moves::new());
    }
    assert_eq!(members(&mailbox), ["ann"], "it does not know yet");
    let lagged = poll_fn(|cx| mailbox.poll_next(cx)).await;
    assert!(matches!(lagged, Some(Delivery::Lagged { missed: 1 })), "{lagged:?}");
    // It lags once more before it has taken the list.
    mailbox.push(gap("a"), Moves::new());
    let lagged = poll_fn(|cx| mailbox.poll_next(cx)).await;
    assert!(matches!(lagged, Some(Delivery::Lagged { missed: 1 })), "{lagged:?}");
    let told = poll_fn(|cx| mailbox.poll_next(cx)).await;
    assert_eq!(format!("{told:?}"), format!("{:?}", Some(state(&["ann", "ben", "cleo"]))));
    take(&mailbox).await;
    assert_eq!(members(&mailbox), ["ann", "ben", "cleo", "dan"]);
    assert_eq!(texts(&mailbox).await, ["a"]);
}

#[tokio::test]
async fn a_denied_presence_is_not_lost_by_a_reader_who_lags() {
    let mailbox = Mailbox::new(1);
    mailbox.push(Item::Notice(Delivery::PresenceDenied { room: Room::team("x") }), Moves::new());
    mailbox.push(gap("a"), Moves::new());
    let told = texts(&mailbox).await;
    assert!(told[0] == "lagged 1" && told[1].starts_with("PresenceDenied") && told[2] == "a", "{told:?}");
}

#[tokio::test]
async fn a_waiting_reader_is_woken() {
    let mailbox = Arc::new(Mailbox::new(2));
    let reader = tokio::spawn({
        let mailbox = mailbox.clone();
        async move { poll_fn(|cx| mailbox.poll_next(cx)).await }
    });
    tokio::task::yield_now().await;
    mailbox.push(gap("a"), Moves::new());
    assert!(matches!(reader.await.unwrap(), Some(Delivery::Gap { .. })));
}
