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
        let seat = Arc::new(Seat::new(pool));
        Self { waker: seat.clone().into(), life: Box::pin(live(seat.clone(), first)), seat }
    }

    pub fn poll(&mut self) -> Polled {
        self.seat.attend();
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
        let goes_on = match instance.poll() {
            Polled::Ended => None,
            Polled::Waits => Some(instance),
            // Without its pool the function was replaced.
            Polled::Rests => instance.seat.pool.upgrade().and_then(|pool| pool.rest(instance)),
        };
        let Some(instance) = goes_on else { return Poll::Ready(()) };
        if instance.seat.wait(context.waker()).is_err() {
            // Others have their turn before it.
            context.waker().wake_by_ref();
        }
        self.0 = Some(instance);
        Poll::Pending
    }
}

/// What is known of an instance from outside. It is its waker as well, whoever drives it.
pub(crate) struct Seat<W: Work> {
    pool: Weak<Pool<W>>,
    /// Where work is laid down for it.
    work: Mutex<Option<W>>,
    /// Whether it has nothing more to do, as it says itself.
    is_done: AtomicBool,
    /// Whether it was woken since its driver attended to it last.
    is_woken: AtomicBool,
    driver: Mutex<Driver>,
}

/// It was woken.
pub(crate) struct Woken;

/// Who drives an instance.
enum Driver {
    /// Somebody does at this moment, or is about to.
    Somebody,
    /// This task, once it is woken.
    Task(Waker),
    /// Nobody: it rests.
    Nobody,
}

impl<W: Work> Seat<W> {
    fn new(pool: Weak<Pool<W>>) -> Self {
        Self {
            pool,
            work: Mutex::default(),
            is_done: AtomicBool::new(false),
            is_woken: AtomicBool::new(false),
            driver: Mutex::new(Driver::Somebody),
        }
    }

    /// Its driver looks after all that it was woken for so far.
    pub fn attend(&self) {
        // What was written before each of these wakes is seen by the driver now.
        self.is_woken.swap(false, SeqCst);
    }

    /// Whether it was woken since.
    pub fn is_woken(&self) -> bool {
        self.is_woken.load(SeqCst)
    }

    /// It begins to rest.
    ///
    /// # Errors
    /// If it was woken since its driver attended to it; then it does not.
    pub fn lie_down(&self) -> Result<(), Woken> {
        self.leave(Driver::Nobody)
    }

    /// It goes on in this task once it is woken.
    ///
    /// # Errors
    /// If it was woken since its driver attended to it; then it goes on at once.
    pub fn wait(&self, task: &Waker) -> Result<(), Woken> {
        self.leave(Driver::Task(task.clone()))
    }

    fn leave(&self, to: Driver) -> Result<(), Woken> {
        let mut driver = locked(&self.driver);
        // A wake notes itself first and then looks who drives.
        if self.is_woken() {
            return Err(Woken);
        }
        *driver = to;
        Ok(())
    }

    /// It does not rest any more.
    pub fn rise(&self, work: Option<W>) {
        *locked(&self.driver) = Driver::Somebody;
        self.is_done.store(false, Relaxed);
        *locked(&self.work) = work;
    }

    /// Lays work down for it. Somebody has to wake it.
    pub fn lay_down(&self, work: W) {
        *locked(&self.work) = Some(work);
    }

    /// Takes what is laid down for it.
    pub fn take(&self) -> Option<W> {
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
        if self.is_woken.swap(true, SeqCst) {
            return;
        }
        let mut driver = locked(&self.driver);
        match std::mem::replace(&mut *driver, Driver::Somebody) {
            // It looks before it leaves.
            Driver::Somebody => {}
            Driver::Task(task) => {
                drop(driver);
                task.wake();
            }
            Driver::Nobody => {
                *driver = Driver::Nobody;
                drop(driver);
                if let Some(pool) = self.pool.upgrade() {
                    pool.rouse(self);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::reused::Call;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    impl Wakes {
        fn so_far(&self) -> usize {
            self.0.load(SeqCst)
        }
    }

    fn driven(life: impl Future<Output = ()> + Send + 'static) -> Driven<Call> {
        let seat = Arc::new(Seat::new(Weak::new()));
        Driven { waker: seat.clone().into(), life: Box::pin(life), seat }
    }

    #[test]
    fn what_is_woken_while_it_is_driven_goes_on() {
        let mut polls = 0;
        let instance = driven(poll_fn(move |context| {
            polls += 1;
            if polls == 1 {
                context.waker().wake_by_ref();
            }
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        }));
        let seat = instance.seat.clone();
        let (wakes, mut task) = (Arc::new(Wakes::default()), Task::new(instance));
        let waker = wakes.clone().into();
        let mut context = Context::from_waker(&waker);
        let mut poll = || Pin::new(&mut task).poll(&mut context);
        assert!(poll().is_pending());
        assert_eq!(wakes.so_far(), 1);
        assert!(poll().is_pending());
        assert_eq!(wakes.so_far(), 1);
        // However often it is woken, its task is once.
        (0..3).for_each(|_| seat.wake_by_ref());
        assert_eq!(wakes.so_far(), 2);
        assert!(poll().is_ready());
    }

    #[test]
    fn it_rests_only_where_it_was_not_woken() {
        let seat = Arc::new(Seat::<Call>::new(Weak::new()));
        seat.wake_by_ref();
        assert!(seat.lie_down().is_err());
        assert!(seat.wait(Waker::noop()).is_err());
        seat.attend();
        assert!(seat.lie_down().is_ok());
    }

    /// A lost wake leaves the two waiting for each other.
    #[test]
    fn no_wake_from_another_thread_is_lost() {
        const ROUNDS: usize = 100_000;
        let (asked, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let instance = driven({
            let (asked, answered) = (asked.clone(), answered.clone());
            poll_fn(move |_| {
                let asked = asked.load(Relaxed);
                answered.store(asked, Relaxed);
                if asked == ROUNDS { Poll::Ready(()) } else { Poll::Pending }
            })
        });
        let seat = instance.seat.clone();
        let other = std::thread::spawn(move || {
            for round in 1..=ROUNDS {
                asked.store(round, Relaxed);
                seat.wake_by_ref();
                while answered.load(Relaxed) < round {
                    std::thread::yield_now();
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let within = async { tokio::time::timeout(Duration::from_secs(60), Task::new(instance)).await };
        runtime.block_on(within).expect("a wake was lost");
        other.join().unwrap();
    }
}
