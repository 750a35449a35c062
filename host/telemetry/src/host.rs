//! The host's own log: `tracing` to standard error, for people or as JSON lines. A thread of its own does the writing,
//! because standard error may be a pipe that nobody reads.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

/// Lines that may wait for the writing thread.
const QUEUE_LINES: usize = 8192;

/// Bytes that are written at a time, and a line more.
const WRITE_BYTES: usize = 64 * 1024;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text per event.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostLogError {
    /// The filter is not understood.
    #[error("log filter {filter:?}: {reason}; it looks like \"info\" or \"info,weft::access=warn\"")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else has set up logging in this process.
    #[error("logging is set up already: {0}")]
    Twice(String),
    /// The writing thread cannot be started.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[from] io::Error),
}

/// The running log. Dropping it writes what still waits; keep it until the process ends.
#[derive(Debug)]
pub struct HostLog {
    queue: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    End,
}

impl HostLog {
    /// Sends all events that pass `filter` (as in `RUST_LOG`) to standard error.
    ///
    /// # Errors
    /// [`HostLogError`] for a filter that is not understood, or if logging is set up already.
    pub fn start(format: LogFormat, filter: &str) -> Result<Self, HostLogError> {
        let wrong =
            |error: &dyn ToString| HostLogError::Filter { filter: filter.to_owned(), reason: error.to_string() };
        let filter = EnvFilter::try_new(filter).map_err(|error| wrong(&error))?;
        let (log, writer) = Self::to(Box::new(io::stderr()))?;
        let layer = match format {
            LogFormat::Human => fmt::layer().with_ansi(false).with_writer(writer).boxed(),
            LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
        };
        let subscriber = Registry::default().with(layer.with_filter(filter));
        subscriber.try_init().map_err(|error| HostLogError::Twice(error.to_string()))?;
        Ok(log)
    }

    fn to(output: Box<dyn Write + Send>) -> io::Result<(Self, QueueWriter)> {
        let (queue, lines) = sync_channel(QUEUE_LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = QueueWriter { queue: queue.clone(), dropped: Arc::clone(&dropped) };
        let thread =
            std::thread::Builder::new().name("weft-log".into()).spawn(move || write(&lines, output, &dropped))?;
        Ok((Self { queue, thread: Some(thread) }, writer))
    }
}

impl Drop for HostLog {
    fn drop(&mut self) {
        // An error means that the thread has ended already.
        let _ = self.queue.send(Message::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes until the end is asked for. If standard error is gone there is nobody left to tell.
fn write(lines: &Receiver<Message>, mut output: Box<dyn Write + Send>, dropped: &AtomicU64) {
    while let Ok(Message::Line(mut text)) = lines.recv() {
        // What has come meanwhile is written with it.
        let mut ended = false;
        while text.len() < WRITE_BYTES
            && let Ok(next) = lines.try_recv()
        {
            match next {
                Message::Line(line) => text.extend_from_slice(&line),
                Message::End => {
                    ended = true;
                    break;
                }
            }
        }
        let _ = output.write_all(&text);
        let dropped = dropped.swap(0, Relaxed);
        if dropped > 0 {
            let _ = writeln!(output, "{dropped} log lines were dropped because nobody took them in time");
        }
        if ended {
            break;
        }
    }
    let _ = output.flush();
}

/// Hands each line to the thread.
#[derive(Clone, Debug)]
struct QueueWriter {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for QueueWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &QueueWriter {
    // The formatter writes each event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.queue.try_send(Message::Line(line.to_vec())) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Relaxed);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Blocks at its first line until it is let go.
    struct Stuck(mpsc::Sender<()>, mpsc::Receiver<()>, Captured, bool);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !std::mem::replace(&mut self.3, true) {
                self.0.send(()).unwrap();
                self.1.recv().unwrap();
            }
            self.2.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_is_written_when_the_log_ends() {
        let captured = Captured::default();
        let (log, writer) = HostLog::to(Box::new(captured.clone())).unwrap();
        let subscriber = Registry::default().with(fmt::layer().json().flatten_event(true).with_writer(writer));
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..100 {
                tracing::info!(number, "said");
            }
        });
        drop(log);
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 100);
        assert!(text.lines().last().unwrap().contains("\"number\":99"), "{text}");
    }

    #[test]
    fn a_stuck_output_stops_nobody_and_what_was_dropped_is_counted() {
        let (captured, (at_it, stuck), (go, gone)) = (Captured::default(), mpsc::channel(), mpsc::channel());
        let (log, writer) = HostLog::to(Box::new(Stuck(at_it, gone, captured.clone(), false))).unwrap();
        (&writer).write_all(b"first\n").unwrap();
        stuck.recv().unwrap();
        for _ in 0..QUEUE_LINES + 7 {
            (&writer).write_all(b"line\n").unwrap();
        }
        go.send(()).unwrap();
        drop(log);
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("7 log lines were dropped"));
        assert_eq!(text.matches("line\n").count(), QUEUE_LINES);
    }

    #[test]
    fn a_filter_that_is_not_understood_is_named() {
        let error = HostLog::start(LogFormat::Human, "info,=x=y").unwrap_err();
        assert!(error.to_string().contains("info,=x=y"), "{error}");
    }
}
