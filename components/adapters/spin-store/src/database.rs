//! `weft:sql/database`.

use std::cell::{Cell, RefCell};

use adapter_store::TRANSACTION_MS;
use adapter_store::bindings::weft::sql::types::{
    Committed, Error, OperationKey, OutgoingEvent, Rows, Statement, Value,
};

use crate::SpinStore;
use crate::bindings::exports::weft::sql::database as wit;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::instance::with_sql;

/// The most rows of one step of a cursor.
const STEP_ROWS: u32 = 10_000;
/// The most bytes of values of one step.
const STEP_BYTES: usize = 8 * 1024 * 1024;

impl wit::Guest for SpinStore {
    type Cursor = Cursor;
    type Transaction = Transaction;

    async fn recorded(key: OperationKey) -> Result<Option<Committed>, Error> {
        with_sql(|store| store.recorded(&key))
    }

    async fn commit(
        key: OperationKey,
        fingerprint: String,
        statements: Vec<Statement>,
        events: Vec<OutgoingEvent>,
        answer: Vec<u8>,
    ) -> Result<Committed, Error> {
        with_sql(|store| store.commit(&key, &fingerprint, statements, &events, answer))
    }

    async fn revoke(key: OperationKey, statements: Vec<Statement>, events: Vec<OutgoingEvent>) -> Result<bool, Error> {
        with_sql(|store| store.revoke(&key, statements, &events))
    }

    async fn query(sql: String, parameters: Vec<Value>) -> Result<Rows, Error> {
        with_sql(|store| store.query(&sql, &parameters))
    }

    async fn open(sql: String, parameters: Vec<Value>) -> Result<wit::Cursor, Error> {
        let Rows { columns, rows } = with_sql(|store| store.read_whole(&sql, &parameters))?;
        Ok(wit::Cursor::new(Cursor { columns, rows: RefCell::new(rows.into_iter()) }))
    }

    async fn begin() -> Result<wit::Transaction, Error> {
        let number = with_sql(|store| store.begin())?;
        // Whoever holds it and does nothing keeps all others from writing: it ends with its time.
        wit_bindgen::spawn_local(async move {
            monotonic_clock::wait_for((TRANSACTION_MS + 1) * 1_000_000).await;
            roll_back(number);
        });
        Ok(wit::Transaction::new(Transaction { number, ended: Cell::new(false) }))
    }
}

/// Rolls a transaction back. One that has ended already stays as it ended.
fn roll_back(number: u64) {
    let _ = with_sql(|store| store.rollback_in(number));
}

/// The rows that are left of a result.
pub(crate) struct Cursor {
    columns: Vec<String>,
    rows: RefCell<std::vec::IntoIter<Vec<Value>>>,
}

impl wit::GuestCursor for Cursor {
    fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    async fn next(&self, max_rows: u32) -> Result<Vec<Vec<Value>>, Error> {
        if max_rows == 0 || max_rows > STEP_ROWS {
            return Err(Error::Invalid(format!("a cursor gives 1 to {STEP_ROWS} rows at a time, not {max_rows}")));
        }
        let mut left = self.rows.borrow_mut();
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while rows.len() < usize::try_from(max_rows).unwrap_or(usize::MAX) && bytes < STEP_BYTES {
            let Some(row) = left.next() else { break };
            bytes += row.iter().map(size).sum::<usize>();
            rows.push(row);
        }
        Ok(rows)
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        _ => 8,
    }
}

/// A transaction of the store.
pub(crate) struct Transaction {
    number: u64,
    ended: Cell<bool>,
}

impl wit::GuestTransaction for Transaction {
    async fn query(&self, sql: String, parameters: Vec<Value>) -> Result<Rows, Error> {
        with_sql(|store| store.query_in(self.number, &sql, &parameters))
    }

    async fn execute(&self, sql: String, parameters: Vec<Value>) -> Result<u64, Error> {
        with_sql(|store| store.execute_in(self.number, &sql, &parameters))
    }

    async fn commit(&self, events: Vec<OutgoingEvent>) -> Result<(), Error> {
        self.ended.set(true);
        with_sql(|store| store.commit_in(self.number, &events))
    }

    async fn rollback(&self) -> Result<(), Error> {
        self.ended.set(true);
        with_sql(|store| store.rollback_in(self.number))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.ended.get() {
            roll_back(self.number);
        }
    }
}
