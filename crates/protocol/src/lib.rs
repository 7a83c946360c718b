//! The Roomcast wire protocol: every frame in both directions, the typed events, and the words that they are made of.
//!
//! Owns the names and shapes of the wire and the rules that need nothing but a value to be checked: the grammar of rooms,
//! positions, identifiers and event types, the meaning of grants, and the advice in close codes. Refuses everything with a
//! runtime in it: there is no socket, no clock and no configuration here, so the same types serve the gateway, the Rust
//! SDK and the code generator.

pub mod client;
mod close;
mod error;
pub mod event;
mod generated;
mod grants;
pub mod http;
mod id;
mod position;
mod room;
#[cfg(feature = "schema")]
pub mod schema;
pub mod server;
mod service;
mod time;

pub use client::{ClientMessage, Request};
pub use close::{Advice, CloseCode};
pub use error::{ErrorCode, UnknownErrorCode};
pub use event::{Event, EventType, PayloadError};
pub use generated::SCHEMA_HASH;
pub use grants::{Grants, InvalidGrants, InvalidOperation, Operation, Pattern};
pub use id::{EventId, InvalidId, RequestId, UserId};
pub use position::{Epoch, InvalidPosition, Position, PositionText};
pub use room::{InvalidRoom, Room};
pub use server::{EventFrame, ServerMessage};
pub use service::{NewEvent, Published, Service};
pub use time::{InvalidTimestamp, Timestamp};

/// The WebSocket subprotocol that a Roomcast client offers and the gateway selects.
pub const SUBPROTOCOL: &str = "roomcast.v1";

/// What precedes the token in the subprotocol item by which a browser brings it: `roomcast.bearer.<jwt>`.
pub const BEARER_PREFIX: &str = "roomcast.bearer.";

/// The version of the frames and events in this crate, announced in `connection.ack` and stamped on the schema.
pub const SCHEMA_VERSION: &str = "1.0.0";
