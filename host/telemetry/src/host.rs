//! The host's own log: `tracing` to standard error, for people or as JSON lines. A thread of its own does the writing,
//! because standard error may be a pipe that nobody reads.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

use crate::fields::PlainFields;

/// Lines that may wait for the writing thread.
const QUEUE_LINES: usize = 8192;

/// Bytes with which the thread does not wait for more.
const WRITE_BYTES: usize = 64 * 1024;

/// How long a line may wait for company. Waking the writing thread for each line of a busy access log costs more than
/// the line. Warnings and errors do not wait.
const GATHERING: Duration = Duration::from_millis(5);

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
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

/// What waits for the writing thread.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// The thread has something to do.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    lines: usize,
    dropped: u64,
    /// No line may wait any longer.
    urgent: bool,
    /// The log ends; what waits is written.
    ended: bool,
    /// The thread sleeps until there is a line.
    sleeps: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.waiting();
        if waiting.lines >= QUEUE_LINES {
            waiting.dropped += 1;
            return;
        }
        waiting.text.extend_from_slice(line);
        waiting.lines += 1;
        let first_urgent = (urgent || waiting.text.len() >= WRITE_BYTES) && !waiting.urgent;
        waiting.urgent |= first_urgent;
        if std::mem::take(&mut waiting.sleeps) || first_urgent {
            drop(waiting);
            self.changed.notify_one();
        }
    }

    /// Waits for lines and takes them: the text, how many were dropped, and whether these were the last.
    /// `written` is an old text, whose memory is used again.
    fn take(&self, written: Vec<u8>) -> (Vec<u8>, u64, bool) {
        let mut waiting = self.waiting();
        while waiting.lines == 0 && !waiting.ended {
            waiting.sleeps = true;
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let gathers = |waiting: &mut Waiting| !waiting.urgent && !waiting.ended;
        (waiting, _) =
            self.changed.wait_timeout_while(waiting, GATHERING, gathers).unwrap_or_else(PoisonError::into_inner);
        waiting.urgent = false;
        waiting.sleeps = false;
        waiting.lines = 0;
        (std::mem::replace(&mut waiting.text, written), std::mem::take(&mut waiting.dropped), waiting.ended)
    }
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
            LogFormat::Human => fmt::layer().fmt_fields(PlainFields).with_writer(writer).boxed(),
            LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
        };
        let subscriber = Registry::default().with(layer.with_filter(filter));
        subscriber.try_init().map_err(|error| HostLogError::Twice(error.to_string()))?;
        Ok(log)
    }

    fn to(output: Box<dyn Write + Send>) -> io::Result<(Self, QueueWriter)> {
        let queue = Arc::new(Queue::default());
        let taken = Arc::clone(&queue);
        let thread = std::thread::Builder::new().name("weft-log".into()).spawn(move || write(&taken, output))?;
        let writer = QueueWriter { queue: Arc::clone(&queue) };
        Ok((Self { queue, thread: Some(thread) }, writer))
    }
}

impl Drop for HostLog {
    fn drop(&mut self) {
        self.queue.waiting().ended = true;
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of it has been told on standard error.
            let _ = thread.join();
        }
    }
}

/// Writes until the end is asked for. If standard error is gone there is nobody left to tell.
fn write(queue: &Queue, mut output: Box<dyn Write + Send>) {
    let mut written = Vec::new();
    loop {
        let (text, dropped, ended) = queue.take(written);
        let _ = output.write_all(&text);
        if dropped > 0 {
            let _ = writeln!(output, "{dropped} log lines were dropped because nobody took them in time");
        }
        if ended {
            break;
        }
        written = text;
        written.clear();
        // After a burst its memory is given back.
        written.shrink_to(2 * WRITE_BYTES);
    }
    let _ = output.flush();
}

/// Hands each line to the thread.
#[derive(Clone, Debug)]
struct QueueWriter {
    queue: Arc<Queue>,
}

/// Hands the lines of one event to the thread.
#[derive(Debug)]
struct LineWriter<'a> {
    queue: &'a Queue,
    urgent: bool,
}

impl<'a> MakeWriter<'a> for QueueWriter {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter { queue: &self.queue, urgent: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        LineWriter { queue: &self.queue, urgent: *metadata.level() <= Level::WARN }
    }
}

impl Write for LineWriter<'_> {
    // The formatter writes each event at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line, self.urgent);
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
        writer.make_writer().write_all(b"first\n").unwrap();
        stuck.recv().unwrap();
        for _ in 0..QUEUE_LINES + 7 {
            writer.make_writer().write_all(b"line\n").unwrap();
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
