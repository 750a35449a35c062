//! The tables of the journal and the statements on them. Owns all SQL; says nothing about when what is done.
//!
//! `due_at_ms` is when somebody has to go on with a saga: the end of its lease while a run has it, the end of its wait
//! while none has, and null while it waits for a signal or the end of a child.

use std::collections::BTreeMap;

use crate::database::{Database, Row, Value, row, rows, transaction};
use crate::record::{OpenAttempt, Record, decode, encode};
use crate::replay::Replay;
use crate::types::{SagaError, Status};

/// Tables and indexes, which are made where they are missing.
const TABLES: [&str; 8] = [
    "CREATE TABLE IF NOT EXISTS weft_sagas (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        component TEXT NOT NULL,
        function TEXT NOT NULL,
        input BLOB NOT NULL,
        continued BLOB,
        generation INTEGER NOT NULL DEFAULT 0,
        status TEXT NOT NULL DEFAULT 'running',
        started_at_ms INTEGER NOT NULL,
        ended_at_ms INTEGER,
        answer BLOB,
        error TEXT,
        attributes TEXT NOT NULL DEFAULT '{}',
        deadline_ms INTEGER,
        cancelled TEXT,
        open TEXT NOT NULL DEFAULT '[]',
        lease INTEGER NOT NULL DEFAULT 1,
        leased INTEGER NOT NULL DEFAULT 1,
        due_at_ms INTEGER,
        changes INTEGER NOT NULL DEFAULT 0,
        idle_runs INTEGER NOT NULL DEFAULT 0
    )",
    "CREATE INDEX IF NOT EXISTS weft_sagas_due ON weft_sagas (due_at_ms) WHERE ended_at_ms IS NULL",
    "CREATE INDEX IF NOT EXISTS weft_sagas_ended ON weft_sagas (ended_at_ms) WHERE ended_at_ms IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS weft_saga_records (
        id INTEGER PRIMARY KEY,
        saga INTEGER NOT NULL,
        record TEXT NOT NULL,
        payload BLOB NOT NULL
    )",
    "CREATE INDEX IF NOT EXISTS weft_saga_records_saga ON weft_saga_records (saga, id)",
    "CREATE TABLE IF NOT EXISTS weft_saga_signals (
        id INTEGER PRIMARY KEY,
        saga INTEGER NOT NULL,
        name TEXT NOT NULL,
        signal TEXT NOT NULL,
        payload BLOB NOT NULL,
        taken INTEGER NOT NULL DEFAULT 0
    )",
    "CREATE INDEX IF NOT EXISTS weft_saga_signals_saga ON weft_saga_signals (saga, name, id)",
    "CREATE TABLE IF NOT EXISTS weft_saga_parents (
        child TEXT NOT NULL,
        parent INTEGER NOT NULL,
        PRIMARY KEY (child, parent)
    ) WITHOUT ROWID",
];

/// Ended sagas that are forgotten at a time.
const FORGOTTEN_AT_A_TIME: u32 = 20;

pub(crate) fn create(database: &dyn Database) -> Result<(), SagaError> {
    let last = "SELECT 1 FROM sqlite_schema WHERE name = 'weft_saga_parents'";
    if row(database, last, &[])?.is_some() {
        return Ok(());
    }
    transaction(database, || TABLES.iter().try_for_each(|sql| rows(database, sql, &[]).map(drop)))
}

/// A saga as far as those who begin it or wait for it need it.
pub(crate) struct Saga {
    pub position: u64,
    pub function: String,
    pub input: Vec<u8>,
    pub continued: Option<Vec<u8>>,
    pub generation: u32,
    pub started_at_ms: u64,
    pub ended: bool,
    pub answer: Option<Vec<u8>>,
    pub error: Option<String>,
    pub cancelled: Option<String>,
    pub deadline_ms: Option<u64>,
    pub open: Vec<OpenAttempt>,
    pub attributes: BTreeMap<String, String>,
    pub lease: u64,
    pub leased: bool,
    pub due_at_ms: Option<u64>,
    pub changes: u64,
    pub idle_runs: u64,
}

