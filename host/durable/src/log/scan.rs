//! Reading a segment from front to back, and judging what does not read: the torn end of a last write, or damage. What
//! is done about it belongs to the opening of the log.

use std::io;
use std::sync::Arc;

use weft_core::disk::DiskFile;

use super::frame::{self, FRAME_HEADER, Frame, SEGMENT_HEADER};
use super::{Quarantined, Record};

const WINDOW_BYTES: usize = 256 * 1024;
const TRAILING_ZEROS: u64 = 4096;

/// Part of a file in memory, moved forward by the reading.
pub(super) struct Window {
    file: Arc<dyn DiskFile>,
    base: u64,
    start: u64,
    bytes: Vec<u8>,
    ahead: usize,
}

/// Where the reading of a segment came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing was written beyond this offset.
    Clean(u64),
    /// An unfinished write begins at `offset`; its last byte that is not zero is before `written_to`.
    Torn { offset: u64, written_to: u64 },
    /// A flushed record at this offset cannot be read, nor skipped.
    Corrupt(u64),
}

impl Window {
    /// A window over the segment whose first byte has the position `base`.
    pub(super) fn new(file: Arc<dyn DiskFile>, base: u64) -> Self {
        Self::with_capacity(file, base, WINDOW_BYTES)
    }

    /// As [`Window::new`], reading `ahead` bytes at a time.
    pub(super) fn with_capacity(file: Arc<dyn DiskFile>, base: u64, ahead: usize) -> Self {
        Self { file, base, start: 0, bytes: Vec::new(), ahead }
    }

    /// `length` bytes from `offset`; fewer at the end of the file.
    pub(super) fn get(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let have = self.start..self.start + self.bytes.len() as u64;
        if !(have.contains(&offset) && offset + length as u64 <= have.end) {
            self.bytes.resize(length.max(self.ahead), 0);
            let read = self.file.read_at(offset, &mut self.bytes)?;
            self.bytes.truncate(read);
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).map_err(io::Error::other)?;
        let rest = self.bytes.get(from..).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }

    pub(super) fn frame(&mut self, offset: u64) -> io::Result<Frame> {
        let length = frame::claimed_length(self.get(offset, FRAME_HEADER)?).unwrap_or(FRAME_HEADER);
        let position = self.base + offset;
        Ok(frame::parse(self.get(offset, length)?, position))
    }

    pub(super) fn record(&mut self, offset: u64, frame: Frame) -> io::Result<Option<Record>> {
        let Frame::Good { kind, version, length, .. } = frame else { return Ok(None) };
        let position = self.base + offset;
        let payload = self.get(offset, length)?.get(FRAME_HEADER..).unwrap_or_default().to_vec();
        Ok(Some(Record { position, kind, version, payload }))
    }

    /// If the record at `offset` is damaged but its neighbour stands where it should: how long it is.
    pub(super) fn skippable(&mut self, offset: u64, end: Option<u64>) -> io::Result<Option<usize>> {
        let Frame::Bad { length: Some(length) } = self.frame(offset)? else { return Ok(None) };
        let next = offset + length as u64;
        let neighbour = end == Some(next) || matches!(self.frame(next)?, Frame::Good { .. });
        Ok(neighbour.then_some(length))
    }

    /// The offset after the last byte from `offset` on that is not zero.
    fn written_to(&mut self, offset: u64) -> io::Result<u64> {
        let (mut at, mut last) = (offset, offset);
        loop {
            let bytes = self.get(at, WINDOW_BYTES)?;
            if bytes.is_empty() {
                return Ok(last);
            }
            if let Some(index) = bytes.iter().rposition(|byte| *byte != 0) {
                last = at + index as u64 + 1;
            }
            at += bytes.len() as u64;
        }
    }

    /// Whether a later record shows that what stands at `offset` had been flushed.
    fn was_flushed(&mut self, offset: u64, written_to: u64) -> io::Result<bool> {
        for at in offset + 1..written_to {
            let claimed = frame::claimed_length(self.get(at, FRAME_HEADER)?);
            // A payload may end in zeros, but hardly in so many; this bounds the work.
            if claimed.is_none_or(|length| at + length as u64 > written_to + TRAILING_ZEROS) {
                continue;
            }
            if let Frame::Good { unflushed, .. } = self.frame(at)?
                && at.saturating_sub(unflushed.into()) > offset
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads all records from the first on. `end` is the segment's length if a later segment follows it.
    pub(super) fn scan(
        &mut self,
        end: Option<u64>,
        visit: &mut dyn FnMut(Record),
        quarantine: &mut Vec<Quarantined>,
    ) -> io::Result<End> {
        let mut offset = SEGMENT_HEADER as u64;
        while end != Some(offset) {
            let frame = self.frame(offset)?;
            if let Frame::Good { length, .. } = frame {
                if let Some(record) = self.record(offset, frame)? {
                    visit(record);
                }
                offset += length as u64;
                continue;
            }
            let written_to = self.written_to(offset)?;
            if end.is_none() && frame == Frame::Empty && written_to == offset {
                return Ok(End::Clean(offset));
            }
            if end.is_none() && !self.was_flushed(offset, written_to)? {
                return Ok(End::Torn { offset, written_to });
            }
            let Some(length) = self.skippable(offset, end)? else { return Ok(End::Corrupt(offset)) };
            quarantine.push(Quarantined { position: self.base + offset, segment: self.base, offset, bytes: length });
            offset += length as u64;
        }
        Ok(End::Clean(offset))
    }
}
