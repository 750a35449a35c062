//! What a guest writes to stdout and stderr, bounded and handed to a sink. Cutting it into lines and keeping them is
//! the sink's business.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

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

/// What one instance may write to a stream in its life; the rest is dropped, with a line that says so.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// One output stream of an instance. The sink is asked for a writer when the guest first opens it.
#[derive(Clone)]
pub(crate) struct GuestOutput {
    pub sink: Arc<dyn LogSink>,
    pub component: Arc<str>,
    pub stream: OutputStream,
    pub trace_id: Option<Arc<str>>,
    pub written: Arc<AtomicUsize>,
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        let writer = self.sink.writer(&self.component, self.stream, self.trace_id.clone());
        Box::new(Bounded { writer, written: self.written.clone() })
    }
}

struct Bounded {
    writer: OutputWriter,
    written: Arc<AtomicUsize>,
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let before = self.written.fetch_add(bytes.len(), Ordering::Relaxed);
        if before.saturating_add(bytes.len()) <= MAX_OUTPUT_BYTES {
            (self.writer)(bytes);
        } else if before <= MAX_OUTPUT_BYTES {
            let note = format!("\nthe output limit of {MAX_OUTPUT_BYTES} bytes is reached; the rest is dropped\n");
            (self.writer)(note.as_bytes());
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
