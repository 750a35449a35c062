//! Faults that a test harness puts into the steps of sagas: without any, every look is one branch. A fault strikes a
//! step or a compensation by its name; what the code makes of it is what the harness wants to see.

use std::sync::{Arc, Mutex, PoisonError};

use crate::types::{AttemptResult, Phase};

/// What happens to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// No attempt runs: the step ends with an unknown outcome, as if its callee could not be reached.
    Fail,
    /// The attempt runs and its answer is lost, for good: the step ends with an unknown outcome.
    FailAfter,
    /// The first attempt runs and its answer is lost; the step is run again, with the same key.
    Repeat,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The step's name.
    pub step: String,
    /// Which of the steps of that name, from 1.
    pub occurrence: u32,
    /// The step or its compensation.
    pub phase: Phase,
    /// What happens to it.
    pub kind: FaultKind,
}

/// The faults of a journal. Clones share what has struck already.
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Arc<Mutex<Vec<Armed>>>>);

#[derive(Debug)]
struct Armed {
    fault: Fault,
    struck: bool,
}

impl Faults {
    /// These faults, each of which strikes the first saga that comes by.
    #[must_use]
    pub fn new(faults: Vec<Fault>) -> Self {
        Self(Some(Arc::new(Mutex::new(faults.into_iter().map(|fault| Armed { fault, struck: false }).collect()))))
    }

    fn strike(&self, step: (&str, u32, Phase), wanted: impl Fn(FaultKind) -> bool) -> Option<FaultKind> {
        let faults = self.0.as_ref()?;
        let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, occurrence, phase) = step;
        let armed = faults.iter_mut().find(|Armed { fault, struck }| {
            fault.step == name
                && fault.occurrence == occurrence
                && fault.phase == phase
                && wanted(fault.kind)
                && !(*struck && fault.kind == FaultKind::Repeat)
        })?;
        armed.struck = true;
        Some(armed.fault.kind)
    }

    /// Whether the step is to fail without running.
    pub(crate) fn fails(&self, name: &str, occurrence: u32, phase: Phase) -> bool {
        self.strike((name, occurrence, phase), |kind| kind == FaultKind::Fail).is_some()
    }

    /// What becomes of the result of an attempt; `true`: the step is settled by it.
    pub(crate) fn result(&self, step: (&str, u32, Phase), result: AttemptResult) -> (AttemptResult, bool) {
        match self.strike(step, |kind| kind != FaultKind::Fail) {
            None | Some(FaultKind::Fail) => (result, false),
            Some(kind) => (lost(), kind == FaultKind::FailAfter),
        }
    }
}

/// What an attempt comes to whose answer is lost.
pub(crate) fn lost() -> AttemptResult {
    AttemptResult::Failed { maybe_ran: true, retry_after_ms: None, payload: Vec::new() }
}
