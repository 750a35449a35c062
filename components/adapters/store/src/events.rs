//! The event store: streams, appended by keyed commits, and their snapshots. Events of all contexts stand in one table;
//! positions ascend in commit order. An appended event is in the message log by the same transaction.

use crate::bindings::weft::events::types::{
    Direction, ExpectedVersion, Filter, NewEvent, Page, RecordedEvent, Snapshot, StreamAppend, VersionConflict,
};
use crate::bindings::weft::sql::types::{Error, OutgoingEvent, Value};
use crate::check;
use crate::connection::{Columns, Connection, Platform, int, maybe_text, new_id, text};
use crate::store::Store;
use crate::topic::check_topic;

/// The limits of `weft:events`, which are part of its contract.
mod limits {
    /// Most events in one answer.
    pub(super) const READ: u32 = 1_000;
    /// Most bytes of data and metadata in one answer; one event always fits.
    pub(super) const READ_BYTES: usize = 8 * 1024 * 1024;
    /// The most events of a commit.
    pub(super) const EVENTS: usize = 1_000;
    /// The longest name of a stream, in bytes.
    pub(super) const STREAM_BYTES: usize = 255;
    /// The longest type, id, correlation id and causation id, in bytes each.
    pub(super) const NAME_BYTES: usize = 255;
    /// The largest data of an event, in bytes.
    pub(super) const DATA_BYTES: usize = 256 * 1024;
    /// The largest metadata of an event, in bytes.
    pub(super) const METADATA_BYTES: usize = 16 * 1024;
    /// The largest snapshot, in bytes.
    pub(super) const SNAPSHOT_BYTES: usize = 8 * 1024 * 1024;
    /// The most types of a filter.
    pub(super) const FILTER_TYPES: usize = 100;
}

/// Why the event store did not do as asked.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreError {
    /// Somebody else appended first.
    Conflict(VersionConflict),
    /// Not a stream, a type, JSON, or past a limit.
    Invalid(String),
    /// As the database says.
    Sql(Error),
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

const COLUMNS: &str = "position, stream, version, id, type, time_ms, correlation_id, causation_id, metadata, data";

