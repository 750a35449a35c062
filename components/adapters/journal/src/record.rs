//! The records of a saga: what stands in the table, as JSON beside the guest's bytes. A record of an older version is
//! read for ever: the texts are held by a golden test, and a change of them takes another form beside the old.

use serde::{Deserialize, Serialize};

use crate::replay::EventId;
use crate::types::{Outcome, SagaError};

/// One record after the beginning of a generation. What it carries for the guest stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub(crate) enum Record {
    /// One ended attempt, with its answer. With `retry_at_ms` another attempt follows, and the outcome is this
    /// attempt's; without it the step is settled, and the outcome is the step's.
    Step {
        of: EventId,
        attempt: u32,
        outcome: Outcome,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at_ms: Option<u64>,
        started_at_ms: u64,
        ended_at_ms: u64,
    },
    /// A timer was asked for, or a signal for at most so long.
    Until { of: EventId, at_ms: u64 },
    /// The end of a child was asked for.
    Awaited { of: EventId, key: String },
    /// The code was told of something that is no attempt, or that it will not be told any more.
    Told { of: EventId, at_ms: u64, outcome: Outcome, what: Tidings },
    /// The answer to a query.
    Exposed { name: String },
    /// Attributes were set.
    Attributes { names: Vec<String> },
}

/// What the code was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tidings {
    /// A timer has fired.
    Fired,
    /// A signal, with what it carries.
    Signal,
    /// No signal came in time.
    TimedOut,
    /// The end of a child, with its answer.
    Child,
    /// The saga is cancelled: this did not run, or not any more. With the reason.
    Cancelled,
}

impl Record {
    pub(crate) fn encode(&self) -> Result<String, SagaError> {
        encode(self)
    }

    pub(crate) fn decode(text: &str) -> Result<Self, SagaError> {
        decode(text)
    }
}

/// An attempt that runs, or ran when a run of its saga was cut short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenAttempt {
    pub of: EventId,
    pub attempt: u32,
    pub started_at_ms: u64,
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<String, SagaError> {
    serde_json::to_string(value).map_err(|error| SagaError::Unavailable(format!("the saga journal: {error}")))
}

pub(crate) fn decode<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, SagaError> {
    serde_json::from_str(text)
        .map_err(|error| SagaError::Unavailable(format!("the saga journal has a record of another version: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::EventKind;

    #[test]
    fn texts_of_this_version_are_read_and_written_for_ever() {
        let of = |kind: EventKind| EventId::new(kind, "a", 2);
        let step = |retry_at_ms| Record::Step {
            of: of(EventKind::Do),
            attempt: 1,
            outcome: Outcome::Unknown,
            retry_at_ms,
            started_at_ms: 5,
            ended_at_ms: 6,
        };
        let told = |kind, what| Record::Told { of: of(kind), at_ms: 7, outcome: Outcome::Success, what };
        let golden = [
            (
                step(Some(9)),
                r#"{"record":"step","of":{"kind":"do","name":"a","occurrence":2},"attempt":1,"outcome":"unknown","retry_at_ms":9,"started_at_ms":5,"ended_at_ms":6}"#,
            ),
            (
                step(None),
                r#"{"record":"step","of":{"kind":"do","name":"a","occurrence":2},"attempt":1,"outcome":"unknown","started_at_ms":5,"ended_at_ms":6}"#,
            ),
            (
                Record::Until { of: of(EventKind::Timer), at_ms: 7 },
                r#"{"record":"until","of":{"kind":"timer","name":"a","occurrence":2},"at_ms":7}"#,
            ),
            (
                Record::Awaited { of: of(EventKind::Child), key: "k".to_owned() },
                r#"{"record":"awaited","of":{"kind":"child","name":"a","occurrence":2},"key":"k"}"#,
            ),
            (
                told(EventKind::Signal, Tidings::Signal),
                r#"{"record":"told","of":{"kind":"signal","name":"a","occurrence":2},"at_ms":7,"outcome":"success","what":"signal"}"#,
            ),
            (
                told(EventKind::Undo, Tidings::Cancelled),
                r#"{"record":"told","of":{"kind":"undo","name":"a","occurrence":2},"at_ms":7,"outcome":"success","what":"cancelled"}"#,
            ),
            (Record::Exposed { name: "n".to_owned() }, r#"{"record":"exposed","name":"n"}"#),
            (Record::Attributes { names: vec!["n".to_owned()] }, r#"{"record":"attributes","names":["n"]}"#),
        ];
        for (record, text) in golden {
            assert_eq!(record.encode().unwrap(), text);
            assert_eq!(Record::decode(text).unwrap(), record);
        }
        let open = r#"[{"of":{"kind":"do","name":"a","occurrence":2},"attempt":1,"started_at_ms":5}]"#;
        let known = vec![OpenAttempt { of: of(EventKind::Do), attempt: 1, started_at_ms: 5 }];
        assert_eq!(encode(&known).unwrap(), open);
        assert_eq!(decode::<Vec<OpenAttempt>>(open).unwrap(), known);
        assert!(Record::decode(r#"{"record":"later"}"#).is_err());
    }
}
