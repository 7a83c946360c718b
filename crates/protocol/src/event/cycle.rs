//! Events of cycles.

use super::payload::payload;
use crate::event::Extra;

payload! {
    /// Properties of a cycle changed.
    CycleUpdated -> ["team" = team_id, "cycle" = id] {
        /// The cycle's id.
        id: String,
        /// The team that it belongs to.
        team_id: String,
        /// The new values, property by property.
        changes: Extra,
    }
}
