//! Collects what is wrong with one file, and turns places in its text into lines.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;

/// The problems found so far in one file.
#[derive(Debug)]
pub(super) struct Problems {
    file: PathBuf,
    /// Where each line ends, in bytes.
    line_ends: Vec<usize>,
    found: RefCell<Vec<Diagnostic>>,
}

impl Problems {
    pub(super) fn new(file: &Path, text: &str) -> Self {
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { file: file.to_owned(), line_ends, found: RefCell::default() }
    }

    /// The line, from 1, on which `span` starts.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        self.line_ends.partition_point(|end| *end < span.start) + 1
    }

    pub(super) fn report(&self, line: usize, message: impl Into<String>) {
        self.found.borrow_mut().push(Diagnostic::new(&self.file, line, message));
    }

    pub(super) fn report_with_help(&self, line: usize, message: impl Into<String>, help: impl Into<String>) {
        self.found.borrow_mut().push(Diagnostic::new(&self.file, line, message).with_help(help));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// All problems in the order of their lines.
    pub(super) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by(|a, b| (a.line, &a.message).cmp(&(b.line, &b.message)));
        found
    }
}
