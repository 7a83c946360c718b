//! Several nodes on one record, and what happens to them and to Redis: tests with a real server.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::DEAD_AFTER;
use crate::broker::contract::PATIENCE;
use crate::broker::contract::redis_server::RedisServer;
use crate::config::Config;
use crate::presence::world::{Client, Stage, World, eventually};

const GRACE: Duration = Duration::from_secs(1);

fn config() -> Config {
    Config { presence_grace: GRACE, ..Config::serve() }
}

async fn nodes<const COUNT: usize>(server: &RedisServer) -> [World; COUNT] {
    let mut nodes = Vec::new();
    for _ in 0..COUNT {
        nodes.push(World::in_redis(&config(), server).await);
    }
    nodes.try_into().ok().unwrap()
}

async fn list_becomes(world: &World, expected: &[&str]) {
    eventually(&format!("the list is {expected:?}"), async || world.list().await == expected).await;
}

/// The others whom the client knows of.
fn others(client: &mut Client) -> Vec<String> {
    client.read();
    let own = client.guest.user.to_string();
    client.known.keys().filter(|user| **user != own).cloned().collect()
}

async fn knows(client: &mut Client, expected: &[&str]) {
    eventually(&format!("it knows {expected:?}"), async || others(client) == expected).await;
}

#[tokio::test]
async fn users_of_every_node_are_in_one_list_and_told_everywhere() {
    let server = RedisServer::start();
    let [here, there] = nodes(&server).await;
    let (mut anna, mut ben, mut second) = (Client::new(0), Client::new(2), Client::new(3));
    here.enter(&mut anna, None).await;
    there.enter(&mut ben, Some("there")).await;
    here.enter(&mut second, None).await;
    assert_eq!(here.list().await, ["user_0 1", "user_1 2 \"there\""]);
    assert_eq!(here.list().await, there.list().await);
    knows(&mut anna, &["user_1"]).await;
    knows(&mut ben, &["user_0"]).await;
    // The user is still there, by a connection to another node.
    there.lose(&mut ben);
    list_becomes(&here, &["user_0 1", "user_1 1 \"there\""]).await;
    here.leave(&mut second);
    knows(&mut anna, &[]).await;
}

#[tokio::test]
async fn a_client_that_moves_to_another_node_was_never_away() {
    let server = RedisServer::start();
    let [here, there] = nodes(&server).await;
    let (mut anna, mut ben) = (Client::new(0), Client::new(2));
    here.enter(&mut anna, None).await;
    here.enter(&mut ben, None).await;
    knows(&mut anna, &["user_1"]).await;
    here.lose(&mut ben);
    there.enter(&mut ben, None).await;
    tokio::time::sleep(3 * GRACE).await;
    assert_eq!(others(&mut anna), ["user_1"]);
    assert_eq!(anna.left, 0);
}

#[tokio::test]
async fn users_of_a_dead_node_leave_and_those_of_one_that_retires_are_lost_at_once() {
    let server = RedisServer::start();
    let [here, mut dying, mut retiring] = nodes(&server).await;
    let mut clients: Vec<Client> = [0, 2, 4].map(Client::new).into();
    for (node, client) in [&here, &dying, &retiring].into_iter().zip(&mut clients) {
        node.enter(client, None).await;
    }
    knows(&mut clients[0], &["user_1", "user_2"]).await;
    let start = Instant::now();
    dying.kill();
    retiring.kill();
    retiring.record.retire().await;
    assert_eq!(here.list().await, ["user_0 1", "user_1 1", "user_2 0"]);
    knows(&mut clients[0], &["user_1"]).await;
    assert!(start.elapsed() < DEAD_AFTER, "{:?}", start.elapsed());
    knows(&mut clients[0], &[]).await;
    assert!(start.elapsed() >= DEAD_AFTER, "{:?}", start.elapsed());
    assert_eq!(here.list().await, ["user_0 1"]);
}

#[tokio::test]
async fn while_redis_stands_still_nobody_leaves() {
    let server = RedisServer::start();
    let [here, there] = nodes(&server).await;
    let (mut anna, mut ben, mut lost) = (Client::new(0), Client::new(2), Client::new(4));
    here.enter(&mut anna, None).await;
    there.enter(&mut ben, None).await;
    there.enter(&mut lost, None).await;
    knows(&mut anna, &["user_1", "user_2"]).await;
    server.freeze();
    there.lose(&mut lost);
    // Longer than after which a node would be dead and its users gone.
    tokio::time::sleep(DEAD_AFTER + 3 * GRACE).await;
    assert_eq!(others(&mut anna), ["user_1", "user_2"]);
    server.thaw();
    knows(&mut anna, &["user_1"]).await;
    tokio::time::sleep(DEAD_AFTER / 2).await;
    assert_eq!(others(&mut anna), ["user_1"]);
    assert_eq!(here.list().await, ["user_0 1", "user_1 1"]);
    assert_eq!(anna.left, 1, "of the one that was lost");
}