pub(crate) fn find(database: &dyn Database, key: &str) -> Result<Option<Saga>, SagaError> {
    let sql = "SELECT position, function, input, continued, generation, started_at_ms, ended_at_ms, answer, error,
        cancelled, deadline_ms, open, attributes, lease, leased, due_at_ms, changes, idle_runs
        FROM weft_sagas WHERE key = ?1";
    row(database, sql, &[key.into()])?.map(saga).transpose()
}

fn saga(mut row: Row) -> Result<Saga, SagaError> {
    Ok(Saga {
        position: row.number()?,
        function: row.text()?,
        input: row.bytes()?,
        continued: row.maybe_bytes()?,
        generation: u32::try_from(row.number()?).unwrap_or(u32::MAX),
        started_at_ms: row.number()?,
        ended: row.maybe_number()?.is_some(),
        answer: row.maybe_bytes()?,
        error: row.maybe_text()?,
        cancelled: row.maybe_text()?,
        deadline_ms: row.maybe_number()?,
        open: decode(&row.text()?)?,
        attributes: decode(&row.text()?)?,
        lease: row.number()?,
        leased: row.number()? == 1,
        due_at_ms: row.maybe_number()?,
        changes: row.number()?,
        idle_runs: row.number()?,
    })
}

impl Saga {
    /// Whether a run has it now.
    pub(crate) fn runs(&self, now_ms: u64) -> bool {
        self.leased && self.due_at_ms.is_some_and(|at_ms| at_ms > now_ms)
    }

    /// What it has answered, if it has ended.
    pub(crate) fn answer(&self, key: &str) -> Option<Result<Vec<u8>, SagaError>> {
        self.ended.then(|| {
            self.answer.clone().ok_or_else(|| {
                let reason = self.error.as_deref().unwrap_or("it has no answer");
                SagaError::Unavailable(format!("saga {key} needs attention: {reason}"))
            })
        })
    }
}

/// Where a saga stands for those who wait for its end.
pub(crate) enum Stands {
    Nowhere,
    /// A run has it until then.
    Runs,
    /// Nobody has it.
    Rests,
    Ended,
}

pub(crate) fn stands(database: &dyn Database, key: &str, now_ms: u64) -> Result<Stands, SagaError> {
    let sql = "SELECT ended_at_ms, leased, due_at_ms FROM weft_sagas WHERE key = ?1";
    let Some(mut row) = row(database, sql, &[key.into()])? else { return Ok(Stands::Nowhere) };
    let (ended, leased, due_at_ms) = (row.maybe_number()?.is_some(), row.number()? == 1, row.maybe_number()?);
    Ok(match (ended, leased && due_at_ms.is_some_and(|at_ms| at_ms > now_ms)) {
        (true, _) => Stands::Ended,
        (false, true) => Stands::Runs,
        (false, false) => Stands::Rests,
    })
}

/// How many sagas are unfinished, counted up to `at_most`.
pub(crate) fn unfinished(database: &dyn Database, at_most: usize) -> Result<usize, SagaError> {
    let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM weft_sagas WHERE ended_at_ms IS NULL LIMIT ?1)";
    let counted = row(database, sql, &[(at_most as u64).into()])?.map_or(Ok(0), |mut row| row.number())?;
    Ok(usize::try_from(counted).unwrap_or(usize::MAX))
}

/// Puts a new saga in, with its first lease. Answers its position.
pub(crate) fn insert(
    database: &dyn Database,
    (component, function): (&str, &str),
    key: &str,
    input: &[u8],
    now_ms: u64,
) -> Result<u64, SagaError> {
    let sql = "INSERT INTO weft_sagas (key, component, function, input, started_at_ms, due_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING position";
    let due_at_ms = now_ms + crate::LEASE_MS;
    let parameters = [key.into(), component.into(), function.into(), input.into(), now_ms.into(), due_at_ms.into()];
    row(database, sql, &parameters)?.ok_or(SagaError::NotFound)?.number()
}

