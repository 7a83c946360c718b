//! The programs of docs/rust.md and docs/testing.md, word for word, and what they do.
//!
//! Another test holds the pages against this file: a program stands here as it stands there, indented by its module.

#![allow(unreachable_pub, reason = "the programs are those of other crates")]

mod run;

mod connecting {
    use roomcast_client::protocol::{Event, Room};
    use roomcast_client::{Client, Delivery, Error};

    pub async fn follow(url: &str, token: String, room: Room, mut show: impl FnMut(String)) -> Result<(), Error> {
        let client = Client::builder(url).token(token).build()?;
        let mut team = client.subscribe(room).await?;
        while let Some(delivery) = team.next().await {
            match delivery {
                Delivery::Event(frame) => match &frame.event {
                    Event::IssueCreated(issue) => show(format!("{}: {}", issue.identifier, issue.title)),
                    Event::Custom(event) => show(format!("{} {}", event.event_type, event.payload)),
                    other => show(other.event_type().to_owned()),
                },
                Delivery::Gap { room, .. } => show(format!("load {room} anew")),
                Delivery::Closed { reason, .. } => show(format!("the end: {reason}")),
                _ => {}
            }
        }
        Ok(())
    }
}

mod reporting {
    use roomcast_client::{Client, ConnectionState};

    pub async fn report(client: &Client, mut say: impl FnMut(String)) {
        let mut states = client.watch_state();
        loop {
            match &*states.borrow_and_update() {
                ConnectionState::Open { user_id, .. } => say(format!("connected as {user_id}")),
                ConnectionState::Reconnecting { attempt, .. } => say(format!("attempt {attempt} has failed")),
                ConnectionState::Closed { reason, .. } => return say(format!("the end: {reason}")),
                _ => {}
            }
            if states.changed().await.is_err() {
                return;
            }
        }
    }
}

mod keeping {
    use std::collections::BTreeMap;

    use roomcast_client::protocol::{Event, Room};
    use roomcast_client::{Client, Delivery, Error};

    /// Titles by the issue's id.
    pub type Board = BTreeMap<String, String>;

    pub async fn keep(
        client: &Client,
        room: Room,
        load: impl AsyncFn() -> Board,
        mut show: impl FnMut(&Board),
    ) -> Result<(), Error> {
        let mut events = client.subscribe(room).await?;
        let mut board = load().await;
        show(&board);
        while let Some(delivery) = events.next().await {
            match delivery {
                Delivery::Event(frame) => match &frame.event {
                    Event::IssueCreated(issue) => drop(board.insert(issue.id.clone(), issue.title.clone())),
                    Event::IssueDeleted(issue) => drop(board.remove(&issue.id)),
                    _ => continue,
                },
                Delivery::Gap { .. } | Delivery::Lagged { .. } => board = load().await,
                _ => continue,
            }
            show(&board);
        }
        Ok(())
    }
}

mod going_on {
    use roomcast_client::protocol::{EventFrame, Position, Room};
    use roomcast_client::{Client, Delivery, Error, Join};

    /// Applies what comes until `apply` has enough; answers where to go on.
    pub async fn go_on(
        client: &Client,
        room: Room,
        stored: Option<Position>,
        mut apply: impl FnMut(&EventFrame) -> bool,
    ) -> Result<Option<Position>, Error> {
        let join = Join::new(room.clone());
        let join = if let Some(stored) = stored { join.since(stored) } else { join };
        let mut events = client.subscribe_with([join]).await?;
        while let Some(delivery) = events.next().await {
            match delivery {
                Delivery::Event(frame) if !apply(&frame) => break,
                Delivery::Gap { room, .. } => eprintln!("what happened in {room} meanwhile is lost"),
                _ => {}
            }
        }
        Ok(events.position(&room))
    }
}

mod attending {
    use roomcast_client::protocol::Room;
    use roomcast_client::{Client, Delivery, Error, Join};
    use serde_json::json;

    pub async fn attend(client: &Client, issue: &str, mut show: impl FnMut(Vec<String>)) -> Result<(), Error> {
        let room = Room::issue(issue);
        let join = Join::new(room.clone()).presence_with(json!({"cursor": 4}));
        let mut events = client.subscribe_with([join]).await?;
        events.update_presence(&room, json!({"cursor": 7})).await?;
        client.typing(issue, true).await?;
        while let Some(delivery) = events.next().await {
            match delivery {
                Delivery::PresenceState(_) | Delivery::PresenceJoined(_) | Delivery::PresenceLeft(_) => {
                    let members = events.members(&room).unwrap_or_default();
                    show(members.into_iter().map(|member| member.user_id.to_string()).collect());
                }
                Delivery::PresenceDenied { room } => eprintln!("the token does not grant presence in {room}"),
                _ => {}
            }
        }
        Ok(())
    }
}

