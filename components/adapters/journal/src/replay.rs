//! What a run finds recorded when it begins: what the code was told, in the order of the journal, and what has not come
//! to an end.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::record::{Record, Tidings};
use crate::types::{EventKind, Outcome, Recording};

/// Something that the code of a saga is told once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct EventId {
    pub kind: EventKind,
    pub name: String,
    pub occurrence: u32,
}

impl EventId {
    pub(crate) fn new(kind: impl Into<EventKind>, name: &str, occurrence: u32) -> Self {
        Self { kind: kind.into(), name: name.to_owned(), occurrence }
    }

    /// For a person: what the code asked for, or what the journal holds.
    pub(crate) fn describe(&self) -> String {
        let kind = match self.kind {
            EventKind::Do => "step",
            EventKind::Undo => "compensation of step",
            EventKind::Timer => "timer",
            EventKind::Signal => "signal",
            EventKind::Child => "child",
        };
        format!("{kind} {}#{}", self.name, self.occurrence)
    }
}

/// The attempts of a step that is not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    pub ended: u32,
    /// Whether any of them, or one that was cut short before it could be recorded, may have run.
    pub maybe_ran: bool,
    pub retry_at_ms: u64,
}

impl Attempts {
    pub(crate) fn add(&mut self, attempt: u32, outcome: Outcome, retry_at_ms: u64) {
        self.ended = attempt;
        self.maybe_ran |= outcome == Outcome::Unknown;
        self.retry_at_ms = retry_at_ms;
    }
}

#[derive(Debug, Default)]
pub(crate) struct Replay {
    events: Vec<(EventId, Recording)>,
    by_id: BTreeMap<EventId, usize>,
    /// Steps that are to be tried again.
    pub attempts: BTreeMap<EventId, Attempts>,
    /// Timers that have not fired and waits for signals, with the time at which they end.
    pub until_ms: BTreeMap<EventId, u64>,
    /// Children that are waited for.
    pub children: BTreeSet<EventId>,
    /// The compensations that did not succeed.
    pub failed_undos: Vec<EventId>,
    /// How often the code has exposed something under a name.
    pub exposed: BTreeMap<String, u32>,
    /// How often it has set attributes.
    pub attributes_set: u32,
    /// All records.
    pub records: usize,
}

impl Replay {
    pub(crate) fn add(&mut self, record: Record, payload: Vec<u8>) {
        self.records += 1;
        match record {
            Record::Step { of, attempt, outcome, retry_at_ms: Some(retry_at_ms), .. } => {
                self.attempts.entry(of).or_default().add(attempt, outcome, retry_at_ms);
            }
            Record::Step { of, outcome, ended_at_ms, .. } => {
                if of.kind == EventKind::Undo && outcome != Outcome::Success {
                    self.failed_undos.push(of.clone());
                }
                self.push(of, Recording::of(outcome, payload, ended_at_ms));
            }
            Record::Until { of, at_ms } => {
                self.until_ms.insert(of, at_ms);
            }
            Record::Awaited { of, .. } => {
                self.children.insert(of);
            }
            Record::Told { of, at_ms, outcome, what } => {
                let cancelled = what == Tidings::Cancelled;
                self.push(of, Recording { cancelled, ..Recording::of(outcome, payload, at_ms) });
            }
            Record::Exposed { name } => *self.exposed.entry(name).or_default() += 1,
            Record::Attributes { .. } => self.attributes_set += 1,
        }
    }

    fn push(&mut self, of: EventId, recording: Recording) {
        self.attempts.remove(&of);
        self.until_ms.remove(&of);
        self.children.remove(&of);
        self.by_id.insert(of.clone(), self.events.len());
        self.events.push((of, recording));
    }

    /// How many things the code was told.
    pub(crate) fn told(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn find(&self, of: &EventId) -> Option<(usize, &Recording)> {
        let index = self.by_id.get(of).copied()?;
        self.events.get(index).map(|(_, recording)| (index, recording))
    }

    /// What the journal holds at `index`, for a person.
    pub(crate) fn describe(&self, index: usize) -> String {
        self.events.get(index).map_or_else(|| "nothing more".to_owned(), |(of, _)| of.describe())
    }
}

impl Recording {
    pub(crate) fn of(outcome: Outcome, payload: Vec<u8>, at_ms: u64) -> Self {
        Self { outcome, payload, at_ms, cancelled: false }
    }
}
