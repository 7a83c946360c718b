//! Presence: who is in a room, told per user, behind the answers, and with a grace for those who are lost.

use std::collections::BTreeMap;
use std::time::Duration;

use roomcast_gateway::{Config, Gateway};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Client, call, config, publish, request, start, token};

async fn join(gateway: &Gateway, user: &str) -> Client {
    Client::join(gateway, user, json!({"*": ["subscribe", "presence"]})).await
}

/// Subscribes with presence and takes the answer; answers the first room's outcome.
async fn ask(client: &mut Client, rooms: &[&str], presence: Value) -> Value {
    let answer = client.ask(json!({"action": "subscribe", "rooms": rooms, "presence": presence})).await;
    assert_eq!(answer["type"], "subscription.ack", "{answer}");
    answer["payload"]["rooms"][rooms[0]].clone()
}

/// Enters the room and takes the state.
async fn enter(client: &mut Client, room: &str, presence: Value) -> Value {
    assert_eq!(ask(client, &[room], presence).await.get("presence"), None);
    state(client, room).await
}

async fn present(gateway: &Gateway, user: &str, room: &str) -> Client {
    let mut client = join(gateway, user).await;
    enter(&mut client, room, json!(true)).await;
    client
}

async fn state(client: &mut Client, room: &str) -> Value {
    let frame = client.receive().await;
    assert_eq!((&frame["type"], &frame["payload"]["room"]), (&json!("presence.state"), &json!(room)), "{frame}");
    frame["payload"]["members"].clone()
}

/// The next frame must be that change in `team:a`.
async fn told(client: &mut Client, change: &str, member: Value) {
    let frame = client.receive().await;
    let expected = json!({"room": "team:a", "member": member});
    assert_eq!((&frame["type"], &frame["payload"]), (&json!(format!("presence.{change}")), &expected), "{frame}");
}

fn user(name: &str, connections: u32) -> Value {
    json!({"userId": name, "connections": connections})
}

/// That nothing comes even when everything that may be on its way had time to.
async fn stays_quiet(client: &mut Client) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.is_quiet().await;
}

