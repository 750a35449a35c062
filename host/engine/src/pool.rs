//! The instances of one function, which serve one request each or several, and how work comes to one of them.
//!
//! Work that comes in together is begun together: whoever comes first waits until all tasks that were ready have had their turn,
//! and then one instance does the work of all, one after the other. Its code and its memory are at hand then, and so are those of the
//! gateway while the others are read; a request costs a quarter less. Who is alone is served where it is, and work that takes long is
//! begun each in a task of its own.
//!
//! An instance that has to wait goes on in its own task. When it has nothing more to do it rests, and the one that has rested for the
//! shortest time is taken first; the others end after a while. What goes on inside an instance is `worker`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake as _};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::background::is_at_the_side;
use crate::habit::{Habit, Way};
use crate::meter::is_driving;
use crate::seat::{Driven, Polled, Seat, Task};
use crate::shared::Shared;
use crate::worker::Work;

/// How often it is looked which instances have rested since the last time; these end.
const SWEEP: Duration = Duration::from_secs(5);
/// So much of what waits is begun before other tasks have their turn.
const MOST_AT_ONCE: u32 = 64;
/// What takes longer keeps those behind it waiting for longer than it saves.
const BRIEF: Duration = Duration::from_micros(500);

/// The instances of one function.
pub(crate) struct Pool<W: Work> {
    shared: Arc<Shared>,
    state: Mutex<State<W>>,
}

struct State<W: Work> {
    /// The one that rests for the shortest time is the last.
    resting: Vec<Resting<W>>,
    /// In work, and with room for more beside it.
    open: Vec<Arc<Seat<W>>>,
    /// How often it was looked, and whether somebody does.
    sweeps: u64,
    is_swept: bool,
    /// What came in and is not begun.
    queue: VecDeque<W>,
    /// Whether somebody is about to begin it.
    is_expected: bool,
    habit: Habit,
}

struct Resting<W: Work> {
    instance: Driven<W>,
    /// The number of the sweep before.
    since: u64,
}

