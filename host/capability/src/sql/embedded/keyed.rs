//! What a keyed commit and a revocation do inside a transaction: the record of the key, the statements, the outbox.
//! When the transaction begins and ends is the writer's business.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use weft_core::id::new_id;

use super::session::Session;
use super::statement::{execute, expect_rows, portable};
use crate::outbox::OutboxEvent;
use crate::sql::error::SqlError;
use crate::sql::types::{Commit, Committed, OperationKey, OutgoingEvent, Revocation, Statement};

/// What stands under a key.
pub(super) enum Record {
    Committed(Committed),
    /// `ran`: the statements of the revocation ran.
    Revoked {
        ran: bool,
    },
}

/// What every effect inside a transaction needs to know.
pub(super) struct Effects<'a> {
    pub(super) session: &'a Session,
    pub(super) context: &'a str,
    pub(super) now_ms: u64,
    /// The time of events that are appended now: times of events never go back.
    pub(super) event_ms: u64,
    /// How long all statements of one effect may run together.
    pub(super) limit: Duration,
}

impl Effects<'_> {
    pub(super) fn commit(&self, commit: &Commit) -> Result<Committed, SqlError> {
        let connection = self.session.host();
        self.run(&commit.statements)?;
        put_events(connection, self.context, &commit.key.owner, self.now_ms, &commit.events)?;
        connection
            .prepare_cached(
                "INSERT INTO weft_done (owner, key, fingerprint, answer, revoked, committed_at_ms) \
                 VALUES (?1, ?2, ?3, ?4, 0, ?5)",
            )
            .and_then(|mut insert| {
                let OperationKey { owner, key } = &commit.key;
                insert.execute(params![owner, key, commit.fingerprint, commit.answer, signed(self.now_ms)])
            })
            .map_err(|error| portable(&error))?;
        Ok(Committed {
            fingerprint: commit.fingerprint.clone(),
            answer: commit.answer.clone(),
            committed_at_ms: self.now_ms,
        })
    }

    /// Answers whether the statements ran. `recorded` says whether there is a record under the key.
    pub(super) fn revoke(&self, revocation: &Revocation, recorded: bool) -> Result<bool, SqlError> {
        let connection = self.session.host();
        if recorded {
            self.run(&revocation.statements)?;
            put_events(connection, self.context, &revocation.key.owner, self.now_ms, &revocation.events)?;
        }
        let OperationKey { owner, key } = &revocation.key;
        // A new row, so that rows stay in the order of their time.
        connection
            .prepare_cached("DELETE FROM weft_done WHERE owner = ?1 AND key = ?2")
            .and_then(|mut delete| delete.execute(params![owner, key]))
            .and_then(|_| {
                connection.prepare_cached(
                    "INSERT INTO weft_done (owner, key, fingerprint, answer, revoked, committed_at_ms) \
                     VALUES (?1, ?2, '', X'', ?3, ?4)",
                )
            })
            .and_then(|mut insert| {
                insert.execute(params![owner, key, if recorded { 2 } else { 1 }, signed(self.now_ms)])
            })
            .map_err(|error| portable(&error))?;
        Ok(recorded)
    }

    fn run(&self, statements: &[Statement]) -> Result<(), SqlError> {
        let sandbox = self.session.guest(self.limit);
        for (index, statement) in statements.iter().enumerate() {
            let counted = execute(sandbox.connection(), &statement.sql, &statement.parameters)
                .and_then(|actual| expect_rows(statement.expected_rows, actual));
            counted.map_err(|error| error.at_statement(index))?;
        }
        Ok(())
    }
}