impl<C: Connection, P: Platform> Store<C, P> {
    /// Events of a stream, `version` among them if there is such a one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read_stream(
        &mut self,
        stream: &str,
        version: u64,
        direction: Direction,
        limit: u32,
    ) -> Result<Page, StoreError> {
        named(stream)?;
        self.enter()?;
        let (compare, order) = match direction {
            Direction::Forward => (">=", "ASC"),
            Direction::Backward => ("<=", "DESC"),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM weft_events WHERE stream = ?1 AND version {compare} ?2 ORDER BY version {order} LIMIT ?3"
        );
        let limit = limit.min(limits::READ);
        let rows = self.run(&sql, &[text(stream), int(version), int(u64::from(limit) + 1)])?.rows;
        Ok(page(rows, limit, |event| event.version))
    }

    /// Events from `position` on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read_all(
        &mut self,
        position: u64,
        direction: Direction,
        filter: &Filter,
        limit: u32,
    ) -> Result<Page, StoreError> {
        filtered(filter)?;
        self.enter()?;
        let (compare, order) = match direction {
            Direction::Forward => (">=", "ASC"),
            Direction::Backward => ("<=", "DESC"),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM weft_events WHERE position {compare} ?1 \
             AND (?2 IS NULL OR (stream >= ?2 AND stream < ?3)) \
             AND (?4 IS NULL OR type IN (SELECT value FROM json_each(?4))) \
             AND (?5 IS NULL OR time_ms >= ?5) AND (?6 IS NULL OR time_ms < ?6) ORDER BY position {order} LIMIT ?7"
        );
        // All that begins with `<category>-` is before `<category>.`: the dot is the next character.
        let category = |end: char| filter.category.as_ref().map(|category| format!("{category}{end}"));
        let types = (!filter.types.is_empty()).then(|| serde_json::Value::from(filter.types.clone()).to_string());
        let limit = limit.min(limits::READ);
        let parameters = [
            int(position),
            maybe_text(category('-').as_ref()),
            maybe_text(category('.').as_ref()),
            maybe_text(types.as_ref()),
            filter.since_ms.map_or(Value::Null, int),
            filter.until_ms.map_or(Value::Null, int),
            int(u64::from(limit) + 1),
        ];
        Ok(page(self.run(&sql, &parameters)?.rows, limit, |event| event.position))
    }

    /// The version of the stream's last event; 0 if it has none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stream_version(&mut self, stream: &str) -> Result<u64, StoreError> {
        named(stream)?;
        self.enter()?;
        Ok(self.version_of(stream)?)
    }

    /// Keeps what the stream comes to at a version, unless a newer one is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_snapshot(&mut self, stream: &str, version: u64, form: u32, data: Vec<u8>) -> Result<(), StoreError> {
        named(stream)?;
        if data.len() > limits::SNAPSHOT_BYTES {
            let (bytes, most) = (data.len(), limits::SNAPSHOT_BYTES);
            return invalid(format!("the snapshot of `{stream}` has {bytes} bytes, at most {most} fit"));
        }
        self.enter()?;
        let put = "INSERT INTO weft_snapshots (stream, version, form, time_ms, data) VALUES (?1, ?2, ?3, ?4, ?5) \
                   ON CONFLICT (stream) DO UPDATE SET version = excluded.version, form = excluded.form, \
                   time_ms = excluded.time_ms, data = excluded.data WHERE excluded.version >= weft_snapshots.version";
        let time = int(self.platform.now_ms());
        self.run(put, &[text(stream), int(version), int(form.into()), time, Value::Blob(data)])?;
        Ok(())
    }

    /// The newest snapshot of a stream.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn latest_snapshot(&mut self, stream: &str) -> Result<Option<Snapshot>, StoreError> {
        named(stream)?;
        self.enter()?;
        let select = "SELECT stream, version, form, data, time_ms FROM weft_snapshots WHERE stream = ?1";
        let found = self.first(select, &[text(stream)])?;
        Ok(found.map(|mut row| Snapshot {
            stream: row.text(),
            version: row.number(),
            form: u32::try_from(row.number()).unwrap_or(u32::MAX),
            data: row.bytes(),
            time_ms: row.number(),
        }))
    }

    fn version_of(&self, stream: &str) -> Result<u64, Error> {
        self.number("SELECT coalesce(max(version), 0) FROM weft_events WHERE stream = ?1", &[text(stream)])
    }

    /// Appends, if each stream is as expected.
    pub(crate) fn put_appends(&self, owner: &str, now_ms: u64, appends: &[StreamAppend]) -> Result<(), StoreError> {
        if appends.is_empty() {
            return Ok(());
        }
        // Times of events never go back.
        let newest = self.number("SELECT time_ms FROM weft_events ORDER BY position DESC LIMIT 1", &[])?;
        let time_ms = now_ms.max(newest);
        let source = format!("/{owner}");
        for StreamAppend { stream, expected, events } in appends {
            let actual = self.version_of(stream)?;
            let meets = match expected {
                ExpectedVersion::Any => true,
                ExpectedVersion::NoStream => actual == 0,
                ExpectedVersion::Exact(version) => *version == actual,
            };
            if !meets {
                let (stream, expected) = (stream.clone(), *expected);
                return Err(StoreError::Conflict(VersionConflict { stream, expected, actual }));
            }
            for (event, version) in events.iter().zip(actual + 1..) {
                self.put_event(&source, stream, version, time_ms, event)?;
            }
        }
        Ok(())
    }

    fn put_event(
        &self,
        source: &str,
        stream: &str,
        version: u64,
        time_ms: u64,
        event: &NewEvent,
    ) -> Result<(), StoreError> {
        let id = event.id.clone().unwrap_or_else(|| new_id(&self.platform));
        let topic = event.topic.as_ref().unwrap_or(&event.type_);
        let insert = "INSERT INTO weft_events (stream, version, id, type, topic, time_ms, correlation_id, causation_id, \
                      metadata, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let values = [
            text(stream),
            int(version),
            text(&*id),
            text(&*event.type_),
            text(&**topic),
            int(time_ms),
            maybe_text(event.correlation_id.as_ref()),
            maybe_text(event.causation_id.as_ref()),
            event.metadata.clone().map_or(Value::Null, Value::Blob),
            Value::Blob(event.data.clone()),
        ];
        self.run(insert, &values).map_err(|error| match error {
            Error::Constraint(violation) if violation.subject == "weft_events.id" => {
                StoreError::Invalid(format!("the id `{id}` belongs to another event"))
            }
            other => other.into(),
        })?;
        let message = OutgoingEvent {
            topic: topic.clone(),
            type_: event.type_.clone(),
            subject: Some(stream.to_owned()),
            ordering_key: Some(stream.to_owned()),
            correlation_id: event.correlation_id.clone(),
            data: event.data.clone(),
            ..OutgoingEvent::default()
        };
        Ok(self.put_message(&id, source, time_ms, &message)?)
    }
}

