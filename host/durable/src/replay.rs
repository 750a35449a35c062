//! What a run finds recorded when it begins: what the code was told, in the order of the journal, and what has not come
//! to an end. Orders of a person that undo a part of the journal are applied here, before a run sees it.

use std::collections::{HashMap, HashSet};

use crate::record::{Ended, Entry, Order, Started, StepEnded, Tidings, Told};
use crate::types::{EventKind, Outcome, Phase, Recording};

/// Something that the code of a saga is told once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    pub(crate) fn add(&mut self, step: &StepEnded) {
        self.ended = step.attempt;
        self.maybe_ran |= step.outcome == Outcome::Unknown;
        self.retry_at_ms = step.retry_at_ms.unwrap_or_default();
    }
}

#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// A compensation that is to be tried again has its place and no recording.
    events: Vec<(EventId, Option<Recording>)>,
    by_id: HashMap<EventId, usize>,
    /// Steps that are to be tried again.
    pub attempts: HashMap<EventId, Attempts>,
    /// Timers that have not fired and waits for signals, with the time at which they end.
    pub timers: HashMap<EventId, u64>,
    /// Children that are waited for.
    pub children: HashSet<EventId>,
    /// Positions of the signals that the code was told of.
    pub taken: HashSet<u64>,
    /// The compensations that did not succeed.
    pub failed_undos: Vec<EventId>,
    /// How often the code has exposed something under a name.
    pub exposed: HashMap<String, u32>,
    /// How often it has set attributes.
    pub attributes_set: u32,
    /// Payloads of signals by their positions.
    signals: HashMap<u64, Vec<u8>>,
}

/// A saga read in full, with the positions of its records.
#[derive(Debug)]
pub(crate) struct History {
    pub started: Started,
    pub entries: Vec<(u64, Entry)>,
}

impl History {
    /// Its end, unless it was opened again after that.
    pub(crate) fn ended(&self) -> Option<&Ended> {
        let mut last = None;
        for (_, entry) in &self.entries {
            match entry {
                Entry::Ended(ended) => last = Some(ended),
                Entry::Ordered(ordered) if matches!(ordered.order, Order::Rewind { .. } | Order::Retry) => last = None,
                _ => {}
            }
        }
        last
    }

    /// What this generation began with.
    pub(crate) fn input(&self) -> &[u8] {
        let continued = self.entries.iter().rev().find_map(|(_, entry)| match entry {
            Entry::Continued(continued) => Some(&continued.input),
            _ => None,
        });
        continued.unwrap_or(&self.started.input)
    }
}

impl Replay {
    pub(crate) fn new(entries: Vec<(u64, Entry)>) -> Self {
        let mut replay = Self::default();
        for (position, entry) in rewound(entries) {
            replay.add(position, entry);
        }
        replay
    }

    fn add(&mut self, position: u64, entry: Entry) {
        match entry {
            Entry::Step(step) => self.step(step),
            Entry::TimerSet(timer) => {
                let id = EventId::new(EventKind::Timer, &timer.name, timer.occurrence);
                self.timers.insert(id, timer.fires_at_ms);
            }
            Entry::TimerFired(timer) => {
                let id = EventId::new(EventKind::Timer, &timer.name, timer.occurrence);
                self.push(id, Recording::of(Outcome::Success, Vec::new(), timer.fires_at_ms));
            }
            Entry::Signalled(signalled) => {
                self.signals.insert(position, signalled.payload);
            }
            Entry::Awaited(awaited) => {
                let id = EventId::new(awaited.kind, &awaited.name, awaited.occurrence);
                match awaited.until_ms {
                    Some(until_ms) => {
                        self.timers.insert(id, until_ms);
                    }
                    None => {
                        self.children.insert(id);
                    }
                }
            }
            Entry::Told(told) => self.told(told),
            Entry::Noted(_, crate::record::Note::Exposed { name, .. }) => {
                *self.exposed.entry(name).or_default() += 1;
            }
            Entry::Noted(_, crate::record::Note::Attributes(_)) => self.attributes_set += 1,
            Entry::Ordered(ordered) => self.ordered(&ordered.order),
            Entry::Started(_)
            | Entry::Ended(_)
            | Entry::Noted(..)
            | Entry::Suspended(_)
            | Entry::Continued(_)
            | Entry::Ticked(_) => {}
        }
    }

