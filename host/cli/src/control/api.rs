//! What goes over the control socket. The same types are what `--json` prints, so changing one changes a public format.
//! `GET /v1/logs` answers [`weft_telemetry::LogLine`]s, one JSON object on each line.

use serde::{Deserialize, Serialize};

use weft_core::manifest::{Access, Manifest, Route};
use weft_durable::{Phase, SagaPage, SagaSummary, SagaView, StepView};
use weft_engine::InvokeAnswer;

/// `GET /v1/info`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Info {
    /// The host's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Where it listens; none if it serves no HTTP.
    pub address: Option<String>,
    /// Milliseconds since it began to listen on the control socket.
    pub uptime_ms: u64,
    /// The application's name.
    pub application: String,
    /// The components that it runs, sorted.
    pub components: Vec<String>,
}

/// One entry of `GET /v1/routes`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RouteEntry {
    /// Such as `GET`; `*` for all that have no route of their own.
    pub method: String,
    /// The path with its parameters.
    pub path: String,
    /// The component that serves it.
    pub component: String,
    /// Whether everyone may use it.
    pub public: bool,
    /// One of these roles is needed; any will do if there are none.
    pub roles: Vec<String>,
    /// All of these permissions are needed.
    pub permissions: Vec<String>,
    /// How long the function may take, in milliseconds.
    pub deadline_ms: u32,
}

/// One entry of `GET /v1/sagas`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SagaEntry {
    /// Its id, which is its key.
    pub id: String,
    /// The durable function.
    pub name: String,
    /// The component that it belongs to.
    pub component: String,
    /// `running`, `completed`, `compensating`, `compensated` or `needs-attention`.
    pub status: String,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch; none while it runs.
    pub ended_at_ms: Option<u64>,
}

/// `GET /v1/sagas`: newest first.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct SagaList {
    /// One page.
    pub items: Vec<SagaEntry>,
    /// For the next page; none on the last.
    pub next_cursor: Option<u64>,
}

/// `GET /v1/sagas/{id}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Saga {
    /// What a list shows of it.
    #[serde(flatten)]
    pub entry: SagaEntry,
    /// The digest of the code that it began with.
    pub digest: String,
    /// Carried through the whole of one business operation.
    pub correlation_id: String,
    /// The function's answer as it wrote it, once there is one.
    pub result: Option<String>,
    /// Why it stopped, where that is not an answer of the function.
    pub error: Option<String>,
    /// In the order in which they first appear.
    pub steps: Vec<SagaStep>,
}

/// A step of a saga, or a compensation.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SagaStep {
    /// Its name.
    pub name: String,
    /// From 1, for steps that are entered several times.
    pub occurrence: u32,
    /// Whether it takes the step back.
    pub compensation: bool,
    /// `running`, `retrying`, `completed`, `compensated`, `failed` or `unknown`.
    pub status: String,
    /// Attempts that ended or run.
    pub attempts: u32,
    /// Milliseconds since the Unix epoch.
    pub started_at_ms: u64,
    /// Milliseconds since the Unix epoch; none while it is not settled.
    pub ended_at_ms: Option<u64>,
    /// What its last error said.
    pub error: Option<String>,
}

/// `POST /v1/invoke`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The component.
    pub component: String,
    /// The function as `interface#function`.
    pub function: String,
    /// A WAVE tuple or a JSON array.
    pub arguments: String,
    /// How long to wait for the answer, in milliseconds.
    pub timeout_ms: u64,
}

/// What [`Call`] is answered with.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Answer {
    /// In WAVE.
    pub wave: String,
    /// In JSON.
    pub json: serde_json::Value,
    /// Whether it is the error of the function's `result`.
    pub is_error: bool,
}

/// Why a request has no answer (RFC 9457, without a type).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What, for a person.
    pub detail: String,
}

/// The routes of an application, in the order of precedence.
#[must_use]
pub fn routes(manifest: &Manifest) -> Vec<RouteEntry> {
    manifest.routes.iter().map(RouteEntry::from).collect()
}

impl From<&Route> for RouteEntry {
    fn from(route: &Route) -> Self {
        let (public, roles, permissions) = match &route.access {
            Access::Public => (true, [].as_slice(), [].as_slice()),
            Access::Authenticated { roles, permissions } => (false, roles.as_slice(), permissions.as_slice()),
        };
        Self {
            method: route.method.to_string(),
            path: route.pattern.to_string(),
            component: route.component.to_string(),
            public,
            roles: roles.iter().map(ToString::to_string).collect(),
            permissions: permissions.iter().map(ToString::to_string).collect(),
            deadline_ms: route.deadline_ms,
        }
    }
}

impl From<&SagaSummary> for SagaEntry {
    fn from(saga: &SagaSummary) -> Self {
        Self {
            id: saga.key.to_string(),
            name: saga.name.to_string(),
            component: saga.component.to_string(),
            status: saga.status.as_str().to_owned(),
            started_at_ms: saga.started_at_ms,
            ended_at_ms: saga.ended_at_ms,
        }
    }
}

impl From<&SagaPage> for SagaList {
    fn from(page: &SagaPage) -> Self {
        Self { items: page.items.iter().map(SagaEntry::from).collect(), next_cursor: page.next_cursor }
    }
}

impl From<&SagaView> for Saga {
    fn from(saga: &SagaView) -> Self {
        let entry = SagaEntry {
            id: saga.key.clone(),
            name: saga.name.clone(),
            component: saga.component.clone(),
            status: saga.status.as_str().to_owned(),
            started_at_ms: saga.started_at_ms,
            ended_at_ms: saga.ended_at_ms,
        };
        Self {
            entry,
            digest: saga.digest.clone(),
            correlation_id: saga.correlation_id.clone(),
            result: saga.result.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
            error: saga.error.clone(),
            steps: saga.steps.iter().map(SagaStep::from).collect(),
        }
    }
}

impl From<&StepView> for SagaStep {
    fn from(step: &StepView) -> Self {
        Self {
            name: step.name.clone(),
            occurrence: step.occurrence,
            compensation: step.phase == Phase::Undo,
            status: step.status.to_owned(),
            attempts: step.attempts,
            started_at_ms: step.started_at_ms,
            ended_at_ms: step.ended_at_ms,
            error: step.error.clone(),
        }
    }
}

impl From<InvokeAnswer> for Answer {
    fn from(answer: InvokeAnswer) -> Self {
        Self { wave: answer.wave, json: answer.json, is_error: answer.is_error }
    }
}
