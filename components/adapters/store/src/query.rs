//! Reading, and interactive transactions. A transaction lies on the one connection of the instance: while it is open, every
//! other effect of the instance answers `transaction-open`, and it is rolled back when its time has passed.

use crate::bindings::weft::sql::types::{Error, OutgoingEvent, Rows, Value};
use crate::check::{self, limits};
use crate::connection::{Connection, Platform};
use crate::store::Store;
use crate::text;

/// How long a transaction may be open, in milliseconds.
pub const TRANSACTION_MS: u64 = 5_000;
/// The most bytes of values behind one cursor: Spin hands over a result as a whole.
const CURSOR_BYTES: usize = 64 * 1024 * 1024;

/// The transaction that is open.
pub(crate) struct OpenTransaction {
    number: u64,
    until_ms: u64,
}

impl<C: Connection, P: Platform> Store<C, P> {
    /// Whether an effect may begin.
    pub(crate) fn enter(&mut self) -> Result<(), Error> {
        match &self.transaction {
            None => Ok(()),
            Some(open) if self.platform.now_ms() < open.until_ms => Err(Error::TransactionOpen),
            Some(_) => {
                self.close();
                Ok(())
            }
        }
    }

    /// Reads rows.
    ///
    /// # Errors
    /// As `weft:sql/database.query`.
    pub fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, Error> {
        let rows = self.read(sql, parameters)?;
        let bytes: usize = rows.rows.iter().flatten().map(text::bytes).sum();
        if rows.rows.len() > limits::QUERY_ROWS || bytes > limits::RESULT_BYTES {
            let (most, most_bytes) = (limits::QUERY_ROWS, limits::RESULT_BYTES);
            let text = format!("the result has more than {most} rows or {most_bytes} bytes; open a cursor");
            return Err(Error::TooLarge(text));
        }
        Ok(rows)
    }

    /// Reads all rows for a cursor, of one snapshot.
    ///
    /// # Errors
    /// As `weft:sql/database.open`; `too-large` past 64 MiB.
    pub fn read_whole(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, Error> {
        let rows = self.read(sql, parameters)?;
        if rows.rows.iter().flatten().map(text::bytes).sum::<usize>() > CURSOR_BYTES {
            return Err(Error::TooLarge(format!("the result has more than {CURSOR_BYTES} bytes; ask for less")));
        }
        Ok(rows)
    }

    fn read(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, Error> {
        let checked = text::statement(sql, parameters)?;
        if !checked.reads {
            let text = "a query only reads; changes are made by `commit` or in a transaction";
            return Err(Error::Denied(text.to_owned()));
        }
        self.enter()?;
        let rows = self.run(&checked.sql, parameters)?;
        Ok(Rows { columns: rows.columns, rows: rows.rows })
    }

    /// Begins a transaction; answers its number.
    ///
    /// # Errors
    /// `transaction-open`, or if the database does not answer.
    pub fn begin(&mut self) -> Result<u64, Error> {
        self.enter()?;
        self.run("BEGIN IMMEDIATE", &[])?;
        self.transactions += 1;
        let until_ms = self.platform.now_ms().saturating_add(TRANSACTION_MS);
        self.transaction = Some(OpenTransaction { number: self.transactions, until_ms });
        Ok(self.transactions)
    }

    /// Runs a statement in a transaction and reads its rows.
    ///
    /// # Errors
    /// As `weft:sql/database.transaction.query`.
    pub fn query_in(&mut self, transaction: u64, sql: &str, parameters: &[Value]) -> Result<Rows, Error> {
        let checked = text::statement(sql, parameters)?;
        self.enter_transaction(transaction)?;
        let rows = self.run(&checked.sql, parameters);
        let rows = self.within(rows)?;
        Ok(Rows { columns: rows.columns, rows: rows.rows })
    }

    /// Runs a statement in a transaction; answers how many rows it changed.
    ///
    /// # Errors
    /// As `weft:sql/database.transaction.execute`.
    pub fn execute_in(&mut self, transaction: u64, sql: &str, parameters: &[Value]) -> Result<u64, Error> {
        let checked = text::statement(sql, parameters)?;
        self.enter_transaction(transaction)?;
        let changed = self.change(&checked, parameters);
        self.within(changed)
    }

    /// Ends a transaction; its events leave with it.
    ///
    /// # Errors
    /// As `weft:sql/database.transaction.commit`; the transaction is rolled back then.
    pub fn commit_in(&mut self, transaction: u64, events: &[OutgoingEvent]) -> Result<(), Error> {
        self.enter_transaction(transaction)?;
        let owner = self.settings.component.clone();
        let now_ms = self.platform.now_ms();
        let committed = check::events(events)
            .and_then(|()| self.put_events(&owner, now_ms, events))
            .and_then(|()| self.run("COMMIT", &[]).map(drop));
        match committed {
            Ok(()) => self.transaction = None,
            Err(_) => self.close(),
        }
        committed
    }

    /// Rolls a transaction back, if it is still open.
    ///
    /// # Errors
    /// `transaction-closed` if it has ended already.
    pub fn rollback_in(&mut self, transaction: u64) -> Result<(), Error> {
        self.enter_transaction(transaction)?;
        self.close();
        Ok(())
    }

    fn enter_transaction(&mut self, number: u64) -> Result<(), Error> {
        match &self.transaction {
            Some(open) if open.number == number && self.platform.now_ms() < open.until_ms => Ok(()),
            Some(open) if open.number == number => {
                self.close();
                Err(Error::TransactionClosed)
            }
            _ => Err(Error::TransactionClosed),
        }
    }

    /// A database that did not answer may have given the transaction up: nothing may run outside of it unnoticed.
    fn within<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if matches!(result, Err(Error::Unavailable(_))) {
            self.close();
        }
        result
    }

    fn close(&mut self) {
        self.roll_back();
        self.transaction = None;
    }
}
