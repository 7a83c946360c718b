//! What a change must be like, and what comes of it.

use super::*;

fn draft(title: &str) -> Draft {
    Draft { title: title.into(), priority: Priority::High }
}

fn remark(body: &str) -> Remark {
    Remark { body: body.into() }
}

#[test]
fn a_change_has_the_next_revision_and_its_event_carries_it() {
    let mut board = Board::with_some_work();
    assert_eq!(board.revision(), 0);
    let (issue, created) = board.create(draft("  New  ")).unwrap();
    assert_eq!((&*issue.title, &*issue.identifier, issue.status), ("New", "DEMO-5", Status::Todo));
    let moved = Change { status: Some(Status::Done), ..Change::default() };
    let (issue, updated) = board.change(&issue.id, moved).unwrap();
    assert_eq!(issue.status, Status::Done);
    let (_, commented) = board.comment(&issue.id, remark("Done."), Person::Ben).unwrap();
    let deleted = board.delete(&issue.id).unwrap();
    assert_eq!([&created, &updated, &commented, &deleted].map(revision_of), [1, 2, 3, 4]);
    assert_eq!(board.revision(), 4);
    assert_eq!(updated.payload()["changes"], json!({"status": "done"}));
    let rooms = |event: &Event| event.rooms().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(rooms(&created), ["team:demo"]);
    assert_eq!(rooms(&commented), ["issue:issue_5", "team:demo"]);
}

#[test]
fn a_change_that_changes_nothing_is_told_to_nobody() {
    let mut board = Board::with_some_work();
    let same = Change { status: Some(Status::Todo), assignee_id: Some(None), ..Change::default() };
    assert_eq!(board.change("issue_2", same).unwrap_err(), Refused::Nothing);
    assert_eq!(board.change("issue_2", Change::default()).unwrap_err(), Refused::Nothing);
    assert_eq!(board.revision(), 0);
}

#[test]
fn texts_have_a_length_and_can_be_seen() {
    let mut board = Board::with_some_work();
    let longest = "ü".repeat(LONGEST_TITLE);
    assert!(board.create(draft(&longest)).is_ok());
    for wrong in ["", " \n ", &format!("{longest}x"), "a\u{0}b", "a\u{1b}[31mb"] {
        assert_eq!(board.create(draft(wrong)).unwrap_err(), Refused::Text("the title", LONGEST_TITLE));
        let renamed = Change { title: Some(wrong.into()), ..Change::default() };
        assert_eq!(board.change("issue_1", renamed).unwrap_err(), Refused::Text("the title", LONGEST_TITLE));
    }
    assert!(board.comment("issue_1", remark(&"x".repeat(LONGEST_COMMENT + 1)), Person::Ann).is_err());
    assert!(board.comment("issue_1", remark("two\nlines"), Person::Ann).is_ok());
    assert_eq!(board.revision(), 2);
}

#[test]
fn there_are_so_many_issues_and_comments_and_no_more() {
    let mut board = Board::default();
    for _ in 0..MOST_ISSUES {
        board.create(draft("One of many")).unwrap();
    }
    assert_eq!(board.create(draft("One too many")).unwrap_err(), Refused::TooManyIssues);
    board.delete("issue_1").unwrap();
    assert_eq!(board.create(draft("In its place")).unwrap().0.id, format!("issue_{}", MOST_ISSUES + 1));
    for _ in 0..MOST_COMMENTS {
        board.comment("issue_2", remark("Yes."), Person::Ann).unwrap();
    }
    assert_eq!(board.comment("issue_2", remark("No."), Person::Ann).unwrap_err(), Refused::TooManyComments);
    assert_eq!(board.comments("issue_2").unwrap().len(), MOST_COMMENTS);
}

#[test]
fn what_is_not_there_is_unknown() {
    let mut board = Board::with_some_work();
    for id in ["issue_9", "issue_", "issue_-1", "comment_1", "", "issue_18446744073709551616"] {
        assert_eq!(board.delete(id).unwrap_err(), Refused::Unknown, "{id}");
        assert_eq!(board.comments(id).unwrap_err(), Refused::Unknown, "{id}");
    }
    assert_eq!(Board::default().bustle(3).unwrap_err(), Refused::Unknown);
}

#[test]
fn a_busy_day_has_as_many_changes_as_were_asked_for() {
    let mut board = Board::with_some_work();
    let events = board.bustle(10).unwrap();
    assert_eq!(events.iter().map(revision_of).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
}

#[test]
fn what_a_page_sends_is_read_strictly() {
    let read = |text: &str| serde_json::from_str::<Change>(text);
    assert_eq!(read("{}").unwrap().assignee_id, None);
    assert_eq!(read(r#"{"assigneeId":null}"#).unwrap().assignee_id, Some(None));
    assert_eq!(read(r#"{"assigneeId":"ben"}"#).unwrap().assignee_id, Some(Some(Person::Ben)));
    for wrong in [r#"{"assigneeId":"mallory"}"#, r#"{"status":"gone"}"#, r#"{"revision":9}"#, r#"{"title":7}"#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    assert!(serde_json::from_str::<Draft>(r#"{"title":"a","priority":"huge"}"#).is_err());
}