    fn step(&mut self, step: StepEnded) {
        let id = EventId::new(step.phase, &step.name, step.occurrence);
        if step.retry_at_ms.is_some() {
            self.attempts.entry(id).or_default().add(&step);
            return;
        }
        if step.phase == Phase::Undo && step.outcome != Outcome::Success {
            self.failed_undos.push(id.clone());
        }
        self.push(id, Recording::of(step.outcome, step.payload, step.ended_at_ms));
    }

    fn told(&mut self, told: Told) {
        let id = EventId::new(told.kind, &told.name, told.occurrence);
        let mut recording = Recording::of(told.outcome, Vec::new(), told.at_ms);
        match told.what {
            Tidings::Signal(position) => {
                self.taken.insert(position);
                recording.payload = self.signals.get(&position).cloned().unwrap_or_default();
            }
            Tidings::TimedOut => {}
            Tidings::Child(answer) => recording.payload = answer,
            Tidings::Cancelled(reason) => {
                recording.payload = reason.into_bytes();
                recording.cancelled = true;
            }
        }
        self.push(id, recording);
    }

    fn ordered(&mut self, order: &Order) {
        match order {
            // Each compensation that failed has its place, and all of its attempts before it.
            Order::Retry => {
                for id in self.failed_undos.drain(..) {
                    let slot = self.by_id.get(&id).and_then(|index| self.events.get_mut(*index));
                    if let Some((_, recording)) = slot {
                        *recording = None;
                    }
                }
            }
            Order::Skip { name, occurrence } => {
                let skipped = EventId::new(EventKind::Undo, name, *occurrence);
                self.failed_undos.retain(|id| *id != skipped);
            }
            Order::Pause
            | Order::Resume
            | Order::Cancel
            | Order::Rewind { .. }
            | Order::Abandon
            | Order::Migrate { .. } => {}
        }
    }

    fn push(&mut self, id: EventId, recording: Recording) {
        self.attempts.remove(&id);
        self.timers.remove(&id);
        self.children.remove(&id);
        // A compensation that was tried again keeps its place.
        if let Some((_, slot)) = self.by_id.get(&id).and_then(|index| self.events.get_mut(*index)) {
            *slot = Some(recording);
            return;
        }
        self.by_id.insert(id.clone(), self.events.len());
        self.events.push((id, Some(recording)));
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn find(&self, id: &EventId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn recording(&self, index: usize) -> Option<&Recording> {
        self.events.get(index).and_then(|(_, recording)| recording.as_ref())
    }

    /// What the journal holds at `index`, for a person.
    pub(crate) fn describe(&self, index: usize) -> String {
        self.events.get(index).map_or_else(|| "nothing more".to_owned(), |(id, _)| id.describe())
    }
}

impl Recording {
    pub(crate) fn of(outcome: Outcome, payload: Vec<u8>, at_ms: u64) -> Self {
        Self { outcome, payload, at_ms, cancelled: false }
    }
}

/// The entries without those that a rewind has taken back. Signals have arrived all the same.
fn rewound(entries: Vec<(u64, Entry)>) -> Vec<(u64, Entry)> {
    let mut kept: Vec<(u64, Entry)> = Vec::with_capacity(entries.len());
    for (position, entry) in entries {
        if let Entry::Ordered(ordered) = &entry
            && let Order::Rewind { name, occurrence } = &ordered.order
        {
            let is_first = |(_, entry): &(u64, Entry)| is_of_step(entry, name, *occurrence);
            if let Some(first) = kept.iter().position(is_first) {
                let after = kept.split_off(first);
                kept.extend(after.into_iter().filter(|(_, entry)| matches!(entry, Entry::Signalled(_))));
            }
        }
        kept.push((position, entry));
    }
    kept
}

/// Whether this is a record of an attempt of that step.
pub(crate) fn is_of_step(entry: &Entry, name: &str, occurrence: u32) -> bool {
    match entry {
        Entry::Step(step) => step.phase == Phase::Do && step.name == name && step.occurrence == occurrence,
        Entry::Told(told) => told.kind == EventKind::Do && told.name == name && told.occurrence == occurrence,
        _ => false,
    }
}
