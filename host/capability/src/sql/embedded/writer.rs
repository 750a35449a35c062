//! The one thread that writes to a context's file. It takes whatever is queued, runs each commit in a savepoint of one
//! transaction, flushes once and acknowledges each on its own. An interactive transaction has it to itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use weft_core::Clock;

use super::Shared;
use super::events;
use super::keyed::{self, Effects, Record};
use super::queue::{AbandonOnExit, Linger, Ticket};
use super::read_model::{self, Change};
use super::session::Session;
use super::statement::portable;
use super::transaction::{self, Opened};
use super::write_error::WriteError;
use crate::events::{Append, Snapshot};
use crate::sql::error::SqlError;
use crate::sql::types::{Commit, Committed, Revocation};

/// How many commits share a flush at most; it bounds how much is done again when one of them spoils the transaction.
const GROUP: usize = 256;
/// How long the writer waits for company at most.
const LONGEST_LINGER: Duration = Duration::from_millis(1);
/// How many old records a group removes at most.
const CLEANUP_BATCH: usize = 500;
/// How long nothing is cleaned up after everything old was removed, in milliseconds.
const CLEANUP_PAUSE_MS: u64 = 10 * 60 * 1000;

pub(super) type Reply<T> = oneshot::Sender<Result<T, SqlError>>;

/// What the writer is asked for.
pub(super) enum Job {
    Keyed(Keyed),
    Begin { owner: Arc<str>, ticket: Arc<Ticket>, reply: Reply<Opened> },
}

/// An operation, and who waits for it.
pub(super) struct Keyed {
    pub(super) operation: Operation,
    pub(super) ticket: Arc<Ticket>,
    pub(super) reply: oneshot::Sender<Result<Effect, WriteError>>,
}

pub(super) enum Operation {
    Commit(Commit, Vec<Append>),
    Revoke(Revocation),
    KeepSnapshot(Snapshot),
    Model(Change),
}

/// What came of an operation.
pub(super) enum Effect {
    Committed {
        record: Committed,
        /// The position of the last event that it has appended.
        head: Option<u64>,
    },
    Revoked {
        ran: bool,
    },
    Done,
}

/// How a group ended.
enum Ended {
    /// One result each; what succeeded is flushed.
    Done(Vec<Result<Effect, WriteError>>),
    /// The operation at `index` made the engine roll everything back; the others can run again without it.
    Spoiled {
        index: usize,
        error: WriteError,
    },
    /// A constraint that is checked at the end refused, and any of them may be to blame.
    Doubtful(SqlError),
    Failed(SqlError),
}

pub(super) struct Writer {
    session: Session,
    shared: Arc<Shared>,
    next_cleanup_ms: u64,
    /// The time of the newest event; the next is no older.
    event_ms: u64,
    linger: Linger,
}

impl Writer {
    pub(super) fn new(session: Session, shared: Arc<Shared>, event_ms: u64) -> Self {
        Self { session, shared, next_cleanup_ms: 0, event_ms, linger: Linger::default() }
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _abandon = AbandonOnExit(&shared.writes);
        while let Some(jobs) = shared.writes.pop_group(GROUP, |job| matches!(job, Job::Keyed(_)), self.linger) {
            let mut group = Vec::new();
            for job in jobs {
                match job {
                    Job::Keyed(keyed) => group.push(keyed),
                    Job::Begin { owner, ticket, reply } => {
                        if ticket.begin() {
                            transaction::serve(&self.session, &shared, &owner, reply);
                        }
                    }
                }
            }
            group.retain(|keyed: &Keyed| !keyed.reply.is_closed() && keyed.ticket.begin());
            let (size, began) = (group.len(), shared.clock.monotonic());
            self.finish(group);
            let took = shared.clock.monotonic().saturating_sub(began);
            // Those who were just answered are about to ask again: a fraction of the time that a flush takes is well
            // spent on having them all in the next one. A lone caller is never kept waiting.
            let at_most = if size > 1 { took / 4 } else { Duration::ZERO };
            self.linger = Linger { jobs: size, at_most: at_most.min(LONGEST_LINGER) };
        }
        self.close();
    }

