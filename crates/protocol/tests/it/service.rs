//! The service layer's calls, on a service that only remembers what it was given.

use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use roomcast_protocol::event::{
    CommentCreated, CommentDeleted, CommentUpdated, CycleUpdated, IssueArchived, IssueCreated, IssueDeleted,
    IssueUpdated, NotificationNew, ProjectUpdated, UserTyping,
};
use roomcast_protocol::{Event, NewEvent, Published, Room, Service, UserId};

#[derive(Default)]
struct Notebook(Mutex<Vec<NewEvent>>);

impl Service for Notebook {
    type Error = std::convert::Infallible;

    async fn publish(&self, event: impl Into<NewEvent> + Send) -> Result<Published, Self::Error> {
        let new = event.into();
        let event_id = new.event_id.clone().unwrap_or_else(|| "made".parse().unwrap());
        self.0.lock().unwrap().push(new);
        Ok(Published { event_id, positions: [].into(), duplicate: false })
    }
}

impl Notebook {
    fn last(&self) -> NewEvent {
        self.0.lock().unwrap().last().unwrap().clone()
    }
}

/// Runs a future that never waits.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn user() -> UserId {
    "user_789".parse().unwrap()
}

#[test]
fn every_call_publishes_its_type_in_the_name_of_the_user() {
    let notebook = Notebook::default();
    let by = user();
    let by = Some(&by);
    now(notebook.issue_created(IssueCreated::default(), by)).unwrap();
    now(notebook.issue_updated(IssueUpdated::default(), by)).unwrap();
    now(notebook.issue_deleted(IssueDeleted::default(), by)).unwrap();
    now(notebook.issue_archived(IssueArchived::default(), by)).unwrap();
    now(notebook.comment_created(CommentCreated::default(), by)).unwrap();
    now(notebook.comment_updated(CommentUpdated::default(), by)).unwrap();
    now(notebook.comment_deleted(CommentDeleted::default(), by)).unwrap();
    now(notebook.project_updated(ProjectUpdated::default(), by)).unwrap();
    now(notebook.cycle_updated(CycleUpdated::default(), by)).unwrap();
    let published = notebook.0.lock().unwrap();
    let types: Vec<_> = published.iter().map(|new| new.event.event_type()).collect();
    assert_eq!(types, Event::TYPES[..9]);
    assert!(published.iter().all(|new| new.user_id.as_ref() == by && new.rooms.is_none() && new.event_id.is_none()));
}

#[test]
fn a_call_without_a_user_names_none() {
    let notebook = Notebook::default();
    now(notebook.comment_created(CommentCreated::default(), None)).unwrap();
    assert_eq!(notebook.last().user_id, None);
}

#[test]
fn typing_goes_to_the_rooms_of_its_type() {
    let notebook = Notebook::default();
    now(notebook.user_typing(UserTyping { issue_id: "i".into(), ..UserTyping::default() })).unwrap();
    let new = notebook.last();
    assert_eq!((new.event.event_type(), new.rooms), ("user.typing", None));
}

#[test]
fn a_notification_goes_to_the_users_room_and_no_other() {
    let notebook = Notebook::default();
    now(notebook.notify_user(&user(), NotificationNew::default())).unwrap();
    let new = notebook.last();
    assert_eq!((new.event.event_type(), new.rooms), ("notification.new", Some(vec![Room::user("user_789")])));
}

#[test]
fn any_event_can_be_sent_to_one_user_or_to_any_room() {
    let notebook = Notebook::default();
    let event = Event::custom("custom.event", serde_json::json!({"data": "custom data"}));
    now(notebook.send_to_user(&user(), event.clone())).unwrap();
    assert_eq!(notebook.last().rooms, Some(vec![Room::user("user_789")]));
    let new = NewEvent::from(event).to([Room::team("a"), Room::team("b")]).with_id("mine".parse().unwrap());
    assert_eq!(now(notebook.publish(new)).unwrap().event_id.as_str(), "mine");
    assert_eq!(notebook.last().rooms.unwrap().len(), 2);
}