mod publishing {
    use roomcast_client::protocol::event::IssueDeleted;
    use roomcast_client::protocol::{Event, NewEvent, Room, Service, UserId};
    use roomcast_client::{Error, Publisher};
    use serde_json::json;

    pub async fn tell(publisher: &Publisher, by: &UserId) -> Result<(), Error> {
        let issue = IssueDeleted { id: "issue_1".into(), team_id: "team_456".into(), ..IssueDeleted::default() };
        publisher.issue_deleted(issue, Some(by)).await?;

        let build = Event::custom("build.finished", json!({"ok": true}));
        let build = NewEvent::from(build).to([Room::team("team_456")]).by(by);
        publisher.publish(build.clone()).await?;

        for outcome in publisher.publish_batch(vec![build.clone(), build]).await? {
            match outcome {
                Ok(published) => println!("published as {}", published.event_id),
                Err(error) => eprintln!("refused: {error}"),
            }
        }
        Ok(())
    }
}

mod erring {
    use std::time::Duration;

    use roomcast_client::protocol::ErrorCode;
    use roomcast_client::{Error, ErrorKind};

    /// After which time the same may go better; `None`: never.
    pub fn worth_a_repeat(error: &Error) -> Option<Duration> {
        let later = error.retry_after().unwrap_or(Duration::from_secs(1));
        match error.kind() {
            ErrorKind::Denied { code: ErrorCode::RateLimitExceeded | ErrorCode::Unavailable } => Some(later),
            ErrorKind::Connect | ErrorKind::Busy | ErrorKind::Token => Some(later),
            // Whether it was carried out is unknown: only an event that has its own id may be repeated.
            ErrorKind::Disconnected | ErrorKind::Timeout => Some(later),
            _ => None,
        }
    }
}

mod renewing {
    use std::path::PathBuf;

    use roomcast_client::{Client, Error};

    /// The token is read anew each time: whoever issues them writes the next one there.
    pub fn connect(url: &str, path: PathBuf) -> Result<Client, Error> {
        let provider = move || {
            let path = path.clone();
            async move { std::fs::read_to_string(path).map(|token| token.trim().to_owned()) }
        };
        Client::builder(url).token_provider(provider).build()
    }
}

mod ending {
    use roomcast_client::{Client, Subscription};

    pub async fn shut_down(client: Client, subscriptions: Vec<Subscription>) {
        // Dropped first, while the connection is open, they leave their rooms at once, and presence with them.
        drop(subscriptions);
        client.close().await;
    }
}

mod testing_in_memory {
    use roomcast_client::protocol::{Event, NewEvent, Room};
    use roomcast_client::testing::FakeGateway;
    use roomcast_client::{Delivery, Error};
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn the_board_shows_what_happened_while_the_network_was_away() -> Result<(), Error> {
        let gateway = FakeGateway::new();
        let client = gateway.client("ann").build()?;
        let mut team = client.subscribe(Room::team("t")).await?;

        gateway.go_down();
        let note = Event::custom("note.added", json!({"title": "Written meanwhile"}));
        gateway.publish(NewEvent::from(note).to([Room::team("t")]))?;
        gateway.come_up();

        assert!(matches!(team.next().await, Some(Delivery::Resumed { recovered: 1, .. })));
        let Some(Delivery::Event(frame)) = team.next().await else { panic!("no event") };
        assert_eq!(frame.event.payload()["title"], "Written meanwhile");
        Ok(())
    }
}

mod testing_over_sockets {
    use roomcast_client::protocol::event::IssueArchived;
    use roomcast_client::protocol::{Event, Service, UserId};
    use roomcast_client::testing::{FakeGateway, Identity, Source};
    use roomcast_client::{Error, Publisher};

    /// The application: it knows a URL and a token.
    async fn archive(url: &str, token: &str, issue: &str, by: &UserId) -> Result<(), Error> {
        let publisher = Publisher::builder(url).token(token).build()?;
        let issue = IssueArchived { id: issue.into(), team_id: "t".into(), ..IssueArchived::default() };
        publisher.issue_archived(issue, Some(by)).await.map(drop)
    }

    #[tokio::test]
    async fn archiving_an_issue_is_published() -> Result<(), Box<dyn std::error::Error>> {
        let gateway = FakeGateway::new();
        let address = gateway.listen().await?;
        let service = Identity::of("service").grant("team:*", &["publish"]).grant("issue:*", &["publish"]);

        archive(&address.http_url(), &gateway.token(service), "issue_1", &"ann".parse()?).await?;

        let [published] = &gateway.published()[..] else { panic!("not once") };
        assert!(matches!(&published.event, Event::IssueArchived(issue) if issue.id == "issue_1"));
        assert_eq!((published.user_id.as_ref().map(UserId::as_str), published.source), (Some("ann"), Source::Http));
        Ok(())
    }
}
