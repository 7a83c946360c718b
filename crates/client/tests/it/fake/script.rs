//! What the script can make happen.

use std::time::Duration;

use roomcast_client::protocol::server::ErrorPayload;
use roomcast_client::protocol::{CloseCode, ErrorCode, Room, Service};
use roomcast_client::testing::{FakeGateway, Identity, Refusal};
use roomcast_client::{Client, ConnectionState, Delivery, ErrorKind, Subscription};
use tokio::time::Instant;

use super::{client, note, team, until, until_away};

async fn next(subscription: &mut Subscription) -> Delivery {
    tokio::time::timeout(crate::gateway::DEADLINE * 10, subscription.next()).await.expect("nothing comes").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_down_is_tried_again_until_it_is_up() {
    let gateway = FakeGateway::new();
    gateway.go_down();
    let ann = client(&gateway, "ann");
    let error = until_away(&ann).await;
    assert_eq!(error.kind(), ErrorKind::Connect);
    let publisher = gateway.publisher().attempts(1).build().unwrap();
    assert_eq!(publisher.publish(note(1)).await.unwrap_err().kind(), ErrorKind::Connect);
    gateway.come_up();
    until(&ann, ConnectionState::is_open).await;
    publisher.publish(note(1)).await.unwrap();
    gateway.go_down();
    until_away(&ann).await;
    assert_eq!(publisher.publish(note(2)).await.unwrap_err().kind(), ErrorKind::Connect, "kept streams break too");
}

#[tokio::test(start_paused = true)]
async fn refused_connects_are_refused_in_their_order_and_no_others() {
    let gateway = FakeGateway::new();
    gateway.refuse_next(Refusal::Unavailable { retry_after: Duration::from_millis(2500) });
    gateway.refuse_next(Refusal::TooManyRequests { retry_after: Duration::from_secs(7) });
    let (ann, start) = (client(&gateway, "ann"), Instant::now());
    let is_refused = |wanted: &'static str| move |state: &ConnectionState| matches!(state, ConnectionState::Reconnecting { error, .. } if error.to_string().contains(wanted));
    until(&ann, is_refused("503")).await;
    until(&ann, is_refused("429")).await;
    assert!(start.elapsed() >= Duration::from_secs(3), "rounded up to whole seconds");
    until(&ann, ConnectionState::is_open).await;
    assert!(start.elapsed() >= Duration::from_secs(10));
    gateway.refuse_next(Refusal::Forbidden);
    let bob = client(&gateway, "bob");
    let state = until(&bob, ConnectionState::is_closed).await;
    assert!(matches!(&state, ConnectionState::Closed { code: None, reason } if reason.contains("403")), "{state:?}");
    assert_eq!(gateway.opened(), 1);
}

#[tokio::test(start_paused = true)]
async fn refused_publishes_are_refused_in_their_order_and_no_others() {
    let gateway = FakeGateway::new();
    let (ann, publisher) = (client(&gateway, "ann"), gateway.publisher().build().unwrap());
    let refuse = |code| gateway.refuse_next_publish(ErrorPayload::new(code, "not now"));
    refuse(ErrorCode::Forbidden);
    assert_eq!(ann.publish(note(1)).await.unwrap_err().kind(), ErrorKind::Denied { code: ErrorCode::Forbidden });
    ann.publish(note(1)).await.unwrap();
    refuse(ErrorCode::InvalidPayload);
    let invalid = ErrorKind::Denied { code: ErrorCode::InvalidPayload };
    assert_eq!(publisher.publish(note(2)).await.unwrap_err().kind(), invalid);
    // One that is worth a repeat is repeated, after its hint.
    let hint = ErrorPayload { retry_after_ms: Some(3000), ..ErrorPayload::new(ErrorCode::Unavailable, "not now") };
    gateway.refuse_next_publish(hint);
    let start = Instant::now();
    publisher.publish(note(2)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(3));
    refuse(ErrorCode::Forbidden);
    let outcomes = publisher.publish_batch(vec![note(3), note(4)]).await.unwrap();
    assert!(outcomes[0].is_err() && outcomes[1].is_ok());
    assert_eq!(gateway.published().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_silent_network_is_noticed_and_what_was_missed_comes() {
    let gateway = FakeGateway::new();
    let ann = client(&gateway, "ann");
    let mut subscription = ann.subscribe(team()).await.unwrap();
    gateway.stall(true);
    gateway.publish(note(1)).unwrap();
    let error = until_away(&ann).await;
    assert!(error.to_string().contains("silent"), "{error}");
    gateway.stall(false);
    assert!(matches!(next(&mut subscription).await, Delivery::Resumed { recovered: 1, .. }));
    assert!(matches!(next(&mut subscription).await, Delivery::Event(_)));
    gateway.stall(true);
    let publisher = gateway.publisher().attempts(1).build().unwrap();
    assert_eq!(publisher.publish(note(2)).await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_slow_gateway_answers_late_and_in_order() {
    let gateway = FakeGateway::new();
    let (ann, publisher) = (client(&gateway, "ann"), gateway.publisher().build().unwrap());
    let mut subscription = ann.subscribe(team()).await.unwrap();
    gateway.delay(Duration::from_secs(3));
    let start = Instant::now();
    ann.publish(note(1)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(3));
    publisher.publish(note(2)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(6));
    gateway.delay(Duration::ZERO);
    gateway.publish(note(3)).unwrap();
    for number in 1..=3 {
        let Delivery::Event(frame) = next(&mut subscription).await else { panic!("no event") };
        assert_eq!(frame.event.payload()["number"], number);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_told_to_whoever_is_there_and_to_whoever_comes_back() {
    let gateway = FakeGateway::new();
    let (ann, bob) = (client(&gateway, "ann"), client(&gateway, "bob"));
    let (mut anns, mut bobs) = (ann.subscribe(team()).await.unwrap(), bob.subscribe(team()).await.unwrap());
    let gap = |delivery| match delivery {
        Delivery::Gap { reason, .. } => reason.unwrap().to_string(),
        other => panic!("{other:?}"),
    };
    gateway.connections().of("bob").cut();
    gateway.gap(&team());
    assert_eq!(gap(next(&mut anns).await), "epoch_changed");
    assert_eq!(gap(next(&mut bobs).await), "epoch_changed");
    assert_eq!(anns.position(&team()), gateway.position(&team()));
    // What is forgotten and was not missed is none.
    gateway.publish(note(1)).unwrap();
    for subscription in [&mut anns, &mut bobs] {
        assert!(matches!(next(subscription).await, Delivery::Event(_)));
    }
    gateway.connections().of("bob").cut();
    gateway.publish(note(2)).unwrap();
    gateway.forget_history(&team());
    assert_eq!(gap(next(&mut bobs).await), "history_truncated");
    assert!(matches!(next(&mut anns).await, Delivery::Event(_)));
    gateway.connections().of("bob").cut();
    assert!(matches!(next(&mut bobs).await, Delivery::Resumed { recovered: 0, .. }));
}

#[tokio::test(start_paused = true)]
async fn without_its_broker_a_gateway_denies_for_now() {
    let gateway = FakeGateway::new();
    let ann = client(&gateway, "ann");
    let mut subscription = ann.subscribe(team()).await.unwrap();
    gateway.set_unavailable(true);
    let unavailable = ErrorKind::Denied { code: ErrorCode::Unavailable };
    assert_eq!(ann.publish(note(1)).await.unwrap_err().kind(), unavailable);
    gateway.connections().cut();
    gateway.wait_until(|gateway| gateway.opened() == 2).await;
    assert_eq!(ann.subscribe(Room::team("b")).await.map(drop).unwrap_err().kind(), unavailable);
    let publisher = gateway.publisher().build().unwrap();
    let publishing = tokio::spawn(async move { publisher.publish(note(2)).await.map(drop) });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((gateway.count(&team()), gateway.published().len()), (0, 0));
    gateway.set_unavailable(false);
    publishing.await.unwrap().unwrap();
    assert!(matches!(next(&mut subscription).await, Delivery::Resumed { .. }));
    assert_eq!(gateway.published().len(), 1);
}

/// A client whose tokens are new each time, in a room.
async fn joined(gateway: &FakeGateway) -> (Client, Subscription) {
    let ann = client(gateway, "ann");
    let subscription = ann.subscribe(team()).await.unwrap();
    (ann, subscription)
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_said_to_have_run_out_is_replaced() {
    let gateway = FakeGateway::new();
    let (ann, mut subscription) = joined(&gateway).await;
    gateway.connections().expire();
    assert!(until_away(&ann).await.to_string().contains("4002"));
    assert!(matches!(next(&mut subscription).await, Delivery::Resumed { .. }));
    let used = gateway.used_tokens();
    assert!(used.len() == 2 && used[0] != used[1]);
}

#[tokio::test(start_paused = true)]
async fn a_drained_client_comes_back_after_the_hint() {
    let gateway = FakeGateway::new();
    let (ann, mut subscription) = joined(&gateway).await;
    let start = Instant::now();
    gateway.connections().drain(Duration::from_secs(5));
    let error = until_away(&ann).await;
    assert!(error.to_string().contains("1012 service restart"), "{error}");
    assert!(matches!(next(&mut subscription).await, Delivery::Resumed { .. }));
    assert!(start.elapsed() >= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_close_code_is_obeyed_by_its_range() {
    let gateway = FakeGateway::new();
    let (ann, mut subscription) = joined(&gateway).await;
    gateway.connections().close(CloseCode::Rebalance);
    assert!(matches!(next(&mut subscription).await, Delivery::Resumed { .. }));
    gateway.connections().close(CloseCode::TooManyInvalid);
    let state = until(&ann, ConnectionState::is_closed).await;
    assert!(matches!(state, ConnectionState::Closed { code: Some(CloseCode::TooManyInvalid), .. }));
}

#[tokio::test(start_paused = true)]
async fn a_user_who_was_sent_away_is_let_in_by_a_later_token() {
    let gateway = FakeGateway::new();
    let early = gateway.token("ann");
    let (ann, _subscription) = joined(&gateway).await;
    gateway.disconnect("ann");
    until(&ann, ConnectionState::is_closed).await;
    let again = gateway.client("ann").token(early).build().unwrap();
    until(&again, ConnectionState::is_closed).await;
    let publisher = gateway.publisher().token(gateway.token(Identity::of("ann").grant("*", &["*"]))).build().unwrap();
    let unauthorized = ErrorKind::Denied { code: ErrorCode::Unauthorized };
    assert_eq!(publisher.publish(note(1)).await.unwrap_err().kind(), unauthorized, "made in the same second");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let later = client(&gateway, "ann");
    until(&later, ConnectionState::is_open).await;
}
