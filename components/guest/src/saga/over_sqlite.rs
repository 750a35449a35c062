//! The saga helper over the journal on SQLite, with a process that ends at any statement: whatever runs together, the
//! saga ends as one that was never cut short, its code is told the same in every run, and each effect is done once or
//! taken back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::task::Poll;

use adapter_journal as sqlite;
use futures::channel::oneshot;
use futures::executor::block_on;
use futures::future::{FutureExt, LocalBoxFuture};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::fake_journal::{Begun, Running};
use super::{Saga, load, resume, run};
use crate::Failure;
use crate::bindings::weft::durable::types::{
    AttemptResult, Entered, Error, EventKind, Execution, Left, Outcome, Phase, Recording, StepOptions,
};

thread_local! {
    static JOURNAL: RefCell<Option<sqlite::Journal>> = const { RefCell::new(None) };
}

pub fn journal() -> Option<sqlite::Journal> {
    JOURNAL.with_borrow(Clone::clone)
}

pub fn begin(journal: &sqlite::Journal, function: &str, key: &str, input: &[u8]) -> Result<Begun, Error> {
    Ok(match journal.begin("component", function, key, input).map_err(error)? {
        sqlite::Begun::Finished(answer) => Begun::Finished(answer),
        sqlite::Begun::Busy => Begun::Busy,
        sqlite::Begun::Run(run) => {
            let (lease, generation, input) = (run.lease(), run.generation(), run.input().to_vec());
            Begun::Run(Running { lease, generation, input })
        }
    })
}

pub async fn enter(
    journal: &sqlite::Journal,
    lease: u64,
    name: &str,
    phase: Phase,
    options: &StepOptions,
) -> Result<Entered, Error> {
    let retry = sqlite::RetryPolicy {
        max_attempts: options.retry.max_attempts,
        base_ms: options.retry.base_ms,
        factor_percent: options.retry.factor_percent,
        cap_ms: options.retry.cap_ms,
    };
    let options = sqlite::StepOptions { timeout_ms: options.timeout_ms, retry, occurrence: options.occurrence };
    let run = journal.run(lease).map_err(error)?;
    Ok(match run.enter(name, phase_of(phase), options).await.map_err(error)? {
        sqlite::Entered::Recorded(recording) => Entered::Recorded(recorded(recording)),
        sqlite::Entered::Execute(sqlite::Execution { attempt, key }) => Entered::Execute(Execution { attempt, key }),
    })
}

pub async fn leave(
    journal: &sqlite::Journal,
    lease: u64,
    name: &str,
    phase: Phase,
    result: AttemptResult,
) -> Result<Left, Error> {
    let result = match result {
        AttemptResult::Success(answer) => sqlite::AttemptResult::Success(answer),
        AttemptResult::Error(answer) => sqlite::AttemptResult::Error(answer),
        AttemptResult::Failed((maybe_ran, retry_after_ms, payload)) => {
            sqlite::AttemptResult::Failed { maybe_ran, retry_after_ms, payload }
        }
    };
    let run = journal.run(lease).map_err(error)?;
    Ok(match run.leave(name, phase_of(phase), result).await.map_err(error)? {
        sqlite::Left::Settled(recording) => Left::Settled(recorded(recording)),
        sqlite::Left::Again => Left::Again,
    })
}

pub fn seen(journal: &sqlite::Journal, lease: u64, kind: EventKind, name: &str) {
    let kind = match kind {
        EventKind::Do => sqlite::EventKind::Do,
        EventKind::Undo => sqlite::EventKind::Undo,
        EventKind::Timer => sqlite::EventKind::Timer,
        EventKind::Signal => sqlite::EventKind::Signal,
        EventKind::Child => sqlite::EventKind::Child,
    };
    if let Ok(run) = journal.run(lease) {
        run.seen(kind, name);
    }
}

pub fn now(journal: &sqlite::Journal, lease: u64) -> u64 {
    journal.run(lease).map_or(0, |run| run.now_ms())
}

pub async fn sleep(journal: &sqlite::Journal, lease: u64, name: &str, duration_ms: u64) -> Result<Recording, Error> {
    let run = journal.run(lease).map_err(error)?;
    run.sleep(name, duration_ms).await.map(recorded).map_err(error)
}

pub async fn finish(journal: &sqlite::Journal, lease: u64, failed: bool, answer: &[u8]) -> Result<(), Error> {
    let run = journal.run(lease).map_err(error)?;
    run.finish(failed, answer).await.map_err(error)
}

pub fn error(error: sqlite::SagaError) -> Error {
    match error {
        sqlite::SagaError::KeyReused => Error::KeyReused,
        sqlite::SagaError::NotFound => Error::NotFound,
        sqlite::SagaError::LeaseLost => Error::LeaseLost,
        sqlite::SagaError::Mismatch(text) => Error::Mismatch(text),
        sqlite::SagaError::TooLarge(text) => Error::TooLarge(text),
        sqlite::SagaError::Conflict(text) => Error::Conflict(text),
        sqlite::SagaError::Unavailable(text) => Error::Unavailable(text),
    }
}

