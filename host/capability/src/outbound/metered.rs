//! A connection that gives up when more is read than one answer may have: clients keep an answer in memory until it is
//! whole, and the host's memory is everybody's.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What may still be read for the answers that are waited for, in bytes.
#[derive(Clone, Debug)]
pub struct Budget {
    left: Arc<AtomicUsize>,
    most: usize,
}

impl Budget {
    /// A budget of `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(most)), most }
    }

    /// Another answer begins, or another part of one was taken out of memory: the whole budget is there again.
    pub fn renew(&self) {
        self.left.store(self.most, Ordering::Relaxed);
    }

    /// Whether nothing is left: what was being read is too large, and the connection is of no more use.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

/// A stream read within a [`Budget`].
#[derive(Debug)]
pub struct Metered<S> {
    inner: S,
    budget: Budget,
}

impl<S> Metered<S> {
    /// Reads from `inner` within `budget`.
    pub fn new(inner: S, budget: Budget) -> Self {
        Self { inner, budget }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.budget.is_spent() {
            return Poll::Ready(Err(io::Error::other("the answer is too large")));
        }
        let before = buffer.filled().len();
        let poll = Pin::new(&mut this.inner).poll_read(cx, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        // In one step, so that a renewal by another command on this connection is not lost.
        let spend = |left: usize| Some(left.saturating_sub(read));
        let spent = this.budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        if spent.is_ok_and(|left| read > left) {
            return Poll::Ready(Err(io::Error::other("the answer is too large")));
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn no_more_is_read_than_the_budget_until_it_is_renewed() {
        let budget = Budget::new(4);
        let mut stream = Metered::new(&b"abcdefgh"[..], budget.clone());
        let mut part = [0; 3];
        stream.read_exact(&mut part).await.unwrap();
        budget.renew();
        stream.read_exact(&mut part).await.unwrap();
        assert_eq!(&part, b"def");
        let mut rest = Vec::new();
        assert!(stream.read_to_end(&mut rest).await.is_err());
        assert!(budget.is_spent());
    }
}
