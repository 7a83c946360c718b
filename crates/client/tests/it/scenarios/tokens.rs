//! Tokens: refused, renewed, and run out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomcast_client::ConnectionState;
use roomcast_client::protocol::{CloseCode, Room};

use super::stage::{Stage, deleted, issue, take, team, until, who};

const WRONG: &str = "not.a.jwt";

/// A provider that gives these, one after the other, and at last the last again and again; `None`: it fails.
struct Tokens {
    tokens: Mutex<VecDeque<Option<String>>>,
    asked: Mutex<usize>,
}

fn tokens<const N: usize>(tokens: [Option<String>; N]) -> Arc<Tokens> {
    Arc::new(Tokens { tokens: Mutex::new(tokens.into()), asked: Mutex::new(0) })
}

impl Tokens {
    fn provider(self: &Arc<Self>) -> impl Fn() -> std::future::Ready<Result<String, &'static str>> + use<> {
        let tokens = self.clone();
        move || {
            *tokens.asked.lock().unwrap() += 1;
            let mut tokens = tokens.tokens.lock().unwrap();
            let next = if tokens.len() > 1 { tokens.pop_front().unwrap() } else { tokens[0].clone() };
            std::future::ready(next.ok_or("the login is away"))
        }
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

fn is_unauthorized(state: &ConnectionState) -> bool {
    matches!(state, ConnectionState::Closed { code: Some(CloseCode::Unauthorized), .. })
}

pub(super) async fn a_wrong_token_ends_the_client(stage: &Stage) {
    let client = stage.builder().token(WRONG).build().unwrap();
    let state = until(&client, ConnectionState::is_closed).await;
    assert!(is_unauthorized(&state), "{state:?}");
}

pub(super) async fn a_provider_is_asked_once_more_for_a_token_that_is_refused(stage: &Stage) {
    let tokens = tokens([Some(WRONG.into())]);
    let client = stage.builder().token_provider(tokens.provider()).build().unwrap();
    let state = until(&client, ConnectionState::is_closed).await;
    assert!(is_unauthorized(&state), "{state:?}");
    assert_eq!(tokens.asked(), 2);
}

pub(super) async fn a_fresh_token_opens_what_a_wrong_one_did_not(stage: &Stage) {
    let tokens = tokens([Some(WRONG.into()), Some(stage.token(&who("ann")).await)]);
    let client = stage.builder().token_provider(tokens.provider()).build().unwrap();
    let state = until(&client, ConnectionState::is_open).await;
    assert!(matches!(state, ConnectionState::Open { user_id, .. } if user_id.as_str() == "ann"));
    assert_eq!(tokens.asked(), 2);
}

pub(super) async fn a_token_is_renewed_and_rooms_that_it_does_not_grant_are_left(stage: &Stage) {
    // So little is left that the end of the first is told at once.
    let first = stage.token(&who("ann").for_a_time(Duration::from_secs(30))).await;
    let next = stage.token(&who("ann").may("team:*", &["subscribe"])).await;
    let tokens = tokens([Some(first), Some(next)]);
    let client = stage.builder().token_provider(tokens.provider()).build().unwrap();
    let (mut in_team, mut in_issue) = (client.subscribe(team()).await.unwrap(), client.subscribe(issue()).await);
    if let Ok(in_issue) = &mut in_issue {
        assert_eq!(take(in_issue, 2).await, ["issue:i denied: FORBIDDEN", "the end"]);
    }
    stage.until_count(&issue(), 0).await;
    stage.publish(deleted("1", [team(), issue()])).await;
    assert_eq!(take(&mut in_team, 1).await, ["1"], "the connection has not been broken");
    assert_eq!(tokens.asked(), 2);
}

pub(super) async fn another_users_token_renews_nothing(stage: &Stage) {
    let first = stage.token(&who("ann").for_a_time(Duration::from_secs(30))).await;
    let others = stage.token(&who("bob").may("team:*", &["subscribe"])).await;
    let tokens = tokens([Some(first), Some(others)]);
    let client = stage.builder().token_provider(tokens.provider()).build().unwrap();
    let mut subscription = client.subscribe(issue()).await.unwrap();
    tokio::time::timeout(crate::gateway::DEADLINE, async {
        while tokens.asked() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the token is not asked for");
    // Behind the answer to the renewal comes that to another request.
    let own = client.subscribe(Room::user("ann")).await.unwrap();
    stage.publish(deleted("1", [issue()])).await;
    assert_eq!(take(&mut subscription, 1).await, ["1"]);
    assert!(matches!(client.state(), ConnectionState::Open { user_id, .. } if user_id.as_str() == "ann"));
    drop(own);
}

pub(super) async fn a_token_that_ran_out_is_replaced_by_coming_back(stage: &Stage) {
    let first = stage.token(&who("ann").for_a_time(Duration::from_secs(2))).await;
    let tokens = tokens([Some(first), None, Some(stage.token(&who("ann")).await)]);
    let client = stage.builder().token_provider(tokens.provider()).build().unwrap();
    let mut subscription = client.subscribe(team()).await.unwrap();
    let ConnectionState::Reconnecting { error, .. } = until(&client, |state| !state.is_open()).await else {
        panic!("not reconnecting")
    };
    assert!(error.to_string().contains("4002 token expired"), "{error}");
    assert_eq!(take(&mut subscription, 1).await, ["team:a resumed: 0"]);
    assert_eq!(tokens.asked(), 3);
}
