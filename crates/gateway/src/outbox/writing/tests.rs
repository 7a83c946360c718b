//! One writes at a time, nothing is lost between two, and order is kept.

use std::sync::Arc;

use roomcast_protocol::CloseCode;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::frame::Subject;

/// A wire that takes so many bytes, and notes each call.
#[derive(Default)]
struct Fake {
    took: Vec<u8>,
    calls: Vec<usize>,
    capacity: usize,
}

impl Fake {
    fn of(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let taken = bytes.len().min(self.capacity);
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.calls.push(slices.len());
        self.capacity -= taken;
        self.took.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }
}

fn frame(text: &str) -> Frame {
    Frame::of_json(text.as_bytes())
}

fn bytes(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.bytes().iter().copied()).collect()
}

fn queue(outbox: &Outbox, frames: &[Frame]) {
    for frame in frames {
        outbox.push(frame.clone());
    }
}

fn by_task(outbox: &Outbox, fake: &mut Fake) -> Written {
    outbox.write_by(&Metrics::new(), |slices| fake.write(slices))
}

#[test]
fn frames_that_were_queued_together_leave_with_one_call() {
    let (outbox, mut fake) = (Outbox::new(1000), Fake::of(1000));
    let frames = [frame("1"), frame("22"), frame("333")];
    queue(&outbox, &frames);
    assert!(matches!(by_task(&outbox, &mut fake), Written::All));
    assert_eq!((fake.took, fake.calls), (bytes(&frames), vec![3]));
}

#[test]
fn what_the_socket_did_not_take_is_the_tasks_and_comes_first() {
    let outbox = Outbox::new(1000);
    let frames = [frame("first"), frame("second"), frame("third")];
    let whole = bytes(&frames);
    for capacity in 0..whole.len() {
        let mut fake = Fake::of(capacity);
        queue(&outbox, &frames[..2]);
        let written = outbox.write_as(Writer::Nobody, &Metrics::new(), |slices| fake.write(slices));
        let is_all = capacity >= bytes(&frames[..2]).len();
        assert_eq!(matches!(written, Written::Blocked), !is_all, "{capacity}");
        outbox.push(frames[2].clone());
        fake.capacity = whole.len();
        let another = outbox.write_as(Writer::Nobody, &Metrics::new(), |slices| fake.write(slices));
        assert_eq!(matches!(another, Written::Elsewhere), !is_all, "only the task goes on");
        assert!(matches!(by_task(&outbox, &mut fake), Written::All));
        assert_eq!(fake.took, whole, "{capacity}");
        assert_eq!(outbox.lock().bytes, 0);
    }
}

#[test]
fn no_lock_is_held_while_writing_and_what_is_queued_meanwhile_is_written_too() {
    let (outbox, mut fake, mut more) = (Outbox::new(1000), Fake::of(1000), vec![frame("3"), frame("2")]);
    outbox.push(frame("1"));
    let written = outbox.write_by(&Metrics::new(), |slices| {
        if let Some(frame) = more.pop() {
            assert_eq!(outbox.push(frame), super::super::Pushed::Queued);
            // Another one's turn ends meanwhile.
            let another = outbox.write_as(Writer::Nobody, &Metrics::new(), |_| panic!("one writes at a time"));
            assert!(matches!(another, Written::Elsewhere));
        }
        fake.write(slices)
    });
    assert!(matches!(written, Written::All));
    assert_eq!(fake.took, bytes(&[frame("1"), frame("2"), frame("3")]));
}

#[test]
fn a_frame_that_has_begun_is_ended_though_the_rest_is_forgotten() {
    let (outbox, mut fake) = (Outbox::new(1000), Fake::of(4));
    queue(&outbox, &[frame("first"), frame("second")]);
    assert!(matches!(by_task(&outbox, &mut fake), Written::Blocked));
    outbox.seal();
    outbox.forget();
    let close = Frame::close(Some(CloseCode::SlowConsumer), "slow");
    outbox.push_last(close.clone());
    fake.capacity = 1000;
    assert!(matches!(by_task(&outbox, &mut fake), Written::All));
    assert_eq!(fake.took, bytes(&[frame("first"), close]));
}

