//! Reading records back: one by its position, or many from a position on.

use std::io;
use std::sync::Arc;

use weft_core::disk::DiskFile;

use super::frame::{FRAME_HEADER, SEGMENT_HEADER};
use super::scan::Window;
use super::{Log, LogError, MARK, Record};

/// Some records in order, and where the next ones begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// In the order they were appended.
    pub records: Vec<Record>,
    /// Read on from here.
    pub next: u64,
}

impl Log {
    /// The record at `position`, flushed or not.
    ///
    /// # Errors
    /// [`LogError::NoRecord`] if there is none or it is damaged; or why the disk refused.
    pub fn read(&self, position: u64) -> Result<Record, LogError> {
        if let Some(record) = self.writer.queued(position) {
            return Ok(record);
        }
        let (base, file) = self.segment_of(position).ok_or(LogError::NoRecord(position))?;
        let failed = |error: io::Error| self.shared.io_error("read", base, &error);
        let mut window = Window::with_capacity(file, base, SMALL_BYTES);
        let offset = position - base;
        let frame = window.frame(offset).map_err(failed)?;
        window.record(offset, frame).map_err(failed)?.ok_or(LogError::NoRecord(position))
    }

    /// Flushed records from `position` on, until their payloads pass `max_bytes` or there are no more; at least one if
    /// there is one. Damaged records are skipped, as they were when the log was opened.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] for damage that cannot be skipped; or why the disk refused.
    pub fn read_from(&self, position: u64, max_bytes: usize) -> Result<Records, LogError> {
        let flushed = self.flushed();
        let mut found = Records { records: Vec::new(), next: position.max(self.start()) };
        let mut bytes = 0;
        while found.next < flushed && bytes < max_bytes {
            let Some((base, file)) = self.segment_of(found.next) else { break };
            let segment_end = self.shared.segments().range(base + 1..).next().map(|(next, _)| *next);
            let end = segment_end.map_or(flushed, |end| end.min(flushed)) - base;
            let mut window = Window::new(file, base);
            let mut offset = (found.next - base).max(SEGMENT_HEADER as u64);
            while offset < end && bytes < max_bytes {
                let length = self.take_record(&mut window, base, offset, end, &mut found.records)?;
                bytes += length;
                offset += length as u64;
            }
            found.next = base + offset;
        }
        Ok(found)
    }

    /// Reads or skips the record at `offset`. Answers the length of its frame.
    fn take_record(
        &self,
        window: &mut Window,
        base: u64,
        offset: u64,
        end: u64,
        records: &mut Vec<Record>,
    ) -> Result<usize, LogError> {
        let failed = |error: io::Error| self.shared.io_error("read", base, &error);
        let frame = window.frame(offset).map_err(failed)?;
        if let Some(record) = window.record(offset, frame).map_err(failed)? {
            let length = FRAME_HEADER + record.payload.len();
            if record.kind != MARK {
                records.push(record);
            }
            return Ok(length);
        }
        let length = window.skippable(offset, Some(end)).map_err(failed)?;
        length.ok_or_else(|| LogError::Corrupt { segment: self.shared.path(base), offset })
    }

    fn segment_of(&self, position: u64) -> Option<(u64, Arc<dyn DiskFile>)> {
        let segments = self.shared.segments();
        segments.range(..=position).next_back().map(|(base, file)| (*base, Arc::clone(file)))
    }
}

/// Most single records fit in this, so that one is read at a time for the price of one.
const SMALL_BYTES: usize = 4096;
