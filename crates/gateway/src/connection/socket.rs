//! The socket: the WebSocket library, and what waits to be given to it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Sink, Stream};
use roomcast_protocol::CloseCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};

use crate::config::Config;
use crate::frame::Frame;
use crate::framing::Watched;
use crate::outbox::Outbox;

/// Read at once. The library's own 128 KiB would be most of an idle connection's memory.
const READ_BUFFER: usize = 1024;

/// Gathered before a write, so that frames of one turn leave together.
const WRITE_BUFFER: usize = 16 << 10;

/// Bytes that a peer may still send while it is told that it is wrong; more is not read.
const MOST_DISCARDED: usize = 1 << 20;

/// A WebSocket with a queue of its own in front: what the outbox handed over and the library has not taken yet.
pub(super) struct Socket<S> {
    stream: WebSocketStream<Watched<S>>,
    queue: VecDeque<Message>,
    /// Whether the library holds bytes that it has not written.
    is_dirty: bool,
    /// Whether a ping waits or is unwritten: a peer that does not read is not pinged again and again.
    is_pinging: bool,
    peer_code: Option<CloseCode>,
    is_broken: bool,
    /// Whether the peer took something since this was last asked.
    has_progressed: bool,
    /// Whether the message that is half-sent was told of.
    has_told_begun: bool,
}

/// What comes from the peer.
pub(super) enum Io {
    Message(Message),
    /// A message has begun and must be completed in time.
    Begun,
    Failed(Error),
    Ended,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(super) async fn new(stream: S, read: &[u8], config: &Config) -> Self {
        let library = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            // One frame more than what is gathered; the queue in front bounds the rest.
            .max_write_buffer_size(WRITE_BUFFER + config.max_queue_bytes)
            .max_message_size(Some(config.max_message_bytes))
            .max_frame_size(Some(config.max_message_bytes));
        let watched = Watched::new(stream, read);
        let stream = WebSocketStream::from_partially_read(watched, read.to_vec(), Role::Server, Some(library)).await;
        Self {
            stream,
            queue: VecDeque::new(),
            is_dirty: false,
            is_pinging: false,
            peer_code: None,
            is_broken: false,
            has_told_begun: false,
            has_progressed: false,
        }
    }

    /// Writes what is queued as far as the peer takes it, and reads if that is wanted.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, may_read: bool, outbox: &Outbox) -> Poll<Io> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx, outbox) {
            return Poll::Ready(Io::Failed(error));
        }
        if !may_read {
            return Poll::Pending;
        }
        let Poll::Ready(message) = Pin::new(&mut self.stream).poll_next(cx) else {
            let is_begun = self.incomplete_since().is_some();
            let has_begun = is_begun && !std::mem::replace(&mut self.has_told_begun, is_begun);
            return if has_begun { Poll::Ready(Io::Begun) } else { Poll::Pending };
        };
        Poll::Ready(match message {
            Some(Ok(message)) => {
                self.note(&message);
                Io::Message(message)
            }
            Some(Err(error)) => {
                self.is_broken = true;
                Io::Failed(error)
            }
            None => Io::Ended,
        })
    }

    fn note(&mut self, message: &Message) {
        match message {
            Message::Close(frame) => {
                self.peer_code =
                    Some(frame.as_ref().map_or(CloseCode::Other(1005), |frame| u16::from(frame.code).into()));
            }
            // What the library answers by itself lies in its buffer.
            Message::Ping(_) => self.is_dirty = true,
            Message::Text(_) | Message::Binary(_) => self.has_told_begun = false,
            _ => {}
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<Result<(), Error>> {
        while !self.queue.is_empty() {
            std::task::ready!(Pin::new(&mut self.stream).poll_ready(cx))?;
            let Some(message) = self.queue.pop_front() else { break };
            let bytes = message.len();
            self.is_dirty = true;
            Pin::new(&mut self.stream).start_send(message)?;
            outbox.written(bytes);
            self.has_progressed = true;
        }
        if self.is_dirty {
            std::task::ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_dirty = false;
            self.is_pinging = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Queues a frame.
    pub(super) fn queue(&mut self, frame: Frame) {
        // Frames are made of JSON text, so this check of their bytes always succeeds.
        if let Ok(text) = Utf8Bytes::try_from(frame.into_bytes()) {
            self.queue.push_back(Message::Text(text));
        }
    }

    /// Queues a ping, unless one waits already.
    pub(super) fn ping(&mut self) {
        if !std::mem::replace(&mut self.is_pinging, true) {
            self.queue.push_back(Message::Ping(Bytes::new()));
        }
    }

    /// Whether the peer took something since this was last asked: it lives, even if nothing of it is read at the moment.
    pub(super) fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.has_progressed)
    }

    /// Drops what the library has not taken yet.
    pub(super) fn forget_queue(&mut self) {
        self.queue = VecDeque::new();
    }

    /// Queues the close frame.
    pub(super) fn queue_close(&mut self, code: CloseCode) {
        let frame = CloseFrame { code: code.code().into(), reason: code.reason().into() };
        self.queue.push_back(Message::Close(Some(frame)));
    }

    /// Writes everything, then reads and drops until the peer is done: closing a socket with unread bytes would reset the
    /// connection, and the peer might never see the close frame.
    pub(super) async fn finish(&mut self, outbox: &Outbox) {
        if std::future::poll_fn(|cx| self.poll_write(cx, outbox)).await.is_err() {
            return;
        }
        if !self.is_broken {
            while let Some(Ok(_)) = std::future::poll_fn(|cx| Pin::new(&mut self.stream).poll_next(cx)).await {}
            return;
        }
        let (mut discarded, mut buffer) = (0, [0; 1024]);
        let raw = self.stream.get_mut();
        let _ = tokio::io::AsyncWriteExt::shutdown(raw).await;
        while let Ok(read @ 1..) = raw.read(&mut buffer).await {
            discarded += read;
            if discarded > MOST_DISCARDED {
                break;
            }
        }
    }

    /// With what code the peer closed; 1006 if it just went.
    pub(super) fn peer_code(&self) -> CloseCode {
        self.peer_code.unwrap_or(CloseCode::Other(1006))
    }

    /// Since when a message of the peer is incomplete.
    pub(super) fn incomplete_since(&self) -> Option<Instant> {
        self.stream.get_ref().incomplete_since()
    }
}
