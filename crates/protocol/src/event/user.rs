//! Events of users.

use super::payload::payload;

payload! {
    /// A user started or stopped typing in an issue.
    UserTyping -> ["issue" = issue_id] {
        /// The issue that they type in.
        issue_id: String,
        /// Who types. The gateway stamps it on what a client sends.
        user_id: String,
        /// Their e-mail address, empty when their token has none. The gateway stamps it on what a client sends.
        user_email: String,
        /// False when they stopped.
        is_typing: bool,
    }
}

payload! {
    /// A notification to one user; its fields are the application's own.
    NotificationNew -> [] {}
}
