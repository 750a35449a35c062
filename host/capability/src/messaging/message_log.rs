//! The message log: events on the append log, each id once, readable when flushed, kept for a time. Who has read what is
//! not known here.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use weft_core::disk::Disk;
use weft_core::{Failpoints, Failure, Fault, Reason};
use weft_durable::log::{Log, LogError, LogOptions, Record};

use super::bound::Bound;
use super::event_bytes::{Identities, VERSION, decode, encode};
use super::recent::{Recent, Window};
use super::{Event, EventError, EventFilter, EventPage, PublishError, ReadFrom};

/// The kind of an event's record.
const EVENT: u8 = 1;
/// How much one read brings, in bytes.
const READ_BYTES: usize = 256 * 1_024;
/// How much of the log one look into its history passes at most, in bytes.
const HISTORY_BYTES: u64 = 32 * 1_024 * 1_024;

/// How the log is kept.
#[derive(Clone, Debug)]
pub(super) struct Keeping {
    pub(super) segment_bytes: u64,
    pub(super) failpoints: Failpoints,
    /// How long events are kept, in milliseconds.
    pub(super) retention_ms: u64,
    /// How large it may grow, in bytes.
    pub(super) retention_bytes: Option<u64>,
    /// How long ids are known.
    pub(super) window: Window,
}

/// An open message log.
#[derive(Debug)]
pub(super) struct MessageLog {
    log: Log,
    keeping: Keeping,
    identities: Identities,
    taking: Mutex<Taking>,
    flushed: watch::Sender<u64>,
}

/// What is held while events are taken, so that of two equal ids one is, and bounds are kept.
#[derive(Debug)]
struct Taking {
    recent: Recent,
    bounds: Vec<Arc<Bound>>,
}

/// Events in order, and where to read on.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) events: Vec<(u64, Event)>,
    pub(super) next: u64,
}

/// An event in the form in which it is taken.
pub(super) struct Encoded<'a> {
    event: &'a Event,
    identity: u128,
    payload: Vec<u8>,
}

/// Whoever waits for a flush may be given up; the readers are told all the same.
struct Telling {
    log: Arc<MessageLog>,
    end: u64,
    told: bool,
}

impl Drop for Telling {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !self.told {
            let (log, end) = (Arc::clone(&self.log), self.end);
            // Whether it was flushed is told to whoever asked; nobody does any more.
            drop(runtime.spawn(async move { log.flush(end).await }));
        }
    }
}

