//! Connections of one component to one kind of server: how many may be open, and those that wait for another use. What
//! a connection is, and whether it is fit for another use, is the client's business.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use weft_core::Clock;

/// Connections of one component to one kind of server, those that wait included.
pub const MAX_OPEN: usize = 64;
/// Connections that wait for another use.
const MAX_IDLE: usize = 16;
/// How long a connection waits for another use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// [`MAX_OPEN`] connections are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_OPEN} connections of this component are open; close one first, or try again later")]
pub struct TooMany;

/// The right to have one connection open.
#[derive(Debug)]
pub struct Permit {
    _held: OwnedSemaphorePermit,
}

/// A pool. Cheap to clone.
pub struct Pool<T> {
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Idle<T>>>,
    clock: Arc<dyn Clock>,
}

struct Idle<T> {
    /// The oldest first.
    waiting: Vec<Waiting<T>>,
    next_id: u64,
}

struct Waiting<T> {
    id: u64,
    key: Arc<str>,
    connection: T,
    permit: Permit,
}

impl<T> Clone for Pool<T> {
    fn clone(&self) -> Self {
        Self { permits: self.permits.clone(), idle: self.idle.clone(), clock: self.clock.clone() }
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("free", &self.permits.available_permits()).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Pool<T> {
    /// An empty pool.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let idle = Idle { waiting: Vec::new(), next_id: 0 };
        Self { permits: Arc::new(Semaphore::new(MAX_OPEN)), idle: Arc::new(Mutex::new(idle)), clock }
    }

    fn idle(&self) -> MutexGuard<'_, Idle<T>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that waits under `key`, the one used last.
    #[must_use]
    pub fn take(&self, key: &str) -> Option<(T, Permit)> {
        let mut idle = self.idle();
        let at = idle.waiting.iter().rposition(|waiting| *waiting.key == *key)?;
        let found = idle.waiting.remove(at);
        Some((found.connection, found.permit))
    }

    /// The right to open one more; a connection that waits is closed for it if need be.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn permit(&self) -> Result<Permit, TooMany> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(Permit { _held: permit });
        }
        let mut idle = self.idle();
        if idle.waiting.is_empty() { Err(TooMany) } else { Ok(idle.waiting.remove(0).permit) }
    }

    /// Keeps a connection for another use, for a while.
    pub fn put(&self, key: Arc<str>, connection: T, permit: Permit) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut idle = self.idle();
        if idle.waiting.len() >= MAX_IDLE {
            idle.waiting.remove(0);
        }
        let id = idle.next_id;
        idle.next_id += 1;
        idle.waiting.push(Waiting { id, key, connection, permit });
        drop(idle);
        let (pool, timeout) = (Arc::downgrade(&self.idle), self.clock.sleep(IDLE_TIMEOUT));
        runtime.spawn(async move {
            timeout.await;
            let Some(pool) = pool.upgrade() else { return };
            let mut idle = pool.lock().unwrap_or_else(PoisonError::into_inner);
            idle.waiting.retain(|waiting| waiting.id != id);
        });
    }
}

#[cfg(test)]
mod tests {
    use weft_core::clock::ManualClock;

    use super::*;

    #[tokio::test]
    async fn connections_are_kept_for_a_while_and_never_too_many() {
        let clock = Arc::new(ManualClock::default());
        let pool: Pool<u32> = Pool::new(clock.clone());
        let permits: Vec<_> = (0..MAX_OPEN).map(|_| pool.permit().unwrap()).collect();
        assert_eq!(pool.permit().unwrap_err(), TooMany);
        for (n, permit) in (0..).zip(permits) {
            pool.put("a".into(), n, permit);
        }
        assert_eq!(pool.permits.available_permits(), MAX_OPEN - MAX_IDLE);
        assert!(pool.take("b").is_none());
        let (last, permit) = pool.take("a").unwrap();
        assert_eq!(usize::try_from(last).unwrap(), MAX_OPEN - 1);
        pool.put("a".into(), last, permit);
        while pool.permits.available_permits() < MAX_OPEN {
            clock.advance(IDLE_TIMEOUT);
            tokio::task::yield_now().await;
        }
        assert!(pool.take("a").is_none());
    }

    #[tokio::test]
    async fn a_connection_that_waits_makes_room_for_one_to_another_server() {
        let pool: Pool<u32> = Pool::new(Arc::new(ManualClock::default()));
        let mut permits: Vec<_> = (0..MAX_OPEN).map(|_| pool.permit().unwrap()).collect();
        pool.put("a".into(), 1, permits.pop().unwrap());
        let _another = pool.permit().unwrap();
        assert!(pool.take("a").is_none());
        assert!(pool.permit().is_err());
    }
}
