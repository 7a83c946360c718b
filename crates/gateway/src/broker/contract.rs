//! The contract of every broker, as tests that each of them passes.
//!
//! Owns no knowledge of either: a stage is a broker that runs, and where it delivers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use roomcast_protocol::server::GapReason;
use roomcast_protocol::{Epoch, Position, Published, Room};
use tokio::sync::mpsc;

use super::memory::MemoryBroker;
use super::redis as shared;
use super::{Broker, Page};
use crate::config::{Config, Secret};
use crate::hub::ConnectionId;
use crate::per_kind::PerKind;
use crate::publication::{Draft, Publication};
use redis_server::RedisServer;

#[path = "../../tests/it/redis_server.rs"]
pub(crate) mod redis_server;

/// Long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A broker that runs, and what it delivers.
pub(crate) struct Stage {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) delivered: mpsc::Receiver<Arc<Publication>>,
}

impl Stage {
    pub(crate) fn memory(config: &Config) -> Self {
        let (deliver, delivered) = mpsc::channel(4096);
        Self { broker: Arc::new(MemoryBroker::new(config, deliver)), delivered }
    }

    /// A node's broker on that server, once it is ready.
    pub(crate) async fn redis(config: Config, server: &RedisServer) -> Self {
        Self::redis_at(config, &server.url()).await
    }

    /// The same with an address of any form.
    pub(crate) async fn redis_at(config: Config, url: &str) -> Self {
        let (deliver, delivered) = mpsc::channel(4096);
        let config = Config { redis_url: Some(Secret::new(url)), ..config };
        let broker = Arc::new(shared::RedisBroker::new(&config, deliver, Default::default()).unwrap());
        let running = broker.clone();
        tokio::spawn(async move { running.run().await });
        let stage = Self { broker, delivered };
        stage.is_ready().await;
        stage
    }

    pub(crate) async fn is_ready(&self) {
        eventually("the broker is ready", || self.broker.is_ready()).await;
    }

    pub(crate) async fn publish(&self, id: &str, rooms: &[&str]) -> Published {
        self.broker.publish(draft(id, rooms)).await.unwrap()
    }

    pub(crate) async fn open(&self, names: &[&str]) -> Vec<Position> {
        self.broker.open(rooms(names)).await.unwrap()
    }

    pub(crate) async fn page(&self, name: &str, since: Option<Position>, limit: usize) -> Page {
        let pages = self.broker.history(vec![(room(name), since)], limit).await.unwrap();
        pages.into_iter().next().unwrap()
    }

    pub(crate) async fn next(&mut self) -> Arc<Publication> {
        tokio::time::timeout(PATIENCE, self.delivered.recv()).await.expect("nothing came in time").unwrap()
    }

    /// That nothing is on its way: what is published now is the next that comes.
    async fn is_quiet(&mut self) {
        self.open(&["user:quiet"]).await;
        self.publish("quiet", &["user:quiet"]).await;
        assert_eq!(self.next().await.event_id.as_str(), "quiet");
    }
}

pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn room(name: &str) -> Room {
    name.parse().unwrap()
}

pub(crate) fn rooms(names: &[&str]) -> Vec<Room> {
    names.iter().map(|name| room(name)).collect()
}

pub(crate) fn draft(id: &str, names: &[&str]) -> Draft {
    Draft {
        event_id: id.parse().unwrap(),
        is_repeatable: true,
        rooms: rooms(names),
        head: format!("{{\"type\":\"a.b\",\"payload\":1,\"eventId\":\"{id}\"").into(),
        is_ephemeral: false,
        except: None,
    }
}

fn offsets(published: &Published) -> Vec<u64> {
    published.positions.values().map(|position| position.offset).collect()
}

fn ids(page: &Page) -> Vec<&str> {
    page.publications.iter().map(|publication| publication.event_id.as_str()).collect()
}

/// Few events in every room, fewer in issues, many but not for long in users' rooms, and few bytes in projects.
fn kinds_apart() -> Config {
    Config {
        history_size: PerKind { others: 3, kinds: [("issue", 2), ("user", 100), ("project", 100)].map(named).into() },
        history_bytes: PerKind { kinds: [("project", 4000)].map(named).into(), ..Config::serve().history_bytes },
        history_ttl: PerKind {
            others: Duration::from_secs(600),
            kinds: [("user", Duration::from_secs(1))].map(named).into(),
        },
        ..Config::serve()
    }
}

