//! An append log on preallocated segment files, for the saga journal and the message log. It owns framing, checksums,
//! group commit, recovery of a torn end and the removal of old segments. What the records mean is the caller's.
//!
//! Commit is grouped without a timer: one thread takes whatever is queued, writes it, flushes once and acknowledges
//! everyone. A record may be appended without waiting: it rides along with the next flush and causes none. After a
//! failed write or flush nothing is known of the file's end, so the log stops and says so until it is opened again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weft_core::Failpoints;
use weft_core::disk::{Disk, DiskFile, DiskLock};

mod error;
mod frame;
mod open;
mod read;
mod scan;
mod writer;

pub use error::LogError;
pub use frame::MAX_PAYLOAD;
pub use read::Records;

use writer::Writer;

/// Kind 0 belongs to the log itself.
const MARK: u8 = 0;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Size of a segment file in bytes, set aside when it is made; a larger record gets a segment of its own size.
    pub segment_bytes: u64,
    /// Bytes that may wait for the writer; beyond it [`Log::append`] is refused.
    pub max_queued_bytes: usize,
    /// Points to abort at in tests.
    pub failpoints: Failpoints,
    /// First part of the failpoints' names, such as `journal`.
    pub name: &'static str,
}

impl LogOptions {
    /// 64 MiB segments, 64 MiB of queue, no failpoints.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let mib = 1024 * 1024;
        Self { segment_bytes: 64 * mib, max_queued_bytes: 64 << 20, failpoints: Failpoints::none(), name }
    }
}

/// One record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands in the log: ascending, never used twice.
    pub position: u64,
    /// What it is; the caller's, from 1.
    pub kind: u8,
    /// Version of the payload's encoding; the caller's.
    pub version: u8,
    /// The caller's bytes.
    pub payload: Vec<u8>,
}

/// Where an appended record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its position, for [`Log::read`].
    pub position: u64,
    /// The position after it, for [`Log::flush`].
    pub end: u64,
}

/// A damaged record that was skipped; its neighbours are whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Position in the log.
    pub position: u64,
    /// Position at which its segment begins; the segment's file is named by it in hex.
    pub segment: u64,
    /// Offset in the segment's file, in bytes.
    pub offset: u64,
    /// Length of the frame in bytes.
    pub bytes: usize,
}

/// The unfinished write that was cut off when the log was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment's file.
    pub segment: PathBuf,
    /// Offset in the file from which on it was cut.
    pub offset: u64,
    /// Bytes that were cut.
    pub bytes: u64,
}

/// What was found when the log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Whole records.
    pub records: u64,
    /// The torn end, if there was one: ordinary after a crash.
    pub torn: Option<Torn>,
    /// Damaged records that were skipped: the medium is failing.
    pub quarantined: Vec<Quarantined>,
}

/// What the log has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Records appended.
    pub records: u64,
    /// Bytes appended, with frames.
    pub bytes: u64,
    /// Flushes completed.
    pub flushes: u64,
}

/// An open log. Dropping it flushes what is queued and closes it.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    writer: Writer,
    _lock: Box<dyn DiskLock>,
}

/// What writer and readers share.
#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: LogOptions,
    segments: Mutex<BTreeMap<u64, Arc<dyn DiskFile>>>,
}

impl Shared {
    fn segments(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<dyn DiskFile>>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, base: u64) -> PathBuf {
        self.dir.join(segment_name(base))
    }

    fn io_error(&self, doing: &str, base: u64, error: &io::Error) -> LogError {
        LogError::io(doing, &self.path(base), error)
    }

    /// Makes the segment that begins at `base`, with room for a frame of `frame_bytes`. Durable when it answers.
    fn make_segment(&self, base: u64, frame_bytes: u64) -> Result<Arc<dyn DiskFile>, LogError> {
        let bytes = self.options.segment_bytes.max(frame::SEGMENT_HEADER as u64 + frame_bytes);
        let make = || {
            let file = self.disk.create(&self.path(base), bytes)?;
            file.write_at(0, &frame::segment_header(base))?;
            file.sync_data()?;
            self.disk.sync_dir(&self.dir)?;
            Ok(file)
        };
        let file = make().map_err(|error| self.io_error("make", base, &error))?;
        self.segments().insert(base, Arc::clone(&file));
        Ok(file)
    }
}

