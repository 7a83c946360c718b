//! Recovery from the real gateway, through a line that is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomcast_client::protocol::server::GapReason;
use roomcast_client::protocol::{Event, EventFrame, NewEvent, Position, Room, Service};
use roomcast_client::{Client, Delivery, Subscription};
use roomcast_gateway::{Config, Gateway};
use serde_json::json;

use crate::gateway::{DEADLINE, Running, next, run};
use crate::proxy::Proxy;

fn config() -> Config {
    // A test cuts its line more often than a minute's worth of messages.
    Config { drain: Duration::ZERO, messages_per_minute: 10_000, ..Config::serve() }
}

async fn start(config: Config) -> (Running, Proxy, Client) {
    let running = run("127.0.0.1:0".parse().unwrap(), config).await;
    let proxy = Proxy::start(running.address).await;
    let client = running.client_through(proxy.address, json!({"*": ["subscribe"]}));
    (running, proxy, client)
}

async fn publish(gateway: &Gateway, number: u64, rooms: &[Room]) {
    let event = Event::custom("note.added", json!({"number": number}));
    gateway.publish(NewEvent::from(event).to(rooms.to_vec())).await.unwrap();
}

fn number(frame: &EventFrame) -> u64 {
    frame.event.payload()["number"].as_u64().unwrap()
}

async fn next_number(subscription: &mut Subscription) -> u64 {
    match next(subscription).await {
        Delivery::Event(frame) => number(&frame),
        other => panic!("not an event: {other:?}"),
    }
}

async fn resumed(subscription: &mut Subscription) -> u64 {
    match next(subscription).await {
        Delivery::Resumed { recovered, .. } => recovered,
        other => panic!("not resumed: {other:?}"),
    }
}

/// Publishes while the client is away.
async fn publish_unseen(running: &Running, proxy: &Proxy, client: &Client, numbers: std::ops::RangeInclusive<u64>) {
    let mut states = client.watch_state();
    proxy.go_down();
    let away = states.wait_for(|state| !state.is_open());
    tokio::time::timeout(DEADLINE, away).await.expect("the loss is not seen").unwrap();
    for number in numbers {
        publish(&running.gateway, number, &[Room::team("a")]).await;
    }
    proxy.come_up();
}

#[tokio::test]
async fn what_was_published_while_the_line_was_down_comes_once_and_in_order() {
    let (running, proxy, client) = start(config()).await;
    let mut subscription = client.subscribe(Room::team("a")).await.unwrap();
    publish(&running.gateway, 1, &[Room::team("a")]).await;
    assert_eq!(next_number(&mut subscription).await, 1);
    publish_unseen(&running, &proxy, &client, 2..=4).await;
    assert_eq!(resumed(&mut subscription).await, 3);
    publish(&running.gateway, 5, &[Room::team("a")]).await;
    for expected in 2..=5 {
        assert_eq!(next_number(&mut subscription).await, expected);
    }
    running.stop().await;
}

