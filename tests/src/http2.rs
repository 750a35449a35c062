//! HTTP/2 frame by frame (RFC 9113), for what no well-behaved client sends. Owns the connection and its frames; what they
//! mean is the test's.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longer than the host takes for anything, so that a hang is seen.
const PATIENCE: Duration = Duration::from_secs(30);
const HEAD_BYTES: usize = 9;

/// Frame types.
pub const DATA: u8 = 0;
/// Frame types.
pub const HEADERS: u8 = 1;
/// Frame types.
pub const PRIORITY: u8 = 2;
/// Frame types.
pub const RST_STREAM: u8 = 3;
/// Frame types.
pub const SETTINGS: u8 = 4;
/// Frame types.
pub const PUSH_PROMISE: u8 = 5;
/// Frame types.
pub const PING: u8 = 6;
/// Frame types.
pub const GOAWAY: u8 = 7;
/// Frame types.
pub const WINDOW_UPDATE: u8 = 8;
/// Frame types.
pub const CONTINUATION: u8 = 9;

/// Flags: the stream ends here; a settings frame or a ping is an answer.
pub const END_STREAM: u8 = 1;
/// Flags: the header block ends here.
pub const END_HEADERS: u8 = 4;

/// `GET /hello` in HPACK: of the static table, and the rest literally.
pub const GET_HELLO: &[u8] = b"\x82\x86\x44\x06/hello\x41\x01a";

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
    /// What it holds.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame of this kind.
    #[must_use]
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// A whole request on this stream.
    #[must_use]
    pub fn get_hello(stream: u32) -> Self {
        Self::new(HEADERS, END_STREAM | END_HEADERS, stream, GET_HELLO)
    }

    /// As it is sent.
    ///
    /// # Panics
    /// If it is longer than a frame can be.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a frame's length").to_be_bytes();
        assert_eq!(length[0], 0, "a frame's length has 24 bits");
        [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }

    /// The error code of `RST_STREAM` and `GOAWAY`.
    ///
    /// # Panics
    /// If it is another frame.
    #[must_use]
    pub fn error_code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        assert!(matches!(self.kind, GOAWAY | RST_STREAM), "{self:?}");
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// How the host ended what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The whole connection, with this error code.
    Connection(u32),
    /// One stream, with this error code.
    Stream(u32),
    /// One stream, with an answer.
    Answered,
    /// The connection without a word.
    Closed,
    /// Not at all: it answered the ping that was sent after it.
    Ignored,
}

/// A connection to the host.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
}

impl Connection {
    /// Opens a connection with the preface and our settings.
    ///
    /// # Panics
    /// If the host does not listen.
    #[must_use]
    pub fn open(address: &str) -> Self {
        let mut connection = Self::bare(address);
        connection.write(PREFACE).expect("the host takes the preface");
        connection.send(&Frame::new(SETTINGS, 0, 0, [])).expect("the host takes settings");
        connection
    }

    /// Opens a connection without a word.
    ///
    /// # Panics
    /// If the host does not listen.
    #[must_use]
    pub fn bare(address: &str) -> Self {
        let socket = TcpStream::connect(address).expect("the host listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Self { socket }
    }

    /// How long sending may take.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn patience(&mut self, time: Duration) {
        self.socket.set_write_timeout(Some(time)).expect("a timeout");
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the host has closed.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// If the host has closed.
    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.write(&frame.bytes())
    }

    /// The next frame; `None` at the end of the connection.
    ///
    /// # Panics
    /// If nothing comes for long.
    pub fn read(&mut self) -> Option<Frame> {
        let mut head = [0; HEAD_BYTES];
        self.fill(&mut head)?;
        let [a, b, c, kind, flags, s, t, u, v] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.fill(&mut payload)?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes([s, t, u, v]), payload })
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Option<()> {
        match self.socket.read_exact(bytes) {
            Ok(()) => Some(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("nothing came within {PATIENCE:?}")
            }
            Err(_) => None,
        }
    }

    /// Sends a ping after what was sent, and reads what the host makes of it all, up to the answer to the ping.
    pub fn end(&mut self) -> End {
        // The host may have closed already, which is seen when reading.
        let _ = self.send(&Frame::new(PING, 0, 0, *b"theend!!"));
        self.until(|frame| (frame.kind == PING && frame.payload == b"theend!!").then_some(End::Ignored))
    }

    /// Reads what becomes of this stream.
    pub fn end_of(&mut self, stream: u32) -> End {
        self.until(|frame| (frame.kind == HEADERS && frame.stream == stream).then_some(End::Answered))
    }

    fn until(&mut self, seen: impl Fn(&Frame) -> Option<End>) -> End {
        while let Some(frame) = self.read() {
            match frame.kind {
                GOAWAY if frame.error_code() != 0 => return End::Connection(frame.error_code()),
                RST_STREAM => return End::Stream(frame.error_code()),
                _ => {}
            }
            if let Some(end) = seen(&frame) {
                return end;
            }
        }
        End::Closed
    }

    /// Whether a request on this stream is answered with status 200.
    pub fn answers(&mut self, stream: u32) -> bool {
        if self.send(&Frame::get_hello(stream)).is_err() {
            return false;
        }
        while let Some(frame) = self.read() {
            if frame.stream == stream && frame.kind == HEADERS {
                // `:status 200` of the static table.
                return frame.payload.first() == Some(&0x88);
            }
        }
        false
    }
}