/// Gives a saga to another run. From now on the one before is refused.
pub(crate) fn take(database: &dyn Database, saga: &Saga, idle_runs: u64, now_ms: u64) -> Result<(), SagaError> {
    let sql = "UPDATE weft_sagas SET lease = ?2, leased = 1, due_at_ms = ?3, idle_runs = ?4
        WHERE position = ?1";
    let due_at_ms = now_ms + crate::LEASE_MS;
    rows(database, sql, &[saga.position.into(), (saga.lease + 1).into(), due_at_ms.into(), idle_runs.into()]).map(drop)
}

pub(crate) fn replay(database: &dyn Database, position: u64) -> Result<Replay, SagaError> {
    let mut replay = Replay::default();
    for (record, payload) in records(database, position)? {
        replay.add(record, payload);
    }
    Ok(replay)
}

pub(crate) fn records(database: &dyn Database, position: u64) -> Result<Vec<(Record, Vec<u8>)>, SagaError> {
    let sql = "SELECT record, payload FROM weft_saga_records WHERE saga = ?1 ORDER BY id";
    let read = |mut row: Row| Ok((Record::decode(&row.text()?)?, row.bytes()?));
    rows(database, sql, &[position.into()])?.into_iter().map(read).collect()
}

/// What only the run that has this lease may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub position: u64,
    pub lease: u64,
}

/// What a run is told of its saga when it looks.
pub(crate) struct News {
    pub cancelled: Option<String>,
    pub changes: u64,
}

impl Held {
    /// Changes the saga's row if this run has it still; `set` and `only` use parameters from `?3` on.
    fn update(
        self,
        database: &dyn Database,
        set: &str,
        only: &str,
        parameters: impl IntoIterator<Item = Value>,
    ) -> Result<Option<Row>, SagaError> {
        let sql = format!(
            "UPDATE weft_sagas SET {set} WHERE position = ?1 AND lease = ?2 AND leased = 1 {only} RETURNING changes"
        );
        let all: Vec<_> = [self.position.into(), self.lease.into()].into_iter().chain(parameters).collect();
        row(database, &sql, &all)
    }

    /// What has come from outside. `None` if another run has the saga, or none.
    pub(crate) fn look(self, database: &dyn Database) -> Result<Option<News>, SagaError> {
        let sql = "SELECT cancelled, changes FROM weft_sagas WHERE position = ?1 AND lease = ?2 AND leased = 1";
        let found = row(database, sql, &[self.position.into(), self.lease.into()])?;
        found.map(|mut row| Ok(News { cancelled: row.maybe_text()?, changes: row.number()? })).transpose()
    }

    pub(crate) fn renew(self, database: &dyn Database, until_ms: u64) -> Result<bool, SagaError> {
        Ok(self.update(database, "due_at_ms = ?3", "", [until_ms.into()])?.is_some())
    }

    /// Opens an attempt: not one of a step while the saga is cancelled.
    pub(crate) fn open(
        self,
        database: &dyn Database,
        open: &[OpenAttempt],
        status: Status,
        until_ms: u64,
    ) -> Result<bool, SagaError> {
        let only = if status == Status::Compensating { "" } else { "AND cancelled IS NULL" };
        let parameters = [encode(&open)?.into(), status.as_str().into(), until_ms.into()];
        Ok(self.update(database, "open = ?3, status = ?4, due_at_ms = ?5", only, parameters)?.is_some())
    }

    /// Adds a record, in a transaction of the caller's.
    pub(crate) fn append(
        self,
        database: &dyn Database,
        (record, payload): (&Record, &[u8]),
        open: &[OpenAttempt],
        until_ms: u64,
    ) -> Result<bool, SagaError> {
        let set = "open = ?3, due_at_ms = ?4, idle_runs = 0";
        if self.update(database, set, "", [encode(&open)?.into(), until_ms.into()])?.is_none() {
            return Ok(false);
        }
        let sql = "INSERT INTO weft_saga_records (saga, record, payload) VALUES (?1, ?2, ?3)";
        rows(database, sql, &[self.position.into(), record.encode()?.into(), payload.into()])?;
        Ok(true)
    }

    pub(crate) fn set_attributes(
        self,
        database: &dyn Database,
        all: &BTreeMap<String, String>,
    ) -> Result<(), SagaError> {
        self.update(database, "attributes = ?3", "", [encode(all)?.into()]).map(drop)
    }

