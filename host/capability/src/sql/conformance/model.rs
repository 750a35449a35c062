//! Compares a backend with a model over any sequence of commits, revocations and look-ups. Who makes up the sequences
//! is the caller.

use std::collections::HashMap;

use super::{Backend, SqlError, Value, commit, key, one, statement, text};
use crate::sql::{Revocation, Statement};

/// One call. Keys and values are small numbers, so that calls meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A commit that puts `value` under `key`; with `fails`, its last statement changes too few rows.
    Commit {
        /// Which key.
        key: u8,
        /// Also the fingerprint.
        value: u8,
        /// Whether it rolls back.
        fails: bool,
    },
    /// A revocation that removes what the commit put there.
    Revoke {
        /// Which key.
        key: u8,
        /// Whether it rolls back, if it runs.
        fails: bool,
    },
    /// A look at the record.
    Recorded {
        /// Which key.
        key: u8,
    },
}

#[derive(Clone, Copy)]
enum Entry {
    Committed(u8),
    Revoked { ran: bool },
}

const FAILING: &str = "UPDATE effects SET value = 0 WHERE key = 'nothing has this key'";

/// Runs `calls` and compares each answer, and at the end what is stored. `run` makes its keys its own.
///
/// # Panics
/// If the backend and the model disagree.
pub async fn check(backend: &dyn Backend, run: &str, calls: &[Call]) {
    let database = backend.database();
    let mut model = HashMap::<u8, Entry>::new();
    for (at, call) in calls.iter().enumerate() {
        match *call {
            Call::Commit { key, value, fails } => {
                let mut wanted = commit(&name(run, key), put(run, key, value, fails));
                wanted.fingerprint = value.to_string();
                wanted.answer = vec![value];
                let expected = match model.get(&key) {
                    Some(Entry::Committed(old)) if *old == value => Ok(value),
                    Some(Entry::Committed(_)) => Err(SqlError::KeyReused),
                    Some(Entry::Revoked { .. }) => Err(SqlError::Revoked),
                    None if fails => Err(SqlError::UnexpectedRows { statement: 1, expected: 1, actual: 0 }),
                    None => {
                        model.insert(key, Entry::Committed(value));
                        Ok(value)
                    }
                };
                let answer = database.commit(wanted).await.map(|record| record.answer[0]);
                assert_eq!(answer, expected, "call {at} of {calls:?}");
            }
            Call::Revoke { key, fails } => {
                let expected = match model.get(&key) {
                    Some(Entry::Revoked { ran }) => Ok(*ran),
                    Some(Entry::Committed(_)) if fails => {
                        Err(SqlError::UnexpectedRows { statement: 1, expected: 1, actual: 0 })
                    }
                    found => Ok(found.is_some()),
                };
                if let Ok(ran) = expected {
                    model.insert(key, Entry::Revoked { ran });
                }
                assert_eq!(database.revoke(undo(run, key, fails)).await, expected, "call {at} of {calls:?}");
            }
            Call::Recorded { key: number } => {
                let expected = match model.get(&number) {
                    None => Ok(None),
                    Some(Entry::Committed(value)) => Ok(Some(vec![*value])),
                    Some(Entry::Revoked { .. }) => Err(SqlError::Revoked),
                };
                let found = database.recorded(key(&name(run, number))).await;
                assert_eq!(found.map(|found| found.map(|record| record.answer)), expected, "call {at} of {calls:?}");
            }
        }
    }
    compare(backend, run, &model, calls).await;
}

async fn compare(backend: &dyn Backend, run: &str, model: &HashMap<u8, Entry>, calls: &[Call]) {
    let database = backend.database();
    for (key, entry) in model {
        let sum = "SELECT COALESCE(SUM(value), -1) FROM effects WHERE key = $1";
        let stored = one(&*database, sum, [text(&name(run, *key))]).await;
        let expected = if let Entry::Committed(value) = entry { i64::from(*value) } else { -1 };
        assert_eq!(stored, Value::Int64(expected), "key {key} after {calls:?}");
    }
}

fn name(run: &str, key: u8) -> String {
    format!("{run}-{key}")
}

fn put(run: &str, key: u8, value: u8, fails: bool) -> Vec<Statement> {
    let insert = "INSERT INTO effects (key, value) VALUES ($1, $2)";
    let put = statement(insert, [text(&name(run, key)), Value::Int64(i64::from(value))]);
    let failing = fails.then(|| statement(FAILING, []).expecting(1));
    [put].into_iter().chain(failing).collect()
}

fn undo(run: &str, number: u8, fails: bool) -> Revocation {
    let delete = statement("DELETE FROM effects WHERE key = $1", [text(&name(run, number))]).expecting(1);
    let failing = fails.then(|| statement(FAILING, []).expecting(1));
    let statements = [delete].into_iter().chain(failing).collect();
    Revocation { key: key(&name(run, number)), statements, events: Vec::new() }
}
