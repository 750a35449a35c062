//! The message log: events on the append log, each id once, readable when flushed, kept for seven days. Who has read
//! what is not known here.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use weft_core::disk::Disk;
use weft_core::{Failpoints, Failure, Fault, Reason};
use weft_durable::log::{Log, LogError, LogOptions, Record};

use super::event::{VERSION, decode, encode, identity};
use super::{Event, EventError};

/// The kind of an event's record.
const EVENT: u8 = 1;
pub(super) const SEGMENT_BYTES: u64 = 16 * 1_024 * 1_024;
/// How many ids are remembered. An outbox repeats at most what a crash took back, which is far less.
const RECENT_IDS: usize = 32_768;
/// How long events are kept, in milliseconds.
const RETENTION_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// One in so many bytes of the log is noted with its time, for retention.
const MARK_EVERY_BYTES: u64 = 1_024 * 1_024;
/// How much one read brings, in bytes.
const READ_BYTES: usize = 256 * 1_024;

/// An open message log.
#[derive(Debug)]
pub(super) struct MessageLog {
    log: Log,
    recent: Mutex<Recent>,
    flushed: watch::Sender<u64>,
}

/// Events in order, and where to read on.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) events: Vec<(u64, Event)>,
    pub(super) next: u64,
}

/// Ids that came last, and the age of the log's parts.
#[derive(Debug, Default)]
struct Recent {
    /// Where the record of an id ends.
    ends: HashMap<Arc<str>, u64>,
    order: VecDeque<Arc<str>>,
    /// Positions with the time of the event there, ascending.
    marks: VecDeque<(u64, u64)>,
}

impl Recent {
    fn remember(&mut self, id: Arc<str>, end: u64) {
        if self.order.len() >= RECENT_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ends.remove(&oldest);
        }
        self.order.push_back(Arc::clone(&id));
        self.ends.insert(id, end);
    }

    /// Whether the event at `position` should be noted with its time.
    fn wants_mark(&self, position: u64) -> bool {
        self.marks.back().is_none_or(|(last, _)| position >= last + MARK_EVERY_BYTES)
    }
}

