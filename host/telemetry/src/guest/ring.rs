//! The last lines of one component, bounded in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{LogLine, RING_BYTES};

/// What a line takes beside its text, roughly.
const LINE_OVERHEAD: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Ring {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
}

impl Ring {
    pub fn push(&mut self, line: Arc<LogLine>) {
        self.bytes += size(&line);
        self.lines.push_back(line);
        while self.bytes > RING_BYTES
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= size(&oldest);
        }
    }

    /// The last `count` lines, oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = Arc<LogLine>> {
        self.lines.iter().skip(self.lines.len().saturating_sub(count)).cloned()
    }
}

fn size(line: &LogLine) -> usize {
    line.text.len() + LINE_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::super::Stream;
    use super::*;

    #[test]
    fn the_oldest_go_first_and_the_bound_holds() {
        let mut ring = Ring::default();
        for time_ms in 0..10_000 {
            let text = "x".repeat(usize::try_from(time_ms).unwrap() % 100);
            ring.push(Arc::new(LogLine {
                time_ms,
                component: "a".into(),
                stream: Stream::Stdout,
                trace_id: None,
                text,
            }));
            assert!(ring.bytes <= RING_BYTES);
        }
        let times: Vec<u64> = ring.last(3).map(|line| line.time_ms).collect();
        assert_eq!(times, [9997, 9998, 9999]);
        assert!(ring.lines.len() > 1000);
        assert_eq!(ring.bytes, ring.lines.iter().map(|line| size(line)).sum::<usize>());
    }
}
