//! The event store in a context's file: what an append does inside the writer's transaction, and reading, which the
//! reading threads do. Keys, groups and flushes are the writer's.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

use weft_core::id::new_id;

use super::keyed::{Effects, signed, unsigned};
use super::statement::portable;
use super::write_error::{self, WriteError};
use super::writer::{Effect, Operation};
use super::{Embedded, queries};
use crate::events::{
    Append, Direction, EventStore, EventStoreError, ExpectedVersion, Filter, NewEvent, Page, RecordedEvent, Snapshot,
    check, limits,
};
use crate::sql::error::SqlError;
use crate::sql::types::{Commit, Committed};

/// How many events one call passes over at most because of a filter.
const PASSED_OVER: u64 = 100_000;

/// The newest event: zeros if there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Newest {
    pub(super) position: u64,
    pub(super) time_ms: u64,
}

pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Newest> {
    let mut select =
        connection.prepare_cached("SELECT position, time_ms FROM weft_events ORDER BY position DESC LIMIT 1")?;
    let read = |row: &rusqlite::Row<'_>| Ok(Newest { position: unsigned(row.get(0)?), time_ms: unsigned(row.get(1)?) });
    Ok(select.query_row([], read).optional()?.unwrap_or_default())
}

/// Appends, if each stream is as expected. Answers the position of the last event.
pub(super) fn append(effects: &Effects<'_>, owner: &str, appends: &[Append]) -> Result<Option<u64>, WriteError> {
    let mut last = None;
    for append in appends {
        let connection = effects.session.host();
        let actual = stream_version(connection, &append.stream).map_err(|error| portable(&error))?;
        let meets = match append.expected {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => actual == 0,
            ExpectedVersion::Exact(version) => version == actual,
        };
        if !meets {
            let (stream, expected) = (append.stream.clone(), append.expected);
            return Err(EventStoreError::Conflict { stream, expected, actual }.into());
        }
        let source = format!("/{}/{owner}", effects.context);
        for (event, version) in append.events.iter().zip(actual + 1..) {
            let position = put(effects, &source, &append.stream, version, event);
            last = Some(unsigned(position.map_err(|error| refused(&error, event))?));
        }
    }
    Ok(last)
}

/// Puts one event into the store, and a row that stands for it into the outbox: its bytes are written once.
fn put(effects: &Effects<'_>, source: &str, stream: &str, version: u64, event: &NewEvent) -> rusqlite::Result<i64> {
    let connection = effects.session.host();
    let made = event.id.is_none().then(new_id);
    connection
        .prepare_cached(
            "INSERT INTO weft_events (stream, version, id, type, topic, time_ms, correlation_id, causation_id, \
             traceparent, metadata, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            stream,
            signed(version),
            event.id.as_ref().or(made.as_ref()),
            event.kind,
            event.topic,
            signed(effects.event_ms),
            event.correlation_id,
            event.causation_id,
            event.traceparent,
            event.metadata,
            event.data
        ])?;
    let position = connection.last_insert_rowid();
    connection
        .prepare_cached(
            "INSERT INTO weft_outbox (id, source, topic, type, time_ms, data, event) VALUES ('', ?1, '', '', 0, '', ?2)",
        )?
        .execute(params![source, position])?;
    Ok(position)
}

fn refused(error: &rusqlite::Error, event: &NewEvent) -> WriteError {
    match (&event.id, error.sqlite_error_code()) {
        (Some(id), Some(ErrorCode::ConstraintViolation)) => {
            EventStoreError::Invalid(format!("the id `{id}` belongs to another event of the context")).into()
        }
        _ => portable(error).into(),
    }
}

/// Keeps a snapshot, unless a newer one is there.
pub(super) fn keep_snapshot(connection: &Connection, snapshot: &Snapshot) -> Result<(), SqlError> {
    let Snapshot { stream, version, form, data, time_ms } = snapshot;
    connection
        .prepare_cached(
            "INSERT INTO weft_snapshots (stream, version, form, time_ms, data) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (stream) DO UPDATE SET version = excluded.version, form = excluded.form, \
             time_ms = excluded.time_ms, data = excluded.data WHERE excluded.version >= weft_snapshots.version",
        )
        .and_then(|mut insert| insert.execute(params![stream, signed(*version), form, signed(*time_ms), data]))
        .map(drop)
        .map_err(|error| portable(&error))
}

fn stream_version(connection: &Connection, stream: &str) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(max(version), 0) FROM weft_events WHERE stream = ?1")?
        .query_row([stream], |row| row.get(0))
        .map(unsigned)
}

