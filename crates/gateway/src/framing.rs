//! Framing: watches the bytes that a client sends, to know whether a message is half-sent.
//!
//! Owns the frame boundaries of RFC 6455 section 5.2 and nothing else: a message that was begun must be completed in time,
//! and only its boundaries tell a slow sender from a quiet one. Reading the frames is the WebSocket library's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// A stream that knows since when a message is half-sent.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    boundaries: Boundaries,
    since: Option<Instant>,
}

impl<S> Watched<S> {
    /// Watches the stream; `read` was read of it before.
    pub(crate) fn new(stream: S, read: &[u8]) -> Self {
        let mut watched = Self { stream, boundaries: Boundaries::default(), since: None };
        watched.observe(read);
        watched
    }

    /// Since when a message, or a frame, is incomplete.
    pub(crate) fn incomplete_since(&self) -> Option<Instant> {
        self.since
    }

    fn observe(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let completed = self.boundaries.pass(bytes);
            self.since = match self.boundaries.is_between_messages() {
                true => None,
                // The next message has begun behind one that was completed by these bytes.
                false if completed => Some(Instant::now()),
                false => self.since.or_else(|| Some(Instant::now())),
            };
        }
    }
}

/// Where in the sequence of frames the last byte was.
#[derive(Debug, Default)]
struct Boundaries {
    /// Bytes of the frame's header so far.
    header: [u8; 10],
    filled: usize,
    /// Bytes of mask and payload to come.
    rest: u64,
    /// Between a data frame without FIN and the one with it.
    is_fragmented: bool,
}

impl Boundaries {
    fn is_between_messages(&self) -> bool {
        self.filled == 0 && self.rest == 0 && !self.is_fragmented
    }

    /// Answers whether a message ended in these bytes.
    fn pass(&mut self, mut bytes: &[u8]) -> bool {
        let mut has_ended = false;
        while let Some((first, behind)) = bytes.split_first() {
            if self.rest > 0 {
                let passed = self.rest.min(bytes.len() as u64);
                self.rest -= passed;
                bytes = &bytes[passed as usize..];
            } else {
                self.header[self.filled] = *first;
                self.filled += 1;
                bytes = behind;
                if self.filled >= 2 && self.filled == self.header_length() {
                    self.end_header();
                }
            }
            has_ended |= self.filled == 0 && self.rest == 0 && !self.is_fragmented;
        }
        has_ended
    }

    fn header_length(&self) -> usize {
        match self.header[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        }
    }

    fn end_header(&mut self) {
        let length = self.header[2..self.filled].iter().fold(0u64, |length, byte| length << 8 | u64::from(*byte));
        let length = if self.filled == 2 { u64::from(self.header[1] & 0x7f) } else { length };
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        self.rest = length.saturating_add(mask);
        let (is_final, is_control) = (self.header[0] & 0x80 != 0, self.header[0] & 0x08 != 0);
        if !is_control {
            self.is_fragmented = !is_final;
        }
        self.filled = 0;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        self.observe(&into.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = &[0x81, 0x82, 1, 2, 3, 4, 9, 9];
    const PING: &[u8] = &[0x89, 0x80, 1, 2, 3, 4];
    const FIRST: &[u8] = &[0x01, 0x81, 1, 2, 3, 4, 9];
    const LAST: &[u8] = &[0x80, 0x80, 1, 2, 3, 4];

    fn after(parts: &[&[u8]]) -> bool {
        let mut boundaries = Boundaries::default();
        for part in parts {
            boundaries.pass(part);
        }
        boundaries.is_between_messages()
    }

    #[test]
    fn whole_frames_leave_nothing_open() {
        assert!(after(&[TEXT, PING, TEXT]));
        assert!(after(&[FIRST, PING, LAST]));
        let long = [&[0x82, 0xfe, 0, 200, 1, 2, 3, 4][..], &[0; 200]].concat();
        assert!(after(&[&long]));
        let longer = [&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4][..], &vec![0; 65536]].concat();
        assert!(after(&[&longer, TEXT]));
    }

    #[test]
    fn a_message_is_open_between_any_two_of_its_bytes() {
        let whole = [FIRST, PING, LAST].concat();
        for cut in 1..whole.len() {
            assert!(!after(&[&whole[..cut]]), "cut at {cut}");
            assert!(after(&[&whole[..cut], &whole[cut..]]), "cut at {cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_counts_from_the_first_byte_whatever_comes_between() {
        let mut watched = Watched::new((), &[]);
        watched.observe(FIRST);
        let start = watched.incomplete_since();
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        watched.observe(PING);
        assert_eq!(watched.incomplete_since(), start);
        watched.observe(LAST);
        assert_eq!(watched.incomplete_since(), None);
    }
}
