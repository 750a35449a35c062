//! An HTTP server that a test controls: what it answers, whether it is there, what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// A server on a port of its own.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    name: String,
    is_up: bool,
    /// `GET /path` of each request but those for its health.
    asked: Vec<String>,
    /// The statuses of the next answers; 200 once they are used up, unless it fails always.
    next: Vec<u16>,
    always: Option<u16>,
    /// The status of answers to `/health`.
    health: u16,
    connections: Vec<TcpStream>,
}

impl Origin {
    /// A server that answers every request with 200 and its name.
    ///
    /// # Panics
    /// If the machine has no port.
    #[must_use]
    pub fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = State { name: name.to_owned(), is_up: true, health: 200, ..State::default() };
        let origin = Self { address, state: Arc::new(Mutex::new(state)) };
        origin.accept(listener);
        origin
    }

    /// Such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Such as `127.0.0.1:40123`, by which the registry calls it.
    #[must_use]
    pub fn id(&self) -> String {
        self.address.to_string()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it")
    }

    /// What it was asked since this was last called, as `GET /path`.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.state().asked)
    }

    /// Answers the next requests with these statuses.
    pub fn answer_next(&self, statuses: &[u16]) {
        self.state().next = statuses.to_vec();
    }

    /// Answers all requests with this status; with 200 without one.
    pub fn answer_always(&self, status: Option<u16>) {
        self.state().always = status;
    }

    /// Answers `/health` with this status.
    pub fn health(&self, status: u16) {
        self.state().health = status;
    }

    /// Goes away: connections break, and no more are taken.
    ///
    /// # Panics
    /// If it does not.
    pub fn stop(&self) {
        let connections = {
            let mut state = self.state();
            state.is_up = false;
            std::mem::take(&mut state.connections)
        };
        // The listener looks up when somebody comes, and goes.
        let _ = TcpStream::connect(self.address);
        for connection in connections {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
        let gone = || if TcpStream::connect(self.address).is_err() { Ok(()) } else { Err("it is there") };
        crate::wait::eventually("the server is gone", gone);
    }

    /// Comes back where it was.
    ///
    /// # Panics
    /// If somebody else is there.
    pub fn come_back(&self) {
        self.state().is_up = true;
        self.accept(TcpListener::bind(self.address).expect("its port is free"));
    }

    fn accept(&self, listener: TcpListener) {
        let state = self.state.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(connection) = connection else { return };
                let mut held = state.lock().expect("no test panics with it");
                if !held.is_up {
                    return;
                }
                held.connections.extend(connection.try_clone());
                drop(held);
                let state = state.clone();
                thread::spawn(move || serve(&connection, &state));
            }
        });
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.lock() {
            state.is_up = false;
        }
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(connection: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(connection);
    while let Some(asked) = request(&mut reader) {
        let (status, name) = {
            let mut state = state.lock().expect("no test panics with it");
            let is_health = asked.ends_with(" /health");
            let status = if is_health {
                state.health
            } else {
                state.asked.push(asked);
                let next = if state.next.is_empty() { None } else { Some(state.next.remove(0)) };
                next.or(state.always).unwrap_or(200)
            };
            (status, state.name.clone())
        };
        let answer = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n\r\n{name}", name.len());
        let mut to = connection;
        if to.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Method and path of the next request, whose body is read as well; nothing at the end.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let first = line(reader)?;
    let mut words = first.split(' ');
    let asked = format!("{} {}", words.next()?, words.next()?);
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let header = line(reader)?.to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        is_chunked |= header.starts_with("transfer-encoding:");
    }
    if !is_chunked {
        skip(reader, length)?;
        return Some(asked);
    }
    loop {
        let size = usize::from_str_radix(&line(reader)?, 16).ok()?;
        skip(reader, size)?;
        line(reader)?;
        if size == 0 {
            return Some(asked);
        }
    }
}

fn line(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

fn skip(reader: &mut BufReader<&TcpStream>, bytes: usize) -> Option<()> {
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).ok()
}
