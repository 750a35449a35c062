//! A point in time that a future can be polled against. The timer is only made once something really has to wait.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use weft_core::Clock;

/// A deadline on the host's clock.
pub(crate) struct Deadline {
    clock: Arc<dyn Clock>,
    at: Duration,
    timer: Option<BoxFuture<'static, ()>>,
}

impl Deadline {
    /// A deadline at `at` on the clock's monotonic time.
    pub fn at(clock: Arc<dyn Clock>, at: Duration) -> Self {
        Self { clock, at, timer: None }
    }

    /// When it is, on the clock's monotonic time.
    pub fn time(&self) -> Duration {
        self.at
    }

    /// Ready once the deadline has passed.
    pub fn poll_passed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self { clock, at, timer } = self;
        timer.get_or_insert_with(|| clock.sleep(at.saturating_sub(clock.monotonic()))).poll_unpin(context)
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline").field("at", &self.at).finish_non_exhaustive()
    }
}
