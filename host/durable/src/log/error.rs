//! Why the log could not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

use weft_core::{Failure, Fault, Reason};

/// Cheap enough to clone: one failure is told to everyone who waited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The disk refused.
    #[error("cannot {doing} {}: {message}", path.display())]
    Io {
        /// The verb: read, write, flush, make.
        doing: String,
        /// The file.
        path: PathBuf,
        /// What kind of error, such as `StorageFull`.
        kind: io::ErrorKind,
        /// The operating system's words.
        message: String,
    },
    /// A record that had been flushed cannot be read, nor skipped.
    #[error("{} is damaged at offset {offset}: restore it from a copy, or move the directory away", segment.display())]
    Corrupt {
        /// The segment's file.
        segment: PathBuf,
        /// In bytes.
        offset: u64,
    },
    /// The log was written by a newer version.
    #[error("{} has log format {found}, this version reads 1: use the version that wrote it", segment.display())]
    Version {
        /// The segment's file.
        segment: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Another process has the log open.
    #[error("{} is in use by another host: stop that one, or use another data directory", dir.display())]
    Locked {
        /// The log's directory.
        dir: PathBuf,
    },
    /// The record is larger than a record may be.
    #[error("a log record has at most {limit} bytes, this one has {bytes}")]
    TooLarge {
        /// Its payload.
        bytes: usize,
        /// The most.
        limit: usize,
    },
    /// The disk does not keep up.
    #[error("{limit} bytes wait for the disk: try again later")]
    Full {
        /// The most that may wait.
        limit: usize,
    },
    /// There is no record at this position, or no more, or it is damaged.
    #[error("no record at position {0} of the log")]
    NoRecord(u64),
    /// The log takes no more records. The text says why.
    #[error("the log has stopped: {0}; restart the host when that is put right")]
    Stopped(String),
}

impl LogError {
    pub(super) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::Io { doing: doing.to_owned(), path: path.to_owned(), kind: error.kind(), message: error.to_string() }
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        let message = error.to_string();
        match error {
            LogError::TooLarge { .. } => Self::not_attempted(Fault::Client, Reason::ResourceLimit, message),
            LogError::Full { .. } => Self::not_attempted(Fault::Host, Reason::Overloaded, message),
            LogError::NoRecord(_) => Self::not_attempted(Fault::Host, Reason::Internal, message),
            // A record whose flush failed may be found again after a restart.
            LogError::Stopped(_) | LogError::Io { .. } => Self::unknown(Fault::Host, Reason::Unavailable, message),
            LogError::Corrupt { .. } | LogError::Version { .. } | LogError::Locked { .. } => {
                Self::not_attempted(Fault::Host, Reason::Unavailable, message)
            }
        }
    }
}