#[tokio::test]
async fn what_is_kept_no_longer_is_told_with_its_reason() {
    let (running, proxy, client) = start(Config { history_size: 3.into(), ..config() }).await;
    let mut subscription = client.subscribe(Room::team("a")).await.unwrap();
    publish_unseen(&running, &proxy, &client, 1..=4).await;
    let gap = next(&mut subscription).await;
    assert!(matches!(gap, Delivery::Gap { reason: Some(GapReason::HistoryTruncated), .. }), "{gap:?}");
    publish_unseen(&running, &proxy, &client, 5..=7).await;
    assert_eq!(resumed(&mut subscription).await, 3, "from behind the gap");
    for expected in 5..=7 {
        assert_eq!(next_number(&mut subscription).await, expected);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_whole_session_of_the_longest_rooms_is_resumed_in_one_message() {
    let (running, proxy, client) = start(Config { messages_per_minute: 1, ..config() }).await;
    let rooms: Vec<Room> = (0..128).map(|number| Room::workspace(&format!("{number:0128}"))).collect();
    let mut subscription = client.subscribe_all(rooms.clone()).await.unwrap();
    proxy.cut();
    for room in &rooms {
        let delivery = next(&mut subscription).await;
        assert!(matches!(&delivery, Delivery::Resumed { room: told, .. } if told == room), "{delivery:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn more_rooms_than_a_message_names_are_resumed_in_as_few_as_can_be() {
    let (running, proxy, client) = start(Config { messages_per_minute: 3, max_rooms: 300, ..config() }).await;
    let rooms: Vec<Room> = (0..300).map(|number| Room::team(&format!("{number:03}"))).collect();
    let mut subscription = client.subscribe_all(rooms.clone()).await.unwrap();
    let mut states = client.watch_state();
    proxy.cut();
    let away = states.wait_for(|state| !state.is_open());
    tokio::time::timeout(DEADLINE, away).await.expect("the loss is not seen").unwrap();
    // One event in rooms of three different requests.
    let shared = [rooms[0].clone(), rooms[150].clone(), rooms[299].clone()];
    publish(&running.gateway, 1, &shared).await;
    let (mut resumed, mut events) = (BTreeSet::new(), 0);
    while resumed.len() < rooms.len() || events == 0 {
        match next(&mut subscription).await {
            Delivery::Resumed { room, .. } => assert!(resumed.insert(room)),
            Delivery::Event(_) => events += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(events, 1);
    publish(&running.gateway, 2, &shared[2..]).await;
    assert_eq!(next_number(&mut subscription).await, 2, "the shared event came once");
    running.stop().await;
}

#[tokio::test]
async fn a_subscription_from_an_older_position_does_not_disturb_the_others() {
    let (running, _proxy, client) = start(config()).await;
    let room = Room::team("a");
    let mut first = client.subscribe(room.clone()).await.unwrap();
    let start = first.position(&room).unwrap();
    for number in 1..=3 {
        publish(&running.gateway, number, std::slice::from_ref(&room)).await;
        assert_eq!(next_number(&mut first).await, number);
    }
    let mut late = client.subscribe_since(room.clone(), start).await.unwrap();
    publish(&running.gateway, 4, std::slice::from_ref(&room)).await;
    assert_eq!(next_number(&mut first).await, 4);
    assert!(resumed(&mut late).await >= 3);
    for expected in 1..=4 {
        assert_eq!(next_number(&mut late).await, expected);
    }
    assert_eq!(late.position(&room), first.position(&room));
    running.stop().await;
}

#[tokio::test]
async fn stored_positions_carry_over_to_another_client() {
    let (running, _proxy, client) = start(config()).await;
    let rooms = [Room::team("a"), Room::issue("i")];
    let mut subscription = client.subscribe_all(rooms.clone()).await.unwrap();
    for number in 1..=6 {
        publish(&running.gateway, number, &rooms[..1 + usize::from(number % 2 == 0)]).await;
    }
    for expected in 1..=3 {
        assert_eq!(next_number(&mut subscription).await, expected);
    }
    // The others lie in the buffer, where nobody has seen them.
    let stored = subscription.positions();
    client.close().await;
    let client = running.client(json!({"*": ["subscribe"]}));
    let stored = stored.into_iter().map(|(room, position)| (room, Some(position)));
    let mut subscription = client.subscribe_all_since(stored).await.unwrap();
    let counts = BTreeSet::from([resumed(&mut subscription).await, resumed(&mut subscription).await]);
    assert_eq!(counts, BTreeSet::from([2, 3]), "the team's, and the issue's");
    for expected in 4..=6 {
        assert_eq!(next_number(&mut subscription).await, expected);
    }
    running.stop().await;
}

/// A back end that stores numbers and tells of each.
async fn store_and_publish(gateway: Gateway, store: Arc<Mutex<BTreeSet<u64>>>, numbers: u64) {
    for number in 0..numbers {
        store.lock().unwrap().insert(number);
        publish(&gateway, number, &[Room::team("a")]).await;
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

#[tokio::test]
async fn the_position_first_then_the_state_then_what_follows_is_everything() {
    let (running, proxy, client) = start(config()).await;
    let store = Arc::new(Mutex::new(BTreeSet::new()));
    let back_end = tokio::spawn(store_and_publish(running.gateway.clone(), store.clone(), 400));
    // Somewhere in the middle.
    while store.lock().unwrap().len() < 50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut subscription = client.subscribe(Room::team("a")).await.unwrap();
    let position = subscription.position(&Room::team("a")).unwrap();
    assert!(position.offset >= 49);
    // The state is younger than the position, as it is when loading takes its time.
    while (store.lock().unwrap().len() as u64) < position.offset + 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut state = store.lock().unwrap().clone();
    proxy.cut();
    while state.len() < 400 {
        match next(&mut subscription).await {
            Delivery::Event(frame) => drop(state.insert(number(&frame))),
            Delivery::Resumed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    back_end.await.unwrap();
    assert_eq!(state, *store.lock().unwrap());
    running.stop().await;
}

/// What a subscription has seen: every number once, every room in order.
#[derive(Default)]
struct Seen {
    numbers: BTreeSet<u64>,
    positions: BTreeMap<Room, Position>,
    resumed: u64,
}

impl Seen {
    fn take(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Event(frame) => {
                assert!(self.numbers.insert(number(&frame)), "{} came twice", number(&frame));
                for (room, position) in frame.positions {
                    let last = self.positions.insert(room.clone(), position);
                    let is_next = last.is_none_or(|last| last.offset + 1 == position.offset);
                    assert!(is_next, "{room}: {position} behind {last:?}");
                }
            }
            Delivery::Resumed { .. } => self.resumed += 1,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_cut_again_and_again_under_load_loses_and_doubles_nothing() {
    const EVENTS: u64 = 3000;
    let (running, proxy, client) = start(Config { history_size: 10_000.into(), ..config() }).await;
    let rooms = [Room::team("a"), Room::issue("b"), Room::cycle("c")];
    let mut subscription = client.subscribe_all(rooms.clone()).await.unwrap();
    let publishing = {
        let (gateway, rooms) = (running.gateway.clone(), rooms.clone());
        tokio::spawn(async move {
            for number in 0..EVENTS {
                let set = usize::try_from(number % 7 + 1).unwrap();
                let chosen = rooms.iter().enumerate().filter(|(place, _)| set & (1 << place) != 0);
                let chosen: Vec<Room> = chosen.map(|(_, room)| room.clone()).collect();
                publish(&gateway, number, &chosen).await;
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
        })
    };
    let mut seen = Seen::default();
    let mut cut_at = 100;
    while (seen.numbers.len() as u64) < EVENTS {
        seen.take(next(&mut subscription).await);
        if seen.numbers.len() >= cut_at {
            proxy.cut();
            cut_at += 150;
        }
    }
    publishing.await.unwrap();
    assert!(seen.resumed > 0);
    running.stop().await;
}
