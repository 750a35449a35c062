//! How far a long work has come: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Lines in all, where there is no terminal.
const LINES: u64 = 20;

/// Shows one phase of a work.
pub struct Progress {
    what: &'static str,
    total: u64,
    shown: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins to show `what`, which has `total` parts.
    #[must_use]
    pub fn start(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total).with_message(what);
            let style =
                ProgressStyle::with_template("{msg:<22} {wide_bar} {human_pos}/{human_len}  {elapsed}  eta {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { what, total, shown: 0, bar }
    }

    /// Shows that `done` parts are done.
    pub fn set(&mut self, done: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None => {
                if let Some(line) = self.line(done) {
                    output::note(&line);
                }
            }
        }
    }

    /// A line, if enough has happened since the last one.
    fn line(&mut self, done: u64) -> Option<String> {
        let step = (self.total / LINES).max(1);
        let due = done > self.shown && (done / step > self.shown / step || done == self.total);
        due.then(|| {
            self.shown = done;
            format!("{}: {done} of {}", self.what, self.total)
        })
    }

    /// Ends the showing.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_now_and_then_and_at_the_end() {
        let mut progress = Progress { what: "rows", total: 1_000, shown: 0, bar: None };
        let lines: Vec<_> = (0..=1_000).filter_map(|done| progress.line(done)).collect();
        assert_eq!(lines.len(), 20);
        assert_eq!((lines[0].as_str(), lines[19].as_str()), ("rows: 50 of 1000", "rows: 1000 of 1000"));
        assert_eq!(progress.line(1_000), None);
    }
}
