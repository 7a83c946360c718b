//! Says that an issue changed, as a back end does.
//!
//! ```text
//! ROOMCAST_TOKEN=<jwt> cargo run -p roomcast-client --example publish -- "Fix login bug"
//! ```
//!
//! `ROOMCAST_HTTP_URL` names another gateway than `http://127.0.0.1:3001`.

use std::env;
use std::error::Error;

use roomcast_client::Publisher;
use roomcast_client::protocol::Service;
use roomcast_client::protocol::event::{Extra, IssueUpdated};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("ROOMCAST_HTTP_URL").unwrap_or_else(|_| "http://127.0.0.1:3001".into());
    let title = env::args().nth(1).unwrap_or_else(|| "Fix login bug".into());

    let publisher = Publisher::builder(&url).token(env::var("ROOMCAST_TOKEN")?).build()?;
    let updated = IssueUpdated {
        id: "issue_123".into(),
        team_id: "team_456".into(),
        changes: Extra::from_iter([("title".into(), title.into())]),
        ..IssueUpdated::default()
    };
    let published = publisher.issue_updated(updated, None).await?;
    println!("{}", published.event_id);
    for (room, position) in published.positions {
        println!("{room} {position}");
    }
    Ok(())
}
