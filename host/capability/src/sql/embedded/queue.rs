//! A bounded queue between async callers and threads, and the ticket by which a caller takes back what no thread has
//! begun yet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Why a job was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

/// How long to wait for company, once there is a job.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Linger {
    /// Until this many jobs wait,
    pub(super) jobs: usize,
    /// but no longer than this; real time, since nothing but throughput depends on it.
    pub(super) at_most: Duration,
}

pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    capacity: usize,
}

struct State<T> {
    jobs: VecDeque<T>,
    /// Threads that wait for a job.
    idle: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let state = State { jobs: VecDeque::new(), idle: 0, closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new(), capacity }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job in. Answers whether more jobs wait now than threads for them.
    pub(super) fn push(&self, job: T) -> Result<bool, Refused> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.jobs.len() >= self.capacity {
            return Err(Refused::Full);
        }
        state.jobs.push_back(job);
        let short = state.jobs.len() > state.idle;
        drop(state);
        self.arrived.notify_one();
        Ok(short)
    }

    /// The next job; `None` when the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        self.pop_group(1, |_| false, Linger::default())?.pop()
    }

    /// The next job, and those right behind it as long as all of them `join`, at most `max`. `None` when the queue
    /// is closed and empty.
    pub(super) fn pop_group(&self, max: usize, join: impl Fn(&T) -> bool, linger: Linger) -> Option<Vec<T>> {
        let mut state = self.state();
        while state.jobs.is_empty() && !state.closed {
            state.idle += 1;
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        let fewer = |state: &mut State<T>| state.jobs.len() < linger.jobs && !state.closed;
        if !linger.at_most.is_zero() && fewer(&mut state) {
            let waited = self.arrived.wait_timeout_while(state, linger.at_most, fewer);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let alike = state.jobs.iter().take(max).take_while(|job| join(job)).count();
        let taken = alike.max(1).min(state.jobs.len());
        (taken > 0).then(|| state.jobs.drain(..taken).collect())
    }

    /// Takes nothing in any more; what is in stays to be popped.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_all();
    }

    /// Closes and drops what is in, so that whoever waits for it learns.
    pub(super) fn abandon(&self) {
        let dropped = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.jobs)
        };
        self.arrived.notify_all();
        drop(dropped);
    }
}

/// Closes a queue when its last thread ends, in whatever way.
pub(super) struct AbandonOnExit<'a, T>(pub(super) &'a Queue<T>);

impl<T> Drop for AbandonOnExit<'_, T> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Who was first: the thread that begins the job, or the caller who gives it up.
#[derive(Default)]
pub(super) struct Ticket(AtomicU8);

const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Ticket {
    /// The job begins. Answers whether it still should.
    pub(super) fn begin(&self) -> bool {
        self.0.compare_exchange(0, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The caller gives the job up. Answers whether it will never begin.
    pub(super) fn give_up(&self) -> bool {
        self.0.compare_exchange(0, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_end_where_a_job_does_not_join() {
        let queue = Queue::new(10);
        for job in [1, 3, 5, 2, 7] {
            queue.push(job).unwrap();
        }
        let odd = |job: &i32| job % 2 == 1;
        assert_eq!(queue.pop_group(2, odd, Linger::default()), Some(vec![1, 3]));
        assert_eq!(queue.pop_group(9, odd, Linger::default()), Some(vec![5]));
        assert_eq!(queue.pop_group(9, odd, Linger::default()), Some(vec![2]));
        assert_eq!(queue.pop_group(9, odd, Linger::default()), Some(vec![7]));
    }

    #[test]
    fn lingering_ends_when_enough_have_come() {
        let queue = Queue::new(10);
        queue.push(1).unwrap();
        let linger = Linger { jobs: 3, at_most: Duration::from_secs(3_600) };
        std::thread::scope(|scope| {
            let group = scope.spawn(|| queue.pop_group(9, |_| true, linger));
            queue.push(2).unwrap();
            queue.push(3).unwrap();
            assert_eq!(group.join().unwrap(), Some(vec![1, 2, 3]));
        });
    }

    #[test]
    fn a_full_queue_and_a_closed_one_refuse() {
        let queue = Queue::new(1);
        assert_eq!(queue.push(1), Ok(true));
        assert_eq!(queue.push(2), Err(Refused::Full));
        queue.close();
        assert_eq!(queue.push(3), Err(Refused::Closed));
        assert_eq!(queue.pop(), Some(1));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn a_ticket_is_either_begun_or_given_up() {
        let ticket = Ticket::default();
        assert!(ticket.begin());
        assert!(!ticket.give_up());
        let ticket = Ticket::default();
        assert!(ticket.give_up());
        assert!(!ticket.begin());
    }
}
