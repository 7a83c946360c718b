//! Roomcast inside an axum application: the gateway's routes beside the application's own, and the service layer as calls.
//!
//! `cargo run -p roomcast-gateway --example embedded` serves http://127.0.0.1:3002; create an issue with
//! `curl -X POST http://127.0.0.1:3002/issues -d 'Fix login bug'` and every subscriber of team:team_456 sees it.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use roomcast_gateway::{Config, Gateway, Secret, Service};
use roomcast_protocol::event::{Event, IssueCreated, NotificationNew};
use roomcast_protocol::{NewEvent, Room, UserId};
use serde_json::json;

/// The application's own route: it stores the issue, then says what happened.
async fn create_issue(State(gateway): State<Gateway>, title: String) -> Result<String, (StatusCode, String)> {
    let issue = IssueCreated {
        id: "issue_123".into(),
        identifier: "ENG-42".into(),
        title,
        team_id: "team_456".into(),
        status: "todo".into(),
        priority: "high".into(),
        ..Default::default()
    };
    let failed = |error: roomcast_gateway::PublishError| (StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    gateway.issue_created(issue, None).await.map_err(failed)?;

    // One user, on every connection.
    let user: UserId = "user_789".parse().map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}")))?;
    let extra = serde_json::Map::from_iter([("message".into(), json!("You have a new issue"))]);
    gateway.notify_user(&user, NotificationNew { extra }).await.map_err(failed)?;

    // Any event, to any room.
    let event = NewEvent::from(Event::custom("custom.event", json!({"data": "custom data"})));
    let published = gateway.publish(event.to([Room::team("team_456")])).await.map_err(failed)?;
    Ok(published.event_id.to_string())
}

/// The application with the gateway mounted into it.
pub(crate) fn application(gateway: &Gateway) -> Router {
    Router::new().route("/issues", post(create_issue)).with_state(gateway.clone()).merge(gateway.router())
}

#[allow(dead_code, reason = "the tests take the application without its main")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A real application reads its secret from its configuration.
    let config = Config { jwt_secret: Some(Secret::new("an example secret of at least 32 bytes")), ..Config::dev() };
    let gateway = Gateway::start(config)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3002").await?;
    println!("serving http://{}", listener.local_addr()?);
    // Limits by address need the peer's address, so the application is served with it.
    let service = application(&gateway).into_make_service_with_connect_info::<SocketAddr>();
    let stop = gateway.clone();
    let stopped = async move {
        let _ = tokio::signal::ctrl_c().await;
        stop.shutdown().await;
    };
    axum::serve(listener, service).with_graceful_shutdown(stopped).await?;
    println!("{:?}", gateway.stats());
    Ok(())
}
