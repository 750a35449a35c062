//! What a pump shows of itself to whoever asks for its status, and to the retention of the log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::SubscriptionStatus;

#[derive(Debug, Default)]
pub(in crate::messaging) struct Shown {
    waiting: AtomicU64,
    parked: AtomicU64,
    next: AtomicU64,
    in_flight: AtomicU64,
    instances: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    paused: AtomicBool,
    /// The oldest position of the log that it needs.
    needed: AtomicU64,
    stopped: Mutex<Option<String>>,
}

/// How a pump stands.
pub(super) struct Now {
    pub(super) waiting: u64,
    pub(super) parked: u64,
    pub(super) in_flight: u64,
    pub(super) instances: u64,
    pub(super) paused: bool,
    pub(super) next: u64,
}

impl Shown {
    pub(in crate::messaging) fn needed(&self) -> u64 {
        self.needed.load(Ordering::Acquire)
    }

    pub(super) fn set_needed(&self, position: u64) {
        self.needed.store(position, Ordering::Release);
    }

    pub(in crate::messaging) fn stopped(&self) -> Option<String> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_stopped(&self, why: Option<String>) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    pub(super) fn count(&self, delivered: bool) {
        let count = if delivered { &self.delivered } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn show(&self, now: &Now) {
        self.waiting.store(now.waiting, Ordering::Relaxed);
        self.parked.store(now.parked, Ordering::Relaxed);
        self.in_flight.store(now.in_flight, Ordering::Relaxed);
        self.instances.store(now.instances, Ordering::Relaxed);
        self.paused.store(now.paused, Ordering::Relaxed);
        // Last, and read first: what is no longer unread is seen as waiting.
        self.next.store(now.next, Ordering::Release);
    }

    /// `count_behind` tells about how many events lie behind a position.
    pub(in crate::messaging) fn status(
        &self,
        id: Arc<str>,
        members: Vec<Arc<str>>,
        log_end: u64,
        count_behind: impl Fn(u64) -> u64,
    ) -> SubscriptionStatus {
        let next = self.next.load(Ordering::Acquire);
        let number = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (waiting, parked) = (number(&self.waiting), number(&self.parked));
        SubscriptionStatus {
            id,
            members,
            waiting,
            parked,
            unread_bytes: log_end.saturating_sub(next),
            lag: waiting + parked + count_behind(next),
            in_flight: number(&self.in_flight),
            instances: number(&self.instances),
            delivered: number(&self.delivered),
            failed: number(&self.failed),
            paused: self.paused.load(Ordering::Relaxed),
            stopped: self.stopped(),
        }
    }
}