    pub(crate) fn set_deadline(self, database: &dyn Database, at_ms: u64) -> Result<bool, SagaError> {
        Ok(self.update(database, "deadline_ms = ?3", "", [at_ms.into()])?.is_some())
    }

    /// Ends this run until `due_at_ms`, unless something has come from outside since it last looked.
    pub(crate) fn suspend(
        self,
        database: &dyn Database,
        (due_at_ms, seen): (Option<u64>, u64),
        open: &[OpenAttempt],
    ) -> Result<bool, SagaError> {
        let set = "leased = 0, due_at_ms = ?3, open = ?5, idle_runs = 0";
        let parameters = [due_at_ms.into(), seen.into(), encode(&open)?.into()];
        Ok(self.update(database, set, "AND changes = ?4", parameters)?.is_some())
    }

    /// Begins the next generation, in a transaction of the caller's: what was recorded is gone. Signals that wait stay,
    /// and of the others it is known that they were there.
    pub(crate) fn continue_as_new(self, database: &dyn Database, input: &[u8], now_ms: u64) -> Result<bool, SagaError> {
        let set = "leased = 0, due_at_ms = ?3, continued = ?4, generation = generation + 1, status = 'running',
            open = '[]', idle_runs = 0";
        if self.update(database, set, "", [now_ms.into(), input.into()])?.is_none() {
            return Ok(false);
        }
        rows(database, "DELETE FROM weft_saga_records WHERE saga = ?1", &[self.position.into()])?;
        let taken = "DELETE FROM weft_saga_signals WHERE saga = ?1 AND taken = 1 AND signal = ''";
        rows(database, taken, &[self.position.into()])?;
        Ok(true)
    }

    /// Ends the saga, in a transaction of the caller's, and tells those who wait for it.
    pub(crate) fn end(
        self,
        database: &dyn Database,
        key: &str,
        (status, answer, error): (Status, Option<&[u8]>, Option<&str>),
        now_ms: u64,
    ) -> Result<bool, SagaError> {
        let set = "leased = 0, due_at_ms = NULL, ended_at_ms = ?3, status = ?4, answer = ?5, error = ?6, open = '[]'";
        let parameters = [now_ms.into(), status.as_str().into(), answer.into(), error.into()];
        if self.update(database, set, "", parameters)?.is_none() {
            return Ok(false);
        }
        let sql =
            "UPDATE weft_sagas SET changes = changes + 1, due_at_ms = CASE leased WHEN 1 THEN due_at_ms ELSE ?2 END
            WHERE ended_at_ms IS NULL AND position IN (SELECT parent FROM weft_saga_parents WHERE child = ?1)";
        rows(database, sql, &[key.into(), now_ms.into()])?;
        rows(database, "DELETE FROM weft_saga_parents WHERE child = ?1", &[key.into()])?;
        Ok(true)
    }
}

/// Notes that a saga waits for the end of another.
pub(crate) fn await_child(database: &dyn Database, parent: u64, child: &str) -> Result<(), SagaError> {
    let sql = "INSERT OR IGNORE INTO weft_saga_parents (child, parent) VALUES (?1, ?2)";
    rows(database, sql, &[child.into(), parent.into()]).map(drop)
}

/// The oldest signal of this name that waits, with what it carries.
pub(crate) fn next_signal(database: &dyn Database, saga: u64, name: &str) -> Result<Option<(u64, Vec<u8>)>, SagaError> {
    let sql =
        "SELECT id, payload FROM weft_saga_signals WHERE saga = ?1 AND name = ?2 AND taken = 0 ORDER BY id LIMIT 1";
    let found = row(database, sql, &[saga.into(), name.into()])?;
    found.map(|mut row| Ok((row.number()?, row.bytes()?))).transpose()
}

/// Notes that the code was told of a signal; what it carries stands in the record.
pub(crate) fn take_signal(database: &dyn Database, id: u64) -> Result<(), SagaError> {
    rows(database, "UPDATE weft_saga_signals SET taken = 1, payload = x'' WHERE id = ?1", &[id.into()]).map(drop)
}