fn named<T>((kind, value): (&str, T)) -> (String, T) {
    (kind.to_owned(), value)
}

/// Each promise, once for each broker.
macro_rules! promises {
    ($($(#[$doc:meta])* async fn $name:ident($stage:ident $(: $config:expr)?) $body:block)+) => {
        $($(#[$doc])* async fn $name(#[allow(unused_mut)] mut $stage: Stage) $body)+

        mod embedded {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                #[allow(unused_variables)]
                let config = Config::serve();
                $(let config = Config { ..$config };)?
                super::$name(Stage::memory(&config)).await;
            })+
        }

        mod in_redis {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                #[allow(unused_variables)]
                let config = Config::serve();
                $(let config = Config { ..$config };)?
                let server = RedisServer::start();
                super::$name(Stage::redis(config, &server).await).await;
            })+
        }
    };
}

promises! {
    async fn what_is_begun_first_is_placed_first_without_waiting_for_its_answer(stage) {
        stage.open(&["team:a"]).await;
        stage.publish("first", &["team:a"]).await;
        let drafts = (0..30).map(|count| draft(&count.to_string(), &["team:a"]));
        let published = join_all(drafts.map(|draft| stage.broker.publish(draft))).await;
        let placed: Vec<u64> = published.iter().flat_map(|published| offsets(published.as_ref().unwrap())).collect();
        assert_eq!(placed, (2..32).collect::<Vec<u64>>());
        assert_eq!(stage.next().await.event_id.as_str(), "first");
        for count in 0..30 {
            assert_eq!(stage.next().await.event_id.as_str(), count.to_string());
        }
    }

    async fn every_room_counts_for_itself_and_one_publication_carries_all(stage) {
        let opened = stage.open(&["team:a", "team:b"]).await;
        assert_eq!(offsets(&stage.publish("1", &["team:a"]).await), [1]);
        let second = stage.publish("2", &["team:a", "team:b"]).await;
        assert_eq!(offsets(&second), [2, 1]);
        assert_eq!(second.positions[&room("team:a")].epoch, opened[0].epoch);
        assert_eq!(stage.next().await.event_id.as_str(), "1");
        let publication = stage.next().await;
        let places: Vec<_> = publication.places.iter().map(|(room, position)| (room.clone(), position.unwrap())).collect();
        assert_eq!(places, second.positions.clone().into_iter().collect::<Vec<_>>());
        assert!(publication.frame(0b11).as_str().starts_with("{\"type\":\"a.b\",\"payload\":1,\"eventId\":\"2\",\"positions\""));
        stage.is_quiet().await;
        assert_eq!(stage.broker.positions(rooms(&["team:b", "team:a"])).await.unwrap().iter().map(|position| position.offset).collect::<Vec<_>>(), [1, 2]);
    }

    async fn a_repeat_publishes_nothing_and_answers_the_first_positions(stage) {
        stage.open(&["team:a", "team:b"]).await;
        let first = stage.publish("1", &["team:a", "team:b"]).await;
        stage.publish("2", &["team:a"]).await;
        let again = stage.publish("1", &["team:b", "team:a"]).await;
        assert!(again.duplicate && !first.duplicate);
        assert_eq!(again.positions, first.positions);
        stage.next().await;
        stage.next().await;
        stage.is_quiet().await;
    }

    async fn a_repeat_completes_the_rooms_that_it_did_not_reach(stage) {
        stage.open(&["team:a", "team:b"]).await;
        let first = stage.publish("1", &["team:a"]).await;
        let more = stage.publish("1", &["team:a", "team:b"]).await;
        assert!(!more.duplicate);
        assert_eq!(more.positions[&room("team:a")], first.positions[&room("team:a")]);
        stage.next().await;
        let places: Vec<_> = stage.next().await.places.iter().map(|(room, _)| room.to_string()).collect();
        assert_eq!(places, ["team:b"]);
        stage.is_quiet().await;
    }

    async fn an_id_that_the_gateway_made_is_not_remembered(stage) {
        for offset in 1..=2 {
            let draft = Draft { is_repeatable: false, ..draft("1", &["team:a"]) };
            assert_eq!(offsets(&stage.broker.publish(draft).await.unwrap()), [offset]);
        }
    }

    async fn an_ephemeral_event_has_no_position_and_comes_once(stage) {
        let opened = stage.open(&["issue:a", "issue:b"]).await;
        let except = Some(ConnectionId::new());
        let draft = Draft { is_ephemeral: true, except, ..draft("1", &["issue:a", "issue:b"]) };
        for _ in 0..2 {
            let published = stage.broker.publish(draft.clone()).await.unwrap();
            assert!(published.positions.is_empty() && !published.duplicate);
            let publication = stage.next().await;
            assert_eq!(publication.except, except);
            assert!(publication.places.iter().all(|(_, position)| position.is_none()));
        }
        stage.is_quiet().await;
        assert_eq!(stage.broker.positions(rooms(&["issue:a", "issue:b"])).await.unwrap(), opened);
        assert_eq!(stage.page("issue:a", None, 10).await.publications.len(), 0);
    }

    async fn everything_behind_the_opening_position_is_delivered_in_order(stage) {
        let publisher = stage.broker.clone();
        let publishing = tokio::spawn(async move {
            for id in 0..300 {
                publisher.publish(draft(&format!("e{id}"), &["team:a"])).await.unwrap();
            }
        });
        let opened = stage.open(&["team:a"]).await[0];
        publishing.await.unwrap();
        let mut after = opened.offset;
        while after < 300 {
            let position = stage.next().await.position(&room("team:a")).unwrap();
            if position.offset > opened.offset {
                assert_eq!(position.offset, after + 1);
                after += 1;
            }
        }
    }

    async fn shared_rooms_have_one_order(stage) {
        let publish = |broker: Arc<dyn Broker>, name: &'static str| async move {
            for id in 0..100 {
                let names = if id % 2 == 0 { ["team:a", "team:b"] } else { ["team:b", "team:a"] };
                broker.publish(draft(&format!("{name}{id}"), &names)).await.unwrap();
            }
        };
        let publishers = ["x", "y", "z"].map(|name| tokio::spawn(publish(stage.broker.clone(), name)));
        for publisher in publishers {
            publisher.await.unwrap();
        }
        let (a, b) = (stage.page("team:a", None, 1000).await, stage.page("team:b", None, 1000).await);
        assert_eq!(a.publications.len(), 300);
        assert_eq!(ids(&a), ids(&b));
    }

    async fn history_is_read_behind_a_position_page_by_page(stage) {
        let start = stage.open(&["team:a"]).await[0];
        for id in ["1", "2", "3", "4", "5"] {
            stage.publish(id, &["team:a"]).await;
        }
        let at = |offset| Position { offset, ..start };
        let page = stage.page("team:a", Some(at(1)), 2).await;
        assert_eq!((ids(&page), page.position, page.latest, page.more), (vec!["2", "3"], at(3), at(5), true));
        let page = stage.page("team:a", Some(page.position), 2).await;
        assert_eq!((ids(&page), page.position, page.more, page.gap), (vec!["4", "5"], at(5), false, None));
        let page = stage.page("team:a", Some(at(5)), 2).await;
        assert_eq!((ids(&page), page.position, page.more, page.gap), (vec![], at(5), false, None));
        let page = stage.page("team:a", None, 2).await;
        assert_eq!((ids(&page), page.position, page.more), (vec!["4", "5"], at(5), false));
        assert_eq!(page.publications[1].position(&room("team:a")), Some(at(5)));
    }

    async fn several_rooms_are_read_at_once_each_behind_its_own_position(stage) {
        let opened = stage.open(&["team:a", "team:b", "team:c"]).await;
        stage.publish("1", &["team:a", "team:b"]).await;
        stage.publish("2", &["team:b"]).await;
        let wanted = vec![(room("team:b"), Some(opened[1])), (room("team:c"), Some(opened[2])), (room("team:a"), None)];
        let pages = stage.broker.history(wanted, 10).await.unwrap();
        assert_eq!(pages.iter().map(ids).collect::<Vec<_>>(), [vec!["1", "2"], vec![], vec!["1"]]);
    }

    async fn a_position_of_another_epoch_or_beyond_the_end_has_changed_epochs(stage) {
        let start = stage.open(&["team:a"]).await[0];
        stage.publish("1", &["team:a"]).await;
        let other = Position { epoch: Epoch(start.epoch.0 ^ 1), offset: 0 };
        for since in [other, Position { offset: 2, ..start }, Position { offset: u64::MAX, ..start }] {
            let page = stage.page("team:a", Some(since), 10).await;
            assert_eq!((page.gap, page.publications.len(), page.position.offset), (Some(GapReason::EpochChanged), 0, 1));
        }
    }

    async fn kept_events_are_bounded_by_number(stage: Config { history_size: 3.into(), ..Config::serve() }) {
        let start = stage.open(&["team:a"]).await[0];
        for id in ["1", "2", "3", "4", "5"] {
            stage.publish(id, &["team:a"]).await;
        }
        assert_eq!(ids(&stage.page("team:a", None, 10).await), ["3", "4", "5"]);
        let page = stage.page("team:a", Some(Position { offset: 1, ..start }), 10).await;
        assert_eq!((page.gap, page.publications.len()), (Some(GapReason::HistoryTruncated), 0));
        assert_eq!(stage.page("team:a", Some(Position { offset: 2, ..start }), 10).await.gap, None);
    }

    async fn kept_events_are_bounded_by_bytes(stage: Config { history_bytes: 2000.into(), ..Config::serve() }) {
        for id in 0..100 {
            stage.publish(&format!("e{id}"), &["team:a"]).await;
        }
        let page = stage.page("team:a", None, 100).await;
        assert!((2..20).contains(&page.publications.len()), "{}", page.publications.len());
        assert_eq!(page.latest.offset, 100);
    }

    async fn events_go_with_their_time_and_the_position_stays(stage: Config { history_ttl: Duration::from_millis(300).into(), ..Config::serve() }) {
        let start = stage.open(&["team:a"]).await[0];
        let last = stage.publish("1", &["team:a"]).await.positions[&room("team:a")];
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !stage.page("team:a", None, 10).await.publications.is_empty() {
            assert!(tokio::time::Instant::now() < deadline);
            stage.broker.sweep();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(stage.page("team:a", Some(start), 10).await.gap, Some(GapReason::HistoryTruncated));
        let idle = stage.page("team:a", Some(last), 10).await;
        assert_eq!((idle.gap, idle.latest), (None, last));
        assert_eq!(offsets(&stage.publish("2", &["team:a"]).await), [2]);
    }

    async fn kinds_of_room_have_bounds_of_their_own(stage: kinds_apart()) {
        // Each in one step, so that rooms of different bounds stand side by side.
        for id in 0..40 {
            stage.publish(&format!("e{id}"), &["user:a", "issue:a", "team:a", "project:a"]).await;
        }
        assert_eq!(ids(&stage.page("issue:a", None, 100).await), ["e38", "e39"]);
        assert_eq!(stage.page("team:a", None, 100).await.publications.len(), 3);
        assert_eq!(stage.page("user:a", None, 100).await.publications.len(), 40);
        let by_bytes = stage.page("project:a", None, 100).await.publications.len();
        assert!((1..30).contains(&by_bytes), "{by_bytes}");
        let wanted = rooms(&["user:a", "issue:a", "team:a"]).into_iter().map(|room| (room, None)).collect();
        let pages = stage.broker.history(wanted, 100).await.unwrap();
        assert_eq!(pages.iter().map(|page| page.publications.len()).collect::<Vec<_>>(), [40, 2, 3]);
    }

    async fn kinds_of_room_have_a_time_of_their_own(stage: kinds_apart()) {
        stage.publish("first", &["user:a", "team:a"]).await;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !stage.page("user:a", None, 10).await.publications.is_empty() {
            assert!(tokio::time::Instant::now() < deadline);
            stage.broker.sweep();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stage.publish("second", &["user:a", "team:a"]).await;
        assert_eq!(ids(&stage.page("team:a", None, 10).await), ["first", "second"]);
        assert_eq!(stage.page("user:a", None, 10).await.latest.offset, 2);
    }

    async fn an_event_of_as_many_rooms_as_allowed_is_one_step(stage) {
        let names: Vec<String> = (0..128).map(|index| format!("team:t{index:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        stage.open(&names).await;
        assert_eq!(offsets(&stage.publish("1", &names).await), vec![1; 128]);
        assert_eq!(stage.next().await.places.len(), 128);
        stage.is_quiet().await;
    }
}
