//! Events of issues.

use super::payload::payload;
use crate::event::Extra;

payload! {
    /// An issue was created.
    IssueCreated -> ["team" = team_id] {
        /// The issue's id.
        id: String,
        /// What people call it, such as `ENG-42`.
        identifier: String,
        /// Its title.
        title: String,
        /// The team that it belongs to.
        team_id: String,
        /// Its status, such as `todo`.
        status: String,
        /// Its priority, such as `high`.
        priority: String,
    }
}

payload! {
    /// Properties of an issue changed.
    IssueUpdated -> ["team" = team_id, "issue" = id] {
        /// The issue's id.
        id: String,
        /// The new values, property by property.
        changes: Extra,
        /// The team that it belongs to.
        team_id: String,
    }
}

payload! {
    /// An issue was deleted.
    IssueDeleted -> ["team" = team_id, "issue" = id] {
        /// The issue's id.
        id: String,
        /// The team that it belonged to.
        team_id: String,
    }
}

payload! {
    /// An issue was archived.
    IssueArchived -> ["team" = team_id, "issue" = id] {
        /// The issue's id.
        id: String,
        /// The team that it belongs to.
        team_id: String,
    }
}
