//! Tenants are apart: every role, operation and kind of room as a matrix, and a long random walk against a model.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use roomcast_gateway::{Config, Gateway};
use roomcast_protocol::Room;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{
    Client, EPOCH, call, config, request, signed, start, start_with_paused_clock, with_header, with_token,
};

const TENANTS: [&str; 3] = ["red", "green", "blue"];

/// A role and what it may do in its tenant's rooms.
const ROLES: [(&str, &[&str]); 7] = [
    ("owner", &["*"]),
    ("member", &["subscribe", "presence", "history"]),
    ("reader", &["subscribe"]),
    ("publisher", &["publish"]),
    ("reporter", &["publish:issue.created"]),
    ("auditor", &["history", "admin"]),
    ("guest", &[]),
];

/// What is tried in each room, and which words of a role allow it.
const TRIES: [(&str, &[&str]); 6] = [
    ("subscribe", &["*", "subscribe"]),
    ("presence", &["*", "presence"]),
    ("history", &["*", "history"]),
    ("publish custom.event", &["*", "publish"]),
    ("publish issue.created", &["*", "publish", "publish:issue.created"]),
    // Under the pattern of a room it counts for nobody.
    ("admin", &[]),
];

fn rooms_of(tenant: &str) -> Vec<String> {
    Room::KINDS.iter().map(|kind| format!("{kind}:{tenant}_1")).collect()
}

fn token_of(user: &str, rooms: &[String], operations: &[&str]) -> String {
    let grants: BTreeMap<&String, &[&str]> = rooms.iter().map(|room| (room, operations)).collect();
    signed(&json!({"sub": user, "exp": 4_000_000_000_u32, "grants": grants}))
}

async fn status(gateway: &Gateway, method: &str, path: &str, token: &str, body: Value) -> u16 {
    call(gateway, request(method, path, Some(token), body)).await.0
}

/// Whether the gateway lets the holder of the token do it.
async fn is_let(gateway: &Gateway, client: &mut Client, token: &str, room: &str, what: &str) -> bool {
    let publish = |kind: &str| {
        json!({"type": kind, "rooms": [room],
        "payload": {"id": "i", "identifier": "I-1", "title": "t", "teamId": "t", "status": "s", "priority": "p"}})
    };
    let status = match what {
        "subscribe" => {
            let outcome = client.subscribe(&[room]).await[room].clone();
            client.ask(json!({"action": "unsubscribe", "rooms": [room]})).await;
            return outcome["status"] == "subscribed";
        }
        "presence" => status(gateway, "GET", &format!("/api/v1/rooms/{room}/presence"), token, Value::Null).await,
        "history" => status(gateway, "GET", &format!("/api/v1/rooms/{room}/history"), token, Value::Null).await,
        "admin" => status(gateway, "GET", "/api/v1/ws/stats", token, Value::Null).await,
        _ => status(gateway, "POST", "/api/v1/events", token, publish(what.strip_prefix("publish ").unwrap())).await,
    };
    assert!([200, 403].contains(&status), "{what} in {room}: {status}");
    status == 200
}

#[tokio::test]
async fn every_role_may_do_in_its_tenants_rooms_what_it_is_granted_and_nothing_elsewhere() {
    let gateway = start(Config { messages_per_minute: 100_000, ..config() });
    let (mut tried, mut let_in) = (0, 0);
    for tenant in TENANTS {
        for (role, operations) in ROLES {
            let user = format!("{role}_of_{tenant}");
            let token = token_of(&user, &rooms_of(tenant), operations);
            let upgrade = with_header(with_token(&token), "sec-websocket-protocol", "roomcast.v1");
            let mut client = Client::open(&gateway, upgrade).await;
            client.receive().await;
            for elsewhere in TENANTS {
                for room in rooms_of(elsewhere) {
                    for (what, words) in TRIES {
                        let expected = elsewhere == tenant && operations.iter().any(|word| words.contains(word));
                        let found = is_let(&gateway, &mut client, &token, &room, what).await;
                        assert_eq!(found, expected, "{role} of {tenant}: {what} in {room}");
                        (tried, let_in) = (tried + 1, let_in + usize::from(found));
                    }
                }
            }
        }
    }
    assert_eq!(tried, 3 * 7 * 18 * 6);
    // Of a role's own six rooms: owner 5, member 3, reader 1, publisher 2, reporter 1, auditor 1, guest none.
    assert_eq!(let_in, 3 * 6 * 13);
}

