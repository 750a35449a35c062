//! What functions write to standard output and error: the last lines of each component in memory, and a log file per
//! component that two generations keep small. Reading is for `weft logs`; getting the output out of an instance is the
//! engine's business.
//!
//! Bounds: a line is cut at [`MAX_LINE_BYTES`]; each component keeps [`RING_BYTES`] in memory and twice
//! [`files::FILE_BYTES`] on disk. The files are written behind: they are for reading, nothing is recovered from them, so
//! nothing is flushed.

pub mod files;
mod line;
mod ring;
mod writer;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::broadcast;
use weft_core::Clock;

use files::FileThread;
pub use line::{LogLine, Stream};
pub(crate) use line::{from_rfc3339, to_rfc3339};
use ring::Ring;
pub use writer::GuestWriter;

/// Longest line, in bytes; what goes on is the next line.
pub const MAX_LINE_BYTES: usize = 8 * 1024;
/// What a component's last lines may take in memory, in bytes of text.
pub const RING_BYTES: usize = 256 * 1024;
/// How far a follower may lag behind before it loses lines.
const FOLLOW_LINES: usize = 1024;

/// The output of all functions. Clones are the same log.
#[derive(Clone, Debug)]
pub struct GuestLogs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    rings: RwLock<HashMap<Arc<str>, Arc<Mutex<Ring>>>>,
    followers: broadcast::Sender<Arc<LogLine>>,
    files: FileThread,
}

impl GuestLogs {
    /// Logs into `<data>/logs/<component>.log`; the folder is made if need be.
    ///
    /// # Errors
    /// If the folder cannot be made, or the thread that writes not started.
    pub fn open(data: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let files = FileThread::start(folder(data))?;
        let (followers, _) = broadcast::channel(FOLLOW_LINES);
        Ok(Self { inner: Arc::new(Inner { clock, rings: RwLock::default(), followers, files }) })
    }

    /// Where an instance of `component` writes one of its streams to.
    #[must_use]
    pub fn writer(&self, component: &Arc<str>, stream: Stream, trace_id: Option<Arc<str>>) -> GuestWriter {
        GuestWriter::new(self.clone(), Arc::clone(component), stream, trace_id)
    }

    /// The last `count` lines in memory, of one component or of all, oldest first. What an earlier run of the host wrote
    /// is in the files alone: see [`files::last`].
    #[must_use]
    pub fn last(&self, component: Option<&str>, count: usize) -> Vec<Arc<LogLine>> {
        let rings: Vec<Arc<Mutex<Ring>>> = {
            let all = self.inner.rings.read().unwrap_or_else(PoisonError::into_inner);
            let wanted = all.iter().filter(|(name, _)| component.is_none_or(|wanted| *wanted == ***name));
            wanted.map(|(_, ring)| Arc::clone(ring)).collect()
        };
        let mut lines = Vec::new();
        for ring in rings {
            lines.extend(ring.lock().unwrap_or_else(PoisonError::into_inner).last(count));
        }
        lines.sort_by_key(|line| line.time_ms);
        lines.split_off(lines.len().saturating_sub(count))
    }

    /// All lines from now on. A follower that lags behind is told how many it lost.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Arc<LogLine>> {
        self.inner.followers.subscribe()
    }

    /// Waits until all lines so far are in the files. It blocks the thread, so it is for shutting down.
    pub fn flush(&self) {
        self.inner.files.flush();
    }

    fn push(&self, component: &Arc<str>, stream: Stream, trace_id: Option<Arc<str>>, text: String) {
        let (time_ms, component) = (self.inner.clock.now_ms(), Arc::clone(component));
        let line = Arc::new(LogLine { time_ms, component, stream, trace_id, text });
        let ring = self.ring(&line.component);
        ring.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&line));
        self.inner.files.append(Arc::clone(&line));
        // An error means that nobody follows.
        let _ = self.inner.followers.send(line);
    }

    fn ring(&self, component: &Arc<str>) -> Arc<Mutex<Ring>> {
        if let Some(ring) = self.inner.rings.read().unwrap_or_else(PoisonError::into_inner).get(component) {
            return Arc::clone(ring);
        }
        let mut rings = self.inner.rings.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(rings.entry(Arc::clone(component)).or_default())
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("logs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use weft_core::clock::ManualClock;

    fn texts(lines: &[Arc<LogLine>]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[tokio::test]
    async fn lines_are_in_memory_in_the_file_and_with_the_followers() {
        let data = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at_ms(1000));
        let logs = GuestLogs::open(data.path(), Arc::clone(&clock) as _).unwrap();
        let mut follower = logs.follow();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        for number in 0..3 {
            logs.writer(&a, Stream::Stdout, Some("t1".into())).write(format!("a{number}\n").as_bytes());
            clock.advance(Duration::from_millis(1));
            logs.writer(&b, Stream::Stderr, None).write(format!("b{number}\n").as_bytes());
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!(texts(&logs.last(Some("a"), 2)), ["a1", "a2"]);
        assert_eq!(texts(&logs.last(None, 3)), ["b1", "a2", "b2"]);
        assert!(logs.last(Some("c"), 3).is_empty());
        assert_eq!(follower.recv().await.unwrap().text, "a0");
        logs.flush();
        let read = files::last(data.path(), None, 4).unwrap();
        assert_eq!(read.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["a1", "b1", "a2", "b2"]);
        assert_eq!(read, logs.last(None, 4).iter().map(|line| (**line).clone()).collect::<Vec<_>>());
        assert_eq!((read[0].trace_id.as_deref(), read[1].stream), (Some("t1"), Stream::Stderr));
    }
}
