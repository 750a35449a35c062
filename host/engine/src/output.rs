//! What a guest writes to stdout and stderr, bounded for each instance and for each second, and handed to a sink.
//! Cutting it into lines and keeping them is the sink's business.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use weft_core::Clock;

/// One of the two streams that a function writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes bytes of one stream of one instance; must not block. Dropped when the instance is.
pub type OutputWriter = Box<dyn FnMut(&[u8]) + Send + Sync>;

/// Takes what functions write.
pub trait LogSink: Send + Sync + 'static {
    /// A writer for one stream of one instance of `component`.
    fn writer(&self, component: &Arc<str>, stream: OutputStream, trace_id: Option<Arc<str>>) -> OutputWriter;
}

/// What all instances of a function may write within a second.
pub(crate) struct OutputRate {
    per_second: usize,
    second: AtomicU64,
    written: AtomicUsize,
    clock: Arc<dyn Clock>,
}

/// What becomes of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admitted {
    Yes,
    /// They are the first ones that are dropped, which is worth a line.
    FirstDropped,
    Dropped,
}

impl OutputRate {
    pub fn new(per_second: usize, clock: Arc<dyn Clock>) -> Self {
        Self { per_second, second: AtomicU64::new(0), written: AtomicUsize::new(0), clock }
    }

    fn admit(&self, bytes: usize) -> Admitted {
        let second = self.clock.monotonic().as_secs();
        // Two writers at the turn of a second may both begin it, and one of them forget a few bytes of the other.
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.written.store(0, Ordering::Relaxed);
        }
        admit(&self.written, bytes, self.per_second)
    }
}

fn admit(written: &AtomicUsize, bytes: usize, limit: usize) -> Admitted {
    let before = written.fetch_add(bytes, Ordering::Relaxed);
    if before.saturating_add(bytes) <= limit {
        Admitted::Yes
    } else if before <= limit {
        Admitted::FirstDropped
    } else {
        Admitted::Dropped
    }
}

/// One output stream of an instance. The sink is asked for a writer when the guest first opens it.
#[derive(Clone)]
pub(crate) struct GuestOutput {
    pub sink: Arc<dyn LogSink>,
    pub component: Arc<str>,
    pub stream: OutputStream,
    pub trace_id: Option<Arc<str>>,
    pub written: Arc<AtomicUsize>,
    /// The most that it may write to this stream in its life; the rest is dropped, with a line that says so.
    pub limit: usize,
    /// What the function may write within a second; the rest is dropped as well.
    pub rate: Arc<OutputRate>,
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        let writer = self.sink.writer(&self.component, self.stream, self.trace_id.clone());
        Box::new(Bounded { writer, output: self.clone() })
    }
}

struct Bounded {
    writer: OutputWriter,
    output: GuestOutput,
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let output = &self.output;
        let note = match admit(&output.written, bytes.len(), output.limit) {
            Admitted::Yes => match output.rate.admit(bytes.len()) {
                Admitted::Yes => {
                    (self.writer)(bytes);
                    None
                }
                Admitted::FirstDropped => {
                    let limit = output.rate.per_second;
                    Some(format!("the output limit of {limit} bytes a second is reached; some is dropped"))
                }
                Admitted::Dropped => None,
            },
            Admitted::FirstDropped => {
                Some(format!("the output limit of {} bytes is reached; the rest is dropped", output.limit))
            }
            Admitted::Dropped => None,
        };
        if let Some(note) = note {
            (self.writer)(format!("\n{note}\n").as_bytes());
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weft_core::clock::ManualClock;

    use super::*;

    #[test]
    fn a_second_has_its_bytes_and_says_once_that_they_are_used_up() {
        let clock = Arc::new(ManualClock::default());
        let rate = OutputRate::new(10, clock.clone());
        // Bytes, and the milliseconds before them.
        let writes = [(6, 0), (4, 999), (1, 0), (1, 0), (10, 1), (11, 1_000), (1, 0)];
        let admitted = writes.map(|(bytes, ms)| {
            clock.advance(Duration::from_millis(ms));
            rate.admit(bytes)
        });
        use Admitted::{Dropped, FirstDropped, Yes};
        assert_eq!(admitted, [Yes, Yes, FirstDropped, Dropped, Yes, FirstDropped, Dropped]);
    }
}