impl MessageLog {
    /// Opens or makes the log in `dir`. Reads all of it once.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path, keeping: Keeping) -> Result<Self, Failure> {
        let failpoints = keeping.failpoints.clone();
        let options = LogOptions { segment_bytes: keeping.segment_bytes, failpoints, ..LogOptions::new("messages") };
        let mut recent = Recent::new(keeping.window);
        let identities = Identities::default();
        let (log, opened) = Log::open(disk, dir, options, &mut |record| {
            if record.kind != EVENT {
                return;
            }
            let position = record.position;
            if let Some(head) = identities.head(record.version, record.payload) {
                // Known, and on disk: nothing has to be waited for.
                recent.remember(head.identity, head.time_ms, position, 0);
            }
        })?;
        for damaged in &opened.quarantined {
            tracing::error!(position = damaged.position, "an event in the message log is damaged and was passed over");
        }
        let (flushed, _) = watch::channel(log.flushed());
        Ok(Self { log, keeping, identities, taking: Mutex::new(Taking { recent, bounds: Vec::new() }), flushed })
    }

    fn taking(&self) -> MutexGuard<'_, Taking> {
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an event ready to be taken.
    pub(super) fn encode<'a>(&self, event: &'a Event) -> Result<Encoded<'a>, Failure> {
        let payload = encode(event).map_err(|error| undecodable(&error))?;
        Ok(Encoded { event, identity: self.identities.of(&event.source, &event.id), payload })
    }

    /// Queues events that have not come recently. Answers the position through which to [`MessageLog::flush`].
    /// With `bounded`, none is taken if a work queue has no room for all.
    pub(super) async fn append(&self, events: &[Encoded<'_>], bounded: bool) -> Result<u64, PublishError> {
        let (mut end, mut taken) = (0, 0);
        loop {
            match self.try_append(events.get(taken..).unwrap_or_default(), bounded && taken == 0, &mut taken, &mut end)
            {
                Ok(()) => return Ok(end),
                // The disk is behind: wait for it.
                Err(Refused::Log(LogError::Full { .. })) => self.flush(self.log.end()).await?,
                Err(Refused::Log(error)) => return Err(PublishError::Unavailable(error.into())),
                Err(Refused::Bound(error)) => return Err(error),
            }
        }
    }

    fn try_append(
        &self,
        events: &[Encoded<'_>],
        bounded: bool,
        taken: &mut usize,
        end: &mut u64,
    ) -> Result<(), Refused> {
        let mut taking = self.taking();
        let Taking { recent, bounds } = &mut *taking;
        if bounded && !bounds.is_empty() {
            check_bounds(events, recent, bounds).map_err(Refused::Bound)?;
        }
        for Encoded { event, identity, payload } in events {
            if let Some(known) = recent.end_of(*identity) {
                *end = known.max(*end);
            } else {
                let appended = self.log.append(EVENT, VERSION, payload).map_err(Refused::Log)?;
                recent.remember(*identity, event.time_ms, appended.position, appended.end);
                bounds.iter().filter(|bound| bound.covers(&event.topic)).for_each(|bound| bound.appended(1));
                *end = appended.end.max(*end);
            }
            *taken += 1;
        }
        Ok(())
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

    /// As [`MessageLog::flush`]; the readers are told even if the caller is given up meanwhile.
    pub(super) async fn flush_surely(self: &Arc<Self>, through: u64) -> Result<(), Failure> {
        let mut telling = Telling { log: Arc::clone(self), end: through, told: false };
        let flushed = self.flush(through).await;
        telling.told = true;
        flushed
    }

    /// Shows the position up to which events can be read, and changes with it.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.flushed.subscribe()
    }

    /// Position of the oldest event.
    pub(super) fn start(&self) -> u64 {
        self.log.start()
    }

    /// Everything from this position on is kept.
    pub(super) fn kept_from(&self) -> u64 {
        self.log.kept_from()
    }

    /// Position after the last event that can be read.
    pub(super) fn end(&self) -> u64 {
        self.log.flushed()
    }

    /// Why the log takes no more events, if it has stopped.
    pub(super) fn stopped(&self) -> Option<String> {
        self.log.stopped().map(|error| error.to_string())
    }

    /// The event at `position`; none if its record is damaged. Reads the disk on this thread.
    pub(super) fn read(&self, position: u64) -> Result<Option<Event>, Failure> {
        match self.log.read(position) {
            Ok(record) => event_of(record).map(|(_, event)| Some(event)),
            Err(LogError::NoRecord(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Some events from `position` on. Reads the disk on this thread.
    pub(super) fn read_from(&self, position: u64) -> Result<Page, Failure> {
        let found = self.log.read_from(position, READ_BYTES)?;
        let events = found.records.into_iter().map(event_of).collect::<Result<_, _>>()?;
        Ok(Page { events, next: found.next })
    }

    /// Where a place is. Reads the disk on this thread.
    pub(super) fn locate(&self, from: ReadFrom) -> Result<u64, Failure> {
        let (start, end) = (self.start(), self.end());
        match from {
            ReadFrom::Earliest => Ok(start),
            ReadFrom::Latest => Ok(end),
            ReadFrom::Position(position) if position <= start || position >= end => Ok(position.clamp(start, end)),
            // A position of the caller's making may lie within a record.
            ReadFrom::Position(position) => {
                let before = self.taking().recent.before_position(position).unwrap_or(start).max(start);
                self.first(before, |at, _| at >= position)
            }
            ReadFrom::TimeMs(time_ms) => {
                let before = self.taking().recent.before_time(time_ms).unwrap_or(start).max(start);
                self.first(before, |_, event| event.time_ms >= time_ms)
            }
        }
    }

    /// The first event from `position` on that is wanted; the end if there is none.
    fn first(&self, position: u64, is_wanted: impl Fn(u64, &Event) -> bool) -> Result<u64, Failure> {
        let mut next = position;
        loop {
            let page = self.read_from(next)?;
            let found = page.events.iter().find(|(at, event)| is_wanted(*at, event));
            if let Some((at, _)) = found {
                return Ok(*at);
            }
            if page.next <= next || page.next >= self.end() {
                return Ok(page.next.max(next));
            }
            next = page.next;
        }
    }

    /// Events from a place on, oldest first. Reads the disk on this thread.
    pub(super) fn history(&self, from: ReadFrom, filter: &EventFilter, limit: usize) -> Result<EventPage, Failure> {
        let mut found = EventPage { next: self.locate(from)?, ..EventPage::default() };
        let stop = found.next.saturating_add(HISTORY_BYTES);
        while found.events.len() < limit && found.next < stop {
            let page = self.read_from(found.next)?;
            if page.next <= found.next {
                break;
            }
            found.next = page.next;
            for (at, event) in page.events {
                if found.events.len() >= limit {
                    found.next = at;
                    return Ok(found);
                }
                if filter.matches(&event) {
                    found.events.push((at, event));
                }
            }
        }
        found.end = found.next >= self.end();
        Ok(found)
    }

    /// Events before a place, newest first. Reads the disk on this thread.
    pub(super) fn history_back(
        &self,
        before: ReadFrom,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<EventPage, Failure> {
        let mut found = EventPage { next: self.locate(before)?, ..EventPage::default() };
        let start = self.start();
        let stop = found.next.saturating_sub(HISTORY_BYTES);
        while found.events.len() < limit && found.next > start.max(stop) {
            let from = self.taking().recent.before_position(found.next).unwrap_or(start).max(start);
            let mut events = self.between(from, found.next)?;
            found.next = from;
            while let Some((at, event)) = events.pop() {
                if found.events.len() >= limit {
                    return Ok(found);
                }
                found.next = at;
                if filter.matches(&event) {
                    found.events.push((at, event));
                }
            }
            found.next = from.min(found.next);
        }
        found.end = found.next <= start;
        Ok(found)
    }

    fn between(&self, from: u64, to: u64) -> Result<Vec<(u64, Event)>, Failure> {
        let (mut events, mut next) = (Vec::new(), from);
        while next < to {
            let page = self.read_from(next)?;
            if page.next <= next {
                break;
            }
            events.extend(page.events.into_iter().take_while(|(at, _)| *at < to));
            next = page.next;
        }
        Ok(events)
    }

    /// About how many events lie behind `position`.
    pub(super) fn count_behind(&self, position: u64) -> u64 {
        let end = self.end();
        self.taking().recent.count_behind(position, end)
    }

    /// Has `bounds` asked from now on, those that are new counting from the position that is answered.
    pub(super) fn bind(&self, bounds: Vec<Arc<Bound>>) -> u64 {
        let mut taking = self.taking();
        taking.bounds = bounds;
        self.log.end()
    }

    /// Has a bound count anew from the position that is answered.
    pub(super) fn rebind(&self, bound: &Bound) -> u64 {
        let _taking = self.taking();
        bound.reset();
        self.log.end()
    }

    /// How many events between two positions a bound covers. Reads the disk on this thread.
    pub(super) fn count_covered(&self, bound: &Bound, from: u64, to: u64) -> Result<i64, Failure> {
        let (mut count, mut next) = (0, from);
        while next < to {
            let page = self.read_from(next)?;
            if page.next <= next {
                break;
            }
            let covered = page.events.iter().filter(|(at, event)| *at < to && bound.covers(&event.topic)).count();
            count += i64::try_from(covered).unwrap_or(i64::MAX);
            next = page.next;
        }
        Ok(count)
    }

    /// The mark before which all is to go at `now_ms`, if that is anything.
    fn old(&self, recent: &Recent, now_ms: u64) -> Option<u64> {
        let mark = recent.second_mark()?;
        let is_old = mark.time_ms.saturating_add(self.keeping.retention_ms) <= now_ms;
        let too_large = self.keeping.retention_bytes.is_some_and(|bytes| self.log.end() - mark.position > bytes);
        (is_old || too_large).then_some(mark.position)
    }

    /// Whether [`MessageLog::retain`] would find something old at `now_ms`.
    pub(super) fn has_old(&self, now_ms: u64) -> bool {
        self.old(&self.taking().recent, now_ms).is_some()
    }

    /// Removes whole segments of events that stand before `needed` and are older than the retention at `now_ms`, or are
    /// the oldest of too many. Works on the disk on this thread.
    pub(super) fn retain(&self, now_ms: u64, needed: u64) -> Result<usize, Failure> {
        let mut oldest_kept = 0;
        {
            let recent = &mut self.taking().recent;
            while let Some(position) = self.old(recent, now_ms)
                && position <= needed
            {
                recent.forget_first_mark();
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

enum Refused {
    Log(LogError),
    Bound(PublishError),
}

/// Whether every bound has room for what is new among `events`.
fn check_bounds(events: &[Encoded<'_>], recent: &Recent, bounds: &[Arc<Bound>]) -> Result<(), PublishError> {
    for bound in bounds {
        let new = |one: &&Encoded<'_>| bound.covers(&one.event.topic) && recent.end_of(one.identity).is_none();
        let more = events.iter().filter(new).count();
        if more > 0 && !bound.has_room(i64::try_from(more).unwrap_or(i64::MAX)) {
            let (subscription, max_length) = (Arc::clone(&bound.subscription), bound.max_length);
            return Err(PublishError::Full { subscription, max_length });
        }
    }
    Ok(())
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
#[path = "message_log_tests.rs"]
mod tests;
