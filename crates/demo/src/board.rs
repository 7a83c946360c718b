//! The board: issues and their comments, and what each change of them is called on the wire.
//!
//! Owns what a change must be like to be made, and how much there may be. A change that is made has a number, the revision,
//! which its event carries and a snapshot names, so that a page knows which events its snapshot holds already. Refuses the
//! network: who is told of a change, and when, is the announcer's.

use std::collections::BTreeMap;

use roomcast_client::protocol::event::{CommentCreated, Event, Extra, IssueCreated, IssueDeleted, IssueUpdated};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::person::Person;

/// The team whose board it is.
pub(crate) const TEAM: &str = "demo";

/// Issues at a time: what a page shows without searching.
pub(crate) const MOST_ISSUES: usize = 60;

/// Comments on one issue.
pub(crate) const MOST_COMMENTS: usize = 100;

/// Characters of a title.
pub(crate) const LONGEST_TITLE: usize = 120;

/// Characters of a comment.
pub(crate) const LONGEST_COMMENT: usize = 1000;

/// Where an issue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Todo,
    InProgress,
    Done,
}

/// How much an issue matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Priority {
    Low,
    Medium,
    High,
}

/// An issue as a snapshot has it. Its fields are those of `issue.created`, as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Issue {
    pub(crate) id: String,
    pub(crate) identifier: String,
    pub(crate) title: String,
    pub(crate) team_id: &'static str,
    pub(crate) status: Status,
    pub(crate) priority: Priority,
    pub(crate) assignee_id: Option<Person>,
    /// How many comments stand on it.
    pub(crate) comments: usize,
}

/// A comment as a snapshot has it. Its fields are those of `comment.created`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Comment {
    pub(crate) id: String,
    pub(crate) issue_id: String,
    pub(crate) user_id: Person,
    pub(crate) body: String,
}

/// What a new issue is made from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    pub(crate) title: String,
    pub(crate) priority: Priority,
}

/// What of an issue is to be changed; what is left out stays.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Change {
    pub(crate) title: Option<String>,
    pub(crate) status: Option<Status>,
    pub(crate) priority: Option<Priority>,
    /// `null` takes the issue from whoever has it.
    #[serde(default, deserialize_with = "given")]
    pub(crate) assignee_id: Option<Option<Person>>,
}

/// What a new comment is made from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remark {
    pub(crate) body: String,
}

/// Why a change is not made. The text is for whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("there is no such issue")]
    Unknown,
    #[error("{0} must have 1 to {1} characters, and none that cannot be seen")]
    Text(&'static str, usize),
    #[error("the board has {MOST_ISSUES} issues, and takes no more: delete one")]
    TooManyIssues,
    #[error("the issue has {MOST_COMMENTS} comments, and takes no more")]
    TooManyComments,
    #[error("nothing is to be changed")]
    Nothing,
}

/// Everything that the back end knows.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// By the number of the issue, which is also their order.
    issues: BTreeMap<u64, (Issue, Vec<Comment>)>,
    /// How many changes there were.
    revision: u64,
    /// How many issues there ever were.
    numbered: u64,
}

impl Board {
    /// A board with some work on it, of which nobody is told: it is how things stand at the start.
    pub(crate) fn with_some_work() -> Self {
        let mut board = Self::default();
        for (title, priority, status, assignee) in [
            ("Log in with a plus in the address", Priority::High, Status::InProgress, Some(Person::Ann)),
            ("Show who is typing", Priority::Medium, Status::Todo, None),
            ("Keep the place when the network is lost", Priority::High, Status::Todo, Some(Person::Ben)),
            ("Dark colours", Priority::Low, Status::Done, Some(Person::Cleo)),
        ] {
            board.number_issue(title.into(), priority, status, assignee);
        }
        board
    }

    /// How many changes there were.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// All issues, oldest first.
    pub(crate) fn issues(&self) -> impl Iterator<Item = &Issue> {
        self.issues.values().map(|(issue, _)| issue)
    }

    /// The comments on an issue, oldest first.
    pub(crate) fn comments(&self, id: &str) -> Result<&[Comment], Refused> {
        self.issues.get(&number(id)?).map(|(_, comments)| comments.as_slice()).ok_or(Refused::Unknown)
    }

    /// Makes an issue.
    pub(crate) fn create(&mut self, draft: Draft) -> Result<(Issue, Event), Refused> {
        let title = text(draft.title, "the title", LONGEST_TITLE)?;
        if self.issues.len() >= MOST_ISSUES {
            return Err(Refused::TooManyIssues);
        }
        let issue = self.number_issue(title, draft.priority, Status::Todo, None);
        let event = IssueCreated {
            id: issue.id.clone(),
            identifier: issue.identifier.clone(),
            title: issue.title.clone(),
            team_id: TEAM.into(),
            status: word(&issue.status),
            priority: word(&issue.priority),
            extra: self.next_revision(),
        };
        Ok((issue, event.into()))
    }