fn segment_name(base: u64) -> String {
    format!("{base:016x}.log")
}

impl Log {
    /// Opens the log in `dir`, or makes it. Every record is read once and handed to `visit` in order. A torn end is cut
    /// off; a damaged record between whole ones is skipped; both are reported.
    ///
    /// # Errors
    /// [`LogError::Locked`] if another process has it; [`LogError::Corrupt`] for damage that cannot be skipped;
    /// [`LogError::Version`] for a log of a newer version; or why the disk refused.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: LogOptions,
        visit: &mut dyn FnMut(Record),
    ) -> Result<(Self, Opened), LogError> {
        open::open(disk, dir, options, visit)
    }

    /// Queues a record. It is readable at once and durable after [`Log::flush`] of its `end`; without that it goes to
    /// disk together with later ones, or when the log is closed.
    ///
    /// # Errors
    /// [`LogError::TooLarge`], [`LogError::Full`], or [`LogError::Stopped`].
    pub fn append(&self, kind: u8, version: u8, payload: &[u8]) -> Result<Appended, LogError> {
        debug_assert_ne!(kind, MARK, "kind 0 belongs to the log");
        self.writer.append(kind, version, payload)
    }

    /// Resolves when all records before `through` are on disk. The order to flush is given at the call.
    ///
    /// # Errors
    /// [`LogError::Stopped`] if the write or the flush failed.
    pub fn flush(&self, through: u64) -> impl Future<Output = Result<(), LogError>> + Send + use<> {
        self.writer.flush(through)
    }

    /// Appends a record and waits until it and all before it are on disk.
    ///
    /// # Errors
    /// As [`Log::append`] and [`Log::flush`].
    pub async fn append_durable(&self, kind: u8, version: u8, payload: &[u8]) -> Result<Appended, LogError> {
        let appended = self.append(kind, version, payload)?;
        self.flush(appended.end).await?;
        Ok(appended)
    }

    /// Everything from this position on is kept. It is where the oldest segment begins, and so where a reader stands who
    /// has read the one before it to its end.
    #[must_use]
    pub fn kept_from(&self) -> u64 {
        self.shared.segments().keys().next().copied().unwrap_or_default()
    }

    /// Position of the oldest record that is kept, or where it will stand.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.kept_from() + frame::SEGMENT_HEADER as u64
    }

    /// Position after the last record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.writer.end()
    }

    /// Position up to which all is on disk.
    #[must_use]
    pub fn flushed(&self) -> u64 {
        self.writer.flushed()
    }

    /// What the log has done since it was opened.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.writer.stats()
    }

    /// Why the log takes no more records, if it has stopped.
    #[must_use]
    pub fn stopped(&self) -> Option<LogError> {
        self.writer.stopped()
    }

    /// While it is shut, the thread takes nothing of what is queued.
    #[cfg(test)]
    pub(crate) fn shut_gate(&self, shut: bool) {
        self.writer.shut_gate(shut);
    }

    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.writer.is_idle()
    }

    /// Removes the segments whose records all stand before `position`. Answers how many; the newest always stays.
    ///
    /// # Errors
    /// Why the disk refused.
    pub fn remove_before(&self, position: u64) -> Result<usize, LogError> {
        let old: Vec<u64> = {
            let segments = self.shared.segments();
            let following = segments.keys().skip(1);
            segments.keys().zip(following).filter(|(_, next)| **next <= position).map(|(base, _)| *base).collect()
        };
        for base in &old {
            let removed = self.shared.disk.remove(&self.shared.path(*base));
            removed.map_err(|error| self.shared.io_error("remove", *base, &error))?;
            self.shared.segments().remove(base);
        }
        if let Some(base) = old.last() {
            let synced = self.shared.disk.sync_dir(&self.shared.dir);
            synced.map_err(|error| self.shared.io_error("remove", *base, &error))?;
        }
        Ok(old.len())
    }

    /// Flushes what is queued and takes no more records.
    ///
    /// # Errors
    /// Why the last records may not be on disk.
    pub fn close(&self) -> Result<(), LogError> {
        self.writer.close()
    }
}

#[cfg(test)]
mod tests;
