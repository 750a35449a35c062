//! `WEFT_SAGA_FAULTS`, read next to `WEFT_FAILPOINT`: faults for the steps of sagas, as a JSON list such as
//! `[{"step": "charge", "occurrence": 1, "phase": "do", "kind": "fail-after"}]`. What each does is told by
//! [`FaultKind`]. Only a test harness sets it.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use weft_durable::{Fault, FaultKind, Faults, Phase};

/// The environment variable.
pub const VARIABLE: &str = "WEFT_SAGA_FAULTS";

/// One fault, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The step's name.
    pub step: String,
    /// Which of the steps of that name, from 1.
    pub occurrence: u32,
    /// The step or its compensation.
    pub phase: WrittenPhase,
    /// What happens to it.
    pub kind: WrittenKind,
}

/// [`Phase`], as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrittenPhase {
    /// The step.
    Do,
    /// Its compensation.
    Undo,
}

/// [`FaultKind`], as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WrittenKind {
    /// [`FaultKind::Fail`].
    Fail,
    /// [`FaultKind::FailAfter`].
    FailAfter,
    /// [`FaultKind::Repeat`].
    Repeat,
}

/// The faults that the environment asks for; without the variable, none.
///
/// # Errors
/// If it is not such a list.
pub fn from_environment() -> anyhow::Result<Faults> {
    parse(&std::env::var(VARIABLE).unwrap_or_default())
}

fn parse(text: &str) -> anyhow::Result<Faults> {
    if text.is_empty() {
        return Ok(Faults::default());
    }
    let written: Vec<Written> =
        serde_json::from_str(text).with_context(|| format!("{VARIABLE} is not a list of faults"))?;
    Ok(Faults::new(written.into_iter().map(Fault::from).collect()))
}

impl From<Written> for Fault {
    fn from(written: Written) -> Self {
        let phase = match written.phase {
            WrittenPhase::Do => Phase::Do,
            WrittenPhase::Undo => Phase::Undo,
        };
        let kind = match written.kind {
            WrittenKind::Fail => FaultKind::Fail,
            WrittenKind::FailAfter => FaultKind::FailAfter,
            WrittenKind::Repeat => FaultKind::Repeat,
        };
        Self { step: written.step, occurrence: written.occurrence, phase, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_written() {
        let text = r#"[{"step": "a#b", "occurrence": 2, "phase": "undo", "kind": "fail-after"}]"#;
        let written: Vec<Written> = serde_json::from_str(text).unwrap();
        let expected = Fault { step: "a#b".into(), occurrence: 2, phase: Phase::Undo, kind: FaultKind::FailAfter };
        assert_eq!(written.into_iter().map(Fault::from).collect::<Vec<_>>(), [expected]);
        assert!(parse(text).is_ok() && parse("").is_ok());
        for bad in ["x", "{}", r#"[{"step": "a"}]"#, r#"[{"step": "a", "occurrence": 1, "phase": "do", "kind": "x"}]"#]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