impl MessageLog {
    /// Opens or makes the log in `dir`. Reads all of it once.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        failpoints: Failpoints,
        segment_bytes: u64,
    ) -> Result<Self, Failure> {
        let options = LogOptions { segment_bytes, failpoints, ..LogOptions::new("messages") };
        let mut recent = Recent::default();
        let mut last: VecDeque<Vec<u8>> = VecDeque::new();
        let (log, opened) = Log::open(disk, dir, options, &mut |record| {
            if record.kind != EVENT || record.version != VERSION {
                return;
            }
            if recent.wants_mark(record.position)
                && let Ok(event) = decode(record.version, record.payload.clone().into())
            {
                recent.marks.push_back((record.position, event.time_ms));
            }
            // Only the last ids are needed, so nothing is taken apart before it is known which these are.
            let length = record.payload.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
            let mut attributes = record.payload;
            attributes.truncate(usize::try_from(length).map_or(usize::MAX, |length| length.saturating_add(4)));
            if last.len() >= RECENT_IDS {
                last.pop_front();
            }
            last.push_back(attributes);
        })?;
        for damaged in &opened.quarantined {
            tracing::error!(position = damaged.position, "an event in the message log is damaged and was passed over");
        }
        for attributes in last {
            if let Ok(event) = decode(VERSION, attributes.into()) {
                recent.remember(identity(&event).into(), 0);
            }
        }
        let (flushed, _) = watch::channel(log.flushed());
        Ok(Self { log, recent: Mutex::new(recent), flushed })
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an event, unless its id came recently. Answers the position through which to [`MessageLog::flush`].
    pub(super) async fn append(&self, event: &Event) -> Result<u64, Failure> {
        let payload = encode(event).map_err(|error| undecodable(&error))?;
        loop {
            match self.try_append(event, &payload) {
                Ok(end) => return Ok(end),
                // The disk is behind: wait for it.
                Err(LogError::Full { .. }) => self.flush(self.log.end()).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn try_append(&self, event: &Event, payload: &[u8]) -> Result<u64, LogError> {
        let id: Arc<str> = identity(event).into();
        // Held across both, so that of two equal ids one is appended.
        let mut recent = self.recent();
        if let Some(end) = recent.ends.get(&id) {
            return Ok(*end);
        }
        let appended = self.log.append(EVENT, VERSION, payload)?;
        recent.remember(id, appended.end);
        if recent.wants_mark(appended.position) {
            recent.marks.push_back((appended.position, event.time_ms));
        }
        Ok(appended.end)
    }

    /// Resolves when all before `through` is on disk, and tells the readers.
    pub(super) async fn flush(&self, through: u64) -> Result<(), Failure> {
        self.log.flush(through).await?;
        let flushed = self.log.flushed();
        self.flushed.send_if_modified(|known| {
            let grown = flushed > *known;
            *known = flushed.max(*known);
            grown
        });
        Ok(())
    }

    /// Shows the position up to which events can be read, and changes with it.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.flushed.subscribe()
    }

    /// Position of the oldest event.
    pub(super) fn start(&self) -> u64 {
        self.log.start()
    }

    /// Position after the last event that can be read.
    pub(super) fn end(&self) -> u64 {
        self.log.flushed()
    }

    /// Why the log takes no more events, if it has stopped.
    pub(super) fn stopped(&self) -> Option<String> {
        self.log.stopped().map(|error| error.to_string())
    }

    /// The event at `position`. Reads the disk on this thread.
    pub(super) fn read(&self, position: u64) -> Result<Event, Failure> {
        event_of(self.log.read(position)?).map(|(_, event)| event)
    }

    /// Some events from `position` on. Reads the disk on this thread.
    pub(super) fn read_from(&self, position: u64) -> Result<Page, Failure> {
        let found = self.log.read_from(position, READ_BYTES)?;
        let events = found.records.into_iter().map(event_of).collect::<Result<_, _>>()?;
        Ok(Page { events, next: found.next })
    }

    /// Whether [`MessageLog::retain`] would find something old at `now_ms`.
    pub(super) fn has_old(&self, now_ms: u64) -> bool {
        let second = self.recent().marks.get(1).copied();
        second.is_some_and(|(_, time_ms)| time_ms.saturating_add(RETENTION_MS) <= now_ms)
    }

    /// Removes whole segments of events that are older than the retention at `now_ms` and stand before `needed`.
    /// Works on the disk on this thread.
    pub(super) fn retain(&self, now_ms: u64, needed: u64) -> Result<usize, Failure> {
        let mut oldest_kept = 0;
        {
            let mut recent = self.recent();
            while let Some((position, time_ms)) = recent.marks.get(1).copied()
                && time_ms.saturating_add(RETENTION_MS) <= now_ms
                && position <= needed
            {
                recent.marks.pop_front();
                oldest_kept = position;
            }
        }
        Ok(self.log.remove_before(oldest_kept)?)
    }

    /// Flushes and closes.
    pub(super) fn close(&self) -> Result<(), Failure> {
        Ok(self.log.close()?)
    }
}

fn event_of(record: Record) -> Result<(u64, Event), Failure> {
    let position = record.position;
    if record.kind != EVENT {
        let error = EventError::Undecodable(format!("the record at {position} is of kind {}", record.kind));
        return Err(undecodable(&error));
    }
    let event = decode(record.version, Bytes::from(record.payload)).map_err(|error| undecodable(&error))?;
    Ok((position, event))
}

fn undecodable(error: &EventError) -> Failure {
    Failure::not_attempted(Fault::Host, Reason::Internal, error.to_string())
}

#[cfg(test)]
mod tests {
    use weft_core::disk::SimulatedDisk;

    use super::*;

    fn event(id: &str, time_ms: u64, bytes: usize) -> Event {
        Event {
            id: id.to_owned(),
            source: "/s".to_owned(),
            kind: "t".to_owned(),
            subject: None,
            time_ms,
            topic: "t".to_owned(),
            ordering_key: None,
            correlation_id: None,
            traceparent: None,
            data: format!("\"{}\"", "x".repeat(bytes)).into(),
        }
    }

    fn open(disk: &SimulatedDisk) -> MessageLog {
        MessageLog::open(Arc::new(disk.clone()), Path::new("/messages"), Failpoints::none(), 1 << 20).unwrap()
    }

    async fn publish(log: &MessageLog, event: &Event) {
        log.flush(log.append(event).await.unwrap()).await.unwrap();
    }

    fn ids(log: &MessageLog) -> Vec<String> {
        let (mut ids, mut next) = (Vec::new(), log.start());
        while next < log.end() {
            let page = log.read_from(next).unwrap();
            ids.extend(page.events.into_iter().map(|(_, event)| event.id));
            next = page.next;
        }
        ids
    }

    #[tokio::test]
    async fn an_id_is_taken_once_also_after_a_crash() {
        let disk = SimulatedDisk::new();
        let log = open(&disk);
        let racing = event("0", 1, 10);
        futures::future::join_all((0..10).map(|_| publish(&log, &racing))).await;
        publish(&log, &event("1", 1, 10)).await;
        let _unflushed = log.append(&event("lost", 1, 10)).await.unwrap();
        disk.crash(0);
        drop(log);
        let log = open(&disk);
        for id in ["0", "1", "2"] {
            publish(&log, &event(id, 1, 10)).await;
        }
        assert_eq!(ids(&log), ["0", "1", "2"], "what was answered is there, once, and nothing else");
    }

    #[tokio::test]
    async fn old_segments_go_when_nobody_needs_them() {
        let disk = SimulatedDisk::new();
        let log = open(&disk);
        let day = 24 * 3_600 * 1_000;
        for n in 0..200_u64 {
            publish(&log, &event(&n.to_string(), n * day / 20, 50_000)).await;
        }
        let (now_ms, end) = (10 * day, log.end());
        assert!(log.has_old(now_ms));
        assert_eq!(log.retain(now_ms, log.start()).unwrap(), 0, "a subscription stands at the start");
        assert!(log.retain(now_ms, end).unwrap() > 0);
        assert!(!log.has_old(now_ms));
        let first: u64 = ids(&log).first().unwrap().parse().unwrap();
        assert!(first * day / 20 <= 3 * day, "nothing younger than seven days is gone");
        assert!(first > 0);
        drop(log);
        assert_eq!(ids(&open(&disk)).first(), Some(&first.to_string()));
    }
}
