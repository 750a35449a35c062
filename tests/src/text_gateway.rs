//! A gateway for text messages, as an operator has one outside: a server on a port of its own that keeps what it is
//! handed and answers what the test says.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

/// What was handed over.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The request line, such as `POST /messages HTTP/1.1`.
    pub request: String,
    /// Its `Idempotency-Key`.
    pub key: String,
    /// Its body.
    pub message: Value,
}

/// A gateway that runs as long as the process of the test.
#[derive(Clone, Debug)]
pub struct TextGateway {
    url: String,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    taken: Vec<Taken>,
    /// Status and body; `None` to take the message.
    refusal: Option<(u16, Value)>,
    is_silent: bool,
    /// Connections, which stay open until the other side has read what it wants.
    held: Vec<TcpStream>,
}

impl TextGateway {
    /// Starts one.
    ///
    /// # Panics
    /// If the machine has no port for it.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("it has an address"));
        let inner = Arc::new(Mutex::new(Inner::default()));
        let gateway = Self { url, inner };
        let serving = gateway.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serving.serve(&stream).expect("a request of HTTP and an answer to it");
                serving.inner().held.push(stream);
            }
        });
        gateway
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All that it was handed, refused or not.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.inner().taken.clone()
    }

    /// From now on it answers this.
    pub fn refuse(&self, status: u16, body: Value) {
        self.inner().refusal = Some((status, body));
    }

    /// From now on it takes what it is handed and says nothing.
    pub fn fall_silent(&self) {
        self.inner().is_silent = true;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder panics")
    }

    fn serve(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        let mut request = String::new();
        reader.read_line(&mut request)?;
        let (mut key, mut length, mut chunked) = (String::new(), 0, false);
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "idempotency-key" => value.trim().clone_into(&mut key),
                "content-length" => length = value.trim().parse().expect("a length"),
                "transfer-encoding" => chunked = value.contains("chunked"),
                _ => {}
            }
        }
        let body = if chunked { chunks(&mut reader)? } else { exactly(&mut reader, length)? };
        let message = serde_json::from_slice(&body).expect("a body of JSON");
        let (status, answer) = {
            let mut inner = self.inner();
            inner.taken.push(Taken { request: request.trim_end().to_owned(), key, message });
            if inner.is_silent {
                return Ok(());
            }
            let number = inner.taken.len();
            inner.refusal.clone().unwrap_or_else(|| (202, json!({ "id": format!("text-{number}") })))
        };
        let answer = answer.to_string();
        let length = answer.len();
        let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        stream.write_all(format!("{head}{answer}").as_bytes())
    }
}

fn exactly(reader: &mut impl std::io::Read, length: usize) -> std::io::Result<Vec<u8>> {
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn chunks(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).expect("the size of a chunk");
        body.extend(exactly(reader, size)?);
        exactly(reader, 2)?;
        if size == 0 {
            return Ok(body);
        }
    }
}
