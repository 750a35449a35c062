//! The one store of the instance, opened with the first call, over Spin's connection and WASI's clocks.

use std::cell::RefCell;

use adapter_settings::Settings;
use adapter_store::bindings::weft::sql::types::{Error, Value};
use adapter_store::{Connection, Platform, Rows, Store};

use crate::bindings::spin::sqlite::sqlite;
use crate::bindings::wasi::clocks::system_clock;
use crate::bindings::wasi::random::random;
use crate::bindings::weft::adapter::settings;

/// The database that holds everything: the one that Spin has without runtime configuration.
pub(crate) const DATABASE: &str = "default";

/// The store as it is here.
pub(crate) type Instance = Store<Spin, Wasi>;

thread_local! {
    static STORE: RefCell<Option<Instance>> = const { RefCell::new(None) };
}

/// Uses the store; opens it first if need be. A store that could not be opened is tried again with the next call.
pub(crate) fn with<T>(work: impl FnOnce(&mut Instance) -> T) -> Result<T, Error> {
    STORE.with_borrow_mut(|slot| {
        if let Some(store) = slot {
            return Ok(work(store));
        }
        let store = slot.insert(open()?);
        Ok(work(store))
    })
}

/// The same, for work that fails with the database's errors.
pub(crate) fn with_sql<T>(work: impl FnOnce(&mut Instance) -> Result<T, Error>) -> Result<T, Error> {
    with(work)?
}

/// The same, for work whose errors are words.
pub(crate) fn with_words<T>(work: impl FnOnce(&mut Instance) -> Result<T, String>) -> Result<T, String> {
    with(work).map_err(|error| adapter_store::describe(&error))?
}

fn open() -> Result<Instance, Error> {
    let settings: Settings = serde_json::from_str(&settings::get())
        .map_err(|error| Error::Unavailable((false, format!("the settings of this closed form: {error}"))))?;
    let connection = sqlite::Connection::open(DATABASE)
        .map_err(|error| Error::Unavailable((false, format!("the database `{DATABASE}`: {}", words(error)))))?;
    Store::open(Spin(connection), Wasi, settings)
}

/// A connection of Spin's.
pub(crate) struct Spin(sqlite::Connection);

impl Connection for Spin {
    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<Rows, String> {
        let parameters: Vec<sqlite::Value> = parameters.iter().map(native).collect();
        let found = self.0.execute(sql, &parameters).map_err(words)?;
        let rows = found.rows.into_iter().map(|row| row.values.into_iter().map(portable).collect()).collect();
        Ok(Rows { columns: found.columns, rows })
    }

    fn changes(&self) -> u64 {
        self.0.changes()
    }
}

fn native(value: &Value) -> sqlite::Value {
    match value {
        Value::Null => sqlite::Value::Null,
        Value::Boolean(value) => sqlite::Value::Integer(i64::from(*value)),
        Value::Int64(number) => sqlite::Value::Integer(*number),
        Value::Float64(number) => sqlite::Value::Real(*number),
        Value::Text(text) => sqlite::Value::Text(text.clone()),
        Value::Blob(bytes) => sqlite::Value::Blob(bytes.clone()),
    }
}

fn portable(value: sqlite::Value) -> Value {
    match value {
        sqlite::Value::Null => Value::Null,
        sqlite::Value::Integer(number) => Value::Int64(number),
        sqlite::Value::Real(number) => Value::Float64(number),
        sqlite::Value::Text(text) => Value::Text(text),
        sqlite::Value::Blob(bytes) => Value::Blob(bytes),
    }
}

pub(crate) fn words(error: sqlite::Error) -> String {
    match error {
        sqlite::Error::Io(text) => text,
        sqlite::Error::AccessDenied => {
            format!("access denied: add sqlite_databases = [\"{DATABASE}\"] to the component in spin.toml")
        }
        sqlite::Error::NoSuchDatabase => "this host has no such database".to_owned(),
        sqlite::Error::InvalidConnection => "the connection is not valid any more".to_owned(),
        sqlite::Error::DatabaseFull => "database or disk is full".to_owned(),
    }
}

/// The host's clock and random source.
pub(crate) struct Wasi;

impl Platform for Wasi {
    fn now_ms(&self) -> u64 {
        let now = system_clock::now();
        let seconds = u64::try_from(now.seconds).unwrap_or_default();
        seconds.saturating_mul(1_000).saturating_add(u64::from(now.nanoseconds / 1_000_000))
    }

    fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        let (low, high) = (random::get_random_u64().to_be_bytes(), random::get_random_u64().to_be_bytes());
        for (to, from) in bytes.iter_mut().zip(low.into_iter().chain(high)) {
            *to = from;
        }
        bytes
    }
}
