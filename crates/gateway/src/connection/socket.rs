//! The socket: bytes of the wire become messages, and frames of the outbox become bytes of the wire.
//!
//! Owns the decoder and what was read and not yet decoded. Reading goes through a buffer of the thread; a connection keeps
//! bytes only while a message is incomplete, or while a request is under way and more had come with it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use roomcast_websocket::{Close, Decoder, Limits, Message, Violation};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::wire::Wire;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::outbox::{Outbox, Written};

/// Read at once, into one buffer for each thread; so much of one client may wait while a request is under way.
const READ_BUFFER: usize = 16 << 10;

/// Frames of one message. A client that cuts its messages cuts them into a few.
const MESSAGE_FRAMES: u32 = 1024;

/// Control frames between the fragments of one message.
const CONTROL_FRAMES: u32 = 256;

/// Messages that came together and are looked at before their answers are written, so that these leave together too.
const GATHERED: u8 = 16;

/// Bytes that a peer may still send while it is told that it is wrong; more is not read.
const MOST_DISCARDED: usize = 1 << 20;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One client's wire, as messages.
pub(super) struct Socket<W> {
    wire: W,
    decoder: Decoder,
    /// What was read with a message and not looked at yet; boxed, for there is hardly ever any.
    rest: Option<Box<Rest>>,
    /// Messages handed out since something was last written.
    gathered: u8,
    /// Whether the message that is half-sent was told of.
    has_told_begun: bool,
}

/// Bytes that are looked at from `begin` on.
struct Rest {
    bytes: Vec<u8>,
    begin: usize,
}

impl Rest {
    fn of(bytes: Vec<u8>) -> Option<Box<Self>> {
        (!bytes.is_empty()).then(|| Box::new(Self { bytes, begin: 0 }))
    }
}

/// What comes from the peer.
pub(super) enum Io {
    Text(String),
    Binary(Vec<u8>),
    /// A sign of life, which is answered if it asks for an answer.
    Control,
    /// A message has begun and must be completed in time.
    Begun,
    /// The peer closes.
    Closes(Option<Close>),
    /// The peer has broken a rule.
    Violates(Violation),
    /// The peer is gone without a word.
    Ended,
    Broken,
}

impl<W: Wire> Socket<W> {
    /// A socket over the wire, of which `read` was read before.
    pub(super) fn new(wire: W, read: Vec<u8>, config: &Config) -> Self {
        let limits = Limits {
            message_bytes: config.max_message_bytes,
            message_frames: MESSAGE_FRAMES,
            control_frames: CONTROL_FRAMES,
        };
        Self::within(limits, wire, read)
    }

    /// The same, within other limits.
    pub(super) fn within(limits: Limits, wire: W, read: Vec<u8>) -> Self {
        Self { wire, decoder: Decoder::new(limits), rest: Rest::of(read), gathered: 0, has_told_begun: false }
    }

    /// Writes what is queued as far as the peer takes it, and reads if that is wanted.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        may_read: bool,
        outbox: &Outbox,
        metrics: &Metrics,
    ) -> Poll<Io> {
        if may_read
            && self.gathered < GATHERED
            && let Some(io) = self.decode_rest(outbox)
        {
            self.gathered += 1;
            return Poll::Ready(io);
        }
        self.gathered = 0;
        if let Poll::Ready(Written::Broken) = self.wire.poll_write(cx, outbox, metrics) {
            return Poll::Ready(Io::Broken);
        }
        if !may_read {
            return Poll::Pending;
        }
        let read = self.poll_read(cx, outbox);
        let is_begun = self.is_incomplete();
        match read {
            Poll::Pending if is_begun && !std::mem::replace(&mut self.has_told_begun, true) => Poll::Ready(Io::Begun),
            read => read,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Io> {
        loop {
            if let Some(io) = self.decode_rest(outbox) {
                return Poll::Ready(io);
            }
            let io = BUFFER.with_borrow_mut(|buffer| {
                buffer.resize(READ_BUFFER, 0);
                let mut into = ReadBuf::new(buffer);
                let read = ready!(Pin::new(self.wire.reader()).poll_read(cx, &mut into));
                let length = into.filled().len();
                Poll::Ready(match read {
                    Ok(()) if length == 0 => Some(Io::Ended),
                    Ok(()) => {
                        let mut bytes = &mut buffer[..length];
                        let io = self.decode(&mut bytes, outbox);
                        self.rest = Rest::of(bytes.to_vec());
                        io
                    }
                    Err(_) => Some(Io::Broken),
                })
            });
            if let Some(io) = ready!(io) {
                return Poll::Ready(io);
            }
        }
    }

    /// The next message of what was read before.
    fn decode_rest(&mut self, outbox: &Outbox) -> Option<Io> {
        let mut rest = self.rest.take()?;
        let mut bytes = &mut rest.bytes[rest.begin..];
        let io = self.decode(&mut bytes, outbox);
        let left = bytes.len();
        if left > 0 {
            rest.begin = rest.bytes.len() - left;
            self.rest = Some(rest);
        }
        io
    }

    fn decode(&mut self, bytes: &mut &mut [u8], outbox: &Outbox) -> Option<Io> {
        let io = match self.decoder.next(bytes) {
            Ok(None) => None,
            Ok(Some(Message::Text(text))) => Some(Io::Text(text.into_owned())),
            Ok(Some(Message::Binary(bytes))) => Some(Io::Binary(bytes.into_owned())),
            Ok(Some(Message::Ping(payload))) => {
                outbox.pong(&payload);
                Some(Io::Control)
            }
            Ok(Some(Message::Pong(_))) => Some(Io::Control),
            Ok(Some(Message::Close(close))) => Some(Io::Closes(close)),
            Err(violation) => Some(Io::Violates(violation)),
        };
        self.has_told_begun &= self.is_incomplete();
        io
    }

    /// Writes what is left, then waits until the peer is done too: closing a socket with unread bytes would reset the
    /// connection, and the peer might never see the close frame.
    pub(super) async fn finish(&mut self, outbox: &Outbox, metrics: &Metrics) {
        loop {
            match poll_fn(|cx| self.wire.poll_write(cx, outbox, metrics)).await {
                Written::All => break,
                Written::Broken => return,
                Written::Elsewhere | Written::Blocked => outbox.flushed().await,
            }
        }
        if self.decoder.is_over() {
            self.wire.shut_down(outbox).await;
        }
        let (mut discarded, mut buffer) = (0, vec![0; 1024]);
        let mut bytes = self.rest.take().map(|rest| rest.bytes[rest.begin..].to_vec()).unwrap_or_default();
        loop {
            let was_over = self.decoder.is_over();
            let mut left = &mut bytes[..];
            while let Ok(Some(_)) = self.decoder.next(&mut left) {}
            let Ok(read @ 1..) = (match self.decoder.is_over() && !was_over {
                // The close that was waited for; what comes behind it does not count.
                true => return,
                false => self.wire.reader().read(&mut buffer).await,
            }) else {
                return;
            };
            discarded += read;
            if discarded > MOST_DISCARDED {
                return;
            }
            bytes.clear();
            bytes.extend_from_slice(&buffer[..read]);
        }
    }

    /// Whether a message of the peer has begun and is not complete.
    pub(super) fn is_incomplete(&self) -> bool {
        self.decoder.is_incomplete()
    }
}
