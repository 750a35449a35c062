//! Clients of push: Server-Sent Events and WebSocket, as a browser has them.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use crate::platform::Platform;
use crate::wait::PATIENCE;

fn connect(platform: &Platform) -> TcpStream {
    let address = platform.url().strip_prefix("http://").expect("a plain host");
    let stream = TcpStream::connect(address).expect("the host takes a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket can be set up");
    stream
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its `event`; empty for one that only has an id.
    pub event: String,
    /// Its `id`, if it has one.
    pub id: Option<String>,
    /// Its `data` as JSON.
    pub data: Value,
}

/// A client of Server-Sent Events.
#[derive(Debug)]
pub struct Events {
    reader: BufReader<TcpStream>,
    /// The status of the answer.
    pub status: u16,
    /// Its head.
    pub head: String,
    text: String,
    events: VecDeque<Event>,
    /// The id that was seen last.
    pub last_id: Option<String>,
}

impl Events {
    /// Asks for a stream of events.
    ///
    /// # Panics
    /// If there is no answer.
    #[must_use]
    pub fn open(platform: &Platform, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = connect(platform);
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).expect("the request is sent");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("an answer") > 0, "the host hung up: {head}");
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let (text, events) = (String::new(), VecDeque::new());
        Self { reader, status, head: head.to_ascii_lowercase(), text, events, last_id: None }
    }

    /// The next event, heartbeats included; `None` at the end of the stream.
    ///
    /// # Panics
    /// If none comes in time.
    pub fn next_event(&mut self) -> Option<Event> {
        while self.events.is_empty() {
            self.read_chunk()?;
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.events.push_back(event(&block));
                self.text = rest;
            }
        }
        let event = self.events.pop_front()?;
        if event.id.is_some() {
            self.last_id.clone_from(&event.id);
        }
        Some(event)
    }

    fn read_chunk(&mut self) -> Option<()> {
        let mut size = String::new();
        let read = self.reader.read_line(&mut size).expect("something comes in time");
        let size = usize::from_str_radix(size.trim(), 16).ok().filter(|size| read > 0 && *size > 0)?;
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(size);
        self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        Some(())
    }

    /// The data of the next event of this kind. What is passed over may only be a heartbeat.
    ///
    /// # Panics
    /// If something else comes first.
    pub fn expect(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next_event().unwrap_or_else(|| panic!("the stream ended before {kind}"));
            if event.event == kind {
                return event.data;
            }
            assert!(event.event.is_empty(), "{event:?} in the place of {kind}");
        }
    }
}

fn event(block: &str) -> Event {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = field("data").map(|data| serde_json::from_str(data).expect("JSON"));
    Event {
        event: field("event").unwrap_or_default().to_owned(),
        id: field("id").map(str::to_owned),
        data: data.unwrap_or(Value::Null),
    }
}

/// A client by WebSocket.
#[derive(Debug)]
pub struct Socket(WebSocket<TcpStream>);

impl Socket {
    /// Connects; the status of the answer if it is refused.
    ///
    /// # Errors
    /// The status.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn open(platform: &Platform, path: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://localhost{path}").into_client_request().expect("a URL");
        for (name, value) in headers {
            let name: HeaderName = name.parse().expect("a header's name");
            request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a header's value"));
        }
        match tungstenite::client(request, connect(platform)) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(HandshakeError::Failure(Error::Http(response))) => Err(response.status().as_u16()),
            Err(error) => panic!("no answer to the handshake: {error}"),
        }
    }

    /// What comes next.
    ///
    /// # Errors
    /// The code and the reason of the close; 1006 if the connection just ends.
    ///
    /// # Panics
    /// If nothing comes in time.
    pub fn receive(&mut self) -> Result<Value, (u16, String)> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Ok(Message::Close(frame)) => {
                    let frame = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                    return Err(frame.unwrap_or((1005, String::new())));
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing comes"),
                Err(error) => return Err((1006, error.to_string())),
            }
        }
    }

    /// What comes next of this type, heartbeats passed over.
    ///
    /// # Panics
    /// If something else comes first.
    pub fn expect(&mut self, kind: &str) -> Value {
        loop {
            let value = self.receive().unwrap_or_else(|close| panic!("{close:?} in the place of {kind}"));
            if value["type"] == kind {
                return value;
            }
            assert_eq!(value["type"], "heartbeat", "{value} in the place of {kind}");
        }
    }

    /// Says something.
    ///
    /// # Panics
    /// If the connection has ended.
    pub fn say(&mut self, what: &Value) {
        self.0.send(Message::text(what.to_string())).expect("the socket takes it");
    }

    /// Sends a binary frame of so many bytes, if the connection still takes it.
    pub fn send_binary(&mut self, bytes: usize) {
        // What comes of it is seen by reading.
        let _ = self.0.send(Message::binary(vec![0; bytes]));
    }
}
