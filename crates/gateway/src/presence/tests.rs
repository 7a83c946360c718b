//! Record and audience together: whatever happens in which order, everybody who listens ends with the list that is true.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::value::to_raw_value;

use super::Entry;
use super::audience::MOST_CHANGES;
use super::world::{Client, Stage, World};
use crate::config::Config;
use crate::hub::ConnectionId;

impl World {
    /// The next step of a request, or of leaving.
    pub(super) async fn step(&self, client: &mut Client, chance: u32) {
        let (connection, rooms) = (client.guest.connection, std::slice::from_ref(&self.room));
        client.stage = match client.stage {
            Stage::Released if chance.is_multiple_of(4) => {
                self.audience.leave(connection, &self.room);
                self.record.leave(rooms, &client.guest.user, connection);
                Stage::Away
            }
            Stage::Released if chance % 4 == 1 => {
                assert_eq!(self.audience.remove(connection), rooms);
                self.record.lose(rooms, &client.guest.user, connection);
                client.guest.connection = ConnectionId::new();
                Stage::Away
            }
            Stage::Away | Stage::Released => {
                client.guest.data =
                    (!chance.is_multiple_of(3)).then(|| Arc::from(to_raw_value(&(chance % 3)).unwrap()));
                self.audience.hold(connection, &client.guest.user, &client.outbox, &self.room);
                assert_eq!(self.record.enter(rooms, &client.guest).await.unwrap(), [Entry::Entered]);
                Stage::Held
            }
            Stage::Held if chance.is_multiple_of(5) => {
                self.audience.owe_state(connection, &self.room);
                Stage::Listed
            }
            Stage::Held => {
                let roster = self.record.roster(&self.room).await.unwrap();
                self.audience.tell_state(connection, &self.room, &roster);
                Stage::Listed
            }
            Stage::Listed => {
                self.audience.release(connection, &self.room);
                Stage::Released
            }
        };
    }

    /// That every connection whose request has ended knows what is true.
    async fn check(&self, clients: &mut [Client], seed: u64) {
        let truth = self.truth().await;
        for client in clients {
            client.read();
            if client.stage == Stage::Released {
                let (mut known, mut others) = (client.known.clone(), truth.clone());
                // Nobody is told of what the own user's other connections do.
                let own = client.guest.user.to_string();
                assert!(known.remove(&own).is_some() && others.remove(&own).is_some(), "seed {seed}");
                assert_eq!(known, others, "seed {seed}");
            }
        }
    }
}

/// One random history of so many clients.
async fn run(seed: u64, count: usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::embedded(&Config::serve());
    let mut clients: Vec<Client> = (0..count).map(Client::new).collect();
    for _ in 0..30 {
        for _ in 0..random.random_range(1..2 * count) {
            let client = &mut clients[random.random_range(0..count)];
            world.step(client, random.random_range(0..60)).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
        if random.random_bool(0.3) {
            // Longer than any room rests here.
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.check(&mut clients, seed).await;
        }
    }
    for client in clients.iter_mut().filter(|client| client.stage != Stage::Away) {
        while client.stage != Stage::Released {
            world.step(client, 1).await;
        }
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.check(&mut clients, seed).await;
}

#[tokio::test(start_paused = true)]
async fn everybody_who_listens_ends_with_the_list_that_is_true() {
    for seed in 0..100 {
        run(seed, 12).await;
    }
    // Enough for turns that are told as a list.
    for seed in 100..103 {
        run(seed, 3 * MOST_CHANGES).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_lost_is_kept_in_bounds_and_forgotten() {
    let (world, record) = World::embedded_with_record(&Config::serve());
    for number in 0..1000 {
        let mut client = Client::new(number);
        for chance in [2, 2, 2, 1] {
            world.step(&mut client, chance).await;
        }
    }
    assert_eq!(world.truth().await.len(), 500);
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert!(world.truth().await.is_empty());
    assert_eq!(record.bytes(), 0);
}
