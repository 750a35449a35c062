//! A connection that behaves as Spin's, a clock that stands still, and short words for what the tests say often.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter_settings::{Context, Migration, Projection, Settings, Source, Subscription};
use adapter_store::bindings::weft::events::types::{ExpectedVersion, NewEvent, RecordedEvent, StreamAppend};
use adapter_store::bindings::weft::sql::types::{Committed, Error, OperationKey, OutgoingEvent, Statement, Value};
use adapter_store::{Connection, Platform, Rows, Store, StoreError};
use rusqlite::types::{Value as Native, ValueRef};

/// The tables that the tests use.
pub const MIGRATION: &str = "
CREATE TABLE items (id TEXT PRIMARY KEY, amount BIGINT NOT NULL DEFAULT 0);
CREATE TABLE kinds (
    id BIGINT PRIMARY KEY, flag BOOLEAN, whole BIGINT, fraction DOUBLE PRECISION, words TEXT, bytes BYTEA
);
CREATE TABLE parents (id BIGINT PRIMARY KEY);
CREATE TABLE rules (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    parent BIGINT REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED,
    age BIGINT,
    CONSTRAINT grown_up CHECK (age >= 18)
);
CREATE TABLE numbers (n BIGINT PRIMARY KEY);
CREATE TABLE effects (key TEXT NOT NULL, value BIGINT NOT NULL);
";

pub struct Sqlite(pub rusqlite::Connection);

impl Connection for Sqlite {
    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<Rows, String> {
        let words = |error: rusqlite::Error| error.to_string();
        let mut statement = self.0.prepare_cached(sql).map_err(words)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let width = columns.len();
        let bound = rusqlite::params_from_iter(parameters.iter().map(|value| match value {
            Value::Null => Native::Null,
            Value::Boolean(_) => panic!("SQLite has no booleans"),
            Value::Int64(number) => Native::Integer(*number),
            Value::Float64(number) => Native::Real(*number),
            Value::Text(text) => Native::Text(text.clone()),
            Value::Blob(bytes) => Native::Blob(bytes.clone()),
        }));
        let mut found = statement.query(bound).map_err(words)?;
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(words)? {
            let value = |at| match row.get_ref(at).unwrap() {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int64(number),
                ValueRef::Real(number) => Value::Float64(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8(text.to_vec()).unwrap()),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            };
            rows.push((0..width).map(value).collect());
        }
        Ok(Rows { columns, rows })
    }

    fn changes(&self) -> u64 {
        self.0.changes()
    }
}

/// A clock that is moved by hand, shared by all instances of a test.
#[derive(Clone, Default)]
pub struct Clock(Rc<Cell<u64>>);

impl Clock {
    pub fn advance(&self, ms: u64) {
        self.0.set(self.0.get() + ms);
    }
}

static RANDOM: AtomicU64 = AtomicU64::new(0);

impl Platform for Clock {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + self.0.get()
    }

    fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&RANDOM.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        bytes
    }
}

pub type TestStore = Store<Sqlite, Clock>;

/// A database file that several instances may open; it is removed with this value.
pub struct File(PathBuf);

