//! Connections that break, are broken off, and come back.

use roomcast_client::protocol::{CloseCode, Room};
use roomcast_client::{ConnectionState, ErrorKind};

use super::stage::{
    HISTORY_SIZE, MESSAGES_PER_MINUTE, Stage, deleted, issue, note, take, team, until, until_away, who,
};

pub(super) async fn behind_a_lost_connection_everything_comes_once_and_in_order(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut subscription = client.subscribe(team()).await.unwrap();
    stage.publish(deleted("1", [team()])).await;
    assert_eq!(take(&mut subscription, 1).await, ["1"]);
    stage.go_down();
    until_away(&client).await;
    for id in ["2", "3", "4"] {
        stage.publish(deleted(id, [team()])).await;
    }
    stage.come_up();
    assert_eq!(take(&mut subscription, 4).await, ["team:a resumed: 3", "2", "3", "4"]);
    stage.publish(deleted("5", [team()])).await;
    assert_eq!(take(&mut subscription, 1).await, ["5"]);
    assert!(client.state().is_open());
}

pub(super) async fn behind_a_long_absence_the_gap_is_told_and_the_room_goes_on(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut subscription = client.subscribe(team()).await.unwrap();
    stage.go_down();
    until_away(&client).await;
    for number in 0..=HISTORY_SIZE {
        stage.publish(deleted(&number.to_string(), [team()])).await;
    }
    stage.come_up();
    assert_eq!(take(&mut subscription, 1).await, ["gap in team:a: history_truncated"]);
    stage.publish(deleted("later", [team()])).await;
    assert_eq!(take(&mut subscription, 1).await, ["later"]);
}

pub(super) async fn a_shared_event_is_recovered_once_and_counts_in_both_rooms(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut subscription = client.subscribe_all([team(), issue()]).await.unwrap();
    stage.go_down();
    until_away(&client).await;
    stage.publish(deleted("1", [team()])).await;
    stage.publish(deleted("2", [issue()])).await;
    stage.publish(deleted("3", [team(), issue()])).await;
    stage.publish(deleted("4", [issue()])).await;
    stage.come_up();
    let mut told = take(&mut subscription, 6).await;
    told[..2].sort();
    assert_eq!(told[..2], ["issue:i resumed: 3", "team:a resumed: 2"]);
    told[2..4].sort();
    assert_eq!(told[2..], ["1", "2", "3", "4"]);
}

pub(super) async fn a_connection_that_breaks_again_and_again_loses_and_doubles_nothing(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut subscription = client.subscribe(team()).await.unwrap();
    for number in 0..4 {
        let id = number.to_string();
        stage.cut();
        until_away(&client).await;
        stage.publish(deleted(&id, [team()])).await;
        let mut told = take(&mut subscription, 2).await;
        // It may be back before the event: then it comes live, behind the news of an absence without one.
        told[0] = told[0].replace(": 0", ": 1");
        assert_eq!(told, ["team:a resumed: 1".to_owned(), id]);
    }
}

pub(super) async fn a_publish_over_a_lost_connection_is_carried_out_once(stage: &Stage) {
    let client = stage.client(&who("ann").may("*", &["subscribe", "publish"])).await;
    let mut subscription = client.subscribe(team()).await.unwrap();
    stage.go_down();
    until_away(&client).await;
    let publishing = tokio::spawn({
        let client = client.clone();
        async move { client.publish(deleted("1", [team()])).await }
    });
    stage.publish(deleted("0", [team()])).await;
    stage.come_up();
    assert!(!publishing.await.unwrap().unwrap().duplicate);
    assert_eq!(take(&mut subscription, 3).await, ["team:a resumed: 1", "0", "1"]);
    stage.publish(deleted("2", [team()])).await;
    assert_eq!(take(&mut subscription, 1).await, ["2"]);
}

pub(super) async fn whoever_is_sent_away_stays_away(stage: &Stage) {
    let (ann, bob) = (stage.client(&who("ann")).await, stage.client(&who("bob")).await);
    let mut subscription = ann.subscribe(team()).await.unwrap();
    let mut others = bob.subscribe(team()).await.unwrap();
    stage.disconnect("ann").await;
    let reason = "closed by the gateway: 4501 disconnected by the server";
    assert_eq!(take(&mut subscription, 2).await, [&format!("closed Some(4501): {reason}"), "the end"]);
    let ConnectionState::Closed { code, reason: told } = until(&ann, ConnectionState::is_closed).await else {
        panic!("not closed")
    };
    assert_eq!((code, &*told), (Some(CloseCode::Disconnected), reason));
    let closed = ErrorKind::Closed { code: Some(CloseCode::Disconnected) };
    assert_eq!(ann.subscribe(team()).await.unwrap_err().kind(), closed);
    stage.until_count(&team(), 1).await;
    stage.publish(deleted("1", [team()])).await;
    assert_eq!(take(&mut others, 1).await, ["1"]);
}

pub(super) async fn a_drain_is_told_and_the_client_comes_back(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut subscription = client.subscribe(team()).await.unwrap();
    let mut states = client.watch_state();
    let away = async {
        let state = states.wait_for(|state| !state.is_open()).await.unwrap().clone();
        match state {
            ConnectionState::Reconnecting { error, .. } => error,
            other => panic!("{other:?}"),
        }
    };
    let ((), error) = tokio::join!(stage.drain(), away);
    assert!(error.to_string().contains("1012 service restart"), "{error}");
    assert!(error.retry_after().is_some());
    until(&client, ConnectionState::is_open).await;
    stage.until_count(&team(), 1).await;
    // Whether the successor knows the positions is the broker's affair, and no part of a drain.
    take(&mut subscription, 1).await;
    stage.publish(deleted("1", [team()])).await;
    assert_eq!(take(&mut subscription, 1).await, ["1"]);
}

pub(super) async fn a_client_that_closes_ends_its_subscriptions(stage: &Stage) {
    let client = stage.client(&who("ann")).await;
    let mut subscription = client.subscribe(team()).await.unwrap();
    stage.until_count(&team(), 1).await;
    client.close().await;
    assert_eq!(take(&mut subscription, 2).await, ["closed Some(1000): closed by the application", "the end"]);
    stage.until_count(&team(), 0).await;
}

pub(super) async fn a_rate_limit_refuses_with_a_hint(stage: &Stage) {
    let client = stage.client(&who("ann").may("*", &["subscribe", "publish"])).await;
    let _subscription = client.subscribe(Room::team("b")).await.unwrap();
    let mut published = 0;
    let error = loop {
        match client.publish(note([team()])).await {
            Ok(_) => published += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(published, MESSAGES_PER_MINUTE - 1, "the subscription was a message too");
    assert_eq!(error.kind(), ErrorKind::Denied { code: roomcast_client::protocol::ErrorCode::RateLimitExceeded });
    let hint = error.retry_after().unwrap().as_secs();
    assert!((1..=60).contains(&hint), "{hint}");
    assert!(client.state().is_open());
}