    /// Changes an issue.
    pub(crate) fn change(&mut self, id: &str, change: Change) -> Result<(Issue, Event), Refused> {
        let Change { title, status, priority, assignee_id } = change;
        let title = title.map(|title| text(title, "the title", LONGEST_TITLE)).transpose()?;
        let (issue, _) = self.issues.get_mut(&number(id)?).ok_or(Refused::Unknown)?;
        let mut changes = Extra::new();
        set(&mut changes, "title", &mut issue.title, title);
        set(&mut changes, "status", &mut issue.status, status);
        set(&mut changes, "priority", &mut issue.priority, priority);
        set(&mut changes, "assigneeId", &mut issue.assignee_id, assignee_id);
        if changes.is_empty() {
            return Err(Refused::Nothing);
        }
        let issue = issue.clone();
        let extra = self.next_revision();
        let event = IssueUpdated { id: issue.id.clone(), team_id: TEAM.into(), changes, extra };
        Ok((issue, event.into()))
    }

    /// Takes an issue from the board, its comments with it.
    pub(crate) fn delete(&mut self, id: &str) -> Result<Event, Refused> {
        let (issue, _) = self.issues.remove(&number(id)?).ok_or(Refused::Unknown)?;
        Ok(IssueDeleted { id: issue.id, team_id: TEAM.into(), extra: self.next_revision() }.into())
    }

    /// Puts a comment on an issue.
    pub(crate) fn comment(&mut self, id: &str, remark: Remark, by: Person) -> Result<(Comment, Event), Refused> {
        let body = text(remark.body, "the comment", LONGEST_COMMENT)?;
        let (issue, comments) = self.issues.get_mut(&number(id)?).ok_or(Refused::Unknown)?;
        if comments.len() >= MOST_COMMENTS {
            return Err(Refused::TooManyComments);
        }
        let id = format!("comment_{}", self.revision + 1);
        let comment = Comment { id, issue_id: issue.id.clone(), user_id: by, body };
        comments.push(comment.clone());
        issue.comments = comments.len();
        let event = CommentCreated {
            id: comment.id.clone(),
            issue_id: comment.issue_id.clone(),
            team_id: TEAM.into(),
            user_id: by.id().into(),
            body: comment.body.clone(),
            extra: self.next_revision(),
        };
        Ok((comment, event.into()))
    }

    /// Changes the priorities of the issues, one after another, so many times: an office on a busy day.
    pub(crate) fn bustle(&mut self, changes: usize) -> Result<Vec<Event>, Refused> {
        let ids: Vec<String> = self.issues().map(|issue| issue.id.clone()).collect();
        if ids.is_empty() {
            return Err(Refused::Unknown);
        }
        let turns = ids.iter().cycle().take(changes);
        turns
            .map(|id| Ok(self.change(id, Change { priority: Some(self.next_priority(id)?), ..Change::default() })?.1))
            .collect()
    }

    fn next_priority(&self, id: &str) -> Result<Priority, Refused> {
        let (issue, _) = self.issues.get(&number(id)?).ok_or(Refused::Unknown)?;
        Ok(match issue.priority {
            Priority::Low => Priority::Medium,
            Priority::Medium => Priority::High,
            Priority::High => Priority::Low,
        })
    }

    fn number_issue(
        &mut self,
        title: String,
        priority: Priority,
        status: Status,
        assignee_id: Option<Person>,
    ) -> Issue {
        self.numbered += 1;
        let number = self.numbered;
        let (id, identifier) = (format!("issue_{number}"), format!("DEMO-{number}"));
        let issue = Issue { id, identifier, title, team_id: TEAM, status, priority, assignee_id, comments: 0 };
        self.issues.insert(number, (issue.clone(), Vec::new()));
        issue
    }

    /// Counts a change, and gives what its event says of that.
    fn next_revision(&mut self) -> Extra {
        self.revision += 1;
        Extra::from_iter([("revision".into(), self.revision.into())])
    }
}

/// Puts a new value in its place, and says so if it is another one.
fn set<T: PartialEq + Serialize>(changes: &mut Extra, name: &str, place: &mut T, value: Option<T>) {
    if let Some(value) = value.filter(|value| value != place) {
        *place = value;
        changes.insert(name.into(), json!(place));
    }
}

/// The number in an issue's id.
fn number(id: &str) -> Result<u64, Refused> {
    id.strip_prefix("issue_").and_then(|number| number.parse().ok()).ok_or(Refused::Unknown)
}

/// A text of a user, without the space around it.
fn text(text: String, what: &'static str, longest: usize) -> Result<String, Refused> {
    let trimmed = text.trim();
    let is_visible = |letter: char| !letter.is_control() || letter == '\n';
    let fits = (1..=longest).contains(&trimmed.chars().count()) && trimmed.chars().all(is_visible);
    if fits { Ok(trimmed.into()) } else { Err(Refused::Text(what, longest)) }
}

/// A value that is a word in JSON.
fn word(value: &impl Serialize) -> String {
    json!(value).as_str().map(Into::into).unwrap_or_default()
}

/// Tells `null` from nothing.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Person>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The revision that an event carries.
pub(crate) fn revision_of(event: &Event) -> u64 {
    event.payload().get("revision").and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests;