fn phase_of(phase: Phase) -> sqlite::Phase {
    if matches!(phase, Phase::Do) { sqlite::Phase::Do } else { sqlite::Phase::Undo }
}

fn recorded(recording: sqlite::Recording) -> Recording {
    let sqlite::Recording { outcome, payload, at_ms, cancelled } = recording;
    let outcome = match outcome {
        sqlite::Outcome::Success => Outcome::Success,
        sqlite::Outcome::Error => Outcome::Error,
        sqlite::Outcome::Unknown => Outcome::Unknown,
    };
    Recording { outcome, payload, at_ms, cancelled }
}

/// One connection, whose process ends at a statement: before it, or after it and before its answer.
struct Database {
    connection: RefCell<Option<Connection>>,
    left: Cell<u32>,
    runs_the_last: bool,
}

impl sqlite::Database for Database {
    fn run(&self, sql: &str, parameters: &[sqlite::Value]) -> Result<Vec<Vec<sqlite::Value>>, String> {
        self.left.set(self.left.get().saturating_sub(1));
        if self.left.get() > 0 {
            return self.execute(sql, parameters);
        }
        if self.runs_the_last {
            let _ = self.execute(sql, parameters);
        }
        self.connection.take();
        Err("the process has ended".to_string())
    }
}

impl Database {
    fn execute(&self, sql: &str, parameters: &[sqlite::Value]) -> Result<Vec<Vec<sqlite::Value>>, String> {
        let connection = self.connection.borrow();
        let connection = connection.as_ref().ok_or("the process has ended")?;
        let mut statement = connection.prepare_cached(sql).map_err(|error| error.to_string())?;
        let columns = statement.column_count();
        let bound = |value| {
            ToSqlOutput::Borrowed(match value {
                &sqlite::Value::Null => ValueRef::Null,
                &sqlite::Value::Integer(number) => ValueRef::Integer(number),
                sqlite::Value::Text(text) => ValueRef::Text(text.as_bytes()),
                sqlite::Value::Blob(bytes) => ValueRef::Blob(bytes),
            })
        };
        let parameters = params_from_iter(parameters.iter().map(bound));
        let mut rows = statement.query(parameters).map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(|error| error.to_string())? {
            let value = |at| match row.get_ref(at).unwrap() {
                ValueRef::Null | ValueRef::Real(_) => sqlite::Value::Null,
                ValueRef::Integer(number) => sqlite::Value::Integer(number),
                ValueRef::Text(text) => sqlite::Value::Text(String::from_utf8(text.to_vec()).unwrap()),
                ValueRef::Blob(bytes) => sqlite::Value::Blob(bytes.to_vec()),
            };
            all.push((0..columns).map(value).collect());
        }
        Ok(all)
    }
}

/// A clock that moves on when nothing else goes on.
#[derive(Default)]
struct Clock {
    now_ms: Cell<u64>,
    sleepers: RefCell<Vec<(u64, oneshot::Sender<()>)>>,
}

impl sqlite::Clock for Clock {
    fn now_ms(&self) -> u64 {
        1_790_000_000_000 + self.now_ms.get()
    }

    fn sleep(&self, duration_ms: u64) -> LocalBoxFuture<'static, ()> {
        let (waker, woken) = oneshot::channel();
        self.sleepers.borrow_mut().push((self.now_ms.get() + duration_ms, waker));
        woken.map(drop).boxed_local()
    }
}

impl Clock {
    fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        block_on(async {
            let mut future = std::pin::pin!(future);
            loop {
                for _ in 0..100 {
                    if let Poll::Ready(value) = futures::poll!(future.as_mut()) {
                        return value;
                    }
                }
                self.advance_to_next();
            }
        })
    }

    fn advance_to_next(&self) {
        let mut sleepers = self.sleepers.borrow_mut();
        sleepers.retain(|(_, waker)| !waker.is_canceled());
        let next = sleepers.iter().enumerate().min_by_key(|(_, (at_ms, _))| *at_ms).map(|(place, _)| place);
        let (at_ms, waker) = sleepers.remove(next.unwrap());
        self.now_ms.set(self.now_ms.get().max(at_ms));
        waker.send(()).unwrap();
    }
}

/// What the callees of a saga have done, by the keys of its steps, and what the code was told in the runs so far.
#[derive(Default)]
struct World {
    /// Whether it is done; `false` once it is taken back, and for good.
    done: RefCell<BTreeMap<String, bool>>,
    told: RefCell<Vec<String>>,
    run: RefCell<Vec<String>>,
}

impl World {
    fn does(&self, key: String) -> u32 {
        let mut done = self.done.borrow_mut();
        let number = u32::try_from(done.len()).unwrap();
        done.entry(key).or_insert(true);
        number
    }

    fn takes_back(&self, key: String) {
        self.done.borrow_mut().insert(key, false);
    }