/// How many operations each of the two walks has: they go at once.
const OPERATIONS: usize = 50_000;

/// A connection, and what the model knows of it.
struct Walker {
    user: String,
    client: Option<Client>,
    /// Rooms that its token grants.
    granted: BTreeSet<String>,
    /// Rooms that it is in.
    joined: BTreeSet<String>,
    /// When its token runs out, in seconds of the walk.
    expires: i64,
    /// The events that must come next.
    expected: VecDeque<String>,
}

struct Walk {
    gateway: Gateway,
    /// Publishes to every room, and is in none.
    back_end: Client,
    random: StdRng,
    walkers: Vec<Walker>,
    /// Seconds since its beginning.
    now: i64,
    published: usize,
    delivered: usize,
}

impl Walker {
    /// The next frame that is no event; events on the way must be the expected ones.
    async fn answer(&mut self, delivered: &mut usize) -> Value {
        loop {
            let frame = self.client.as_mut().unwrap().receive().await;
            match frame["type"].as_str().unwrap() {
                "custom.event" => {
                    let expected = self.expected.pop_front();
                    assert_eq!(
                        frame["eventId"].as_str(),
                        expected.as_deref(),
                        "{} got what it may not have",
                        self.user
                    );
                    for room in frame["positions"].as_object().unwrap().keys() {
                        assert!(self.joined.contains(room) && self.granted.contains(room), "{}: {room}", self.user);
                    }
                    *delivered += 1;
                }
                "auth.expiring" => {}
                _ => return frame,
            }
        }
    }

    async fn ask(&mut self, question: Value, delivered: &mut usize) -> Value {
        self.client.as_mut().unwrap().send(question).await;
        self.answer(delivered).await
    }

    /// It was closed: everything that was published before has come, and the code is right.
    async fn ends(&mut self, code: u16, delivered: &mut usize) {
        if self.client.is_some() {
            let notice = self.answer(delivered).await;
            assert_eq!(
                (&notice["type"], &notice["payload"]["code"]),
                (&json!("connection.closing"), &json!(code)),
                "{notice}"
            );
            let Message::Close(Some(frame)) = self.client.as_mut().unwrap().next().await else { panic!("no close") };
            assert_eq!(u16::from(frame.code), code);
        }
        self.gone();
    }

    fn gone(&mut self) {
        self.client = None;
        self.joined.clear();
        self.expected.clear();
    }
}

impl Walk {
    fn rooms() -> Vec<String> {
        TENANTS.iter().flat_map(|tenant| rooms_of(tenant)).collect()
    }

    fn some_rooms(&mut self, most: usize) -> BTreeSet<String> {
        let rooms = Self::rooms();
        (0..self.random.random_range(1..=most))
            .map(|_| rooms[self.random.random_range(0..rooms.len())].clone())
            .collect()
    }

    /// A token for the walker, with grants by chance.
    fn token(&mut self, index: usize) -> (String, BTreeSet<String>, i64) {
        let granted = self.some_rooms(8);
        let expires = self.now + self.random.random_range(5..600);
        let walker = &self.walkers[index];
        let grants: BTreeMap<&String, [&str; 1]> = granted.iter().map(|room| (room, ["subscribe"])).collect();
        let claims = json!({"sub": walker.user, "iat": EPOCH + self.now, "exp": EPOCH + expires, "grants": grants});
        (signed(&claims), granted, expires)
    }

    async fn connect(&mut self, index: usize) {
        let (token, granted, expires) = self.token(index);
        let upgrade = with_header(with_token(&token), "sec-websocket-protocol", "roomcast.v1");
        let mut client = Client::open(&self.gateway, upgrade).await;
        assert_eq!(client.receive().await["type"], "connection.ack");
        let walker = &mut self.walkers[index];
        (walker.client, walker.granted, walker.expires) = (Some(client), granted, expires);
    }

    async fn subscribe(&mut self, index: usize) {
        let rooms = self.some_rooms(4);
        let walker = &mut self.walkers[index];
        let answer = walker.ask(json!({"action": "subscribe", "rooms": rooms}), &mut self.delivered).await;
        for room in rooms {
            let is_let = answer["payload"]["rooms"][&room]["status"] == "subscribed";
            assert_eq!(is_let, walker.granted.contains(&room), "{} in {room}: {answer}", walker.user);
            if is_let {
                walker.joined.insert(room);
            }
        }
    }

