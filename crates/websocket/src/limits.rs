//! What one client may ask the decoder to keep.

/// Bounds on a message. What is over one of them is a [`Violation`](crate::Violation) as soon as it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message's payload, all its fragments together.
    pub message_bytes: usize,
    /// Frames of a message, the empty ones too: they cost work and bring nothing.
    pub message_frames: u32,
    /// Control frames between the fragments of a message, for the same reason.
    pub control_frames: u32,
}
