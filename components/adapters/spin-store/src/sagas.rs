//! The journal of sagas of the instance, opened with the first call, on a connection of its own: a transaction that a
//! function holds open has nothing to do with it. And its words as those of `weft:durable`.

use std::cell::RefCell;
use std::rc::Rc;

use adapter_journal::{Clock, Database, Journal, Recording, SagaError, Value};
use adapter_settings::Settings;
use futures::future::{FutureExt, LocalBoxFuture};

use crate::bindings::spin::sqlite::sqlite;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::weft::adapter::settings;
use crate::bindings::weft::durable::types as wit;
use crate::instance::{self, DATABASE, Wasi, words};
use adapter_store::Platform;

/// The journal, and which component has which interface.
#[derive(Clone)]
struct Sagas {
    journal: Journal,
    settings: Rc<Settings>,
}

thread_local! {
    static SAGAS: RefCell<Option<Sagas>> = const { RefCell::new(None) };
}

/// The journal, for a call of a function.
pub(crate) fn journal() -> Result<Journal, wit::Error> {
    // First the store: what the steps of a saga need is there before it begins.
    instance::with(|_| ()).map_err(|error| wit::Error::Unavailable(adapter_store::describe(&error)))?;
    Ok(sagas().map_err(wit::Error::from)?.journal)
}

/// The component that exports the interface of `interface#function`.
pub(crate) fn component_of(function: &str) -> Result<String, wit::Error> {
    let interface = function.split_once('#').map_or(function, |(interface, _)| interface);
    let settings = sagas().map_err(wit::Error::from)?.settings;
    let found = settings.durable.iter().find(|durable| durable.interfaces.iter().any(|known| known == interface));
    found
        .map(|durable| durable.component.clone())
        .ok_or_else(|| wit::Error::Unavailable(format!("no durable component of this application exports {interface}")))
}

/// Unfinished sagas of a durable component that are due and that nobody runs, at most `limit`.
pub(crate) fn due(_store: &instance::Instance, component: &str, limit: u32) -> Result<Vec<String>, String> {
    sagas().and_then(|sagas| sagas.journal.due_sagas(component, limit)).map_err(|error| error.to_string())
}

fn sagas() -> Result<Sagas, SagaError> {
    SAGAS.with_borrow_mut(|slot| {
        if let Some(sagas) = slot {
            return Ok(sagas.clone());
        }
        Ok(slot.insert(open()?).clone())
    })
}

fn open() -> Result<Sagas, SagaError> {
    let settings: Settings = serde_json::from_str(&settings::get())
        .map_err(|error| SagaError::Unavailable(format!("the settings of this closed form: {error}")))?;
    let connection = sqlite::Connection::open(DATABASE)
        .map_err(|error| SagaError::Unavailable(format!("the database `{DATABASE}`: {}", words(error))))?;
    let connection = Connection(connection);
    match connection.run("PRAGMA synchronous = FULL", &[]) {
        // A host that has settled its connections itself refuses, as Weft does.
        Err(error) if !error.starts_with("not authorized") => return Err(SagaError::Unavailable(error)),
        _ => {}
    }
    Ok(Sagas { journal: Journal::open(Rc::new(connection), Rc::new(WasiClock))?, settings: Rc::new(settings) })
}

struct Connection(sqlite::Connection);

impl Database for Connection {
    fn run(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, String> {
        let parameters: Vec<_> = parameters.iter().cloned().map(native).collect();
        let found = self.0.execute(sql, &parameters).map_err(words)?;
        found.rows.into_iter().map(|row| row.values.into_iter().map(portable).collect()).collect()
    }
}

fn native(value: Value) -> sqlite::Value {
    match value {
        Value::Null => sqlite::Value::Null,
        Value::Integer(number) => sqlite::Value::Integer(number),
        Value::Text(text) => sqlite::Value::Text(text),
        Value::Blob(bytes) => sqlite::Value::Blob(bytes),
    }
}

fn portable(value: sqlite::Value) -> Result<Value, String> {
    Ok(match value {
        sqlite::Value::Null => Value::Null,
        sqlite::Value::Integer(number) => Value::Integer(number),
        sqlite::Value::Text(text) => Value::Text(text),
        sqlite::Value::Blob(bytes) => Value::Blob(bytes),
        sqlite::Value::Real(_) => return Err("a column of the journal holds a fraction".to_owned()),
    })
}

struct WasiClock;

impl Clock for WasiClock {
    fn now_ms(&self) -> u64 {
        Wasi.now_ms()
    }

    fn sleep(&self, duration_ms: u64) -> LocalBoxFuture<'static, ()> {
        monotonic_clock::wait_for(duration_ms.saturating_mul(1_000_000)).boxed_local()
    }
}

impl From<SagaError> for wit::Error {
    fn from(error: SagaError) -> Self {
        match error {
            SagaError::KeyReused => Self::KeyReused,
            SagaError::NotFound => Self::NotFound,
            SagaError::LeaseLost => Self::LeaseLost,
            SagaError::Mismatch(text) => Self::Mismatch(text),
            SagaError::TooLarge(text) => Self::TooLarge(text),
            SagaError::Conflict(text) => Self::Conflict(text),
            SagaError::Unavailable(text) => Self::Unavailable(text),
        }
    }
}

impl From<Recording> for wit::Recording {
    fn from(recording: Recording) -> Self {
        let Recording { outcome, payload, at_ms, cancelled } = recording;
        let outcome = match outcome {
            adapter_journal::Outcome::Success => wit::Outcome::Success,
            adapter_journal::Outcome::Error => wit::Outcome::Error,
            adapter_journal::Outcome::Unknown => wit::Outcome::Unknown,
        };
        Self { outcome, payload, at_ms, cancelled }
    }
}

impl From<adapter_journal::SagaView> for wit::SagaView {
    fn from(view: adapter_journal::SagaView) -> Self {
        Self {
            status: match view.status {
                adapter_journal::Status::Running => wit::Status::Running,
                adapter_journal::Status::Completed => wit::Status::Completed,
                adapter_journal::Status::Compensating => wit::Status::Compensating,
                adapter_journal::Status::Compensated => wit::Status::Compensated,
                adapter_journal::Status::NeedsAttention => wit::Status::NeedsAttention,
            },
            // Nobody says here which business operation a call belongs to.
            correlation_id: view.key.clone(),
            key: view.key,
            name: view.name,
            input: view.input,
            result: view.result,
            error: view.error,
            started_at_ms: view.started_at_ms,
            ended_at_ms: view.ended_at_ms,
            attributes: view.attributes,
            steps: view.steps.into_iter().map(step_view).collect(),
        }
    }
}

fn step_view(view: adapter_journal::StepView) -> wit::StepView {
    wit::StepView {
        name: view.name,
        phase: match view.phase {
            adapter_journal::Phase::Do => wit::Phase::Do,
            adapter_journal::Phase::Undo => wit::Phase::Undo,
        },
        status: view.status.to_owned(),
        attempts: view.attempts,
        started_at_ms: view.started_at_ms,
        ended_at_ms: view.ended_at_ms,
        error: view.error,
    }
}
