//! What tests of the journal share: databases in files that outlive a crash, clocks, and a small guest.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::channel::oneshot;
use futures::future::{FutureExt, LocalBoxFuture};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::*;

pub(crate) const START_MS: u64 = 1_790_000_000_000;

/// A database file, removed at the end of its test.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("adapter-journal-{}-{number}.db", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// Another connection to it, that fails after so many statements; `None` never.
    pub(crate) fn connect(&self, crash: Option<Crash>) -> Rc<Sqlite> {
        let connection = Connection::open(&self.0).unwrap();
        // What is not flushed is lost with the machine, not with the process: tests need not wait for the disk.
        connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        Rc::new(Sqlite { connection: RefCell::new(Some(connection)), crash: Cell::new(crash) })
    }

    pub(crate) fn journal(&self, clock: Rc<dyn Clock>) -> Journal {
        Journal::open(self.connect(None), clock).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for suffix in ["", "-journal"] {
            let mut path = self.0.clone().into_os_string();
            path.push(suffix);
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Where a process ends: at a statement, counted from now, before or after it is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crash {
    pub statements_left: u32,
    pub runs_the_last: bool,
}

/// One connection.
pub(crate) struct Sqlite {
    connection: RefCell<Option<Connection>>,
    crash: Cell<Option<Crash>>,
}

impl Sqlite {
    pub(crate) fn has_crashed(&self) -> bool {
        self.connection.borrow().is_none()
    }
}

impl Database for Sqlite {
    fn run(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let Some(mut crash) = self.crash.get() else { return self.execute(sql, parameters) };
        crash.statements_left = crash.statements_left.saturating_sub(1);
        self.crash.set(Some(crash));
        if crash.statements_left > 0 {
            return self.execute(sql, parameters);
        }
        if crash.runs_the_last && !self.has_crashed() {
            let _ = self.execute(sql, parameters);
        }
        self.connection.borrow_mut().take();
        Err("the process has ended".to_owned())
    }
}

impl Sqlite {
    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let connection = self.connection.borrow();
        let connection = connection.as_ref().ok_or("the process has ended")?;
        let mut statement = connection.prepare_cached(sql).map_err(|error| format!("{sql}: {error}"))?;
        let columns = statement.column_count();
        let mut rows =
            statement.query(params_from_iter(parameters.iter().map(bound))).map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(|error| error.to_string())? {
            let value = |at| match row.get_ref(at).unwrap() {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8(text.to_vec()).unwrap()),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                ValueRef::Real(_) => panic!("no column holds fractions"),
            };
            all.push((0..columns).map(value).collect());
        }
        Ok(all)
    }
}

fn bound(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Integer(number) => ValueRef::Integer(*number),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(bytes) => ValueRef::Blob(bytes),
    })
}

/// A clock whose waits are over at once, and move it on.
#[derive(Default)]
pub(crate) struct SkippingClock(Cell<u64>);

impl Clock for SkippingClock {
    fn now_ms(&self) -> u64 {
        START_MS + self.0.get()
    }

    fn sleep(&self, duration_ms: u64) -> LocalBoxFuture<'static, ()> {
        self.advance(duration_ms);
        std::future::ready(()).boxed_local()
    }
}

impl SkippingClock {
    pub(crate) fn advance(&self, duration_ms: u64) {
        self.0.set(self.0.get() + duration_ms);
    }
}

/// A clock that stands until it is moved on.
#[derive(Default)]
pub(crate) struct ManualClock {
    now_ms: Cell<u64>,
    sleepers: RefCell<Vec<(u64, oneshot::Sender<()>)>>,
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        START_MS + self.now_ms.get()
    }

    fn sleep(&self, duration_ms: u64) -> LocalBoxFuture<'static, ()> {
        let (waker, woken) = oneshot::channel();
        self.sleepers.borrow_mut().push((self.now_ms.get() + duration_ms, waker));
        woken.map(drop).boxed_local()
    }
}

impl ManualClock {
    pub(crate) fn advance(&self, duration_ms: u64) {
        let now_ms = self.now_ms.get() + duration_ms;
        self.now_ms.set(now_ms);
        let all = self.sleepers.take();
        let (woken, asleep): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at_ms, _)| *at_ms <= now_ms);
        self.sleepers.replace(asleep);
        for (_, waker) in woken {
            let _ = waker.send(());
        }
    }

    fn advance_to_next(&self) {
        self.sleepers.borrow_mut().retain(|(_, waker)| !waker.is_canceled());
        let next_ms = self.sleepers.borrow().iter().map(|(at_ms, _)| *at_ms).min();
        let next_ms = next_ms.expect("nothing goes on and nobody sleeps");
        self.advance(next_ms - self.now_ms.get());
    }

    /// Drives a future, and moves on only when nothing else goes on.
    pub(crate) async fn patiently<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            for _ in 0..100 {
                if let std::task::Poll::Ready(value) = futures::poll!(future.as_mut()) {
                    return value;
                }
            }
            self.advance_to_next();
        }
    }
}

pub(crate) fn fresh() -> (File, Journal, Rc<SkippingClock>) {
    let (file, clock) = (File::new(), Rc::new(SkippingClock::default()));
    let journal = file.journal(clock.clone());
    (file, journal, clock)
}

pub(crate) fn patient() -> (File, Journal, Rc<ManualClock>) {
    let (file, clock) = (File::new(), Rc::new(ManualClock::default()));
    let journal = file.journal(clock.clone());
    (file, journal, clock)
}

pub(crate) fn options() -> StepOptions {
    let retry = RetryPolicy { max_attempts: 3, base_ms: 2000, factor_percent: 200, cap_ms: 15_000 };
    StepOptions { timeout_ms: 30_000, retry, occurrence: None }
}

pub(crate) fn begin(journal: &Journal, key: &str) -> Rc<Run> {
    match journal.begin("enrolling", "enroll", key, b"{}").unwrap() {
        Begun::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

/// Enters a step that is expected to run. Answers the number of the attempt.
pub(crate) async fn execute(run: &Run, name: &str, phase: Phase) -> u32 {
    match run.enter(name, phase, options()).await.unwrap() {
        Entered::Execute(execution) => execution.attempt,
        Entered::Recorded(recording) => panic!("{name} is recorded: {recording:?}"),
    }
}

pub(crate) async fn recorded(run: &Run, name: &str, phase: Phase) -> Recording {
    match run.enter(name, phase, options()).await.unwrap() {
        Entered::Recorded(recording) => {
            run.seen(phase.into(), name);
            recording
        }
        Entered::Execute(execution) => panic!("{name} is not recorded: {execution:?}"),
    }
}

pub(crate) async fn settle(run: &Run, name: &str, phase: Phase, result: AttemptResult) -> Recording {
    match run.leave(name, phase, result).await.unwrap() {
        Left::Settled(recording) => {
            run.seen(phase.into(), name);
            recording
        }
        Left::Again => panic!("{name} is to be tried again"),
    }
}

pub(crate) fn success() -> AttemptResult {
    AttemptResult::Success(b"1".to_vec())
}

pub(crate) fn failed(maybe_ran: bool) -> AttemptResult {
    AttemptResult::Failed { maybe_ran, retry_after_ms: None, payload: b"down".to_vec() }
}

/// A step that runs once and succeeds.
pub(crate) async fn step(run: &Run, name: &str) {
    execute(run, name, Phase::Do).await;
    settle(run, name, Phase::Do, success()).await;
}
