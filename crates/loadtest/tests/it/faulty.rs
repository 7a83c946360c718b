//! The load tool against servers that do something wrong: it finds it, counts it, and calls it what it is.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use roomcast_loadtest::{Arguments, Report};

/// What becomes of the third event for the member who joined first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Lost,
    Doubled,
    /// Comes behind the fourth.
    Swapped,
    /// Comes in two fragments, which the tool does not take for an event.
    Fragmented,
}

#[derive(Default)]
struct Room {
    members: Vec<TcpStream>,
    events: u32,
    held: Option<Vec<u8>>,
}

/// A server of the plain protocol with one room, which ends with the test.
fn serve(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let room = Arc::new(Mutex::new(Room::default()));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let room = Arc::clone(&room);
            // A connection that breaks off is the tool's to notice.
            std::thread::spawn(move || drop(talk(stream, &room, fault)));
        }
    });
    address
}

fn talk(stream: TcpStream, room: &Mutex<Room>, fault: Fault) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let is_upgrade = line.starts_with("GET");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line)?;
            if let Some(number) = line.strip_prefix("Content-Length: ") {
                length = number.trim().parse().unwrap();
            }
        }
        if is_upgrade {
            writer.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
            // The wish to join: the room is the same for all.
            reader.read_exact(&mut [0])?;
            // A member before it is told so: the tool publishes as soon as all are.
            room.lock().unwrap().members.push(writer.try_clone()?);
            writer.write_all(&frame(br#"{"type":"subscription.ack"}"#))?;
            return std::io::copy(&mut reader, &mut std::io::sink()).map(drop);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        publish(&mut room.lock().unwrap(), &body, fault)?;
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
}

fn publish(room: &mut Room, event: &[u8], fault: Fault) -> std::io::Result<()> {
    room.events += 1;
    let good = frame(event);
    for (nth, member) in room.members.iter_mut().enumerate() {
        let bytes = match (fault, room.events, nth) {
            (Fault::Lost, 3, 0) => Vec::new(),
            (Fault::Doubled, 3, 0) => [&good[..], &good].concat(),
            (Fault::Swapped, 3, 0) => {
                room.held = Some(good.clone());
                Vec::new()
            }
            (Fault::Swapped, 4, 0) => [good.clone(), room.held.take().unwrap()].concat(),
            (Fault::Fragmented, 3, 0) => vec![0x01, 1, b'{', 0x80, 1, b'}'],
            _ => good.clone(),
        };
        member.write_all(&bytes)?;
    }
    Ok(())
}

fn frame(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    let head = if text.len() < 126 { vec![0x81, length[1]] } else { vec![0x81, 126, length[0], length[1]] };
    [&head, text].concat()
}

fn measure(fault: Fault) -> Report {
    let url = serve(fault).to_string();
    let target = ["roomcast-loadtest", "fanout", "--protocol", "plain", "--url", &url];
    // At a fixed rate, so that a run is short and has more events than the faults need.
    let load = ["--connections", "3", "--rate", "200", "--warm-up", "0", "--seconds", "0.3"];
    let report = Arguments::parse_from([&target[..], &load].concat()).measure().unwrap();
    println!("{fault:?}: {report}");
    report
}

#[test]
fn a_server_that_does_everything_right_is_clean() {
    assert!(measure(Fault::None).is_clean());
}

#[test]
fn a_lost_event_is_a_loss_and_nothing_else() {
    let verdict = measure(Fault::Lost).verdict;
    assert_eq!((verdict.losses, verdict.duplicates, verdict.order_violations), (1, 0, 0));
}

#[test]
fn a_doubled_event_is_a_duplicate_and_nothing_else() {
    let verdict = measure(Fault::Doubled).verdict;
    assert_eq!((verdict.losses, verdict.duplicates, verdict.order_violations), (0, 1, 0));
}

#[test]
fn swapped_events_are_a_violation_of_order_and_no_loss() {
    let verdict = measure(Fault::Swapped).verdict;
    assert_eq!((verdict.losses, verdict.duplicates), (0, 0));
    assert!(verdict.order_violations > 0);
}

#[test]
fn a_connection_that_breaks_the_framing_is_ended_and_named() {
    let report = measure(Fault::Fragmented);
    assert!(!report.is_clean());
    assert!(report.ended.keys().any(|reason| reason.contains("fragments")), "{:?}", report.ended);
}
