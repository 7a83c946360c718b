//! The contract of every record of presence, as tests that each of them passes.
//!
//! Time is real here, since one of them has a server beside it: the grace is short, and what comes is waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roomcast_protocol::client::PresenceOptions;
use serde_json::value::{RawValue, to_raw_value};

use super::world::{Client, World, eventually};
use super::{Entry, frames};
use crate::broker::contract::redis_server::RedisServer;
use crate::clock::Clock;
use crate::config::Config;

/// Long enough to see somebody before it is over, also on a loaded machine.
const GRACE: Duration = Duration::from_secs(2);

fn config() -> Config {
    Config { presence_grace: GRACE, ..Config::serve() }
}

/// Waits until the client knows of these others.
async fn knows(client: &mut Client, expected: &[(&str, Option<&str>)]) {
    let expected: Vec<_> =
        expected.iter().map(|(user, data)| ((*user).to_owned(), data.map(|data| format!("{data:?}")))).collect();
    let own = client.guest.user.to_string();
    eventually(&format!("{own} knows {expected:?}"), async || {
        client.read();
        client.known.clone().into_iter().filter(|(user, _)| *user != own).collect::<Vec<_>>() == expected
    })
    .await;
}

/// Each promise, once for each record.
macro_rules! promises {
    ($($(#[$doc:meta])* async fn $name:ident($world:ident) $body:block)+) => {
        $($(#[$doc])* async fn $name($world: World) $body)+

        mod embedded {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                super::$name(World::embedded(&config())).await;
            })+
        }

        mod in_redis {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let server = RedisServer::start();
                super::$name(World::in_redis(&config(), &server).await).await;
            })+
        }
    };
}

promises! {
    async fn users_are_listed_once_with_the_data_of_the_last_connection_that_has_some(world) {
        // Clients 0 and 1 are of one user, 2 of another.
        let mut clients: Vec<Client> = (0..3).map(Client::new).collect();
        world.enter(&mut clients[0], Some("laptop")).await;
        world.enter(&mut clients[2], None).await;
        assert_eq!(world.list().await, ["user_0 1 \"laptop\"", "user_1 1"]);
        world.enter(&mut clients[1], None).await;
        assert_eq!(world.list().await, ["user_0 2 \"laptop\"", "user_1 1"]);
        world.enter(&mut clients[1], Some("phone")).await;
        assert_eq!(world.list().await, ["user_0 2 \"phone\"", "user_1 1"]);
        knows(&mut clients[2], &[("user_0", Some("phone"))]).await;
        world.leave(&mut clients[1]);
        knows(&mut clients[2], &[("user_0", Some("laptop"))]).await;
        assert_eq!(world.list().await, ["user_0 1 \"laptop\"", "user_1 1"]);
    }

    async fn who_leaves_is_gone_at_once_and_who_is_lost_after_the_grace(world) {
        let mut clients: Vec<Client> = [0, 2, 4].map(Client::new).into();
        for client in &mut clients {
            world.enter(client, None).await;
        }
        knows(&mut clients[0], &[("user_1", None), ("user_2", None)]).await;
        let start = Instant::now();
        world.lose(&mut clients[1]);
        world.leave(&mut clients[2]);
        knows(&mut clients[0], &[("user_1", None)]).await;
        eventually("the connection is lost", async || world.list().await == ["user_0 1", "user_1 0"]).await;
        knows(&mut clients[0], &[]).await;
        assert!(start.elapsed() >= GRACE, "{:?}", start.elapsed());
        assert_eq!(world.list().await, ["user_0 1"]);
    }

    async fn whoever_comes_back_within_the_grace_was_never_away(world) {
        let mut clients: Vec<Client> = [0, 2].map(Client::new).into();
        world.enter(&mut clients[0], None).await;
        world.enter(&mut clients[1], Some("here")).await;
        knows(&mut clients[0], &[("user_1", Some("here"))]).await;
        world.lose(&mut clients[1]);
        eventually("the connection is lost", async || world.list().await[1] == "user_1 0 \"here\"").await;
        world.enter(&mut clients[1], Some("here")).await;
        let deadline = Instant::now() + 2 * GRACE;
        while Instant::now() < deadline {
            clients[0].read();
            assert_eq!(clients[0].known.get("user_1"), Some(&Some("\"here\"".into())));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(clients[0].left, 0);
        assert_eq!(world.list().await[1], "user_1 1 \"here\"");
    }

    async fn a_room_takes_no_more_than_fits_a_frame_and_who_is_refused_keeps_what_it_said(world) {
        let large: Arc<RawValue> = Arc::from(to_raw_value(&"x".repeat(PresenceOptions::MAX_DATA - 2)).unwrap());
        let rooms = std::slice::from_ref(&world.room);
        let mut small = Client::new(1);
        world.enter(&mut small, Some("small")).await;
        let mut entered = 0;
        loop {
            let mut client = Client::new(2 * (entered + 1));
            client.guest.data = Some(large.clone());
            match world.record.enter(rooms, &client.guest).await.unwrap()[0] {
                Entry::Entered => entered += 1,
                Entry::Full => break,
            }
        }
        assert!(entered > 400, "{entered}");
        small.guest.data = Some(large);
        assert_eq!(world.record.enter(rooms, &small.guest).await.unwrap(), [Entry::Full]);
        assert_eq!(world.list().await[0], "user_0 1 \"small\"");
        let roster = world.record.roster(&world.room).await.unwrap();
        let frame = frames::state(&world.room, &roster, Clock::system().now());
        assert!(frame.len() <= Config::serve().max_queue_bytes / 2);
    }

    async fn leaving_where_one_is_not_does_no_harm(world) {
        let (mut inside, mut outside) = (Client::new(0), Client::new(1));
        world.enter(&mut inside, None).await;
        world.leave(&mut outside);
        world.record.lose(std::slice::from_ref(&world.room), &outside.guest.user, outside.guest.connection);
        let mut last = Client::new(2);
        world.enter(&mut last, None).await;
        world.leave(&mut last);
        // What was asked before has been done by then.
        eventually("the last one has left", async || world.list().await == ["user_0 1"]).await;
    }
}
