//! Events of comments.

use super::payload::payload;

payload! {
    /// A comment was added to an issue.
    CommentCreated -> ["issue" = issue_id, "team" = team_id] {
        /// The comment's id.
        id: String,
        /// The issue that it stands on.
        issue_id: String,
        /// The team of the issue.
        team_id: String,
        /// Who wrote it.
        user_id: String,
        /// What it says.
        body: String,
    }
}

payload! {
    /// A comment was edited.
    CommentUpdated -> ["issue" = issue_id, "team" = team_id] {
        /// The comment's id.
        id: String,
        /// The issue that it stands on.
        issue_id: String,
        /// The team of the issue.
        team_id: String,
        /// What it says now.
        body: String,
    }
}

payload! {
    /// A comment was deleted.
    CommentDeleted -> ["issue" = issue_id, "team" = team_id] {
        /// The comment's id.
        id: String,
        /// The issue that it stood on.
        issue_id: String,
        /// The team of the issue.
        team_id: String,
    }
}
