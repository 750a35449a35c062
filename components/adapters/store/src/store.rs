//! The store itself: its connection, its transactions, and how a statement is run. What is kept in which table is the
//! business of the modules beside it.

use std::collections::BTreeMap;

use adapter_settings::Settings;

use crate::bindings::weft::sql::types::{Error, UnexpectedRows, Value};
use crate::check::Batch;
use crate::connection::{Columns, Connection, Platform, Rows, new_id};
use crate::error::{at_statement, portable};
use crate::query::OpenTransaction;
use crate::text::Checked;

/// How much of a statement is told that the host refuses, in characters.
const TOLD: usize = 80;

/// All that functions have of a database. One for each instance of a closed form.
pub struct Store<C, P> {
    pub(crate) connection: C,
    pub(crate) platform: P,
    pub(crate) settings: Settings,
    /// Names this instance in leases.
    pub(crate) taker: String,
    pub(crate) transaction: Option<OpenTransaction>,
    pub(crate) transactions: u64,
    /// Where projections stood when they were asked what they have not seen, by the position they were told.
    pub(crate) stood: BTreeMap<(String, String, u64), u64>,
}

impl<C: Connection, P: Platform> Store<C, P> {
    /// Opens the store: makes our tables, applies the migrations of all contexts that have not been applied, and notes
    /// the subscriptions and projections that are new. Another instance that does the same waits for the lock.
    ///
    /// # Errors
    /// If the database does not answer, or a migration is refused.
    pub fn open(connection: C, platform: P, settings: Settings) -> Result<Self, Error> {
        let taker = new_id(&platform);
        let (transaction, transactions, stood) = (None, 0, BTreeMap::new());
        let store = Self { connection, platform, settings, taker, transaction, transactions, stood };
        crate::opening::open(&store)?;
        Ok(store)
    }

    /// What the closed form was told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Time and chance.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// Runs one of our own statements, in SQLite's words.
    ///
    /// # Errors
    /// As the engine says.
    pub fn run(&self, sql: &str, parameters: &[Value]) -> Result<Rows, Error> {
        let booleans = parameters.iter().any(|value| matches!(value, Value::Boolean(_)));
        let native = booleans.then(|| parameters.iter().map(native).collect::<Vec<_>>());
        let ran = self.connection.execute(sql, native.as_deref().unwrap_or(parameters));
        // The engine repeats a statement that it does not understand.
        ran.map_err(|text| match portable(&text.replacen(&format!(" in {sql} at offset "), " at byte ", 1)) {
            Error::Denied(text) => Error::Denied(format!("{text}: {}", sql.chars().take(TOLD).collect::<String>())),
            other => other,
        })
    }

    /// How many rows the last statement that changes some changed.
    pub fn changes(&self) -> u64 {
        self.connection.changes()
    }

    /// The first row that one of our own statements answers.
    pub(crate) fn first(&self, sql: &str, parameters: &[Value]) -> Result<Option<Columns>, Error> {
        Ok(self.run(sql, parameters)?.rows.into_iter().next().map(Columns::of))
    }

    /// The one number that one of our own statements answers; 0 if it answers none.
    pub(crate) fn number(&self, sql: &str, parameters: &[Value]) -> Result<u64, Error> {
        Ok(self.first(sql, parameters)?.map_or(0, |mut row| row.number()))
    }

    /// Runs `work` in a transaction that holds the write lock: all of it lands, or nothing does.
    ///
    /// # Errors
    /// That of `work`, or the database's.
    pub fn write<T, E: From<Error>>(&self, work: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        self.run("BEGIN IMMEDIATE", &[])?;
        let worked = work(self).and_then(|value| Ok(self.run("COMMIT", &[]).map(|_| value).map_err(in_doubt)?));
        if worked.is_err() {
            self.roll_back();
        }
        worked
    }

    /// Ends the open transaction, if the engine has not done so already.
    pub(crate) fn roll_back(&self) {
        // It fails where there is no transaction any more, which is what is wanted. If the database does not answer,
        // it drops the transaction with the connection.
        let _ = self.run("ROLLBACK", &[]);
    }

    /// Runs statements of a function.
    pub(crate) fn run_batch(&self, batch: &Batch) -> Result<(), Error> {
        for (index, (checked, statement)) in batch.iter().enumerate() {
            let actual = self.change(checked, &statement.parameters).map_err(|error| at_statement(error, index))?;
            if let Some(expected) = statement.expected_rows.filter(|expected| *expected != actual) {
                let at = u32::try_from(index).unwrap_or(u32::MAX);
                return Err(Error::UnexpectedRows(UnexpectedRows { statement: at, expected, actual }));
            }
        }
        Ok(())
    }

    /// Runs a statement of a function; answers how many rows it changed.
    pub(crate) fn change(&self, checked: &Checked, parameters: &[Value]) -> Result<u64, Error> {
        self.run(&checked.sql, parameters)?;
        Ok(if checked.reads { 0 } else { self.changes() })
    }
}

/// An error at COMMIT. What the engine refuses, it refuses before anything is written; of the rest nobody knows.
fn in_doubt(error: Error) -> Error {
    match error {
        Error::Unavailable((_, text)) if text.contains("is locked") => Error::Unavailable((false, text)),
        Error::Unavailable((_, text)) => Error::Unavailable((true, text)),
        other => other,
    }
}

fn native(value: &Value) -> Value {
    match value {
        Value::Boolean(value) => Value::Int64(i64::from(*value)),
        other => other.clone(),
    }
}