    /// Runs a group and answers each of it.
    fn finish(&mut self, mut group: Vec<Keyed>) {
        while !group.is_empty() {
            match self.attempt(&group) {
                Ended::Done(results) => {
                    for (keyed, result) in group.drain(..).zip(results) {
                        answer(keyed, result);
                    }
                }
                Ended::Spoiled { index, error } => answer(group.remove(index), Err(error)),
                Ended::Doubtful(_) if group.len() > 1 => {
                    for keyed in std::mem::take(&mut group) {
                        self.finish(vec![keyed]);
                    }
                }
                Ended::Doubtful(error) | Ended::Failed(error) => {
                    for keyed in group.drain(..) {
                        answer(keyed, Err(error.clone().into()));
                    }
                }
            }
        }
    }

    fn attempt(&mut self, group: &[Keyed]) -> Ended {
        let connection = self.session.host();
        let now_ms = self.shared.clock.now_ms();
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            return Ended::Failed(portable(&error));
        }
        let effects = Effects {
            session: &self.session,
            context: &self.shared.context,
            now_ms,
            event_ms: now_ms.max(self.event_ms),
            limit: Duration::from_millis(self.shared.settings.statement_ms),
        };
        let event_ms = effects.event_ms;
        let mut results = Vec::with_capacity(group.len());
        for (index, keyed) in group.iter().enumerate() {
            match run(&effects, &keyed.operation) {
                Err(error) if connection.is_autocommit() => return Ended::Spoiled { index, error },
                result => results.push(result),
            }
        }
        let forwarded = self.shared.forwarded.load(Ordering::Acquire);
        let clean = keyed::remove_events(connection, forwarded).and_then(|()| self.clean_up(now_ms));
        let next_cleanup_ms = match clean {
            Ok(next) => next,
            Err(error) => return self.give_up(portable(&error)),
        };
        self.shared.failpoints.hit("sql.before-commit");
        if let Err(error) = connection.execute_batch("COMMIT") {
            let failed = match portable(&error) {
                constraint @ SqlError::Constraint { .. } => {
                    roll_back(&self.session);
                    return Ended::Doubtful(constraint);
                }
                failed => failed,
            };
            return self.give_up(after_commit(failed));
        }
        self.shared.failpoints.hit("sql.after-commit");
        self.next_cleanup_ms = next_cleanup_ms;
        let head = results.iter().filter_map(|result| result.as_ref().ok().and_then(Effect::head)).max();
        if let Some(head) = head {
            self.event_ms = event_ms;
            // Nobody may be waiting.
            self.shared.head.send_replace(head);
        }
        let sent = group.iter().zip(&results).any(|(keyed, result)| keyed.sent_events(result));
        self.shared.outbox_changed(sent || head.is_some());
        Ended::Done(results)
    }

    /// Removes a few old records; answers when to look again.
    fn clean_up(&self, now_ms: u64) -> rusqlite::Result<u64> {
        if now_ms < self.next_cleanup_ms {
            return Ok(self.next_cleanup_ms);
        }
        let settings = &self.shared.settings;
        let before_ms = now_ms.saturating_sub(settings.retention_ms).min(settings.kept_since.since_ms());
        let removed = keyed::remove_records(self.session.host(), before_ms, CLEANUP_BATCH)?;
        Ok(if removed < CLEANUP_BATCH { now_ms.saturating_add(CLEANUP_PAUSE_MS) } else { now_ms })
    }

    fn give_up(&self, error: SqlError) -> Ended {
        roll_back(&self.session);
        Ended::Failed(error)
    }

    /// Leaves the file tidy: forwarded events are gone and the log is part of the database.
    fn close(&self) {
        let connection = self.session.host();
        let forwarded = self.shared.forwarded.load(Ordering::Acquire);
        let tidied = keyed::remove_events(connection, forwarded)
            .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        if let Err(error) = tidied {
            // Nothing is lost: the next start finds the same in the log.
            tracing::warn!(context = %self.shared.context, %error, "the database was closed without a checkpoint");
        }
    }
}

