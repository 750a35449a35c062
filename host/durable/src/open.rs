//! Opening the journal: the index is built from its records, what has ended long ago is forgotten.

use std::path::Path;
use std::sync::Arc;

use weft_core::Clock;
use weft_core::disk::Disk;

use crate::faults::Faults;
use crate::index::Index;
use crate::limits::Limits;
use crate::log::{self, Log, LogError, LogOptions, Opened};
use crate::record::{Entry, UnknownRecord};

/// How the journal is kept.
#[derive(Clone, Debug)]
pub struct SagaOptions {
    /// The log's.
    pub log: LogOptions,
    /// How long an ended saga is known, in milliseconds; its key is not reused so long.
    pub retention_ms: u64,
    /// Unfinished sagas at a time; beyond it none is begun.
    pub max_unfinished: usize,
    /// Limits that steps name.
    pub limits: Limits,
    /// Faults that a test harness wants.
    pub faults: Faults,
}

impl Default for SagaOptions {
    /// 30 days, a million unfinished sagas, no limits for steps.
    fn default() -> Self {
        let day_ms = 24 * 60 * 60 * 1000;
        Self {
            log: LogOptions::new("journal"),
            retention_ms: 30 * day_ms,
            max_unfinished: 1_000_000,
            limits: Limits::default(),
            faults: Faults::default(),
        }
    }
}

/// What was found when the journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// What was found of the log.
    pub log: Opened,
    /// Sagas that have not ended and will be resumed.
    pub unfinished: usize,
    /// Records whose saga's first record is damaged.
    pub orphans: u64,
}

/// Why the journal cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The log cannot.
    #[error("the saga journal: {0}")]
    Log(#[from] LogError),
    /// A newer version wrote it.
    #[error("the saga journal, position {position}: {error}; use the version that wrote it")]
    Record {
        /// In the log.
        position: u64,
        /// What was found.
        error: UnknownRecord,
    },
}

/// Reads the journal. Ended sagas older than the retention are left out, and segments with no others are removed.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    clock: &dyn Clock,
    options: &SagaOptions,
) -> Result<(Log, Index, Found), OpenError> {
    let mut index = Index::default();
    let mut bad = None;
    let mut orphans = Vec::new();
    let mut visit = |record: log::Record| match Entry::decode(record.kind, record.version, &record.payload) {
        Ok(entry) => orphans.extend(index.place(record.position, &entry)),
        Err(error) => {
            bad.get_or_insert(OpenError::Record { position: record.position, error });
        }
    };
    let (log, opened) = Log::open(disk, dir, options.log.clone(), &mut visit)?;
    if let Some(error) = bad {
        return Err(error);
    }
    let ended_before_ms = clock.now_ms().saturating_sub(options.retention_ms);
    forget(&mut index, ended_before_ms);
    let oldest = index.oldest_position(ended_before_ms, log.end());
    log.remove_before(oldest)?;
    // A saga that was forgotten may have left records in a segment that is kept.
    let start = log.start();
    let orphans = orphans.iter().filter(|saga| **saga >= start).count() as u64;
    index.wake_parents();
    let mut unfinished = 0;
    for saga in index.all().filter(|saga| !saga.is_choreographed()) {
        let mut state = saga.state();
        // Also one that waited: its time may have come, and an attempt may have begun that left no record.
        state.cut_short = !state.is_ended();
        unfinished += usize::from(!state.is_ended());
    }
    Ok((log, index, Found { log: opened, unfinished, orphans }))
}

/// Takes sagas out that ended before that time. What still needs attention stays.
pub(crate) fn forget(index: &mut Index, ended_before_ms: u64) {
    let is_old = |saga: &&Arc<crate::index::Saga>| {
        let state = saga.state();
        let began_long_ago = saga.is_choreographed() && saga.started_at_ms < ended_before_ms;
        began_long_ago || state.has_answered() && state.ended_at_ms.is_some_and(|at| at < ended_before_ms)
    };
    let old: Vec<_> = index.all().filter(is_old).cloned().collect();
    for saga in old {
        index.remove(&saga);
    }
}
