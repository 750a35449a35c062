//! Bounds on what waits in work queues. A bound counts what is appended and what is settled; the log asks it before it
//! takes an event, under the lock that it takes events under, so it is exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use weft_core::manifest::{Overflow, WorkQueue};
use weft_core::topic::TopicPattern;

/// The bound of one subscription.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) subscription: Arc<str>,
    topic: TopicPattern,
    pub(super) max_length: u32,
    overflow: Overflow,
    waiting: AtomicI64,
}

impl Bound {
    pub(super) fn new(subscription: Arc<str>, topic: TopicPattern, queue: &WorkQueue) -> Self {
        let (max_length, overflow) = (queue.max_length, queue.overflow);
        Self { subscription, topic, max_length, overflow, waiting: AtomicI64::new(0) }
    }

    pub(super) fn covers(&self, topic: &str) -> bool {
        self.topic.matches(topic)
    }

    /// Whether `more` events can be taken.
    pub(super) fn has_room(&self, more: i64) -> bool {
        self.overflow != Overflow::Reject || self.waiting.load(Ordering::Acquire) + more <= i64::from(self.max_length)
    }

    /// How many of the oldest have to go.
    pub(super) fn excess(&self) -> usize {
        if self.overflow == Overflow::Reject {
            return 0;
        }
        usize::try_from(self.waiting.load(Ordering::Acquire) - i64::from(self.max_length)).unwrap_or(0)
    }

    pub(super) fn appended(&self, count: i64) {
        self.waiting.fetch_add(count, Ordering::AcqRel);
    }

    pub(super) fn settled(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// To be counted anew.
    pub(super) fn reset(&self) {
        self.waiting.store(0, Ordering::Release);
    }
}