/// Whether the saga has had a signal of this id, and how many wait for it.
pub(crate) fn signals(database: &dyn Database, saga: u64, name: &str, id: &str) -> Result<(bool, usize), SagaError> {
    let sql = "SELECT (SELECT COUNT(*) FROM weft_saga_signals WHERE saga = ?1 AND name = ?2 AND signal = ?3 AND signal <> ''),
        (SELECT COUNT(*) FROM weft_saga_signals WHERE saga = ?1 AND taken = 0)";
    let mut row = row(database, sql, &[saga.into(), name.into(), id.into()])?.ok_or(SagaError::NotFound)?;
    Ok((row.number()? > 0, usize::try_from(row.number()?).unwrap_or(usize::MAX)))
}

pub(crate) fn insert_signal(
    database: &dyn Database,
    saga: u64,
    (name, id): (&str, &str),
    payload: &[u8],
) -> Result<(), SagaError> {
    let sql = "INSERT INTO weft_saga_signals (saga, name, signal, payload) VALUES (?1, ?2, ?3, ?4)";
    rows(database, sql, &[saga.into(), name.into(), id.into(), payload.into()]).map(drop)
}

/// Something has come for a saga: its run looks again, or it is due.
pub(crate) fn news(database: &dyn Database, saga: u64, cancelled: Option<&str>, now_ms: u64) -> Result<(), SagaError> {
    let sql = "UPDATE weft_sagas SET changes = changes + 1, cancelled = COALESCE(cancelled, ?2),
        due_at_ms = CASE leased WHEN 1 THEN due_at_ms ELSE ?3 END WHERE position = ?1";
    rows(database, sql, &[saga.into(), cancelled.into(), now_ms.into()]).map(drop)
}

pub(crate) fn exposed(database: &dyn Database, key: &str, name: &str) -> Result<Option<Vec<u8>>, SagaError> {
    let Some(saga) = find(database, key)? else { return Err(SagaError::NotFound) };
    let sql = "SELECT payload FROM weft_saga_records WHERE saga = ?1 AND record = ?2 ORDER BY id DESC LIMIT 1";
    let record = Record::Exposed { name: name.to_owned() }.encode()?;
    row(database, sql, &[saga.position.into(), record.into()])?.map(|mut row| row.bytes()).transpose()
}

/// Components with a saga that is due.
pub(crate) fn due_components(database: &dyn Database, now_ms: u64) -> Result<Vec<String>, SagaError> {
    let sql = "SELECT DISTINCT component FROM weft_sagas WHERE ended_at_ms IS NULL AND due_at_ms <= ?1";
    rows(database, sql, &[now_ms.into()])?.into_iter().map(|mut row| row.text()).collect()
}

/// Keys of the sagas of a component that are due, those first that are so for longest.
pub(crate) fn due(database: &dyn Database, component: &str, now_ms: u64, limit: u32) -> Result<Vec<String>, SagaError> {
    let sql = "SELECT key FROM weft_sagas WHERE ended_at_ms IS NULL AND due_at_ms <= ?1 AND component = ?2
        ORDER BY due_at_ms, position LIMIT ?3";
    let due = rows(database, sql, &[now_ms.into(), component.into(), limit.into()])?;
    due.into_iter().map(|mut row| row.text()).collect()
}

/// Forgets some of the sagas that ended before that time. What needs attention stays.
pub(crate) fn forget(database: &dyn Database, ended_before_ms: u64) -> Result<(), SagaError> {
    let old = "SELECT position FROM weft_sagas WHERE ended_at_ms < ?1 AND status <> 'needs-attention' LIMIT ?2";
    let parameters = [ended_before_ms.into(), FORGOTTEN_AT_A_TIME.into()];
    let found: Vec<u64> =
        rows(database, old, &parameters)?.into_iter().map(|mut row| row.number()).collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Ok(());
    }
    transaction(database, || {
        for position in &found {
            for sql in [
                "DELETE FROM weft_saga_records WHERE saga = ?1",
                "DELETE FROM weft_saga_signals WHERE saga = ?1",
                "DELETE FROM weft_saga_parents WHERE parent = ?1",
                "DELETE FROM weft_sagas WHERE position = ?1",
            ] {
                rows(database, sql, &[(*position).into()])?;
            }
        }
        Ok(())
    })
}
