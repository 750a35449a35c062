//! The rest of an answer that has no end of its own (Server-Sent Events), written to the socket of its HTTP/1.1 connection after
//! hyper has let go of it: what hyper keeps for the next request, 20 KiB and more, is not kept for one that never comes.
//! What the answer says is its body's; here are only the head and the chunks (RFC 9112 sections 4 and 7.1).

use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::header::{CONNECTION, DATE, TRANSFER_ENCODING};
use http::{HeaderValue, Response};
use http_body::Body as _;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use weft_core::Clock;

use super::Watched;
use crate::body::Answer;

/// What is read at once of a client that has nothing more to say.
const IGNORED_BYTES: usize = 256;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// An answer on its way over a socket that is its alone.
#[derive(Debug)]
pub(crate) struct Streaming {
    socket: Watched,
    body: Answer,
    /// What waits to be written.
    out: Bytes,
    is_flushed: bool,
    /// Whether the last chunk was made.
    has_ended: bool,
}

impl Streaming {
    pub fn new(socket: Watched, answer: Response<Answer>, clock: &dyn Clock) -> Self {
        let (head, body) = answer.into_parts();
        Self { socket, body, out: head_of(head, clock).into(), is_flushed: false, has_ended: false }
    }

    /// Ready when the client is gone: it closes, for it has nothing more to say. What it says all the same is no request.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let mut ignored = [0; IGNORED_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut ignored);
            match ready!(Pin::new(&mut self.socket).poll_read(context, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => return Poll::Ready(io::ErrorKind::ConnectionAborted.into()),
                Ok(()) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
    }

    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out.has_remaining() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(context, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.is_flushed = false;
        }
        // The last slice would keep all that it was part of.
        self.out = Bytes::new();
        if !self.is_flushed {
            ready!(Pin::new(&mut self.socket).poll_flush(context))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) {
                    self.out = chunk(data)?.into();
                }
            }
            // Without a last chunk, so that the client sees that something is missing.
            Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            None => {
                self.out = Bytes::from_static(LAST_CHUNK);
                self.has_ended = true;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Future for Streaming {
    type Output = io::Result<()>;

    /// To the end of the answer, or of the client.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(error) = this.poll_gone(context) {
            return Poll::Ready(Err(error));
        }
        loop {
            // The body is asked for more once there is room for it, so that what a slow client does not take stays where it counts.
            ready!(this.poll_written(context))?;
            if this.has_ended {
                return Pin::new(&mut this.socket).poll_shutdown(context);
            }
            ready!(this.poll_chunk(context))?;
        }
    }
}

/// The head as it goes over the wire.
fn head_of(mut head: http::response::Parts, clock: &dyn Clock) -> Vec<u8> {
    let headers = &mut head.headers;
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    if let Some(date) = date(clock.now_ms()) {
        headers.entry(DATE).or_insert(date);
    }
    let status = head.status;
    let reason = status.canonical_reason().unwrap_or_default();
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in headers.iter() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// As HTTP writes it (RFC 9110 section 5.6.7).
fn date(now_ms: u64) -> Option<HeaderValue> {
    let now = jiff::Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?;
    let text = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()?;
    HeaderValue::try_from(text).ok()
}

fn chunk(data: &[u8]) -> io::Result<Vec<u8>> {
    // Sixteen digits of length and two ends of line.
    let mut out = Vec::with_capacity(data.len() + 20);
    write!(out, "{:x}\r\n", data.len())?;
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_its_length_in_hex() {
        assert_eq!(chunk(&[b'a'; 26]).unwrap(), [&b"1a\r\n"[..], &[b'a'; 26], b"\r\n"].concat());
    }

    #[test]
    fn a_date_is_as_in_the_standard() {
        assert_eq!(date(784_111_777_000).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
