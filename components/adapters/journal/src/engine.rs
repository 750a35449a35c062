//! The journal as a whole: beginning sagas and taking them over, their leases, what is due. What happens inside a run is
//! `run`; waiting from outside is `waiting`; what is asked of sagas from outside is `control`; showing them is `view`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::database::{Database, transaction};
use crate::run::{Run, Taken};
use crate::table::{self, Held};
use crate::types::{SagaError, Status, check_size};
use crate::wake::{Changed, Clock};
use crate::{MAX_KEY_BYTES, MAX_PAYLOAD_BYTES, MAX_UNFINISHED, RETENTION_MS};

/// Runs in a row that ended without a new record, after which a saga needs attention.
const MAX_IDLE_RUNS: u64 = 10;

/// All sagas of a database, as one instance sees them. Clones share it.
#[derive(Clone)]
pub struct Journal {
    pub(crate) inner: Rc<Inner>,
}

pub(crate) struct Inner {
    pub database: Rc<dyn Database>,
    pub clock: Rc<dyn Clock>,
    /// Something was written here that others may wait for.
    pub changed: Changed,
    /// The runs of this instance, by the numbers that it gave them.
    runs: RefCell<BTreeMap<u64, Rc<Run>>>,
    last_run: Cell<u64>,
}

/// Answer of [`Journal::begin`].
#[derive(Debug)]
pub enum Begun {
    /// The saga has answered.
    Finished(Vec<u8>),
    /// Run, or go on. A run that is dropped leaves the saga to another when its lease has ended.
    Run(Rc<Run>),
    /// Another run of this saga is live: wait for its answer.
    Busy,
}

impl Journal {
    /// The journal in this database. Its tables are made if they are missing.
    ///
    /// # Errors
    /// [`SagaError::Unavailable`] if they cannot be made.
    pub fn open(database: Rc<dyn Database>, clock: Rc<dyn Clock>) -> Result<Self, SagaError> {
        table::create(&*database)?;
        let (changed, runs, last_run) = (Changed::default(), RefCell::default(), Cell::default());
        Ok(Self { inner: Rc::new(Inner { database, clock, changed, runs, last_run }) })
    }

    /// Begins the saga `key` of a component, or goes on with it, or answers what it has answered. The beginning is
    /// durable when this answers.
    ///
    /// # Errors
    /// [`SagaError::KeyReused`] for another function or input; [`SagaError::TooLarge`]; [`SagaError::Unavailable`] if
    /// the saga has ended without an answer, too many are unfinished, or the database refuses.
    pub fn begin(&self, component: &str, function: &str, key: &str, input: &[u8]) -> Result<Begun, SagaError> {
        check_size("a saga's key", key.len(), MAX_KEY_BYTES)?;
        check_size("a saga's input", input.len(), MAX_PAYLOAD_BYTES)?;
        if key.is_empty() {
            return Err(SagaError::TooLarge("a saga's key has at least one byte".to_owned()));
        }
        let inner = &self.inner;
        let begun = transaction(&*inner.database, || inner.begin(component, function, key, input))?;
        inner.changed.notify();
        Ok(match begun {
            Began::Finished(answer) => Begun::Finished(answer),
            Began::Busy => Begun::Busy,
            Began::Exhausted(reason) => return Err(SagaError::Unavailable(reason)),
            Began::Run(taken) => {
                let run = Rc::new(Run::new(Rc::clone(inner), inner.next_run(), *taken));
                let mut runs = inner.runs.borrow_mut();
                runs.retain(|_, run| run.is_live());
                runs.insert(run.lease(), Rc::clone(&run));
                Begun::Run(run)
            }
        })
    }

    /// Function and input of a saga; the input that it was begun with.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Unavailable`] if the database refuses.
    pub fn load(&self, key: &str) -> Result<(String, Vec<u8>), SagaError> {
        let saga = table::find(&*self.inner.database, key)?.ok_or(SagaError::NotFound)?;
        Ok((saga.function, saga.input))
    }

    /// The live run of this instance that has this number.
    ///
    /// # Errors
    /// [`SagaError::LeaseLost`] if there is none.
    pub fn run(&self, lease: u64) -> Result<Rc<Run>, SagaError> {
        self.inner.runs.borrow().get(&lease).cloned().ok_or(SagaError::LeaseLost)
    }

    /// Components with a saga that is unfinished and due and that nobody runs.
    ///
    /// # Errors
    /// [`SagaError::Unavailable`] if the database refuses.
    pub fn due_components(&self) -> Result<Vec<String>, SagaError> {
        table::due_components(&*self.inner.database, self.inner.clock.now_ms())
    }

    /// Unfinished sagas of a component that are due and that nobody runs, at most `limit`. Forgets some of those that
    /// ended long ago.
    ///
    /// # Errors
    /// [`SagaError::Unavailable`] if the database refuses.
    pub fn due_sagas(&self, component: &str, limit: u32) -> Result<Vec<String>, SagaError> {
        let now_ms = self.inner.clock.now_ms();
        table::forget(&*self.inner.database, now_ms.saturating_sub(RETENTION_MS))?;
        table::due(&*self.inner.database, component, now_ms, limit)
    }
}

enum Began {
    Finished(Vec<u8>),
    Run(Box<Taken>),
    Busy,
    Exhausted(String),
}

impl Inner {
    fn begin(&self, component: &str, function: &str, key: &str, input: &[u8]) -> Result<Began, SagaError> {
        let (database, now_ms) = (&*self.database, self.clock.now_ms());
        let Some(saga) = table::find(database, key)? else {
            if table::unfinished(database, MAX_UNFINISHED)? >= MAX_UNFINISHED {
                let text = format!("{MAX_UNFINISHED} sagas are unfinished: try again later");
                return Err(SagaError::Unavailable(text));
            }
            let position = table::insert(database, (component, function), key, input, now_ms)?;
            return Ok(Began::Run(Box::new(Taken::fresh(Held { position, lease: 1 }, key, input, now_ms))));
        };
        if saga.function != function || saga.input != input {
            return Err(SagaError::KeyReused);
        }
        if let Some(answer) = saga.answer(key) {
            return answer.map(Began::Finished);
        }
        if saga.runs(now_ms) {
            return Ok(Began::Busy);
        }
        // One that rests has been left in order; of another the lease has ended.
        let idle_runs = if saga.leased { saga.idle_runs + 1 } else { 0 };
        table::take(database, &saga, idle_runs, now_ms)?;
        let held = Held { position: saga.position, lease: saga.lease + 1 };
        if idle_runs >= MAX_IDLE_RUNS {
            let reason = format!("{idle_runs} runs in a row came no further");
            held.end(database, key, (Status::NeedsAttention, None, Some(&reason)), now_ms)?;
            return Ok(Began::Exhausted(format!("saga {key} needs attention: {reason}")));
        }
        let replay = table::replay(database, saga.position)?;
        Ok(Began::Run(Box::new(Taken::known(held, key, saga, replay, now_ms))))
    }

    fn next_run(&self) -> u64 {
        let next = self.last_run.get() + 1;
        self.last_run.set(next);
        next
    }

    /// The run of this instance with this number is over.
    pub(crate) fn release(&self, lease: u64) {
        self.runs.borrow_mut().remove(&lease);
        self.changed.notify();
    }

    /// Something has come for sagas from outside of their runs: those of this instance look again at once.
    pub(crate) fn wake_all(&self) {
        self.changed.notify();
        let runs: Vec<_> = self.runs.borrow().values().cloned().collect();
        runs.iter().for_each(|run| run.wake());
    }
}