#[tokio::test]
async fn lost_and_older_data_are_put_right_and_nobody_is_said_to_have_left() {
    let mut server = RedisServer::start();
    let [here, there] = nodes(&server).await;
    let (mut anna, mut ben, mut old, mut new) = (Client::new(0), Client::new(2), Client::new(4), Client::new(6));
    here.enter(&mut anna, Some("one")).await;
    there.enter(&mut ben, None).await;
    there.enter(&mut old, None).await;
    server.command(&["SAVE"]);
    there.leave(&mut old);
    list_becomes(&here, &["user_0 1 \"one\"", "user_1 1"]).await;
    there.enter(&mut new, None).await;
    here.enter(&mut anna, Some("two")).await;
    let right = ["user_0 1 \"two\"", "user_1 1", "user_3 1"];
    assert_eq!(here.list().await, right);
    knows(&mut anna, &["user_1", "user_3"]).await;
    for fate in ["older", "none"] {
        server.kill();
        if fate == "none" {
            server.lose_data();
        }
        server.restart();
        list_becomes(&here, &right).await;
        // Through the lists that are told anew.
        let deadline = Instant::now() + 2 * super::SETTLE;
        while Instant::now() < deadline {
            let known = others(&mut anna);
            assert!(["user_1", "user_3"].iter().all(|user| known.contains(&(*user).into())), "{fate}: {known:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        knows(&mut anna, &["user_1", "user_3"]).await;
    }
    server.command(&["FLUSHALL"]);
    list_becomes(&there, &right).await;
}

#[tokio::test]
async fn a_seat_that_nobody_knows_of_is_found_and_lost() {
    let server = RedisServer::start();
    let [here] = nodes(&server).await;
    let (mut anna, mut ghost) = (Client::new(0), Client::new(2));
    here.enter(&mut anna, None).await;
    here.enter(&mut ghost, None).await;
    // Redis gets back what it had before the connection left.
    let key = "roomcast:presence:room:team:a";
    let seats = server.dump(key);
    let node = server.key("roomcast:presence:of:*");
    let index = server.dump(&node);
    here.leave(&mut ghost);
    list_becomes(&here, &["user_0 1"]).await;
    server.restore(key, &seats);
    server.restore(&node, &index);
    assert_eq!(here.list().await, ["user_0 1", "user_1 1"]);
    list_becomes(&here, &["user_0 1"]).await;
}

/// One random history over two nodes.
async fn history(seed: u64, nodes: &[World; 2]) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut clients: Vec<(usize, Client)> = (0..8).map(|number| (number % 2, Client::new(number))).collect();
    for _ in 0..120 {
        let (node, client) = &mut clients[random.random_range(0..8)];
        // Whoever is away may come back by the other node.
        if client.stage == Stage::Away && random.random_bool(0.5) {
            *node = 1 - *node;
        }
        nodes[*node].step(client, random.random_range(0..60)).await;
        if random.random_bool(0.05) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
        }
    }
    for (node, client) in clients.iter_mut().filter(|(_, client)| client.stage != Stage::Away) {
        while client.stage != Stage::Released {
            nodes[*node].step(client, 1).await;
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut is_settled = true;
        for (node, client) in clients.iter_mut().filter(|(_, client)| client.stage == Stage::Released) {
            let mut truth = nodes[*node].truth().await;
            client.read();
            let mut known = client.known.clone();
            let own = client.guest.user.to_string();
            is_settled &= truth.remove(&own).is_some() && known.remove(&own).is_some() && truth == known;
        }
        if is_settled {
            break;
        }
        assert!(Instant::now() < deadline, "seed {seed}: somebody does not know what is true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (node, client) in clients.iter_mut().filter(|(_, client)| client.stage == Stage::Released) {
        nodes[*node].leave(client);
    }
    eventually("all have left", async || nodes[0].list().await.is_empty()).await;
}

#[tokio::test]
async fn everybody_on_every_node_ends_with_the_list_that_is_true() {
    let server = RedisServer::start();
    let nodes = nodes(&server).await;
    for seed in 0..12 {
        history(seed, &nodes).await;
    }
    assert_eq!(server.command(&["KEYS", "roomcast:presence:room:*"]), "array([])", "nothing is left behind");
}
