//! The keyed operation: one effect of a command, landed at most once. Asks for the record before any domain code runs,
//! commits statements, events and answer together, and gives the answer out of the record. Owns no retry: the caller's
//! step policy does that.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::weft::sql::database;
use crate::failure::{Failure, Fallible};
use crate::json;
use crate::messaging::Outgoing;
use crate::sql::{self, Committed, OperationKey, OutgoingEvent, Statement};

/// What a command wants to happen, all of it or nothing: statements, events, and the answer that is recorded.
#[derive(Debug)]
pub struct Effect<T, E> {
    statements: Vec<Statement>,
    /// By statement: what to answer if its constraint or its row count refuses.
    refusals: Vec<Option<E>>,
    events: Vec<OutgoingEvent>,
    answer: T,
}

impl<T, E> Effect<T, E> {
    /// An effect that so far only records its answer.
    pub fn answer(answer: T) -> Self {
        Self { statements: Vec::new(), refusals: Vec::new(), events: Vec::new(), answer }
    }

    /// Adds a statement that nothing is expected to refuse.
    #[must_use]
    pub fn then(mut self, statement: Statement) -> Self {
        self.statements.push(statement);
        self.refusals.push(None);
        self
    }

    /// Adds a statement; `refusal` is the answer if a constraint or an unexpected number of rows stops it.
    #[must_use]
    pub fn then_or(mut self, statement: Statement, refusal: E) -> Self {
        self.statements.push(statement);
        self.refusals.push(Some(refusal));
        self
    }

    /// Adds an event that leaves if and only if this commits.
    #[must_use]
    pub fn event(mut self, event: Outgoing) -> Self {
        self.events.push(event.into());
        self
    }

    fn refusal(&mut self, statement: u32) -> Option<E> {
        self.refusals.get_mut(usize::try_from(statement).ok()?)?.take()
    }
}

/// Runs a command under its key. `owner` is `interface#function`; the pair owns the effect for ever. A key that is
/// recorded answers its record and `work` does not run.
pub async fn operation<I, T, E>(
    owner: &str,
    key: &str,
    input: &I,
    work: impl AsyncFnOnce() -> Result<Effect<T, E>, E>,
) -> Result<T, E>
where
    I: Serialize + ?Sized,
    T: Serialize + DeserializeOwned,
    E: Fallible + From<sql::Error>,
{
    let key = OperationKey { owner: owner.to_string(), key: key.to_string() };
    let fingerprint = json::fingerprint(input).map_err(|error| defect::<E>(&error))?;
    match database::recorded(key.clone()).await {
        Ok(Some(record)) if record.fingerprint == fingerprint => return recorded_answer(&record),
        Ok(Some(_)) => return Err(E::key_reused()),
        Ok(None) => {}
        Err(error) => return Err(refused(error, |_| None)),
    }
    let mut effect = work().await?;
    let answer = serde_json::to_vec(&effect.answer).map_err(|error| defect::<E>(&error))?;
    let (statements, events) = (std::mem::take(&mut effect.statements), std::mem::take(&mut effect.events));
    match database::commit(key, fingerprint, statements, events, answer).await {
        Ok(record) => recorded_answer(&record),
        Err(error) => Err(refused(error, |statement| effect.refusal(statement))),
    }
}

/// Undoes a command under its owner and key: the statements run if it landed, and it never lands afterwards. Answers
/// whether they ran.
pub async fn revoke<E: Fallible + From<sql::Error>>(
    owner: &str,
    key: &str,
    statements: Vec<Statement>,
    events: Vec<Outgoing>,
) -> Result<bool, E> {
    let key = OperationKey { owner: owner.to_string(), key: key.to_string() };
    let events = events.into_iter().map(Into::into).collect();
    database::revoke(key, statements, events).await.map_err(|error| refused(error, |_| None))
}

fn recorded_answer<T: DeserializeOwned, E: Fallible>(record: &Committed) -> Result<T, E> {
    serde_json::from_slice(&record.answer).map_err(|error| defect(&error))
}

fn refused<E: Fallible + From<sql::Error>>(error: sql::Error, refusal: impl FnOnce(u32) -> Option<E>) -> E {
    let statement = match &error {
        sql::Error::Revoked => return E::revoked(),
        sql::Error::KeyReused => return E::key_reused(),
        sql::Error::Constraint(violation) => violation.statement,
        sql::Error::UnexpectedRows(rows) => rows.statement,
        _ => return error.into(),
    };
    refusal(statement).unwrap_or_else(|| error.into())
}

/// A record or an input of ours that cannot be coded: a defect, never the caller's doing.
fn defect<E: Fallible>(error: &serde_json::Error) -> E {
    E::from_failure(Failure::not_attempted(format!("a value cannot be coded: {error}")))
}
