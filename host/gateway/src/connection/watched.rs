//! A socket with three clocks on it, which hyper does not have or does not answer for: a request's head that takes too
//! long gets 408, a connection that lies idle is closed, and so is one that takes no byte of its answer.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Activity, Socket};
use crate::settings::Limits;

/// There is no request yet that could have an id or a path, so this answer is always the same.
const HEAD_TIMEOUT_ANSWER: &[u8] = b"HTTP/1.1 408 Request Timeout\r\n\
    content-type: application/problem+json\r\ncontent-length: 135\r\nconnection: close\r\n\r\n\
    {\"type\":\"urn:weft:problem:request-timeout\",\"title\":\"Request timeout\",\"status\":408,\
    \"detail\":\"The request head did not arrive in time.\"}\n";

/// How an HTTP/2 connection begins (RFC 9113 section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client's socket under watch.
#[derive(Debug)]
pub(crate) struct Watched {
    socket: Socket,
    activity: Arc<Activity>,
    head_timeout: Duration,
    idle_timeout: Duration,
    /// Read to see which HTTP it is; the first of what is read later.
    first: Bytes,
    /// 408 would be noise on it.
    is_http2: bool,
    /// Since when nothing is in work; `None` while something is.
    idle_since: Option<Instant>,
    /// Since when a request's head is on its way; `None` if no byte of one has come.
    head_since: Option<Instant>,
    /// Since when the client takes nothing.
    stalled_since: Option<Instant>,
    /// One timer for reading and one for writing, moved only when they would fire too late or have fired too early.
    read_timer: Pin<Box<Sleep>>,
    write_timer: Pin<Box<Sleep>>,
}

impl Watched {
    pub fn new(socket: Socket, activity: Arc<Activity>, limits: &Limits) -> Self {
        let later = Instant::now() + limits.idle_timeout;
        Self {
            socket,
            activity,
            head_timeout: limits.head_timeout,
            idle_timeout: limits.idle_timeout,
            first: Bytes::new(),
            is_http2: false,
            idle_since: None,
            head_since: None,
            stalled_since: None,
            read_timer: Box::pin(sleep_until(later)),
            write_timer: Box::pin(sleep_until(later)),
        }
    }

    /// Whether something was to be written and the client has not taken it.
    pub fn has_unwritten(&self) -> bool {
        self.stalled_since.is_some()
    }

    /// Which HTTP the client speaks, as far as its first bytes say; what it is found by is read again.
    pub async fn version(&mut self) -> io::Result<Version> {
        let mut first = [0; HTTP2_PREFACE.len()];
        let mut buffer = ReadBuf::new(&mut first);
        while HTTP2_PREFACE.starts_with(buffer.filled()) && buffer.remaining() > 0 {
            let before = buffer.filled().len();
            poll_fn(|context| Pin::new(&mut *self).poll_read(context, &mut buffer)).await?;
            if buffer.filled().len() == before {
                // It has gone, or was told that it is too late.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.is_http2 = buffer.filled() == HTTP2_PREFACE;
        self.first = Bytes::copy_from_slice(buffer.filled());
        Ok(if self.is_http2 { Version::HTTP_2 } else { Version::HTTP_11 })
    }

    /// Reads on after what was read to see which HTTP it is, at once: hyper would take a buffer of twice the size for two parts.
    fn poll_read_on(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let known = self.first.split_to(self.first.len().min(buffer.remaining()));
        if known.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        buffer.put_slice(&known);
        if buffer.remaining() > 0 {
            // What is wrong with the socket it says the next time too.
            let _ = Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the head, or the connection's idleness, has lasted too long.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let idle_since = *self.idle_since.get_or_insert_with(Instant::now);
        let until = match self.head_since.filter(|_| !self.is_http2) {
            Some(since) => since + self.head_timeout,
            None => idle_since + self.idle_timeout,
        };
        poll_until(&mut self.read_timer, until, context)
    }

    /// Nobody may poll this socket again when the work is done, so the timer looks in from time to time. An idle
    /// connection may be found so late that it lives for twice its time.
    fn wait_busy<T>(&mut self, context: &mut Context<'_>) -> Poll<T> {
        while self.read_timer.as_mut().poll(context).is_ready() {
            self.read_timer.as_mut().reset(Instant::now() + self.idle_timeout);
        }
        Poll::Pending
    }

    /// What became of writing, unless the client has taken nothing for too long.
    fn watch_write<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            return self.poll_stalled(context).map(Err);
        }
        self.stalled_since = None;
        polled
    }

    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        ready!(poll_until(&mut self.write_timer, since + self.idle_timeout, context));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer"))
    }
}

/// Polls `timer` as if it were set to `until`. Moving a timer costs more than looking at it, and on a busy connection
/// `until` changes with every request; so a timer that fires early is moved then.
fn poll_until(timer: &mut Pin<Box<Sleep>>, until: Instant, context: &mut Context<'_>) -> Poll<()> {
    if timer.deadline() > until {
        timer.as_mut().reset(until);
    }
    while timer.as_mut().poll(context).is_ready() {
        if timer.deadline() >= until {
            return Poll::Ready(());
        }
        timer.as_mut().reset(until);
    }
    Poll::Pending
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let polled = this.poll_read_on(context, buffer);
        if !this.activity.is_idle() {
            (this.idle_since, this.head_since) = (None, None);
            return if polled.is_pending() { this.wait_busy(context) } else { polled };
        }
        if polled.is_ready() {
            // What comes while nothing is in work is the beginning of a head.
            this.head_since.get_or_insert_with(Instant::now);
            return polled;
        }
        ready!(this.poll_idle(context));
        if this.head_since.is_some() && !this.is_http2 {
            // Best effort: a client that does not even take these bytes is not worth waiting for.
            let _ = Pin::new(&mut this.socket).poll_write(context, HEAD_TIMEOUT_ANSWER)?;
            let _ = Pin::new(&mut this.socket).poll_flush(context)?;
        }
        // The end of the stream, as far as hyper is concerned: it closes the connection.
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.watch_write(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.socket).poll_write_vectored(context, slices);
        this.watch_write(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_flush(context);
        self.watch_write(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_shutdown(context);
        self.watch_write(polled, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_slow_head_has_the_length_that_it_says() {
        let text = std::str::from_utf8(HEAD_TIMEOUT_ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["status"], 408);
    }
}
