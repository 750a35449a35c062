//! Waiting in one thread: a clock, and something that wakes who waits for a change. Native tests and the component
//! drive it alike, by the wakers of whoever polls.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::future::LocalBoxFuture;

/// The time.
pub trait Clock {
    /// Milliseconds since the Unix epoch. Leases of other processes are measured by it, so their clocks have to agree
    /// within seconds.
    fn now_ms(&self) -> u64;
    /// Resolves when so much time has passed.
    fn sleep(&self, duration_ms: u64) -> LocalBoxFuture<'static, ()>;
}

/// Something that changes.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    version: Cell<u64>,
    wakers: RefCell<Vec<Waker>>,
}

impl Changed {
    /// Wakes all who wait.
    pub(crate) fn notify(&self) {
        self.version.set(self.version.get().wrapping_add(1));
        for waker in self.wakers.take() {
            waker.wake();
        }
    }

    /// Resolves when it changes from now on.
    pub(crate) fn next(&self) -> Next<'_> {
        Next { changed: self, seen: self.version.get() }
    }
}

pub(crate) struct Next<'a> {
    changed: &'a Changed,
    seen: u64,
}

impl Future for Next<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.changed.version.get() != self.seen {
            return Poll::Ready(());
        }
        let mut wakers = self.changed.wakers.borrow_mut();
        if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// The pauses between looks at what others may have written.
#[derive(Debug, Default)]
pub(crate) struct Pauses(u64);

impl Pauses {
    const FIRST_MS: u64 = 50;
    const LONGEST_MS: u64 = 1000;

    pub(crate) fn next_ms(&mut self) -> u64 {
        self.0 = (self.0 * 2).clamp(Self::FIRST_MS, Self::LONGEST_MS);
        self.0
    }
}

/// Lets everything else that can go on do so once.
pub(crate) async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