    /// The code goes on: as in the run before, as far as that came.
    fn tells(&self, what: String) {
        let mut run = self.run.borrow_mut();
        let mut told = self.told.borrow_mut();
        match told.get(run.len()) {
            Some(before) => assert_eq!(*before, what, "told something else than before"),
            None => told.push(what.clone()),
        }
        run.push(what);
    }
}

async fn yields(times: u32) {
    for _ in 0..times {
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
}

/// Steps one after the other, beside each other, and against each other; a timer; and an end, good or bad.
fn body(world: Rc<World>, fails: bool) -> impl AsyncFnOnce(Saga, u32) -> Result<String, Failure> {
    async move |saga: Saga, input: u32| {
        world.run.borrow_mut().clear();
        let step = |name: &str, takes: u32| {
            let (world, undone, name) = (Rc::clone(&world), Rc::clone(&world), name.to_string());
            let work = move |key: String| {
                let world = Rc::clone(&world);
                async move {
                    yields(takes).await;
                    Ok::<u32, Failure>(world.does(key))
                }
            };
            saga.step(&name, work).undo(move |key, _| {
                undone.takes_back(key);
                std::future::ready(Ok::<(), Failure>(()))
            })
        };
        let first = step("first", 0).await?;
        world.tells(format!("first {first} {} {}", saga.now_ms(), saga.uuid()));
        let branches = [("slow", 9), ("quick", 1), ("middling", 4)].map(|(name, takes)| {
            let (running, world) = (step(name, takes), Rc::clone(&world));
            async move {
                let answer = running.await?;
                world.tells(format!("{name} {answer}"));
                Ok::<u32, Failure>(answer)
            }
        });
        saga.join(branches.map(Box::pin)).await?;
        saga.sleep("pause", 300).await?;
        world.tells(format!("pause {}", saga.now_ms()));
        let (place, _) = saga.race([step("tortoise", 7), step("hare", 2)]).await?;
        world.tells(format!("the first was {place}"));
        if fails {
            let refused = Failure::key_reused();
            saga.step("last", |_| std::future::ready(Err::<u32, _>(refused.clone()))).max_attempts(1).await?;
        }
        Ok(format!("{input}: {}", world.run.borrow().join(", ")))
    }
}

/// Runs the saga to its end, with a process that ends once. Answers whether it came so far.
fn ends(statements: u32, runs_the_last: bool, fails: bool) -> bool {
    let name = format!("weft-guest-{}-{statements}-{runs_the_last}-{fails}.db", std::process::id());
    let path = std::env::temp_dir().join(name);
    let (world, clock) = (Rc::new(World::default()), Rc::new(Clock::default()));
    let open = |left: u32| {
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        let connection = RefCell::new(Some(connection));
        let database = Rc::new(Database { connection, left: Cell::new(left), runs_the_last });
        let opened = sqlite::Journal::open(database.clone(), clock.clone());
        JOURNAL.set(opened.ok());
        database
    };
    let database = open(statements);
    let call = || run("test", "k".into(), 7_u32, body(world.clone(), fails));
    let first = journal().map(|_| clock.drive(call()));
    let was_cut = database.connection.borrow().is_none();
    let answer = if was_cut {
        clock.now_ms.set(clock.now_ms.get() + sqlite::LEASE_MS);
        open(u32::MAX);
        if let Ok((function, input)) = block_on(load("k")) {
            let resumed = resume::<u32, String, Failure, _>(&function, "k".into(), &input, body(world.clone(), fails));
            clock.drive(resumed).unwrap();
        }
        clock.drive(call())
    } else {
        first.unwrap()
    };
    // The process may have one statement left.
    open(u32::MAX);
    let view = journal().unwrap().status("k").unwrap();
    let done = world.done.borrow();
    if fails {
        assert!(answer.unwrap_err().is_key_reused());
        assert_eq!(view.status, sqlite::Status::Compensated, "{view:#?}");
        assert!(done.values().all(|done| !done), "{done:?}");
    } else {
        assert_eq!(answer.unwrap(), format!("7: {}", world.told.borrow().join(", ")));
        assert_eq!(view.status, sqlite::Status::Completed, "{view:#?}");
        let left: Vec<_> = done.iter().filter(|(_, done)| **done).map(|(key, _)| &**key).collect();
        let winner = if world.told.borrow().iter().any(|told| told == "the first was 1") { "hare" } else { "tortoise" };
        let mut expected = ["first", "slow", "quick", "middling", winner].map(|name| format!("k/{name}#1"));
        expected.sort();
        assert_eq!(left, expected);
    }
    JOURNAL.set(None);
    std::fs::remove_file(&path).unwrap();
    was_cut
}

#[test]
fn cut_short_at_every_statement_a_saga_ends_as_one_that_was_not() {
    for fails in [false, true] {
        for runs_the_last in [false, true] {
            let whole = (1..).find(|statements| !ends(*statements, runs_the_last, fails));
            assert!(whole.is_some_and(|statements| statements > 60), "{whole:?}");
        }
    }
}
