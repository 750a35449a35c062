//! One saga with its steps, as it is shown.

use std::collections::BTreeMap;

use crate::database::{Row, row};
use crate::engine::Journal;
use crate::record::{OpenAttempt, Record, Tidings, decode};
use crate::replay::EventId;
use crate::table;
use crate::types::{EventKind, Outcome, Phase, SagaError, Status};

/// One saga with its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaView {
    /// Its key, which is its id.
    pub key: String,
    /// The durable function.
    pub name: String,
    /// Where it stands.
    pub status: Status,
    /// The guest's bytes.
    pub input: Vec<u8>,
    /// The function's answer, once there is one.
    pub result: Option<Vec<u8>>,
    /// Why it stopped, where that is not an answer of the function.
    pub error: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub ended_at_ms: Option<u64>,
    /// What the code has set for searching.
    pub attributes: Vec<(String, String)>,
    /// In the order in which they first appear; of this generation.
    pub steps: Vec<StepView>,
}

/// One step, or one compensation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// The step or its compensation.
    pub phase: Phase,
    /// `running`, `retrying`, `completed`, `compensated` (a compensation that succeeded), `failed` or `unknown`.
    pub status: &'static str,
    /// Attempts that ended or run.
    pub attempts: u32,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch; none while it is not settled.
    pub ended_at_ms: Option<u64>,
    /// The payload of its last error.
    pub error: Option<String>,
}

impl Journal {
    /// One saga with its steps.
    ///
    /// # Errors
    /// [`SagaError::NotFound`]; [`SagaError::Unavailable`] if the database refuses.
    pub fn status(&self, key: &str) -> Result<SagaView, SagaError> {
        let database = &*self.inner.database;
        let sql = "SELECT position, function, status, input, answer, error, cancelled, started_at_ms, ended_at_ms,
            attributes, open, leased, due_at_ms FROM weft_sagas WHERE key = ?1";
        let row = row(database, sql, &[key.into()])?.ok_or(SagaError::NotFound)?;
        let (position, mut view, open) = read(key, row, self.inner.clock.now_ms())?;
        let mut steps = Steps::default();
        for (record, payload) in table::records(database, position)? {
            steps.add(&record, &payload);
        }
        open.iter().for_each(|open| steps.runs(open));
        view.steps = steps.views;
        Ok(view)
    }
}

/// A saga without its steps, its position, and the attempts that run now.
fn read(key: &str, mut row: Row, now_ms: u64) -> Result<(u64, SagaView, Vec<OpenAttempt>), SagaError> {
    let position = row.number()?;
    let (name, status, input, result) = (row.text()?, row.text()?, row.bytes()?, row.maybe_bytes()?);
    let (error, cancelled) = (row.maybe_text()?, row.maybe_text()?);
    let (started_at_ms, ended_at_ms) = (row.number()?, row.maybe_number()?);
    let attributes: BTreeMap<String, String> = decode(&row.text()?)?;
    let open: Vec<OpenAttempt> = decode(&row.text()?)?;
    let (leased, due_at_ms) = (row.number()? == 1, row.maybe_number()?);
    let runs = leased && due_at_ms.is_some_and(|at_ms| at_ms > now_ms);
    let status = Status::parse(&status)
        .ok_or_else(|| SagaError::Unavailable(format!("saga {key} has a status of another version: {status}")))?;
    let view = SagaView {
        key: key.to_owned(),
        name,
        status,
        input,
        result,
        error: error.or_else(|| Some(format!("cancelled: {}", cancelled?))),
        started_at_ms,
        ended_at_ms,
        attributes: attributes.into_iter().collect(),
        steps: Vec::new(),
    };
    Ok((position, view, if runs { open } else { Vec::new() }))
}

/// Views of steps, in the order in which they first appear.
#[derive(Default)]
struct Steps {
    views: Vec<StepView>,
    places: BTreeMap<EventId, usize>,
}

impl Steps {
    fn add(&mut self, record: &Record, payload: &[u8]) {
        match record {
            Record::Step { of, attempt, outcome, retry_at_ms, started_at_ms, ended_at_ms } => {
                let Some(step) = self.named(of, *started_at_ms) else { return };
                step.attempts = *attempt;
                step.ended_at_ms = retry_at_ms.is_none().then_some(*ended_at_ms);
                step.error = (*outcome != Outcome::Success).then(|| String::from_utf8_lossy(payload).into_owned());
                step.status = match (outcome, of.kind) {
                    _ if retry_at_ms.is_some() => "retrying",
                    (Outcome::Success, EventKind::Undo) => "compensated",
                    (Outcome::Success, _) => "completed",
                    (Outcome::Error, _) => "failed",
                    (Outcome::Unknown, _) => "unknown",
                };
            }
            // One that was to be tried again when the saga was cancelled is not any more.
            Record::Told { of, at_ms, outcome, what: Tidings::Cancelled } if self.places.contains_key(of) => {
                let Some(step) = self.named(of, *at_ms) else { return };
                step.ended_at_ms = Some(*at_ms);
                step.status = if *outcome == Outcome::Unknown { "unknown" } else { "failed" };
            }
            _ => {}
        }
    }

    fn runs(&mut self, open: &OpenAttempt) {
        let Some(step) = self.named(&open.of, open.started_at_ms) else { return };
        step.status = "running";
        step.attempts = open.attempt;
    }

    /// The view of a step, which is put in if it is not there.
    fn named(&mut self, of: &EventId, started_at_ms: u64) -> Option<&mut StepView> {
        let phase = if of.kind == EventKind::Undo { Phase::Undo } else { Phase::Do };
        let place = *self.places.entry(of.clone()).or_insert(self.views.len());
        if place == self.views.len() {
            let (name, status, attempts, ended_at_ms, error) = (of.name.clone(), "running", 0, None, None);
            self.views.push(StepView { name, phase, status, attempts, started_at_ms, ended_at_ms, error });
        }
        self.views.get_mut(place)
    }
}
