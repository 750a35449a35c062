//! Interactive transactions: the writer's thread serves one until it ends, and the caller's half sends it commands.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::keyed::put_events;
use super::session::Session;
use super::statement::{execute, portable, query};
use super::writer::{Reply, after_commit, roll_back, wait};
use crate::sql::error::SqlError;
use crate::sql::types::{OutgoingEvent, Rows, Value};
use crate::sql::{Transaction, check};

enum Command {
    Query { sql: String, parameters: Vec<Value>, reply: Reply<Rows> },
    Execute { sql: String, parameters: Vec<Value>, reply: Reply<u64> },
    Commit { events: Vec<OutgoingEvent>, reply: Reply<()> },
    Rollback { reply: Reply<()> },
}

/// The caller's half. Dropping it closes the channel, and with that the transaction is rolled back.
pub(super) struct Opened {
    commands: mpsc::Sender<Command>,
}

/// Serves one transaction on the writer's thread, until it ends, its caller is gone or its time has passed.
pub(super) fn serve(session: &Session, shared: &Arc<Shared>, owner: &str, reply: Reply<Opened>) {
    if let Err(error) = session.host().execute_batch("BEGIN IMMEDIATE") {
        // Who no longer waits needs no answer, here and below.
        let _ = reply.send(Err(portable(&error)));
        return;
    }
    let (commands, received) = mpsc::channel(1);
    if reply.send(Ok(Opened { commands })).is_ok() {
        listen(session, shared, owner, received);
    }
    roll_back(session);
}

fn listen(session: &Session, shared: &Arc<Shared>, owner: &str, mut commands: mpsc::Receiver<Command>) {
    let clock = &shared.clock;
    let deadline = clock.monotonic() + Duration::from_millis(shared.settings.transaction_ms);
    // While the engine has a transaction open: some errors make it give the transaction up.
    while !session.host().is_autocommit() {
        let left = deadline.saturating_sub(clock.monotonic());
        let limit = left.min(Duration::from_millis(shared.settings.statement_ms));
        match wait(clock, left, &shared.stop, commands.recv()).flatten() {
            None => return,
            Some(Command::Query { sql, parameters, reply }) => {
                let _ = reply.send(query(session.guest(limit).connection(), &sql, &parameters));
            }
            Some(Command::Execute { sql, parameters, reply }) => {
                let _ = reply.send(execute(session.guest(limit).connection(), &sql, &parameters));
            }
            Some(Command::Commit { events, reply }) => {
                let _ = reply.send(commit(session, shared, owner, &events));
                return;
            }
            Some(Command::Rollback { reply }) => {
                roll_back(session);
                let _ = reply.send(Ok(()));
                return;
            }
        }
    }
}

fn commit(session: &Session, shared: &Shared, owner: &str, events: &[OutgoingEvent]) -> Result<(), SqlError> {
    put_events(session.host(), &shared.context, owner, shared.clock.now_ms(), events)?;
    shared.failpoints.hit("sql.before-commit");
    session.host().execute_batch("COMMIT").map_err(|error| match portable(&error) {
        constraint @ SqlError::Constraint { .. } => constraint,
        other => after_commit(other),
    })?;
    shared.failpoints.hit("sql.after-commit");
    shared.outbox_changed(!events.is_empty());
    Ok(())
}

impl Opened {
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, SqlError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| SqlError::TransactionClosed)?;
        answer.await.unwrap_or(Err(SqlError::TransactionClosed))
    }
}

impl Transaction for Opened {
    fn query(&mut self, sql: String, parameters: Vec<Value>) -> BoxFuture<'_, Result<Rows, SqlError>> {
        Box::pin(async move {
            check::statement(&sql, &parameters)?;
            self.ask(|reply| Command::Query { sql, parameters, reply }).await
        })
    }

    fn execute(&mut self, sql: String, parameters: Vec<Value>) -> BoxFuture<'_, Result<u64, SqlError>> {
        Box::pin(async move {
            check::statement(&sql, &parameters)?;
            self.ask(|reply| Command::Execute { sql, parameters, reply }).await
        })
    }

    fn commit(self: Box<Self>, events: Vec<OutgoingEvent>) -> BoxFuture<'static, Result<(), SqlError>> {
        Box::pin(async move {
            check::check_events(&events)?;
            self.ask(|reply| Command::Commit { events, reply }).await
        })
    }

    fn rollback(self: Box<Self>) -> BoxFuture<'static, Result<(), SqlError>> {
        Box::pin(async move { self.ask(|reply| Command::Rollback { reply }).await })
    }
}
