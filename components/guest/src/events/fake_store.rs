//! An event store in memory, with the functions of `weft:events/store` and the record of `weft:sql/database`: what the
//! tests of aggregates run against.
#![allow(missing_docs, reason = "the functions are those of the interfaces")]

use std::cell::RefCell;
use std::collections::BTreeMap;

pub use crate::bindings::weft::events::store::Error;
use crate::bindings::weft::events::types::{
    Direction, ExpectedVersion, Filter, Page, RecordedEvent, Snapshot, StreamAppend, VersionConflict,
};
use crate::sql::{self, Committed, OperationKey, OutgoingEvent, Statement};

#[derive(Default)]
pub struct Fake {
    pub events: Vec<RecordedEvent>,
    pub snapshots: BTreeMap<String, Snapshot>,
    records: BTreeMap<(String, String), Committed>,
    /// What was asked, in order, such as `read account-1 from 4`.
    pub log: Vec<String>,
    /// Somebody else appends these, one before each of the next appends.
    pub rivals: Vec<StreamAppend>,
    /// How many events a page has at most.
    pub page: Option<usize>,
}

thread_local! {
    static FAKE: RefCell<Fake> = RefCell::default();
}

pub fn with<T>(look: impl FnOnce(&mut Fake) -> T) -> T {
    FAKE.with_borrow_mut(look)
}

impl Fake {
    fn version(&self, stream: &str) -> u64 {
        self.events.iter().filter(|event| event.stream == stream).count() as u64
    }

    fn append(&mut self, append: StreamAppend) -> Result<(), Error> {
        let actual = self.version(&append.stream);
        let fits = match append.expected {
            ExpectedVersion::Any => true,
            ExpectedVersion::NoStream => actual == 0,
            ExpectedVersion::Exact(version) => version == actual,
        };
        if !fits {
            let StreamAppend { stream, expected, .. } = append;
            return Err(Error::Conflict(VersionConflict { stream, expected, actual }));
        }
        for (event, version) in append.events.into_iter().zip(actual + 1..) {
            self.events.push(RecordedEvent {
                position: self.events.len() as u64 + 1,
                stream: append.stream.clone(),
                version,
                id: format!("e{}", self.events.len()),
                type_: event.type_,
                time_ms: 0,
                correlation_id: event.correlation_id,
                causation_id: event.causation_id,
                metadata: event.metadata,
                data: event.data,
            });
        }
        Ok(())
    }
}

pub async fn recorded(key: OperationKey) -> Result<Option<Committed>, sql::Error> {
    with(|fake| Ok(fake.records.get(&(key.owner, key.key)).cloned()))
}

pub async fn append(
    key: OperationKey,
    fingerprint: String,
    appends: Vec<StreamAppend>,
    _statements: Vec<Statement>,
    _events: Vec<OutgoingEvent>,
    answer: Vec<u8>,
) -> Result<Committed, Error> {
    with(|fake| {
        if let Some(rival) = fake.rivals.pop() {
            fake.append(rival)?;
        }
        fake.log.push("append".to_string());
        appends.into_iter().try_for_each(|append| fake.append(append))?;
        let record = Committed { fingerprint, answer, committed_at_ms: 0 };
        fake.records.insert((key.owner, key.key), record.clone());
        Ok(record)
    })
}

pub async fn commit(
    key: OperationKey,
    fingerprint: String,
    statements: Vec<Statement>,
    events: Vec<OutgoingEvent>,
    answer: Vec<u8>,
) -> Result<Committed, sql::Error> {
    append(key, fingerprint, Vec::new(), statements, events, answer).await.map_err(sql::Error::from)
}

/// Nothing is taken back here.
pub async fn revoke(_: OperationKey, _: Vec<Statement>, _: Vec<OutgoingEvent>) -> Result<bool, sql::Error> {
    Ok(false)
}

pub async fn read_stream(stream: String, version: u64, _direction: Direction, limit: u32) -> Result<Page, Error> {
    with(|fake| {
        fake.log.push(format!("read {stream} from {version}"));
        let limit = fake.page.unwrap_or(limit as usize);
        let found = fake.events.iter().filter(|event| event.stream == stream && event.version >= version);
        let mut events: Vec<_> = found.take(limit + 1).cloned().collect();
        let next = (events.len() > limit).then(|| events.pop().map(|event| event.version)).flatten();
        Ok(Page { events, next })
    })
}

pub async fn read_all(position: u64, _: Direction, _: Filter, _limit: u32) -> Result<Page, Error> {
    let events = with(|fake| fake.events.iter().filter(|event| event.position >= position).cloned().collect());
    Ok(Page { events, next: None })
}

pub async fn stream_version(stream: String) -> Result<u64, Error> {
    with(|fake| Ok(fake.version(&stream)))
}

pub async fn save_snapshot(stream: String, version: u64, form: u32, data: Vec<u8>) -> Result<(), Error> {
    with(|fake| {
        fake.log.push(format!("snapshot {stream} at {version}"));
        fake.snapshots.insert(stream.clone(), Snapshot { stream, version, form, data, time_ms: 0 });
        Ok(())
    })
}

pub async fn latest_snapshot(stream: String) -> Result<Option<Snapshot>, Error> {
    with(|fake| Ok(fake.snapshots.get(&stream).cloned()))
}
