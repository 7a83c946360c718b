//! The server's half of RFC 6455: bytes of a client become messages, messages for it become bytes.
//!
//! Owns the frames and their rules (section 5), and which rule a client has broken. No input or output, no clock, no
//! runtime: whoever has the bytes feeds them to a [`Decoder`] as they come, and writes what [`encode`] makes. Knows no
//! extension and no client's half; the opening handshake is HTTP's.
//!
//! ```
//! use roomcast_websocket::{Decoder, Limits, Message, encode};
//!
//! let mut decoder = Decoder::new(Limits { message_bytes: 64 << 10, message_frames: 128, control_frames: 64 });
//! let mut read = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2];
//! let mut bytes = &mut read[..];
//! assert_eq!(decoder.next(&mut bytes), Ok(Some(Message::Text("hi".into()))));
//! assert_eq!(decoder.next(&mut bytes), Ok(None), "all bytes are used up");
//! assert_eq!(encode::text(b"hi"), [0x81, 2, b'h', b'i']);
//! ```

mod decoder;
pub mod encode;
mod header;
mod limits;
mod mask;
mod message;
mod violation;

pub use decoder::Decoder;
pub use limits::Limits;
pub use message::{Close, Message};
pub use violation::Violation;
