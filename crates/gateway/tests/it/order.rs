//! Order: membership goes by position, under concurrent publishing, joining and leaving.

use std::collections::HashMap;

use roomcast_gateway::{Gateway, Service};
use roomcast_protocol::event::Event;
use roomcast_protocol::{NewEvent, Position, Room};
use serde_json::{Value, json};

use crate::harness::{Client, config, start};

/// What a client has learned about its rooms from the frames it got, checked frame by frame.
#[derive(Default)]
struct Ledger {
    /// Rooms that the client is in, with the last offset that it knows there.
    rooms: HashMap<String, u64>,
    events: usize,
}

fn offset(position: &Value) -> u64 {
    position.as_str().unwrap().parse::<Position>().unwrap().offset
}

impl Ledger {
    fn take(&mut self, frame: &Value) {
        match frame["type"].as_str().unwrap() {
            "subscription.ack" => self.acknowledge(&frame["payload"]["rooms"]),
            "custom.event" => self.event(&frame["positions"]),
            other => panic!("unexpected {other}"),
        }
    }

    fn acknowledge(&mut self, rooms: &Value) {
        for (room, outcome) in rooms.as_object().unwrap() {
            match outcome["status"].as_str().unwrap() {
                "subscribed" => drop(self.rooms.insert(room.clone(), offset(&outcome["position"]))),
                "unsubscribed" => drop(self.rooms.remove(room)),
                other => panic!("unexpected {other}"),
            }
        }
    }

    /// Each event names only rooms that the client is in, and in each of them the next offset.
    fn event(&mut self, positions: &Value) {
        let positions = positions.as_object().unwrap();
        assert!(!positions.is_empty());
        for (room, position) in positions {
            let known =
                self.rooms.get_mut(room).unwrap_or_else(|| panic!("an event of {room}, which the client is not in"));
            assert_eq!(offset(position), *known + 1, "a hole or a repeat in {room}");
            *known += 1;
        }
        self.events += 1;
    }
}

const ROOMS: [&str; 2] = ["team:a", "issue:b"];

async fn publish_many(gateway: Gateway, publisher: usize, count: usize) {
    for index in 0..count {
        let rooms: Vec<Room> = match (publisher + index) % 3 {
            0 => vec![ROOMS[0].parse().unwrap()],
            1 => vec![ROOMS[1].parse().unwrap()],
            _ => ROOMS.iter().map(|room| room.parse().unwrap()).collect(),
        };
        let event = Event::custom("custom.event", json!({"publisher": publisher, "index": index}));
        gateway.publish(NewEvent::from(event).to(rooms)).await.unwrap();
        if index % 8 == publisher {
            tokio::task::yield_now().await;
        }
    }
}

/// Joins and leaves, over and over, in every combination, without waiting for answers.
async fn churn(gateway: Gateway, client: usize, rounds: usize) -> Ledger {
    let user = format!("user_{client}");
    let mut socket = Client::join(&gateway, &user, json!({"*": ["subscribe"]})).await;
    let mut ledger = Ledger::default();
    for round in 0..rounds {
        let rooms = match (client + round) % 4 {
            0 => json!([ROOMS[0]]),
            1 => json!([ROOMS[1]]),
            _ => json!(ROOMS),
        };
        let action = if (client + round * 7).is_multiple_of(3) { "unsubscribe" } else { "subscribe" };
        let id = round.to_string();
        socket.send(json!({"action": action, "rooms": rooms, "id": id})).await;
        loop {
            let frame = socket.receive().await;
            ledger.take(&frame);
            if frame["replyTo"] == id.as_str() {
                break;
            }
        }
    }
    socket.send(json!({"action": "unsubscribe", "rooms": ROOMS, "id": "last"})).await;
    loop {
        let frame = socket.receive().await;
        ledger.take(&frame);
        if frame["replyTo"] == "last" {
            break;
        }
    }
    socket.is_quiet().await;
    ledger
}

async fn every_event_behind_an_acknowledged_position_comes_once_and_in_order() {
    let config = roomcast_gateway::Config { messages_per_minute: 10_000, max_queue_bytes: 64 << 20, ..config() };
    let gateway = start(config);
    let publishers: Vec<_> =
        (0..4).map(|publisher| tokio::spawn(publish_many(gateway.clone(), publisher, 500))).collect();
    let clients: Vec<_> = (0..8).map(|client| tokio::spawn(churn(gateway.clone(), client, 60))).collect();
    let mut events = 0;
    for client in clients {
        events += client.await.unwrap().events;
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    assert!(events > 0, "the clients were in no room while something was published");
    assert_eq!(gateway.stats().total_rooms, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn order_holds_while_many_threads_publish_join_and_leave() {
    every_event_behind_an_acknowledged_position_comes_once_and_in_order().await;
}

#[tokio::test]
async fn order_holds_when_turns_interleave_on_one_thread() {
    every_event_behind_an_acknowledged_position_comes_once_and_in_order().await;
}

#[tokio::test]
async fn all_subscribers_of_a_room_see_one_order() {
    let gateway = start(config());
    let mut clients = Vec::new();
    for client in 0..4 {
        let mut socket = Client::join(&gateway, &format!("user_{client}"), json!({"*": ["subscribe"]})).await;
        socket.subscribe(&ROOMS).await;
        clients.push(socket);
    }
    let publishers: Vec<_> =
        (0..3).map(|publisher| tokio::spawn(publish_many(gateway.clone(), publisher, 50))).collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let mut orders = Vec::new();
    for socket in &mut clients {
        let mut order = Vec::new();
        while order.len() < 150 {
            order.push(socket.receive().await["eventId"].clone());
        }
        orders.push(order);
    }
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
}
