//! Lets go of old events, as far as no served subscription needs them. It is asked whenever the log has grown, so an
//! idle log costs nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weft_core::Clock;

use super::message_log::MessageLog;
use super::pump::Shown;

#[derive(Debug)]
pub(super) struct Retention {
    log: Arc<MessageLog>,
    clock: Arc<dyn Clock>,
    readers: Mutex<BTreeMap<Arc<str>, Arc<Shown>>>,
    running: Arc<AtomicBool>,
    /// Whether every subscription has said what it needs. Until then all events stay.
    complete: AtomicBool,
}

impl Retention {
    pub(super) fn new(log: Arc<MessageLog>, clock: Arc<dyn Clock>) -> Self {
        Self { log, clock, readers: Mutex::default(), running: Arc::default(), complete: AtomicBool::new(false) }
    }

    fn readers(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Shown>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, what this subscription has not settled stays.
    pub(super) fn needs(&self, id: Arc<str>, shown: Arc<Shown>) {
        self.readers().insert(id, shown);
    }

    pub(super) fn needs_no_more(&self, id: &str) {
        self.readers().remove(id);
    }

    /// From now on, what no subscription has asked for is needed by none.
    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Removes what is old, if anything is. Nothing waits for it.
    pub(super) fn run(&self) {
        let now_ms = self.clock.now_ms();
        let wanted = self.complete.load(Ordering::Acquire) && self.log.has_old(now_ms);
        if !wanted || self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let needed = self.readers().values().map(|shown| shown.needed()).min().unwrap_or(u64::MAX);
        let (log, running) = (Arc::clone(&self.log), Arc::clone(&self.running));
        tokio::task::spawn_blocking(move || {
            match log.retain(now_ms, needed) {
                Ok(0) => {}
                Ok(segments) => tracing::info!(segments, "old events were removed"),
                Err(error) => tracing::error!(%error, "old events cannot be removed"),
            }
            running.store(false, Ordering::Release);
        });
    }
}
