//! What the harness asks of one of its hosts, and what that reports: files of JSON between the two processes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a host is to do.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    /// Make the data that each case begins with. Reports [`Prepared`].
    Prepare(Prepare),
    /// Run the saga, or go on with it. Reports [`Ended`].
    Run(Run),
}

/// [`Job::Prepare`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Prepare {
    /// Called one after the other.
    pub calls: Vec<SetupCall>,
    /// The component, or `interface#function`.
    pub saga: String,
    /// The function, if the component has several.
    pub function: Option<String>,
    /// The arguments of the saga; what they take from the answers of the calls is put in.
    pub input: Vec<Value>,
    /// For each call.
    pub timeout_ms: u64,
}

/// A line of `--setup`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SetupCall {
    /// The component.
    pub component: String,
    /// `interface#function`.
    pub function: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<Value>,
}

/// What was prepared.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Prepared {
    /// Whose saga it is.
    pub component: String,
    /// `interface#function`.
    pub function: String,
    /// The saga's arguments.
    pub input: Vec<Value>,
    /// Sagas that have not ended; nobody waits for them.
    pub unfinished: Vec<String>,
}

/// [`Job::Run`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Run {
    /// Whose saga it is.
    pub component: String,
    /// `interface#function`.
    pub function: String,
    /// Its arguments, a JSON array.
    pub arguments: String,
    /// Its key, which is the first of the arguments.
    pub key: String,
    /// What it is told, in order.
    pub signals: Vec<Signal>,
    /// When it is told.
    pub telling: Telling,
    /// The saga needs attention: what failed is tried again.
    pub resolve: bool,
    /// Sagas that nobody waits for.
    pub others: Vec<String>,
    /// For everything together.
    pub timeout_ms: u64,
}

/// A line of `--signals`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Its name.
    pub name: String,
    /// Its payload, sent as JSON.
    #[serde(default)]
    pub payload: Value,
    /// After the one before, or after the saga began.
    #[serde(default)]
    pub after_ms: u64,
}

/// When signals are sent, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Telling {
    /// As they are written.
    InTime,
    /// When nothing happens in the saga any more: it waits, and holds no instance.
    Late,
    /// Each twice, with the same id.
    Twice,
}

/// What became of the saga.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Ended {
    /// As of the journal; `not started` if it has no such saga.
    pub status: String,
    /// Why, where there is a reason.
    pub error: Option<String>,
    /// Steps and compensations.
    pub steps: Vec<Step>,
    /// Those that this host found in the journal when it started.
    pub found: Vec<Step>,
    /// It had not ended in time.
    pub timed_out: bool,
    /// It has ended, but deliveries or sagas that it began had not in time.
    pub unsettled: bool,
}

/// A step or a compensation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// From 1.
    pub occurrence: u32,
    /// Whether it takes the step back.
    pub undo: bool,
    /// As `weft saga show` says it.
    pub status: String,
    /// How many.
    pub attempts: u32,
}

impl Step {
    /// `name`, or `name#occurrence` after the first.
    pub fn label(&self) -> String {
        if self.occurrence == 1 { self.name.clone() } else { format!("{}#{}", self.name, self.occurrence) }
    }

    /// Whether it is settled.
    pub fn is_settled(&self) -> bool {
        !matches!(self.status.as_str(), "running" | "retrying")
    }
}
