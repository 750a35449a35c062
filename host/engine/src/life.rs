//! How long an instance that serves several calls lives: it ends when it is idle, and when the latest deadline of what it
//! has accepted has passed, stuck or not.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wasmtime_wasi_http::handler::{WorkerExpiration, WorkerStatus};

use weft_core::Clock;

use crate::meter::Pauses;

/// How long a reusable instance waits for something to do before it is dropped.
const IDLE: Duration = Duration::from_secs(10);

/// What an instance's worker and its expiration both know of its life.
#[derive(Default)]
pub(crate) struct Life {
    /// The latest deadline of what it has accepted.
    deadline: Mutex<Duration>,
    /// Whether it was ended because that deadline passed.
    expired: AtomicBool,
}

impl Life {
    /// Notes that it has accepted something that may take until `deadline`.
    pub fn serve_until(&self, deadline: Duration) {
        let mut latest = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = deadline.max(*latest);
    }

    pub fn has_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }
}

/// Ends an instance whose deadline has passed, also one that is stuck, and one that is idle.
pub(crate) struct Expiration {
    clock: Arc<dyn Clock>,
    life: Arc<Life>,
    pauses: Arc<Pauses>,
    /// The same moment on the process's clock and on the host's.
    began: (Instant, Duration),
    timer: Option<(Duration, Pin<Box<tokio::time::Sleep>>)>,
}

impl Expiration {
    pub fn new(clock: Arc<dyn Clock>, life: Arc<Life>, pauses: Arc<Pauses>) -> Self {
        let began = (Instant::now(), clock.monotonic());
        Self { clock, life, pauses, began, timer: None }
    }
}

// A boxed timer behind `&mut self` alone; nothing is shared.
impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        // It is asked when there is nothing to drive.
        self.pauses.note();
        let due = match status {
            // No clock is looked at: this is asked after each request.
            WorkerStatus::Idle => self.began.1 + start.saturating_duration_since(self.began.0) + IDLE,
            WorkerStatus::Requests | WorkerStatus::PostReturn => {
                *self.life.deadline.lock().unwrap_or_else(PoisonError::into_inner)
            }
        };
        // A timer that fires too early is set again; so it is only made anew when it would fire too late.
        let stale = self.timer.as_ref().is_none_or(|(at, _)| *at > due);
        if stale {
            let remaining = due.saturating_sub(self.clock.monotonic());
            self.timer = Some((due, Box::pin(tokio::time::sleep(remaining))));
        }
        let Some((_, timer)) = &mut self.timer else { return Poll::Pending };
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.timer = None;
        if self.clock.monotonic() >= due {
            self.life.expired.store(true, Ordering::Relaxed);
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