#[test]
fn what_is_forgotten_while_somebody_writes_it_is_written_no_further() {
    let (outbox, mut fake) = (Outbox::new(1000), Fake::of(4));
    queue(&outbox, &[frame("first"), frame("second")]);
    let written = outbox.write_by(&Metrics::new(), |slices| {
        outbox.seal();
        outbox.forget();
        fake.write(slices)
    });
    assert!(matches!(written, Written::Blocked));
    fake.capacity = 1000;
    assert!(matches!(by_task(&outbox, &mut fake), Written::All));
    assert_eq!(fake.took, bytes(&[frame("first")]));
    assert_eq!(outbox.lock().bytes, 0);
}

#[test]
fn a_flood_of_pings_is_answered_once_with_the_bytes_of_the_last() {
    let (outbox, mut fake) = (Outbox::new(1000), Fake::of(1));
    outbox.pong(b"begun");
    assert!(matches!(by_task(&outbox, &mut fake), Written::Blocked));
    for index in 0..100 {
        outbox.pong(format!("ping {index}").as_bytes());
    }
    fake.capacity = 1000;
    assert!(matches!(by_task(&outbox, &mut fake), Written::All));
    assert_eq!(fake.took, bytes(&[Frame::pong(b"begun"), Frame::pong(b"ping 99")]));
}

#[test]
fn a_slow_reader_gets_only_the_latest_ephemeral_event_of_a_subject_and_everything_else() {
    let (outbox, mut fake) = (Outbox::new(1000), Fake::of(4));
    let about = |text: &str, subject: u8| frame(text).about(Some(Subject::of(subject)));
    outbox.push(about("typing a, begun", 1));
    assert!(matches!(by_task(&outbox, &mut fake), Written::Blocked));
    for index in 0..10 {
        outbox.push(about(&format!("typing a {index}"), 1));
        outbox.push(about(&format!("typing b {index}"), 2));
        outbox.push(frame(&format!("kept {index}")));
    }
    fake.capacity = 1000;
    assert!(matches!(by_task(&outbox, &mut fake), Written::All));
    let mut expected = vec![frame("typing a, begun")];
    expected.extend((0..9).map(|index| frame(&format!("kept {index}"))));
    expected.extend(["typing a 9", "typing b 9", "kept 9"].map(frame));
    assert_eq!(fake.took, bytes(&expected));
    assert_eq!(outbox.lock().bytes, 0);
}

#[test]
fn who_takes_everything_gets_every_ephemeral_event() {
    let (outbox, mut fake) = (Outbox::new(1000), Fake::of(1000));
    let frames = [1, 2, 3].map(|index| frame(&index.to_string()).about(Some(Subject::of(1))));
    queue(&outbox, &frames);
    assert!(matches!(by_task(&outbox, &mut fake), Written::All));
    assert_eq!(fake.took, bytes(&frames));
}

#[test]
fn a_socket_that_breaks_takes_nothing_more() {
    let outbox = Outbox::new(1000);
    outbox.push(frame("lost"));
    let written = outbox.write_by(&Metrics::new(), |_| Err(io::ErrorKind::BrokenPipe.into()));
    assert!(matches!(written, Written::Broken));
    assert!(outbox.news().is_broken);
    assert_eq!(outbox.push(frame("late")), super::super::Pushed::Closed);
}

/// Both ends of a TCP connection.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_write_to_a_socket_that_is_slow_lose_nothing_and_keep_the_order() {
    const EACH: usize = 2000;
    let (mut client, server) = connected().await;
    let (_read, write) = server.into_split();
    let (outbox, metrics) = (Arc::new(Outbox::new(usize::MAX)), Arc::new(Metrics::new()));
    outbox.connect(write);
    let task = tokio::spawn({
        let (outbox, metrics) = (outbox.clone(), metrics.clone());
        async move {
            loop {
                outbox.flushed().await;
                std::future::poll_fn(|cx| outbox.poll_write_wire(cx, &metrics)).await;
            }
        }
    });
    let number = Arc::new(std::sync::Mutex::new(0));
    for _ in 0..4 {
        let (outbox, metrics, number) = (outbox.clone(), metrics.clone(), number.clone());
        tokio::spawn(async move {
            for _ in 0..EACH {
                {
                    let mut number = number.lock().unwrap();
                    outbox.push(frame(&format!("{number:0>500}")));
                    *number += 1;
                }
                outbox.write(&metrics);
                tokio::task::yield_now().await;
            }
        });
    }
    let mut read = vec![0; 504];
    for expected in 0..4 * EACH {
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(read[4..], *format!("{expected:0>500}").as_bytes());
    }
    task.abort();
}