    async fn unsubscribe(&mut self, index: usize) {
        let rooms = self.some_rooms(4);
        let walker = &mut self.walkers[index];
        walker.ask(json!({"action": "unsubscribe", "rooms": rooms}), &mut self.delivered).await;
        walker.joined.retain(|room| !rooms.contains(room));
    }

    async fn renew(&mut self, index: usize) {
        let (token, granted, expires) = self.token(index);
        let walker = &mut self.walkers[index];
        let answer = walker.ask(json!({"action": "authenticate", "token": token}), &mut self.delivered).await;
        let lost: Vec<&String> = walker.joined.iter().filter(|room| !granted.contains(*room)).collect();
        assert_eq!(answer["payload"]["lostRooms"], json!(lost), "{answer}");
        walker.joined.retain(|room| granted.contains(room));
        (walker.granted, walker.expires) = (granted, expires);
    }

    async fn publish(&mut self) {
        let rooms = self.some_rooms(3);
        let id = format!("e{}", self.published);
        self.published += 1;
        let event = json!({"type": "custom.event", "payload": 1, "eventId": id});
        let answer = self.back_end.ask(json!({"action": "publish", "event": event, "rooms": rooms})).await;
        assert_eq!(answer["type"], "publish.ack", "{answer}");
        for walker in &mut self.walkers {
            if walker.client.is_some() && !walker.joined.is_disjoint(&rooms) {
                walker.expected.push_back(id.clone());
            }
        }
    }

    async fn disconnect(&mut self, index: usize) {
        let admin = signed(&json!({"sub": "the_admin", "exp": 4_000_000_000_u32, "grants": {"*": ["admin"]}}));
        let path = format!("/api/v1/users/{}/disconnect", self.walkers[index].user);
        assert_eq!(status(&self.gateway, "POST", &path, &admin, Value::Null).await, 200);
        self.walkers[index].ends(4501, &mut self.delivered).await;
        // Tokens of this second are refused.
        self.wait(1).await;
    }

    /// Time goes on; whose token has run out more than ten seconds ago is closed.
    async fn wait(&mut self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        self.now += i64::try_from(seconds).unwrap();
        for index in 0..self.walkers.len() {
            if self.walkers[index].expires + 10 <= self.now {
                self.walkers[index].ends(4002, &mut self.delivered).await;
            }
        }
    }

    async fn step(&mut self) {
        let index = self.random.random_range(0..self.walkers.len());
        let is_connected = self.walkers[index].client.is_some();
        match self.random.random_range(0..1000) {
            0..500 => self.publish().await,
            500..505 => self.wait(7).await,
            505..507 => self.disconnect(index).await,
            _ if !is_connected => self.connect(index).await,
            507..750 => self.subscribe(index).await,
            750..870 => self.unsubscribe(index).await,
            870..970 => self.renew(index).await,
            970..990 => self.walkers[index].gone(),
            _ => {
                let pong = self.walkers[index].ask(json!({"type": "ping"}), &mut self.delivered).await;
                assert_eq!(pong["payload"]["message"], "pong");
                assert!(
                    self.walkers[index].expected.is_empty(),
                    "what was published before the ping comes before the pong"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn on_a_long_walk_no_event_reaches_a_connection_without_a_grant_that_is_valid_at_that_moment() {
    walk(1).await;
}

#[tokio::test(start_paused = true)]
async fn nor_on_another() {
    walk(2).await;
}

async fn walk(seed: u64) {
    let year = Duration::from_secs(366 * 24 * 3600);
    let gateway = start_with_paused_clock(Config {
        messages_per_minute: u32::MAX,
        ping_interval: year,
        idle_timeout: 2 * year,
        ..config()
    });
    let walker = |index| Walker {
        user: format!("user_{index}"),
        client: None,
        granted: BTreeSet::new(),
        joined: BTreeSet::new(),
        expires: 0,
        expected: VecDeque::new(),
    };
    let publisher = signed(&json!({"sub": "back_end", "exp": 4_000_000_000_u32, "grants": {"*": ["publish"]}}));
    let mut back_end = Client::open(&gateway, with_token(&publisher)).await;
    back_end.receive().await;
    let (walkers, random) = ((0..9).map(walker).collect(), StdRng::seed_from_u64(seed));
    let mut walk = Walk { gateway, back_end, random, walkers, now: 0, published: 0, delivered: 0 };
    for _ in 0..OPERATIONS {
        walk.step().await;
    }
    assert!(walk.delivered > OPERATIONS / 20, "{} deliveries", walk.delivered);
}