#[tokio::test]
async fn a_state_for_each_room_follows_the_answer_and_names_oneself_too() {
    let gateway = start(config());
    let _present = present(&gateway, "anna", "team:a").await;
    let mut ben = join(&gateway, "ben").await;
    ask(&mut ben, &["team:a", "issue:b"], json!({"data": {"name": "Ben"}})).await;
    let own = json!({"userId": "ben", "data": {"name": "Ben"}, "connections": 1});
    assert_eq!(state(&mut ben, "team:a").await, json!([user("anna", 1), own]));
    assert_eq!(state(&mut ben, "issue:b").await, json!([own]));
    ben.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn those_who_asked_are_told_who_comes_changes_and_leaves_and_nobody_else_is() {
    let gateway = start(config());
    let mut anna = present(&gateway, "anna", "team:a").await;
    let mut silent = join(&gateway, "silent").await;
    silent.subscribe(&["team:a"]).await;
    let mut elsewhere = present(&gateway, "elsewhere", "team:b").await;
    let mut ben = join(&gateway, "ben").await;
    enter(&mut ben, "team:a", json!({"data": 1})).await;
    told(&mut anna, "joined", json!({"userId": "ben", "data": 1, "connections": 1})).await;
    enter(&mut ben, "team:a", json!({"data": 2})).await;
    told(&mut anna, "joined", json!({"userId": "ben", "data": 2, "connections": 1})).await;
    enter(&mut ben, "team:a", json!({"data": 2})).await;
    stays_quiet(&mut anna).await;
    ben.ask(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await;
    told(&mut anna, "left", json!({"userId": "ben", "data": 2, "connections": 0})).await;
    for client in [&mut anna, &mut ben, &mut silent, &mut elsewhere] {
        stays_quiet(client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_with_several_connections_comes_once_and_leaves_once() {
    let gateway = start(config());
    let mut anna = present(&gateway, "anna", "team:a").await;
    let mut laptop = join(&gateway, "ben").await;
    enter(&mut laptop, "team:a", json!({"data": "laptop"})).await;
    told(&mut anna, "joined", json!({"userId": "ben", "data": "laptop", "connections": 1})).await;
    let mut phone = join(&gateway, "ben").await;
    // A connection without data does not silence one that has some.
    let members = enter(&mut phone, "team:a", json!(true)).await;
    assert_eq!(members[1], json!({"userId": "ben", "data": "laptop", "connections": 2}));
    stays_quiet(&mut anna).await;
    enter(&mut phone, "team:a", json!({"data": "phone"})).await;
    told(&mut anna, "joined", json!({"userId": "ben", "data": "phone", "connections": 2})).await;
    stays_quiet(&mut laptop).await;
    phone.ask(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await;
    told(&mut anna, "joined", json!({"userId": "ben", "data": "laptop", "connections": 1})).await;
    stays_quiet(&mut phone).await;
    laptop.ask(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await;
    told(&mut anna, "left", json!({"userId": "ben", "data": "laptop", "connections": 0})).await;
    stays_quiet(&mut anna).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_user_leaves_after_fifteen_seconds() {
    let gateway = start(config());
    let mut anna = present(&gateway, "anna", "team:a").await;
    let ben = present(&gateway, "ben", "team:a").await;
    told(&mut anna, "joined", user("ben", 1)).await;
    let lost = Instant::now();
    drop(ben);
    tokio::time::sleep(Duration::from_secs(10)).await;
    anna.is_quiet().await;
    assert_eq!(enter(&mut anna, "team:a", json!(true)).await[1], user("ben", 0), "still said to be there");
    told(&mut anna, "left", user("ben", 0)).await;
    let lasted = lost.elapsed();
    assert!(lasted >= Duration::from_secs(15) && lasted < Duration::from_secs(17), "{lasted:?}");
    anna.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_in_time_was_never_away() {
    let gateway = start(config());
    let mut anna = present(&gateway, "anna", "team:a").await;
    let mut ben = join(&gateway, "ben").await;
    enter(&mut ben, "team:a", json!({"data": {"cursor": 7}})).await;
    let member = json!({"userId": "ben", "data": {"cursor": 7}, "connections": 1});
    told(&mut anna, "joined", member.clone()).await;
    for _ in 0..3 {
        drop(ben);
        tokio::time::sleep(Duration::from_secs(14)).await;
        ben = join(&gateway, "ben").await;
        assert_eq!(enter(&mut ben, "team:a", json!({"data": {"cursor": 7}})).await[1], member);
        anna.is_quiet().await;
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    anna.is_quiet().await;
    ben.ask(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await;
    told(&mut anna, "left", json!({"userId": "ben", "data": {"cursor": 7}, "connections": 0})).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_of_a_user_with_others_is_no_news() {
    let gateway = start(Config { presence_grace: Duration::from_secs(2), ..config() });
    let mut anna = present(&gateway, "anna", "team:a").await;
    let mut ben = present(&gateway, "ben", "team:a").await;
    let other = present(&gateway, "ben", "team:a").await;
    told(&mut anna, "joined", user("ben", 1)).await;
    drop(other);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(enter(&mut anna, "team:a", json!(true)).await[1], user("ben", 1));
    ben.is_quiet().await;
    anna.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn subscribing_again_without_presence_ends_it_and_keeps_the_room() {
    let gateway = start(config());
    let mut anna = present(&gateway, "anna", "team:a").await;
    let mut ben = present(&gateway, "ben", "team:a").await;
    told(&mut anna, "joined", user("ben", 1)).await;
    ben.subscribe(&["team:a"]).await;
    told(&mut anna, "left", user("ben", 0)).await;
    let _carl = present(&gateway, "carl", "team:a").await;
    told(&mut anna, "joined", user("carl", 1)).await;
    stays_quiet(&mut ben).await;
    publish(&gateway, json!({"type": "custom.event", "payload": {}, "rooms": ["team:a"]})).await;
    assert_eq!(ben.receive().await["type"], "custom.event");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_loses_a_room_or_the_grant_ends_presence_there() {
    let gateway = start(config());
    let mut anna = present(&gateway, "anna", "team:a").await;
    for (grants, lost) in [(json!({}), json!(["team:a"])), (json!({"*": ["subscribe"]}), json!([]))] {
        let mut ben = present(&gateway, "ben", "team:a").await;
        told(&mut anna, "joined", user("ben", 1)).await;
        let renewed = ben.ask(json!({"action": "authenticate", "token": token(&gateway, "ben", grants)})).await;
        assert_eq!(renewed["payload"]["lostRooms"], lost);
        told(&mut anna, "left", user("ben", 0)).await;
        let mut carl = present(&gateway, "carl", "team:a").await;
        told(&mut anna, "joined", user("carl", 1)).await;
        stays_quiet(&mut ben).await;
        carl.ask(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await;
        told(&mut anna, "left", user("carl", 0)).await;
    }
}

#[tokio::test]
async fn data_is_bounded_and_readable_by_all() {
    let gateway = start(config());
    let mut client = join(&gateway, "anna").await;
    let mut wish = async |data: &str| {
        let frame = format!(r#"{{"action":"subscribe","rooms":["team:a"],"presence":{{"data":{data}}},"id":"1"}}"#);
        client.send_text(&frame).await;
        let answer = client.receive().await;
        assert_eq!(answer["replyTo"], "1");
        if answer["type"] == "subscription.ack" { state(&mut client, "team:a").await } else { answer }
    };
    let refused = async |answer: Value| assert_eq!(answer["payload"]["code"], "INVALID_MESSAGE", "{answer}");
    assert_eq!(wish(&format!("\"{}\"", "x".repeat(1022))).await[0]["data"], "x".repeat(1022));
    refused(wish(&format!("\"{}\"", "x".repeat(1023))).await).await;
    refused(wish(&format!("{}{}", "[".repeat(500), "]".repeat(500))).await).await;
    refused(wish(r#""\ud800""#).await).await;
    assert_eq!(wish("null").await[0], user("anna", 1), "no data");
}

#[tokio::test]
async fn a_state_comes_before_the_replay() {
    let gateway = start(config());
    let mut anna = present(&gateway, "anna", "team:a").await;
    let event = |number: u64| json!({"type": "custom.event", "payload": {"number": number}, "rooms": ["team:a"]});
    let first = publish(&gateway, event(1)).await["positions"]["team:a"].clone();
    publish(&gateway, event(2)).await;
    let mut ben = join(&gateway, "ben").await;
    let since = json!({"action": "subscribe", "rooms": ["team:a"], "since": {"team:a": first}, "presence": true});
    assert_eq!(ben.ask(since).await["payload"]["rooms"]["team:a"]["status"], "recovered");
    assert_eq!(state(&mut ben, "team:a").await, json!([user("anna", 1), user("ben", 1)]));
    assert_eq!(ben.receive().await["payload"]["number"], 2);
    assert_eq!(anna.receive().await["payload"]["number"], 1);
}

#[tokio::test(start_paused = true)]
async fn changes_during_a_replay_come_behind_it() {
    let gateway = start(Config { history_bytes: (64 << 20).into(), max_queue_bytes: 256 << 10, ..config() });
    let filler = "x".repeat(16 << 10);
    let event = |number: u64| json!({"type": "custom.event", "payload": {"number": number, "filler": filler}, "rooms": ["team:a"]});
    let first = publish(&gateway, event(0)).await["positions"]["team:a"].clone();
    for number in 1..=40 {
        publish(&gateway, event(number)).await;
    }
    let mut anna = join(&gateway, "anna").await;
    let since = json!({"action": "subscribe", "rooms": ["team:a"], "since": {"team:a": first}, "presence": true});
    anna.ask(since).await;
    let mut ben = present(&gateway, "ben", "team:a").await;
    ben.ask(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await;
    let _carl = present(&gateway, "carl", "team:a").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(state(&mut anna, "team:a").await, json!([user("anna", 1)]), "the list is of when it was sent");
    for number in 1..=40 {
        assert_eq!(anna.receive().await["payload"]["number"], number);
    }
    // That Ben came and left in between may be told or not.
    let mut told = Vec::new();
    while told.last() != Some(&json!("carl")) {
        told.push(anna.receive().await["payload"]["member"]["userId"].clone());
    }
    assert!(told.len() <= 3, "{told:?}");
    stays_quiet(&mut anna).await;
}

#[tokio::test]
async fn a_room_that_is_full_is_joined_without_presence() {
    let gateway = start(Config { max_message_bytes: 512, max_queue_bytes: 1024, ..config() });
    let mut clients = Vec::new();
    for number in 0..5 {
        clients.push(present(&gateway, &format!("user_{number}"), "team:a").await);
    }
    let mut late = join(&gateway, "late").await;
    let outcome = ask(&mut late, &["team:a"], json!(true)).await;
    assert_eq!((&outcome["status"], &outcome["presence"]), (&json!("subscribed"), &json!("denied")));
    late.is_quiet().await;
    clients[0].send(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while ask(&mut late, &["team:a"], json!(true)).await.get("presence").is_some() {
        assert!(Instant::now() < deadline, "no place became free");
    }
    assert_eq!(state(&mut late, "team:a").await[0], user("late", 1));
}

/// What a client knows from its frames.
#[derive(Default)]
struct View {
    members: BTreeMap<String, Value>,
    frames: usize,
}

impl View {
    /// Takes a frame of presence; says what is wrong with it.
    fn take(&mut self, frame: &Value) {
        self.frames += 1;
        let payload = &frame["payload"];
        let name = |member: &Value| member["userId"].as_str().unwrap().to_owned();
        let data = |member: &Value| member.get("data").cloned().unwrap_or_default();
        match frame["type"].as_str().unwrap() {
            "presence.state" => {
                let members = payload["members"].as_array().unwrap().iter();
                self.members = members.map(|member| (name(member), data(member))).collect();
            }
            "presence.joined" => {
                let known = self.members.insert(name(&payload["member"]), data(&payload["member"]));
                assert_ne!(known.as_ref(), Some(&data(&payload["member"])), "told without a change: {frame}");
            }
            "presence.left" => {
                assert!(self.members.remove(&name(&payload["member"])).is_some(), "was not there: {frame}");
            }
            other => panic!("{other}"),
        }
    }
}

/// Follows the room until the view is as wanted.
async fn follow(client: &mut Client, view: &mut View, is_done: impl Fn(&View) -> bool) {
    while !is_done(view) {
        let frame = client.receive().await;
        view.take(&frame);
    }
}

#[tokio::test]
async fn a_crowd_that_comes_at_once_is_not_told_one_by_one() {
    const CROWD: usize = 300;
    let gateway = start(config());
    let mut joining = Vec::new();
    for number in 0..CROWD {
        joining.push(join(&gateway, &format!("user_{number}")).await);
    }
    for client in &mut joining {
        client.send(json!({"action": "subscribe", "rooms": ["team:a"], "presence": true})).await;
    }
    let mut tasks = Vec::new();
    for mut client in joining {
        tasks.push(tokio::spawn(async move {
            assert_eq!(client.receive().await["type"], "subscription.ack");
            let mut view = View::default();
            follow(&mut client, &mut view, |view| view.members.len() == CROWD).await;
            view.frames
        }));
    }
    let mut frames = 0;
    for task in tasks {
        frames += task.await.unwrap();
    }
    // One by one it would be half of CROWD for each.
    assert!(frames < CROWD * CROWD / 4, "{frames}");
}

/// Comes and goes in every way there is.
async fn wander(gateway: Gateway, name: String, seed: usize) {
    for round in 0..12 {
        let mut client = join(&gateway, &name).await;
        let data = json!({"data": (seed + round) % 3});
        ask(&mut client, &["team:a"], data).await;
        match (seed * 7 + round * 5) % 4 {
            0 => client.send(json!({"action": "unsubscribe", "rooms": ["team:a"]})).await,
            1 => {
                drop(client.ask(json!({"action": "subscribe", "rooms": ["team:a"], "presence": {"data": "new"}})).await)
            }
            2 => tokio::time::sleep(Duration::from_millis(15)).await,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_told_adds_up_whoever_comes_and_goes() {
    let gateway = start(Config { presence_grace: Duration::from_millis(10), ..config() });
    let mut watcher = join(&gateway, "watcher").await;
    let mut view = View::default();
    ask(&mut watcher, &["team:a"], json!(true)).await;
    // Two connections of each user, at odds with each other.
    let wanderers: Vec<_> =
        (0..12).map(|seed| tokio::spawn(wander(gateway.clone(), format!("user_{}", seed / 2), seed))).collect();
    let watching = tokio::spawn(async move {
        let others = async |view: &mut View, watcher: &mut Client| {
            follow(watcher, view, |view| view.members.contains_key("last")).await;
        };
        others(&mut view, &mut watcher).await;
        (watcher, view)
    });
    for wanderer in wanderers {
        wanderer.await.unwrap();
    }
    let mut last = join(&gateway, "last").await;
    enter(&mut last, "team:a", json!(true)).await;
    let (mut watcher, mut view) = watching.await.unwrap();
    follow(&mut watcher, &mut view, |view| view.members.len() == 2).await;
    assert!(view.frames > 12);
    let reader = token(&gateway, "back_end", json!({"team:a": ["presence"]}));
    let (_, _, answer) =
        call(&gateway, request("GET", "/api/v1/rooms/team:a/presence", Some(&reader), Value::Null)).await;
    assert_eq!(answer, json!({"room": "team:a", "members": [user("last", 1), user("watcher", 1)]}));
}

#[tokio::test]
async fn who_is_in_a_room_is_answered_over_http_to_those_who_may_know() {
    let gateway = start(config());
    let mut anna = join(&gateway, "anna").await;
    enter(&mut anna, "team:a", json!({"data": {"name": "Anna"}})).await;
    let _also = present(&gateway, "anna", "team:a").await;
    let reader = token(&gateway, "back_end", json!({"team:*": ["presence"], "issue:*": ["subscribe"]}));
    let get = async |room: &str, token: Option<&str>| {
        call(&gateway, request("GET", &format!("/api/v1/rooms/{room}/presence"), token, Value::Null)).await
    };
    let (status, _, answer) = get("team:a", Some(&reader)).await;
    let member = json!({"userId": "anna", "data": {"name": "Anna"}, "connections": 2});
    assert_eq!((status, answer), (200, json!({"room": "team:a", "members": [member]})));
    assert_eq!(get("team:empty", Some(&reader)).await.2, json!({"room": "team:empty", "members": []}));
    assert_eq!(get("issue:i", Some(&reader)).await.0, 403);
    assert_eq!(get("nonsense", Some(&reader)).await.0, 422);
    assert_eq!(get("team:a", None).await.0, 401);
}