/// Takes at most `limit` events; `next` is what `at` says of the first that is left.
fn page(rows: Vec<Vec<Value>>, limit: u32, at: impl Fn(&RecordedEvent) -> u64) -> Page {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut page, mut bytes) = (Page { events: Vec::new(), next: None }, 0);
    for row in rows {
        let event = event(row);
        bytes += event.data.len() + event.metadata.as_ref().map_or(0, Vec::len);
        if page.events.len() >= limit || (bytes > limits::READ_BYTES && !page.events.is_empty()) {
            page.next = Some(at(&event));
            break;
        }
        page.events.push(event);
    }
    page
}

fn event(row: Vec<Value>) -> RecordedEvent {
    let mut row = Columns::of(row);
    RecordedEvent {
        position: row.number(),
        stream: row.text(),
        version: row.number(),
        id: row.text(),
        type_: row.text(),
        time_ms: row.number(),
        correlation_id: row.maybe_text(),
        causation_id: row.maybe_text(),
        metadata: row.maybe_bytes(),
        data: row.bytes(),
    }
}

fn invalid<T>(what: String) -> Result<T, StoreError> {
    Err(StoreError::Invalid(what))
}

/// Checks the name of a stream.
fn named(name: &str) -> Result<(), StoreError> {
    let whole = name.split_once('-').is_some_and(|(category, id)| !category.is_empty() && !id.is_empty());
    if !whole || name.len() > limits::STREAM_BYTES || name.chars().any(char::is_control) {
        return invalid(format!(
            "{name:?} is no stream: it is called `<category>-<id>`, has at most {} bytes and no control characters",
            limits::STREAM_BYTES
        ));
    }
    Ok(())
}

/// Checks the appends of one commit. Answers how many bytes their events have.
pub(crate) fn check(appends: &[StreamAppend]) -> Result<usize, StoreError> {
    let count: usize = appends.iter().map(|append| append.events.len()).sum();
    if count > limits::EVENTS {
        return invalid(format!("{count} events, at most {} fit into an append", limits::EVENTS));
    }
    let mut bytes = 0;
    for append in appends {
        named(&append.stream)?;
        if append.events.is_empty() {
            return invalid(format!("the append to `{}` has no event", append.stream));
        }
        for (index, one) in append.events.iter().enumerate() {
            valid(one).map_err(|what| StoreError::Invalid(format!("event {index} of `{}`: {what}", append.stream)))?;
            bytes += one.data.len() + one.metadata.as_ref().map_or(0, Vec::len);
        }
    }
    Ok(bytes)
}

fn valid(event: &NewEvent) -> Result<(), String> {
    check_topic(event.topic.as_ref().unwrap_or(&event.type_))?;
    name("the type", &event.type_)?;
    let names = [
        ("the id", &event.id),
        ("the correlation id", &event.correlation_id),
        ("the causation id", &event.causation_id),
    ];
    for (what, text) in names {
        text.as_ref().map_or(Ok(()), |text| name(what, text))?;
    }
    json("its data", &event.data, limits::DATA_BYTES)?;
    let Some(metadata) = &event.metadata else { return Ok(()) };
    json("its metadata", metadata, limits::METADATA_BYTES)?;
    if metadata.trim_ascii_start().first() == Some(&b'{') {
        Ok(())
    } else {
        Err("its metadata is not a JSON object".to_owned())
    }
}

fn name(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > limits::NAME_BYTES || text.chars().any(char::is_control) {
        return Err(format!("{what} has 1 to {} bytes and no control characters", limits::NAME_BYTES));
    }
    Ok(())
}

fn json(what: &str, bytes: &[u8], most: usize) -> Result<(), String> {
    if bytes.len() > most {
        return Err(format!("{what} has {} bytes, at most {most} fit", bytes.len()));
    }
    check::json(bytes).map_err(|error| format!("{what} is not JSON: {error}"))
}

/// Checks a filter.
fn filtered(filter: &Filter) -> Result<(), StoreError> {
    if filter.types.len() > limits::FILTER_TYPES {
        return invalid(format!("{} types, at most {} fit into a filter", filter.types.len(), limits::FILTER_TYPES));
    }
    filter.category.as_ref().map_or(Ok(()), |category| named(&format!("{category}-1")))?;
    let types = filter.types.iter().try_for_each(|kind| name("a type of the filter", kind));
    types.map_err(StoreError::Invalid)
}
