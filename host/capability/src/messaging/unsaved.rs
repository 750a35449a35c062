//! What a subscription has done that is not written down yet, and which rows are. Pure state; writing is done elsewhere.
//!
//! Written down are the place from which the log is read again after a crash, and each event before it that is not
//! settled. An event behind all that was ever tried needs no row: it is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Event;
use super::queue::{Attempts, Item};

/// The last words on an event that is given up.
#[derive(Clone, Debug)]
pub(super) struct Obituary {
    pub(super) event: Arc<Event>,
    pub(super) error: String,
    pub(super) attempts: u32,
    pub(super) traceparent: String,
    pub(super) failed_at_ms: u64,
    pub(super) digest: Option<Arc<str>>,
    /// The ordering key whose later events wait for this letter.
    pub(super) holds: Option<Arc<str>>,
}

/// An event that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parking {
    pub(super) attempts: Attempts,
    /// It waits until no dead letter holds this key; otherwise for its time.
    pub(super) held: Option<Arc<str>>,
}

/// Changes that are to be remembered together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) next: u64,
    /// What `next` was before.
    previous: u64,
    /// The oldest position that is needed once this is written, but for what is parked.
    pub(super) needed: u64,
    pub(super) keep: BTreeMap<u64, Attempts>,
    pub(super) settled: BTreeSet<u64>,
    pub(super) park: BTreeMap<u64, Parking>,
    pub(super) unpark: BTreeSet<u64>,
    pub(super) dead: Vec<(Item, Obituary)>,
    pub(super) replayed: Vec<i64>,
}

/// What the file does not hold yet of one subscription, and which rows it holds.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    batch: Batch,
    /// In hand, without a row.
    fresh: BTreeMap<u64, Attempts>,
    /// In hand, with a row in the file or in the batch.
    rows: BTreeSet<u64>,
    /// The last position at which anything happened.
    touched: u64,
    /// The log is read up to here.
    read: u64,
    saved_next: u64,
    /// Something was settled or failed: worth a write of its own. Events that were only passed over are not.
    urgent: bool,
}

impl Batch {
    /// The dead letters in it.
    pub(super) fn dead(&self) -> impl Iterator<Item = Item> {
        self.dead.iter().map(|(item, _)| *item)
    }

    fn len(&self) -> usize {
        self.keep.len() + self.settled.len() + self.park.len() + self.dead.len() + self.replayed.len()
    }
}

impl Unsaved {
    pub(super) fn resume(next: u64, rows: impl IntoIterator<Item = u64>) -> Self {
        Self { rows: rows.into_iter().collect(), read: next, saved_next: next, ..Self::default() }
    }

    /// All events before `next` are in hand, settled, set aside, or of no interest.
    pub(super) fn read_up_to(&mut self, next: u64) {
        self.read = next;
    }

    /// The event is in hand.
    pub(super) fn taken(&mut self, position: u64) {
        self.fresh.insert(position, Attempts::default());
    }

    pub(super) fn again(&mut self, item: Item, attempts: Attempts) {
        // A replay that is cut short begins anew, so nothing is remembered of its attempts.
        let Item::Event(position) = item else { return };
        self.urgent = true;
        self.touched = self.touched.max(position);
        match self.fresh.get_mut(&position) {
            Some(fresh) => *fresh = attempts,
            None => drop(self.batch.keep.insert(position, attempts)),
        }
    }

    pub(super) fn delivered(&mut self, item: Item) {
        self.urgent = true;
        match item {
            Item::Event(position) => self.let_go(position),
            Item::Letter(id) => self.batch.replayed.push(id),
        }
    }

    pub(super) fn dead(&mut self, item: Item, obituary: Obituary) {
        self.urgent = true;
        if let Item::Event(position) = item {
            self.let_go(position);
        }
        self.batch.dead.push((item, obituary));
    }

    /// The event is in hand no more, and will be loaded again.
    pub(super) fn park(&mut self, position: u64, parking: Parking) {
        self.urgent = true;
        self.let_go(position);
        self.batch.park.insert(position, parking);
    }

    /// The event that was set aside is in hand again.
    pub(super) fn unpark(&mut self, position: u64, attempts: Attempts) {
        self.urgent = true;
        self.rows.insert(position);
        self.batch.unpark.insert(position);
        self.batch.keep.insert(position, attempts);
    }

    fn let_go(&mut self, position: u64) {
        self.touched = self.touched.max(position);
        if self.fresh.remove(&position).is_none() && self.rows.remove(&position) {
            self.batch.keep.remove(&position);
            self.batch.settled.insert(position);
        }
    }

    /// Whether what the file says of parked events is out of date.
    pub(super) fn has_parking(&self) -> bool {
        !self.batch.park.is_empty() || !self.batch.unpark.is_empty()
    }

    /// Whether events of a key are to be set aside that are not written down yet.
    pub(super) fn holds_parking_of(&self, key: &str) -> bool {
        self.batch.park.values().any(|parking| parking.held.as_deref() == Some(key))
    }

    /// How many changes wait.
    pub(super) fn len(&self) -> usize {
        self.batch.len()
    }

    /// From where the log is to be read after a crash.
    fn next(&self) -> u64 {
        self.fresh.range(self.touched + 1..).next().map_or(self.read, |(position, _)| *position)
    }

    /// Whether the changes should be written soon: `lazy_bytes` of the log may be passed over without that.
    pub(super) fn is_due(&self, lazy_bytes: u64) -> bool {
        self.urgent || self.next().saturating_sub(self.saved_next) >= lazy_bytes
    }

    /// Whether there is anything to write at all.
    pub(super) fn is_any(&self) -> bool {
        self.len() > 0 || !self.batch.unpark.is_empty() || self.next() != self.saved_next
    }

    /// Takes the changes out, to be written before others are taken. If that fails, [`Unsaved::failed`] is called.
    pub(super) fn take(&mut self) -> Batch {
        let next = self.next();
        let behind = self.fresh.split_off(&next);
        let before = std::mem::replace(&mut self.fresh, behind);
        self.rows.extend(before.keys());
        self.batch.keep.extend(before);
        let mut batch = std::mem::take(&mut self.batch);
        batch.next = next;
        batch.previous = std::mem::replace(&mut self.saved_next, next);
        batch.needed = self.rows.first().copied().unwrap_or(next).min(next);
        self.urgent = false;
        batch
    }

    /// Puts changes that could not be written back under those that came since.
    pub(super) fn failed(&mut self, batch: &Batch) {
        self.urgent = true;
        self.saved_next = batch.previous;
        self.batch.settled.extend(&batch.settled);
        self.batch.unpark.extend(&batch.unpark);
        for (position, parking) in &batch.park {
            self.batch.park.entry(*position).or_insert_with(|| parking.clone());
        }
        for (position, attempts) in &batch.keep {
            if self.rows.contains(position) {
                self.batch.keep.entry(*position).or_insert_with(|| attempts.clone());
            }
        }
        let later = std::mem::replace(&mut self.batch.dead, batch.dead.clone());
        self.batch.dead.extend(later);
        self.batch.replayed.extend(&batch.replayed);
    }
}
