//! A timer for the deadlines of what an instance does, stuck or not: one for all of them, and none for what does not wait.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use weft_core::Clock;

/// Resolves when a deadline that may change has passed.
pub(crate) struct Expiration {
    clock: Arc<dyn Clock>,
    timer: Option<(Duration, Pin<Box<tokio::time::Sleep>>)>,
}

impl Expiration {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, timer: None }
    }

    /// Ready when `due`, on the clock's monotonic time, has passed. Else whoever polls is woken when it may have.
    pub fn poll(&mut self, cx: &mut Context<'_>, due: Duration) -> Poll<()> {
        loop {
            // A timer that fires too early is set again; so it is only made anew when it would fire too late.
            if self.timer.as_ref().is_none_or(|(at, _)| *at > due) {
                let remaining = due.saturating_sub(self.clock.monotonic());
                self.timer = Some((due, Box::pin(tokio::time::sleep(remaining))));
            }
            let Some((_, timer)) = &mut self.timer else { return Poll::Pending };
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
            if self.clock.monotonic() >= due {
                return Poll::Ready(());
            }
        }
    }
}
