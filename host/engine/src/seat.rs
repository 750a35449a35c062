//! An instance as those see it who drive it or have work for it: who drives it now, what is laid down for it, whether it rests. It is
//! its own waker, whoever drives it. Which instance gets what is `pool`'s business.

use std::pin::Pin;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};

use crate::pool::{Pool, locked};
use crate::worker::{Work, live};

/// An instance, to be driven by whoever has it.
pub(crate) struct Driven<W: Work> {
    pub seat: Arc<Seat<W>>,
    waker: Waker,
    life: Pin<Box<dyn Future<Output = ()> + Send>>,
}

pub(crate) enum Polled {
    Ended,
    Rests,
    Waits,
}

impl<W: Work> Driven<W> {
    pub fn new(pool: Weak<Pool<W>>, first: W) -> Self {
        let seat = Arc::new(Seat {
            pool,
            work: Mutex::default(),
            is_done: AtomicBool::new(false),
            is_woken: AtomicBool::new(false),
            driver: Mutex::new(Driver::Here),
        });
        Self { waker: seat.clone().into(), life: Box::pin(live(seat.clone(), first)), seat }
    }

    pub fn poll(&mut self) -> Polled {
        let mut context = Context::from_waker(&self.waker);
        match self.life.as_mut().poll(&mut context) {
            Poll::Ready(()) => Polled::Ended,
            Poll::Pending if self.seat.is_done() => Polled::Rests,
            Poll::Pending => Polled::Waits,
        }
    }
}

/// An instance that is driven in a task, until it rests.
pub(crate) struct Task<W: Work>(Option<Driven<W>>);

impl<W: Work> Task<W> {
    pub fn new(instance: Driven<W>) -> Self {
        Self(Some(instance))
    }
}

impl<W: Work> Future for Task<W> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(mut instance) = self.0.take() else { return Poll::Ready(()) };
        instance.seat.attend(context.waker());
        self.0 = match instance.poll() {
            Polled::Ended => None,
            Polled::Waits => Some(instance),
            // Without its pool the function was replaced. Where it was woken meanwhile, so was this task.
            Polled::Rests => instance.seat.pool.upgrade().and_then(|pool| pool.rest(instance)),
        };
        if self.0.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

/// What is known of an instance from outside. It is its waker as well, whoever drives it.
pub(crate) struct Seat<W: Work> {
    pool: Weak<Pool<W>>,
    /// Where work is laid down for it.
    work: Mutex<Option<W>>,
    /// Whether it has nothing more to do, as it says itself.
    is_done: AtomicBool,
    /// Whether it was woken since it looked for work last.
    is_woken: AtomicBool,
    driver: Mutex<Driver>,
}

/// It was woken.
pub(crate) struct Woken;

/// Who drives an instance.
pub(crate) enum Driver {
    /// Whoever brought the work, at this moment.
    Here,
    Task(Waker),
    /// Nobody: it rests.
    Nobody,
}

impl<W: Work> Seat<W> {
    /// It begins to rest. Answers who has driven it.
    ///
    /// # Errors
    /// If it was woken since it looked for work last; then it does not.
    pub fn lie_down(&self) -> Result<Driver, Woken> {
        let mut driver = locked(&self.driver);
        let before = std::mem::replace(&mut *driver, Driver::Nobody);
        // A wake notes itself first and then looks who drives.
        if self.is_woken.load(SeqCst) {
            *driver = before;
            return Err(Woken);
        }
        Ok(before)
    }

    /// It does not rest any more.
    pub fn rise(&self, work: Option<W>) {
        *locked(&self.driver) = Driver::Here;
        self.is_done.store(false, Relaxed);
        *locked(&self.work) = work;
    }

    /// Lays work down for it. Somebody has to wake it.
    pub fn lay_down(&self, work: W) {
        *locked(&self.work) = Some(work);
    }

    /// It is driven by a task.
    pub fn attend(&self, task: &Waker) {
        let mut driver = locked(&self.driver);
        if !matches!(&*driver, Driver::Task(known) if known.will_wake(task)) {
            *driver = Driver::Task(task.clone());
        }
    }

    /// It looks for work. Whatever it was woken for before, it looks after that now.
    pub fn look(&self) -> Option<W> {
        self.is_woken.store(false, SeqCst);
        self.take()
    }

    fn take(&self) -> Option<W> {
        let work = locked(&self.work).take()?;
        self.is_done.store(false, Relaxed);
        Some(work)
    }

    /// Says that it has nothing more to do.
    pub fn finish(&self) {
        self.is_done.store(true, Relaxed);
    }

    /// Whether it has said so.
    pub fn is_done(&self) -> bool {
        self.is_done.load(Relaxed)
    }

    /// Says that it has room for more.
    pub fn offer(self: &Arc<Self>) {
        if let Some(pool) = self.pool.upgrade() {
            pool.open(self.clone());
        }
    }

    /// Says that it has no room any more; gives back what was laid down before.
    pub fn withdraw(self: &Arc<Self>) -> Option<W> {
        if let Some(pool) = self.pool.upgrade() {
            pool.close(self);
        }
        self.take()
    }

    /// Hands work on to another instance.
    pub fn pass_on(&self, work: W) {
        if let Some(pool) = self.pool.upgrade() {
            pool.give(work);
        }
    }
}

impl<W: Work> Wake for Seat<W> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, SeqCst);
        let driver = locked(&self.driver);
        match &*driver {
            // Woken while it is driven, it goes on in a task.
            Driver::Here => {}
            Driver::Task(task) => task.wake_by_ref(),
            Driver::Nobody => {
                drop(driver);
                if let Some(pool) = self.pool.upgrade() {
                    pool.rouse(self);
                }
            }
        }
    }
}