impl Keyed {
    fn sent_events(&self, result: &Result<Effect, WriteError>) -> bool {
        let events = match &self.operation {
            Operation::Commit(commit, _) => commit.events.len(),
            Operation::Revoke(revocation) => revocation.events.len(),
            Operation::KeepSnapshot(_) | Operation::Model(_) => 0,
        };
        events > 0 && result.is_ok()
    }
}

impl Effect {
    fn head(&self) -> Option<u64> {
        if let Self::Committed { head, .. } = self { *head } else { None }
    }
}

/// An error at COMMIT of which nobody knows whether the flush happened.
pub(super) fn after_commit(error: SqlError) -> SqlError {
    match error {
        SqlError::Unavailable { reason, message, .. } => SqlError::Unavailable { maybe_done: true, reason, message },
        other => SqlError::uncertain(other.to_string()),
    }
}

/// Ends the transaction, if the engine has not done so already.
pub(super) fn roll_back(session: &Session) {
    if !session.host().is_autocommit()
        && let Err(error) = session.host().execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

fn answer(keyed: Keyed, result: Result<Effect, WriteError>) {
    // Who no longer waits asks again under the same key.
    let _ = keyed.reply.send(result);
}

/// Runs one operation in a savepoint of the open transaction.
fn run(effects: &Effects<'_>, operation: &Operation) -> Result<Effect, WriteError> {
    match operation {
        Operation::Commit(commit, appends) => match keyed::record(effects.session.host(), &commit.key)? {
            Some(Record::Revoked { .. }) => Err(SqlError::Revoked.into()),
            Some(Record::Committed(record)) if record.fingerprint == commit.fingerprint => {
                Ok(Effect::Committed { record, head: None })
            }
            Some(Record::Committed(_)) => Err(SqlError::KeyReused.into()),
            None => alone(effects, || {
                let head = events::append(effects, &commit.key.owner, appends)?;
                Ok(Effect::Committed { record: effects.commit(commit)?, head })
            }),
        },
        Operation::Revoke(revocation) => match keyed::record(effects.session.host(), &revocation.key)? {
            Some(Record::Revoked { ran }) => Ok(Effect::Revoked { ran }),
            record => alone(effects, || Ok(Effect::Revoked { ran: effects.revoke(revocation, record.is_some())? })),
        },
        Operation::KeepSnapshot(snapshot) => alone(effects, || {
            events::keep_snapshot(effects.session.host(), snapshot)?;
            Ok(Effect::Done)
        }),
        Operation::Model(change) => alone(effects, || {
            read_model::apply(effects, change)?;
            Ok(Effect::Done)
        }),
    }
}

/// Runs `work` in a savepoint: an error undoes it alone.
fn alone(effects: &Effects<'_>, work: impl FnOnce() -> Result<Effect, WriteError>) -> Result<Effect, WriteError> {
    let connection = effects.session.host();
    savepoint(connection, "SAVEPOINT weft_one")?;
    let result = work();
    let ended = match &result {
        _ if connection.is_autocommit() => Ok(()),
        Ok(_) => savepoint(connection, "RELEASE weft_one"),
        Err(_) => {
            savepoint(connection, "ROLLBACK TO weft_one").and_then(|()| savepoint(connection, "RELEASE weft_one"))
        }
    };
    if ended.is_err() {
        // Half an operation must not be committed with the rest of the group.
        roll_back(effects.session);
    }
    ended?;
    result
}

fn savepoint(connection: &rusqlite::Connection, sql: &str) -> Result<(), SqlError> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop).map_err(|e| portable(&e))
}

/// Waits on this thread for `future`, but no longer than `limit` by the clock and no longer than until the host stops.
pub(super) fn wait<T>(
    clock: &Arc<dyn Clock>,
    limit: Duration,
    stop: &super::Stop,
    future: impl Future<Output = T>,
) -> Option<T> {
    futures::executor::block_on(async {
        let late = futures::future::select(clock.sleep(limit), stop.clone());
        futures::pin_mut!(future);
        match futures::future::select(late, future).await {
            futures::future::Either::Left(_) => None,
            futures::future::Either::Right((value, _)) => Some(value),
        }
    })
}