fn latest_snapshot(connection: &Connection, stream: &str) -> rusqlite::Result<Option<Snapshot>> {
    connection
        .prepare_cached("SELECT stream, version, form, time_ms, data FROM weft_snapshots WHERE stream = ?1")?
        .query_row([stream], |row| {
            Ok(Snapshot {
                stream: row.get(0)?,
                version: unsigned(row.get(1)?),
                form: row.get(2)?,
                time_ms: unsigned(row.get(3)?),
                data: row.get(4)?,
            })
        })
        .optional()
}

macro_rules! select_events {
    ($rest:literal) => {
        concat!(
            "SELECT position, stream, version, id, type, topic, time_ms, correlation_id, causation_id, metadata, data ",
            "FROM weft_events ",
            $rest
        )
    };
}

fn event(row: &rusqlite::Row<'_>) -> rusqlite::Result<RecordedEvent> {
    Ok(RecordedEvent {
        position: unsigned(row.get(0)?),
        stream: row.get(1)?,
        version: unsigned(row.get(2)?),
        id: row.get(3)?,
        kind: row.get(4)?,
        topic: row.get(5)?,
        time_ms: unsigned(row.get(6)?),
        correlation_id: row.get(7)?,
        causation_id: row.get(8)?,
        metadata: row.get(9)?,
        data: row.get(10)?,
    })
}

/// Takes at most `limit` events; `next` is what `at` says of the first that is left.
fn page(mut rows: rusqlite::Rows<'_>, limit: usize, at: impl Fn(&RecordedEvent) -> u64) -> rusqlite::Result<Page> {
    let (mut page, mut bytes) = (Page::default(), 0);
    while let Some(row) = rows.next()? {
        let event = event(row)?;
        bytes += event.data.len() + event.metadata.as_ref().map_or(0, Vec::len);
        if page.events.len() >= limit || (bytes > limits::READ_BYTES && !page.events.is_empty()) {
            page.next = Some(at(&event));
            break;
        }
        page.events.push(event);
    }
    Ok(page)
}

fn read_stream(
    connection: &Connection,
    stream: &str,
    version: u64,
    direction: Direction,
    limit: u32,
) -> rusqlite::Result<Page> {
    let mut select = connection.prepare_cached(match direction {
        Direction::Forward => select_events!("WHERE stream = ?1 AND version >= ?2 ORDER BY version LIMIT ?3"),
        Direction::Backward => select_events!("WHERE stream = ?1 AND version <= ?2 ORDER BY version DESC LIMIT ?3"),
    })?;
    let (limit, most) = bounded(limit);
    page(select.query(params![stream, signed(version), most])?, limit, |event| event.version)
}

/// How many events an answer has at most, and how many rows are read for it: one more says where to go on.
fn bounded(limit: u32) -> (usize, i64) {
    let limit = limit.min(limits::READ);
    (usize::try_from(limit).unwrap_or(usize::MAX), i64::from(limit) + 1)
}

fn read_all(
    connection: &Connection,
    position: u64,
    direction: Direction,
    filter: &Filter,
    limit: u32,
) -> rusqlite::Result<Page> {
    let head = newest(connection)?.position;
    // Positions from `first` up to `end` are asked for. Times ascend with positions.
    let (mut first, mut end) = (1, head + 1);
    match direction {
        Direction::Forward => first = position.max(first),
        Direction::Backward => end = position.saturating_add(1).min(end),
    }
    if let Some(since_ms) = filter.since_ms {
        first = first.max(not_before(connection, since_ms, head)?);
    }
    if let Some(until_ms) = filter.until_ms {
        end = end.min(not_before(connection, until_ms, head)?);
    }
    if first >= end {
        return Ok(Page::default());
    }
    let (from, to) = match direction {
        Direction::Forward => (first, end.min(first.saturating_add(PASSED_OVER))),
        Direction::Backward => (first.max(end.saturating_sub(PASSED_OVER)), end),
    };
    let mut page = read_span(connection, from..to, direction, filter, limit)?;
    if page.next.is_none() {
        page.next = match direction {
            Direction::Forward => (to < end).then_some(to),
            Direction::Backward => (from > first).then(|| from - 1),
        };
    }
    Ok(page)
}

