//! Events of projects.

use super::payload::payload;
use crate::event::Extra;

payload! {
    /// Properties of a project changed.
    ProjectUpdated -> ["team" = team_id, "project" = id] {
        /// The project's id.
        id: String,
        /// The team that it belongs to.
        team_id: String,
        /// The new values, property by property.
        changes: Extra,
    }
}
