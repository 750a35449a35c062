//! One stream of one instance, cut into lines.

use std::io;
use std::sync::Arc;

use super::{GuestLogs, MAX_LINE_BYTES, Stream};

/// Takes the bytes of one stream of one instance. What has no line end yet is a line when this is dropped.
#[derive(Debug)]
pub struct GuestWriter {
    logs: GuestLogs,
    component: Arc<str>,
    stream: Stream,
    trace_id: Option<Arc<str>>,
    /// The line that is not complete yet, shorter than [`MAX_LINE_BYTES`].
    open: Vec<u8>,
}

impl GuestWriter {
    pub(super) fn new(logs: GuestLogs, component: Arc<str>, stream: Stream, trace_id: Option<Arc<str>>) -> Self {
        Self { logs, component, stream, trace_id, open: Vec::new() }
    }

    /// Takes some bytes. It never blocks on a disk.
    pub fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.piece(piece);
        }
    }

    /// Part of a line, perhaps with its end.
    fn piece(&mut self, mut piece: &[u8]) {
        while self.open.len() + piece.len() > MAX_LINE_BYTES {
            let room = MAX_LINE_BYTES - self.open.len();
            let (now, later) = piece.split_at_checked(room).unwrap_or((piece, &[]));
            self.open.extend_from_slice(now);
            self.end_line();
            piece = later;
        }
        self.open.extend_from_slice(piece);
        if self.open.last() == Some(&b'\n') {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let line = self.open.strip_suffix(b"\n").unwrap_or(&self.open);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = String::from_utf8_lossy(line).into_owned();
        self.open.clear();
        self.logs.push(&self.component, self.stream, self.trace_id.clone(), text);
    }
}

impl io::Write for GuestWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(self, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for GuestWriter {
    fn drop(&mut self) {
        if !self.open.is_empty() {
            self.end_line();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_core::clock::ManualClock;

    fn lines_of(chunks: &[&[u8]]) -> Vec<String> {
        let data = tempfile::tempdir().unwrap();
        let logs = GuestLogs::open(data.path(), Arc::new(ManualClock::at_ms(0))).unwrap();
        let mut writer = logs.writer(&"a".into(), Stream::Stdout, None);
        for chunk in chunks {
            writer.write(chunk);
        }
        drop(writer);
        logs.last(None, 1000).iter().map(|line| line.text.clone()).collect()
    }

    #[test]
    fn chunks_become_lines() {
        assert_eq!(lines_of(&[b"one\ntw", b"o\r\n\n", b"", b"three"]), ["one", "two", "", "three"]);
        assert_eq!(lines_of(&[b"caf\xc3", b"\xa9\n\xff\n"]), ["café", "\u{fffd}"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let long = "x".repeat(2 * MAX_LINE_BYTES + 5);
        let lines = lines_of(&[&long.as_bytes()[..10], &long.as_bytes()[10..], b"\nnext\n"]);
        let lengths: Vec<usize> = lines.iter().map(String::len).collect();
        assert_eq!(lengths, [MAX_LINE_BYTES, MAX_LINE_BYTES, 5, 4]);
    }
}