impl<W: Work> Pool<W> {
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        let state = State {
            resting: Vec::new(),
            open: Vec::new(),
            sweeps: 0,
            is_swept: false,
            queue: VecDeque::new(),
            is_expected: false,
            habit: Habit::default(),
        };
        Arc::new(Self { shared, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        locked(&self.state)
    }

    /// Sees to it that work is done, by an instance that rests, by one in work that has room, or by a new one.
    pub fn give(self: &Arc<Self>, work: W) {
        let Shared { clock, background, .. } = &*self.shared;
        let function = work.function().clone();
        let place = function.pace.place(&**clock, background);
        let Some((work, may_be_here)) = (if place.is_none() { self.gather(work) } else { Some((work, false)) }) else {
            return;
        };
        let Some(mut instance) = self.find(work) else { return };
        // The event loop of a store cannot be driven inside another's.
        if may_be_here && !is_driving() && !is_at_the_side() {
            instance = match self.drive(instance) {
                Some(instance) => instance,
                None => return,
            };
        }
        self.spawn(instance, place);
    }

    /// Puts work to what waits; gives it back, and whether it may be driven here, if it is better begun by itself.
    fn gather(self: &Arc<Self>, work: W) -> Option<(W, bool)> {
        let mut state = self.state();
        match state.habit.next() {
            Way::Apart => return Some((work, false)),
            Way::Here if state.queue.is_empty() => return Some((work, true)),
            Way::Here | Way::Gathered => {}
        }
        let Some(runtime) = self.runtime() else { return Some((work, false)) };
        state.queue.push_back(work);
        let is_expected = std::mem::replace(&mut state.is_expected, true);
        drop(state);
        if !is_expected {
            runtime.spawn(Beginning { pool: self.clone(), has_waited: false });
        }
        None
    }

    /// Begins what waits; whether more waits after that.
    fn begin(self: &Arc<Self>) -> bool {
        // From now on others are begun at the same time.
        self.state().is_expected = false;
        let clock = &self.shared.clock;
        let (mut begun, mut start) = (0, clock.monotonic());
        let mut is_long = false;
        while begun < MOST_AT_ONCE && !is_long {
            let Some(work) = self.next() else { break };
            begun += 1;
            let Some(instance) = self.find(work) else { continue };
            if let Some(instance) = self.drive(instance) {
                self.spawn(instance, None);
            }
            let end = clock.monotonic();
            is_long = end - start > BRIEF;
            start = end;
        }
        let more = self.note(begun, is_long);
        if is_long {
            self.disperse();
        }
        more && !is_long
    }

    /// Notes how much was begun together, and whether the last of it took long, and what that says of what comes next. Answers
    /// whether more waits.
    fn note(&self, begun: u32, is_long: bool) -> bool {
        let mut state = self.state();
        state.habit.note(begun, is_long);
        !state.queue.is_empty()
    }

    fn next(&self) -> Option<W> {
        self.state().queue.pop_front()
    }

    /// Has all that waits begun at the same time, wherever there is room.
    fn disperse(self: &Arc<Self>) {
        while let Some(work) = self.next() {
            if let Some(instance) = self.find(work) {
                self.spawn(instance, None);
            }
        }
    }

    /// An instance that has the work and is to be driven; none if one that is driven already has room for it.
    fn find(self: &Arc<Self>, work: W) -> Option<Driven<W>> {
        let mut state = self.state();
        if let Some(Resting { instance, .. }) = state.resting.pop() {
            drop(state);
            instance.seat.rise(Some(work));
            return Some(instance);
        }
        if let Some(seat) = state.open.pop() {
            seat.lay_down(work);
            drop(state);
            seat.wake_by_ref();
            return None;
        }
        drop(state);
        Some(Driven::new(Arc::downgrade(self), work))
    }

    /// Drives an instance until it rests or has ended, or else is to go on in a task: then it is given back.
    fn drive(self: &Arc<Self>, mut instance: Driven<W>) -> Option<Driven<W>> {
        match instance.poll() {
            Polled::Ended => None,
            Polled::Waits => Some(instance),
            Polled::Rests => self.rest(instance),
        }
    }

    /// Lets an instance rest; gives it back if it was woken meanwhile.
    pub fn rest(self: &Arc<Self>, instance: Driven<W>) -> Option<Driven<W>> {
        let mut state = self.state();
        if instance.seat.lie_down().is_err() {
            return Some(instance);
        }
        let since = state.sweeps;
        state.resting.push(Resting { instance, since });
        let is_swept = std::mem::replace(&mut state.is_swept, true);
        drop(state);
        if !is_swept && let Some(runtime) = self.runtime() {
            runtime.spawn(sweep(Arc::downgrade(self), self.shared.clone()));
        }
        None
    }

    /// Drives an instance that rests and was woken all the same: something that it has begun goes on.
    pub fn rouse(self: &Arc<Self>, seat: &Arc<Seat<W>>) {
        let mut state = self.state();
        // It may have got work just now.
        let Some(at) = state.resting.iter().position(|resting| Arc::ptr_eq(&resting.instance.seat, seat)) else {
            return;
        };
        let Resting { instance, .. } = state.resting.remove(at);
        drop(state);
        seat.rise(None);
        self.spawn(instance, None);
    }

    /// An instance in work has room for more.
    pub fn open(&self, seat: Arc<Seat<W>>) {
        self.state().open.push(seat);
    }

    /// It has none any more. What was laid down for it before is there.
    pub fn close(&self, seat: &Arc<Seat<W>>) {
        self.state().open.retain(|other| !Arc::ptr_eq(other, seat));
    }

    /// Drives an instance in a task.
    fn spawn(&self, instance: Driven<W>, place: Option<&Handle>) {
        let runtime = self.runtime();
        // Without one the process ends, and so does the work.
        if let Some(runtime) = place.or(runtime.as_ref()) {
            runtime.spawn(Task::new(instance));
        }
    }

    fn runtime(&self) -> Option<Handle> {
        self.shared.background.main().cloned().or_else(|| Handle::try_current().ok())
    }

    /// Those that have rested since the sweep before this one.
    fn swept(&self) -> (Vec<Resting<W>>, bool) {
        let mut state = self.state();
        let sweeps = state.sweeps;
        let ended = state.resting.partition_point(|resting| resting.since < sweeps);
        let ended = state.resting.drain(..ended).collect();
        state.sweeps += 1;
        state.is_swept = !state.resting.is_empty();
        (ended, state.is_swept)
    }
}

/// Begins what waits, when all other tasks that are ready have had their turn.
struct Beginning<W: Work> {
    pool: Arc<Pool<W>>,
    has_waited: bool,
}

impl<W: Work> Future for Beginning<W> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // A task that wakes itself stands last in the queue of its thread.
        if std::mem::replace(&mut self.has_waited, true) && !self.pool.begin() {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<W: Work> Drop for Beginning<W> {
    fn drop(&mut self) {
        // The rest is not to suffer from one that panics.
        if std::thread::panicking() {
            self.pool.disperse();
        }
    }
}

/// Ends instances that have rested for long, as long as any rests.
async fn sweep<W: Work>(pool: Weak<Pool<W>>, shared: Arc<Shared>) {
    loop {
        shared.clock.sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        // Nothing is ended while others wait for the list.
        let (ended, goes_on) = pool.swept();
        drop(ended);
        if !goes_on {
            return;
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
