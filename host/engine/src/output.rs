//! What a guest writes to stdout and stderr: split into lines, bounded, handed to a sink. Where the lines go is the
//! sink's business.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// Takes the lines that functions write. Must not block.
pub trait LogSink: Send + Sync + 'static {
    /// One line of a component, without its newline; `stream` is `stdout` or `stderr`.
    fn line(&self, component: &str, stream: &'static str, trace_id: Option<&str>, line: &str);
}

/// A line longer than this is cut into pieces.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// What one instance may write in its life; the rest is dropped, with a line that says so.
const MAX_OUTPUT_BYTES: usize = 1024 * 1024;

/// One of the two output streams of an instance.
#[derive(Clone)]
pub(crate) struct GuestOutput {
    pub sink: Arc<dyn LogSink>,
    pub component: Arc<str>,
    pub stream: &'static str,
    pub trace_id: Option<Arc<str>>,
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(LineWriter { output: self.clone(), buffer: Vec::new(), written: 0 })
    }
}

struct LineWriter {
    output: GuestOutput,
    buffer: Vec<u8>,
    written: usize,
}

impl LineWriter {
    fn emit(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        self.output.sink.line(&self.output.component, self.output.stream, self.output.trace_id.as_deref(), &line);
    }

    fn take(&mut self, bytes: &[u8]) {
        let before = self.written;
        self.written = before.saturating_add(bytes.len());
        if before > MAX_OUTPUT_BYTES {
            return;
        }
        if self.written > MAX_OUTPUT_BYTES {
            self.emit(format!("output limit of {MAX_OUTPUT_BYTES} bytes reached; the rest is dropped").as_bytes());
            return;
        }
        for &byte in bytes {
            if byte == b'\n' || self.buffer.len() >= MAX_LINE_BYTES {
                let line = std::mem::take(&mut self.buffer);
                self.emit(&line);
            }
            if byte != b'\n' {
                self.buffer.push(byte);
            }
        }
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.buffer.is_empty() {
            let line = std::mem::take(&mut self.buffer);
            self.emit(&line);
        }
    }
}

impl AsyncWrite for LineWriter {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
