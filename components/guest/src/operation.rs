//! The keyed operation: one effect of a command, landed at most once. Asks for the record before any domain code runs,
//! commits statements, appends, events and answer together, and gives the answer out of the record. [`command`] decides
//! anew where somebody else has appended first; any other retry is the caller's step policy.

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(not(test))]
use crate::bindings::weft::events::store;
#[cfg(not(test))]
use crate::bindings::weft::sql::database;
#[cfg(test)]
use crate::events::fake_store::{self as database, self as store};
use crate::events::{ExpectedVersion, NewEvent, StreamAppend, VersionConflict};
use crate::failure::{Failure, Fallible};
use crate::json;
use crate::messaging::Outgoing;
use crate::sql::{self, Committed, OperationKey, OutgoingEvent, Statement};

/// How often a command is decided anew because somebody else has appended first.
const DECISIONS_MAX: u32 = 8;

/// What a command wants to happen, all of it or nothing: statements, appended and other events, and the answer that is
/// recorded.
#[derive(Debug)]
pub struct Effect<T, E> {
    statements: Vec<Statement>,
    /// By statement: what to answer if its constraint or its row count refuses.
    refusals: Vec<Option<E>>,
    appends: Vec<StreamAppend>,
    events: Vec<OutgoingEvent>,
    answer: T,
}

impl<T, E> Effect<T, E> {
    /// An effect that so far only records its answer.
    pub fn answer(answer: T) -> Self {
        Self { statements: Vec::new(), refusals: Vec::new(), appends: Vec::new(), events: Vec::new(), answer }
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

    /// Adds events for a stream that has come to the expected version; none of them is nothing to do.
    #[must_use]
    pub fn append(mut self, stream: &str, expected: ExpectedVersion, events: Vec<NewEvent>) -> Self {
        if !events.is_empty() {
            self.appends.push(StreamAppend { stream: stream.to_string(), expected, events });
        }
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
    let request = match Request::begin::<I, E>(owner, key, input).await? {
        Begun::New(request) => request,
        Begun::Recorded(record) => return recorded_answer(&record),
    };
    request.commit(work().await?).await.map_err(NotCommitted::into_error)
}

/// As [`operation`], for a command that is decided on what a stream comes to: `work` reads the stream and says which
/// version it expects. If somebody else has appended meanwhile, it is decided again.
pub async fn command<I, T, E>(
    owner: &str,
    key: &str,
    input: &I,
    work: impl AsyncFn() -> Result<Effect<T, E>, E>,
) -> Result<T, E>
where
    I: Serialize + ?Sized,
    T: Serialize + DeserializeOwned,
    E: Fallible + From<sql::Error>,
{
    let request = match Request::begin::<I, E>(owner, key, input).await? {
        Begun::New(request) => request,
        Begun::Recorded(record) => return recorded_answer(&record),
    };
    let mut decisions = 1;
    loop {
        match request.commit(work().await?).await {
            Err(NotCommitted::Conflict(_)) if decisions < DECISIONS_MAX => decisions += 1,
            other => return other.map_err(NotCommitted::into_error),
        }
    }
}

/// A command that nobody has a record of yet.
struct Request {
    key: OperationKey,
    fingerprint: String,
}

enum Begun {
    New(Request),
    Recorded(Committed),
}

/// Why a commit did not happen.
enum NotCommitted<E> {
    /// Somebody else has appended first.
    Conflict(VersionConflict),
    Refused(E),
}

impl<E: Fallible> NotCommitted<E> {
    fn into_error(self) -> E {
        match self {
            Self::Refused(error) => error,
            Self::Conflict(VersionConflict { stream, actual, .. }) => {
                E::from_failure(Failure::not_attempted(format!("{stream} has moved on to version {actual}")))
            }
        }
    }
}

impl Request {
    /// Asks for the record of the key.
    async fn begin<I, E>(owner: &str, key: &str, input: &I) -> Result<Begun, E>
    where
        I: Serialize + ?Sized,
        E: Fallible + From<sql::Error>,
    {
        let key = OperationKey { owner: owner.to_string(), key: key.to_string() };
        let fingerprint = json::fingerprint(input).map_err(|error| defect::<E>(&error))?;
        match database::recorded(key.clone()).await {
            Ok(Some(record)) if record.fingerprint == fingerprint => Ok(Begun::Recorded(record)),
            Ok(Some(_)) => Err(E::key_reused()),
            Ok(None) => Ok(Begun::New(Self { key, fingerprint })),
            Err(error) => Err(refused(error, |_| None)),
        }
    }

    async fn commit<T, E>(&self, mut effect: Effect<T, E>) -> Result<T, NotCommitted<E>>
    where
        T: Serialize + DeserializeOwned,
        E: Fallible + From<sql::Error>,
    {
        let (key, fingerprint) = (self.key.clone(), self.fingerprint.clone());
        let answer = serde_json::to_vec(&effect.answer).map_err(|error| NotCommitted::Refused(defect(&error)))?;
        let (statements, events) = (std::mem::take(&mut effect.statements), std::mem::take(&mut effect.events));
        let appends = std::mem::take(&mut effect.appends);
        let committed = if appends.is_empty() {
            database::commit(key, fingerprint, statements, events, answer).await.map_err(store::Error::Sql)
        } else {
            store::append(key, fingerprint, appends, statements, events, answer).await
        };
        match committed {
            Ok(record) => recorded_answer(&record).map_err(NotCommitted::Refused),
            Err(store::Error::Conflict(conflict)) => Err(NotCommitted::Conflict(conflict)),
            Err(store::Error::Invalid(text)) => Err(NotCommitted::Refused(sql::Error::Invalid(text).into())),
            Err(store::Error::Sql(error)) => {
                Err(NotCommitted::Refused(refused(error, |statement| effect.refusal(statement))))
            }
        }
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

/// As [`revoke`], where what takes the command back is appended as well: `work` runs if the command landed, and under a
/// key of its own. The command is revoked first and for good, so that whoever crashes in between comes back to go on.
pub async fn undo<E: Fallible + From<sql::Error>>(
    owner: &str,
    key: &str,
    work: impl AsyncFn() -> Result<Effect<(), E>, E>,
) -> Result<bool, E> {
    let landed = revoke::<E>(owner, key, Vec::new(), Vec::new()).await?;
    if landed {
        command(&format!("{owner}/undo"), key, &(), work).await?;
    }
    Ok(landed)
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