impl File {
    pub fn new() -> Self {
        let number = RANDOM.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("adapter-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self) -> PathBuf {
        self.0.join("db")
    }

    pub fn open(&self, clock: &Clock, settings: Settings) -> Result<TestStore, Error> {
        open(&self.path(), clock, settings)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn open(path: &Path, clock: &Clock, settings: Settings) -> Result<TestStore, Error> {
    let connection = rusqlite::Connection::open(path).unwrap();
    // Spin waits for 5 s; a test that waits for a lock waits for nobody.
    connection.busy_timeout(std::time::Duration::from_millis(1)).unwrap();
    Store::open(Sqlite(connection), clock.clone(), settings)
}

pub fn settings() -> Settings {
    let migration = Migration { name: "0001_tested.sql".to_owned(), sql: MIGRATION.to_owned() };
    Settings {
        component: "tested".to_owned(),
        contexts: vec![Context {
            name: "tests".to_owned(),
            migrations: vec![migration],
            topics: vec!["tested.#".to_owned()],
        }],
        ..Settings::default()
    }
}

/// A store in memory with the tables of the tests.
pub fn store() -> (TestStore, Clock) {
    let clock = Clock::default();
    (open(Path::new(":memory:"), &clock, settings()).unwrap(), clock)
}

pub fn subscription(component: &str, name: &str, topic: &str) -> Subscription {
    Subscription {
        component: component.to_owned(),
        name: name.to_owned(),
        topic: topic.to_owned(),
        max_attempts: 3,
        base_ms: 100,
        cap_ms: 1_000,
        batch: 1,
        ordered: true,
        ttl_ms: None,
        from_earliest: true,
    }
}

pub fn projection(component: &str, name: &str, source: Source) -> Projection {
    Projection {
        component: component.to_owned(),
        name: name.to_owned(),
        version: 1,
        source,
        types: Vec::new(),
        batch: 2,
    }
}

pub fn statement(sql: &str, parameters: impl IntoIterator<Item = Value>) -> Statement {
    Statement { sql: sql.to_owned(), parameters: parameters.into_iter().collect(), expected_rows: None }
}

pub fn expecting(mut statement: Statement, rows: u64) -> Statement {
    statement.expected_rows = Some(rows);
    statement
}

pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

pub fn key(key: &str) -> OperationKey {
    OperationKey { owner: "conformance".to_owned(), key: key.to_owned() }
}

pub fn outgoing(topic: &str, data: &str) -> OutgoingEvent {
    let (topic, type_) = (topic.to_owned(), "tested".to_owned());
    OutgoingEvent { topic, type_, data: data.as_bytes().to_vec(), ..OutgoingEvent::default() }
}

pub fn effect(name: &str, value: i64) -> Statement {
    statement("INSERT INTO effects (key, value) VALUES ($1, $2)", [text(name), Value::Int64(value)])
}

/// A commit whose fingerprint is `f` and whose answer is its name.
pub fn commit(store: &mut TestStore, name: &str, statements: Vec<Statement>) -> Result<Committed, Error> {
    store.commit(&key(name), "f", statements, &[], name.as_bytes().to_vec())
}

/// The one value of a query.
pub fn one(store: &mut TestStore, sql: &str, parameters: &[Value]) -> Value {
    let rows = store.query(sql, parameters).unwrap();
    assert_eq!((rows.rows.len(), rows.columns.len()), (1, 1), "{sql}");
    rows.rows[0][0].clone()
}

pub fn effects(store: &mut TestStore, name: &str) -> Value {
    one(store, "SELECT COUNT(*) FROM effects WHERE key = $1", &[text(name)])
}

/// Topic and data of all that is in the log.
pub fn log(store: &TestStore) -> Vec<(String, String)> {
    let rows = store.run("SELECT topic, CAST(data AS TEXT) FROM weft_log ORDER BY position", &[]).unwrap().rows;
    let pair = |row: Vec<Value>| match <[Value; 2]>::try_from(row) {
        Ok([Value::Text(topic), Value::Text(data)]) => (topic, data),
        other => panic!("{other:?}"),
    };
    rows.into_iter().map(pair).collect()
}

pub fn event(kind: &str, number: u64) -> NewEvent {
    NewEvent {
        id: None,
        type_: kind.to_owned(),
        topic: Some(format!("tested.{kind}")),
        correlation_id: None,
        causation_id: None,
        metadata: None,
        data: number.to_string().into_bytes(),
    }
}

pub fn append(stream: &str, expected: ExpectedVersion, numbers: std::ops::Range<u64>) -> StreamAppend {
    StreamAppend { stream: stream.to_owned(), expected, events: numbers.map(|number| event("made", number)).collect() }
}

/// Appends under a key that nobody else has.
pub fn append_one(store: &mut TestStore, append: StreamAppend) -> Result<Committed, StoreError> {
    let key = key(&format!("append-{}", RANDOM.fetch_add(1, Ordering::Relaxed)));
    store.append(&key, "f", &[append], vec![], &[], vec![])
}

/// The numbers in the data of events.
pub fn numbers(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| std::str::from_utf8(&event.data).unwrap().parse().unwrap()).collect()
}
