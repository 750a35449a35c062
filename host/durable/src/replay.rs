//! What a run finds recorded when it begins: the ends of steps and timers in the order of the journal, and the attempts
//! and timers that have not come to an end.

use std::collections::HashMap;

use crate::record::{Ended, Entry, Started, StepEnded, Timer};
use crate::types::{Outcome, Phase, Recording};

/// A step or a timer of a saga.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EventId {
    /// `None` for a timer.
    pub phase: Option<Phase>,
    pub name: String,
    pub occurrence: u32,
}

impl EventId {
    /// For a person: what the code asked for, or what the journal holds.
    pub(crate) fn describe(&self) -> String {
        let kind = match self.phase {
            Some(Phase::Do) => "step",
            Some(Phase::Undo) => "compensation of step",
            None => "timer",
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

#[derive(Debug)]
pub(crate) struct Replay {
    events: Vec<(EventId, Recording)>,
    by_id: HashMap<EventId, usize>,
    /// Steps that are to be tried again.
    pub attempts: HashMap<EventId, Attempts>,
    /// Timers that have not fired, with the time at which they will.
    pub timers: HashMap<EventId, u64>,
    /// The first compensation that did not succeed.
    pub failed_undo: Option<EventId>,
}

/// A saga read in full.
#[derive(Debug)]
pub(crate) struct History {
    pub started: Started,
    pub entries: Vec<Entry>,
}

impl History {
    pub(crate) fn ended(&self) -> Option<&Ended> {
        self.entries.iter().find_map(|entry| if let Entry::Ended(ended) = entry { Some(ended) } else { None })
    }
}

fn timer_id(timer: Timer) -> EventId {
    EventId { phase: None, name: timer.name, occurrence: timer.occurrence }
}

impl Replay {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        let (events, by_id) = (Vec::new(), HashMap::new());
        let (attempts, timers) = (HashMap::new(), HashMap::new());
        let mut replay = Self { events, by_id, attempts, timers, failed_undo: None };
        for entry in entries {
            match entry {
                Entry::Started(_) | Entry::Ended(_) => {}
                Entry::Step(step) => replay.step(step),
                Entry::TimerSet(timer) => {
                    let at_ms = timer.fires_at_ms;
                    replay.timers.insert(timer_id(timer), at_ms);
                }
                Entry::TimerFired(timer) => {
                    let recording =
                        Recording { outcome: Outcome::Success, payload: Vec::new(), at_ms: timer.fires_at_ms };
                    let id = timer_id(timer);
                    replay.timers.remove(&id);
                    replay.push(id, recording);
                }
            }
        }
        replay
    }

    fn step(&mut self, step: StepEnded) {
        let id = EventId { phase: Some(step.phase), name: step.name.clone(), occurrence: step.occurrence };
        if step.retry_at_ms.is_some() {
            self.attempts.entry(id).or_default().add(&step);
            return;
        }
        self.attempts.remove(&id);
        if step.phase == Phase::Undo && step.outcome != Outcome::Success {
            self.failed_undo.get_or_insert_with(|| id.clone());
        }
        self.push(id, Recording { outcome: step.outcome, payload: step.payload, at_ms: step.ended_at_ms });
    }

    fn push(&mut self, id: EventId, recording: Recording) {
        self.by_id.insert(id.clone(), self.events.len());
        self.events.push((id, recording));
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn find(&self, id: &EventId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn recording(&self, index: usize) -> Option<Recording> {
        self.events.get(index).map(|(_, recording)| recording.clone())
    }

    /// What the journal holds at `index`, for a person.
    pub(crate) fn describe(&self, index: usize) -> String {
        self.events.get(index).map_or_else(|| "nothing more".to_owned(), |(id, _)| id.describe())
    }
}