fn read_span(
    connection: &Connection,
    span: std::ops::Range<u64>,
    direction: Direction,
    filter: &Filter,
    limit: u32,
) -> rusqlite::Result<Page> {
    let mut select = connection.prepare_cached(match direction {
        Direction::Forward => select_events!(
            "WHERE position >= ?1 AND position < ?2 AND (?3 IS NULL OR (stream >= ?3 AND stream < ?4)) \
             AND (?5 IS NULL OR type IN (SELECT value FROM json_each(?5))) ORDER BY position LIMIT ?6"
        ),
        Direction::Backward => select_events!(
            "WHERE position >= ?1 AND position < ?2 AND (?3 IS NULL OR (stream >= ?3 AND stream < ?4)) \
             AND (?5 IS NULL OR type IN (SELECT value FROM json_each(?5))) ORDER BY position DESC LIMIT ?6"
        ),
    })?;
    // All that begins with `<category>-` is before `<category>.`: the dot is the next character.
    let category = |end: char| filter.category.as_ref().map(|category| format!("{category}{end}"));
    let kinds = (!filter.kinds.is_empty()).then(|| serde_json::Value::from(filter.kinds.clone()).to_string());
    let (limit, most) = bounded(limit);
    let rows =
        select.query(params![signed(span.start), signed(span.end), category('-'), category('.'), kinds, most])?;
    page(rows, limit, |event| event.position)
}

/// The first position whose event is not before a time; the one behind `head` if all are.
fn not_before(connection: &Connection, time_ms: u64, head: u64) -> rusqlite::Result<u64> {
    let mut select =
        connection.prepare_cached("SELECT time_ms FROM weft_events WHERE position >= ?1 ORDER BY position LIMIT 1")?;
    let (mut low, mut high) = (1, head + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if unsigned(select.query_row([signed(middle)], |row| row.get(0))?) < time_ms {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

impl Embedded {
    /// Reads on a reading thread.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqlError> {
        self.read(queries, move |session, _, reply| {
            // Who no longer waits needs no answer.
            let _ = reply.send(look(session.host()).map_err(|error| portable(&error)));
        })
        .await
    }
}

impl EventStore for Embedded {
    fn append(&self, commit: Commit, appends: Vec<Append>) -> BoxFuture<'_, Result<Committed, EventStoreError>> {
        Box::pin(async move {
            let bytes = check::appends(&appends)?;
            crate::sql::check::commit(&commit, bytes)?;
            match self.write(Operation::Commit(commit, appends)).await? {
                Effect::Committed { record, .. } => Ok(record),
                _ => Err(write_error::mismatched().into()),
            }
        })
    }

    fn read_stream(
        &self,
        stream: String,
        version: u64,
        direction: Direction,
        limit: u32,
    ) -> BoxFuture<'_, Result<Page, EventStoreError>> {
        Box::pin(async move {
            check::stream(&stream)?;
            Ok(self.look(move |connection| read_stream(connection, &stream, version, direction, limit)).await?)
        })
    }

    fn read_all(
        &self,
        position: u64,
        direction: Direction,
        filter: Filter,
        limit: u32,
    ) -> BoxFuture<'_, Result<Page, EventStoreError>> {
        Box::pin(async move {
            check::filter(&filter)?;
            Ok(self.look(move |connection| read_all(connection, position, direction, &filter, limit)).await?)
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<u64, EventStoreError>> {
        let head = *self.shared.head.borrow();
        Box::pin(std::future::ready(Ok(head)))
    }

    fn appended_after(&self, position: u64) -> BoxFuture<'static, ()> {
        let mut head = self.shared.head.subscribe();
        async move {
            if head.wait_for(|head| *head > position).await.is_err() {
                // The store is gone, and nothing will be appended.
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    }

    fn stream_version(&self, stream: String) -> BoxFuture<'_, Result<u64, EventStoreError>> {
        Box::pin(async move {
            check::stream(&stream)?;
            Ok(self.look(move |connection| stream_version(connection, &stream)).await?)
        })
    }

    fn save_snapshot(
        &self,
        stream: String,
        version: u64,
        form: u32,
        data: Vec<u8>,
    ) -> BoxFuture<'_, Result<(), EventStoreError>> {
        Box::pin(async move {
            check::snapshot(&stream, &data)?;
            let time_ms = self.shared.clock.now_ms();
            let snapshot = Snapshot { stream, version, form, data, time_ms };
            self.write(Operation::KeepSnapshot(snapshot)).await?;
            Ok(())
        })
    }

    fn latest_snapshot(&self, stream: String) -> BoxFuture<'_, Result<Option<Snapshot>, EventStoreError>> {
        Box::pin(async move {
            check::stream(&stream)?;
            Ok(self.look(move |connection| latest_snapshot(connection, &stream)).await?)
        })
    }
}