/// What stands under a key.
pub(super) fn record(connection: &Connection, key: &OperationKey) -> Result<Option<Record>, SqlError> {
    connection
        .prepare_cached(
            "SELECT fingerprint, answer, revoked, committed_at_ms FROM weft_done WHERE owner = ?1 AND key = ?2",
        )
        .and_then(|mut select| {
            let read = |row: &rusqlite::Row<'_>| {
                Ok(match row.get::<_, i64>(2)? {
                    0 => Record::Committed(Committed {
                        fingerprint: row.get(0)?,
                        answer: row.get(1)?,
                        committed_at_ms: unsigned(row.get(3)?),
                    }),
                    revoked => Record::Revoked { ran: revoked == 2 },
                })
            };
            select.query_row(params![key.owner, key.key], read).optional()
        })
        .map_err(|error| portable(&error))
}

/// Puts events into the outbox.
pub(super) fn put_events(
    connection: &Connection,
    context: &str,
    owner: &str,
    now_ms: u64,
    events: &[OutgoingEvent],
) -> Result<(), SqlError> {
    if events.is_empty() {
        return Ok(());
    }
    let put = || {
        let mut insert = connection.prepare_cached(
            "INSERT INTO weft_outbox \
             (id, source, topic, type, subject, ordering_key, correlation_id, traceparent, time_ms, data, \
             delay_ms, ttl_ms, priority, dataschema) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?;
        let source = format!("/{context}/{owner}");
        for event in events {
            insert.execute(params![
                new_id(),
                source,
                event.topic,
                event.kind,
                event.subject,
                event.ordering_key,
                event.correlation_id,
                event.traceparent,
                signed(now_ms),
                event.data,
                event.delay_ms.map(signed),
                event.ttl_ms.map(signed),
                event.priority,
                event.dataschema
            ])?;
        }
        Ok(())
    };
    put().map_err(|error: rusqlite::Error| portable(&error))
}

/// Events behind position `after`, oldest first.
pub(super) fn pending(connection: &Connection, after: i64, limit: usize) -> rusqlite::Result<Vec<OutboxEvent>> {
    let mut select = connection.prepare_cached(
        "SELECT o.position, coalesce(e.id, o.id), o.source, coalesce(e.topic, o.topic), coalesce(e.type, o.type), \
         coalesce(e.stream, o.subject), coalesce(e.stream, o.ordering_key), \
         coalesce(e.correlation_id, o.correlation_id), coalesce(e.traceparent, o.traceparent), \
         coalesce(e.time_ms, o.time_ms), coalesce(e.data, o.data), o.delay_ms, o.ttl_ms, o.priority, o.dataschema \
         FROM weft_outbox o LEFT JOIN weft_events e ON e.position = o.event \
         WHERE o.position > ?1 ORDER BY o.position LIMIT ?2",
    )?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(OutboxEvent {
            position: row.get(0)?,
            id: row.get(1)?,
            source: row.get(2)?,
            topic: row.get(3)?,
            kind: row.get(4)?,
            subject: row.get(5)?,
            ordering_key: row.get(6)?,
            correlation_id: row.get(7)?,
            traceparent: row.get(8)?,
            time_ms: unsigned(row.get(9)?),
            data: row.get(10)?,
            delay_ms: row.get::<_, Option<i64>>(11)?.map(unsigned),
            ttl_ms: row.get::<_, Option<i64>>(12)?.map(unsigned),
            priority: row.get(13)?,
            dataschema: row.get(14)?,
        })
    };
    select.query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], read)?.collect()
}

/// Removes events up to `position`.
pub(super) fn remove_events(connection: &Connection, position: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM weft_outbox WHERE position <= ?1")?.execute([position]).map(drop)
}

/// Removes records older than `before_ms`, but looks at no more than the `limit` oldest. Answers how many it removed.
pub(super) fn remove_records(connection: &Connection, before_ms: u64, limit: usize) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM weft_done WHERE committed_at_ms < ?1 \
             AND id IN (SELECT id FROM weft_done ORDER BY id LIMIT ?2)",
        )?
        .execute(params![signed(before_ms), i64::try_from(limit).unwrap_or(i64::MAX)])
}

pub(super) fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or_default()
}
