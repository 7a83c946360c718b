//! An HTTP server that answers as a test says, and writes down what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use roomcast_client::protocol::{Event, NewEvent, Room};
use roomcast_client::{Publisher, PublisherBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

impl Seen {
    /// The numbers of the notes in it, as they stand there.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let one = std::slice::from_ref(&self.body);
        let events = self.body["events"].as_array().map_or(one, Vec::as_slice);
        events.iter().map(|event| event["payload"]["number"].as_u64().unwrap()).collect()
    }
}

pub(crate) type Log = Arc<Mutex<Vec<Seen>>>;

/// An answer: status line, further headers, body. An empty status closes the connection without one.
pub(crate) type Answer = (&'static str, &'static str, String);

type Script = dyn Fn(&Seen) -> Answer + Send + Sync;

/// A server whose answers wait for the test.
pub(crate) struct Gated {
    url: String,
    pub(crate) log: Log,
    /// One answer for each permit.
    gate: Arc<Semaphore>,
}

impl Gated {
    pub(crate) fn builder(&self) -> PublisherBuilder {
        Publisher::builder(&self.url).token("t").first_retry(Duration::from_millis(1))
    }

    /// Lets one answer through.
    pub(crate) fn open_once(&self) {
        self.gate.add_permits(1);
    }

    /// Lets everything through from now on.
    pub(crate) fn open(&self) {
        self.gate.add_permits(1 << 20);
    }

    /// What the server was asked, request by request: the numbers of the notes.
    pub(crate) fn numbers(&self) -> Vec<Vec<u64>> {
        requests(&self.log).iter().map(Seen::numbers).collect()
    }

    /// Waits until so many requests were seen.
    pub(crate) async fn until_asked(&self, times: usize) {
        tokio::time::timeout(crate::gateway::DEADLINE, async {
            while self.log.lock().unwrap().len() < times {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the server is not asked");
    }
}

/// A server that gives these answers, the last one for ever; and what it saw.
pub(crate) async fn server(answers: Vec<Answer>) -> (PublisherBuilder, Log) {
    let answers = Mutex::new(VecDeque::from(answers));
    let server = gated(move |_| {
        let mut answers = answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
    })
    .await;
    server.open();
    (server.builder(), server.log)
}

/// A server that answers by this function, once the test lets it.
pub(crate) async fn gated(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Gated {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (log, gate, script) = (Log::default(), Arc::new(Semaphore::new(0)), Arc::new(script));
    let (seen, latch) = (log.clone(), gate.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(BufReader::new(stream), seen.clone(), latch.clone(), script.clone()));
        }
    });
    Gated { url, log, gate }
}

async fn serve(mut stream: BufReader<TcpStream>, log: Log, gate: Arc<Semaphore>, script: Arc<Script>) -> Option<()> {
    loop {
        let seen = read_request(&mut stream).await?;
        log.lock().unwrap().push(seen.clone());
        gate.acquire().await.unwrap().forget();
        let (status, headers, body) = script(&seen);
        if status.is_empty() {
            return None;
        }
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        stream.get_mut().write_all(answer.as_bytes()).await.ok()?;
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let (mut path, mut authorization, mut length) = (String::new(), String::new(), 0);
    for number in 0.. {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let line = line.trim_end();
        match line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value)) {
            Some((name, value)) if name == "authorization" => authorization = value.into(),
            Some((name, value)) if name == "content-length" => length = value.parse().unwrap(),
            _ if number == 0 => path = line.split(' ').nth(1)?.into(),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen { path, authorization, body: serde_json::from_slice(&body).unwrap() })
}

pub(crate) fn published(id: &str) -> Answer {
    ("200 OK", "", json!({"eventId": id, "positions": {"team:a": "e:1"}}).to_string())
}

pub(crate) fn problem(status: &'static str, headers: &'static str, code: &str) -> Answer {
    (status, headers, json!({"title": "no", "status": 0, "detail": "not like this", "code": code}).to_string())
}

/// What a gateway says that publishes all but what this function refuses, by the number of a note.
pub(crate) fn unless_refused(seen: &Seen, refusal: impl Fn(u64) -> Option<Value>) -> Answer {
    let result = |(event, number): (&Value, u64)| {
        refusal(number)
            .unwrap_or_else(|| json!({"eventId": event["eventId"], "positions": {"team:a": format!("e:{number}")}}))
    };
    let numbers = seen.numbers();
    let Some(events) = seen.body["events"].as_array() else {
        let mut result = result((&seen.body, numbers[0]));
        let status = match result["code"].as_str() {
            None => "200 OK",
            Some("RATE_LIMIT_EXCEEDED") => "429 Too Many Requests",
            Some("UNAVAILABLE") => "503 Service Unavailable",
            Some(_) => "422 Unprocessable Content",
        };
        result["detail"] = result["message"].take();
        return (status, "", result.to_string());
    };
    let results: Vec<Value> = events.iter().zip(numbers).map(result).collect();
    ("200 OK", "", json!({"results": results}).to_string())
}

/// What a gateway says that publishes everything.
pub(crate) fn all_published(seen: &Seen) -> Answer {
    unless_refused(seen, |_| None)
}

pub(crate) fn note() -> NewEvent {
    numbered(0)
}

pub(crate) fn numbered(number: u64) -> NewEvent {
    NewEvent::from(Event::custom("note.added", json!({"number": number}))).to([Room::team("a")])
}

pub(crate) fn requests(log: &Log) -> Vec<Seen> {
    log.lock().unwrap().clone()
}
