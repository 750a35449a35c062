//! What goes over the control socket. The same types are what `--json` prints, so changing one changes a public format.
//! `GET /v1/logs` answers [`weft_telemetry::LogLine`]s, one JSON object on each line. Sagas are in [`sagas`], what can be
//! done to them in [`orders`]; events in [`messaging`], their schemas in [`schemas`]; breakers and faults in [`mesh`], what the mesh keeps to in [`policy`], the registry in [`services`]; reloads in [`reload`]; limits and API
//! keys in [`gateway`].

pub mod gateway;
pub mod mesh;
pub mod messaging;
pub mod orders;
pub mod policy;
pub mod projections;
pub mod reload;
pub mod sagas;
pub mod schemas;
pub mod services;
pub mod versions;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use weft_core::manifest::{Access, Callers, DependencySource, Manifest, Middleware, Route};
use weft_engine::{InvokeAnswer, JobEnd};

pub use gateway::{
    ApiKeyEntry, LimitReport, LimitedCaller, MadeApiKey, MadeServiceToken, NewApiKey, NewServiceToken, OverloadClass,
    OverloadReport, OverloadRoute,
};
pub use mesh::{AddFault, BreakerChange, BreakerEntry, Cleared, FaultEntry};
pub use messaging::{
    DeadLetterEntry, DeadLetterOrder, EventEntry, EventList, NewEvent, Publish, Published, Reached, SubscriptionEntry,
    SubscriptionOrder,
};
pub use orders::{Begun, Migrated, Order, Ordered, Resolve, Signal, Start};
pub use policy::{BreakerPolicyEntry, PolicyEntry, RetryEntry, RuleEntry, ShareEntry};
pub use projections::{ProjectionEntry, ProjectionOrder, RebuildEntry};
pub use reload::{DiagnosticEntry, ManifestStatus, ReloadError, Reloaded};
pub use sagas::{Saga, SagaAttempt, SagaEntry, SagaList, SagaOrder, SagaStep, SagaWait, Timeline, Transition};
pub use schemas::{Deprecate, DeprecatedField, RegisterSchema, SchemaEntry, SchemaVersion, SetMode};
pub use services::{FUNCTION, InstanceEntry, RegisterInstance, ServiceDetail, ServiceEntry, ServiceList};
pub use versions::{DeployVersion, MirrorEntry, OrderVersion, Trial, VersionEntry, VersionOrder};

/// Who does something and why, where there is nothing more to say: `POST /v1/breakers/{component}/{open|close|reset}`,
/// `DELETE /v1/faults`, `DELETE /v1/services/{name}/instances/{id}`, `POST /v1/api-keys/{id}/revoke`,
/// `POST /v1/service-tokens/{service}/void`, `POST /v1/reload`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Who does it, such as `ada@local`.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

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
    /// The linear memories of all instances together, in bytes, now.
    pub memory_bytes: u64,
    /// What they may have at most, in bytes.
    pub max_memory_bytes: u64,
    /// The application's name.
    pub application: String,
    /// The components that it runs, sorted.
    pub components: Vec<String>,
    /// The manifest that runs.
    #[serde(default)]
    pub manifest: ManifestStatus,
}

/// One entry of `GET /v1/routes`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RouteEntry {
    /// Such as `GET`; `*` for all that have no route of their own.
    pub method: String,
    /// The path with its parameters.
    pub path: String,
    /// The hosts that it is for, `*.` standing for all below one; for all if there are none.
    pub hosts: Vec<String>,
    /// The component that serves it.
    pub component: String,
    /// Whether everyone may use it.
    pub public: bool,
    /// Whether users may, by token or API key.
    pub users: bool,
    /// Users need one of these roles; any will do if there are none.
    pub roles: Vec<String>,
    /// All of these permissions are needed.
    pub permissions: Vec<String>,
    /// Services that may, by their own tokens: names, or beginnings of names with `*`.
    pub services: Vec<String>,
    /// Whether the application's policies have to permit it as well.
    pub policies: bool,
    /// How long the function may take, in milliseconds.
    pub deadline_ms: u32,
    /// The rate limits that hold for it, by name.
    #[serde(default)]
    pub limits: Vec<String>,
    /// Whether those of its caller's tier hold too.
    #[serde(default)]
    pub tiered: bool,
    /// `low`, `normal`, `high` or `critical`, when not everything can be served.
    #[serde(default)]
    pub priority: String,
    /// The sets of rules that change its requests and answers, in their order.
    #[serde(default)]
    pub transforms: Vec<String>,
    /// What stands in front of its component, the outermost first: ids of components, or files.
    #[serde(default)]
    pub middleware: Vec<String>,
    /// Whose repeated requests get the first one's answer: `none`, `callers`, `all`, or `required` where a request without a key is
    /// refused.
    #[serde(default)]
    pub idempotency: String,
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

/// `POST /v1/run`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The component.
    pub component: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its standard input, in base64.
    #[serde(with = "in_base64")]
    pub stdin: Vec<u8>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u64,
}

/// What [`Run`] is answered with.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Ran {
    /// The command's exit code.
    pub code: i32,
    /// Its standard output, in base64.
    #[serde(with = "in_base64")]
    pub stdout: Vec<u8>,
    /// Its standard error, in base64.
    #[serde(with = "in_base64")]
    pub stderr: Vec<u8>,
}

mod in_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl From<JobEnd> for Ran {
    fn from(end: JobEnd) -> Self {
        Self { code: end.code, stdout: end.stdout, stderr: end.stderr }
    }
}

/// Why a request has no answer (RFC 9457, without a type).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What, for a person.
    pub detail: String,
    /// What is wrong in which line of a manifest, if that is why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<DiagnosticEntry>,
}

/// The routes of an application, in the order of precedence.
#[must_use]
pub fn routes(manifest: &Manifest) -> Vec<RouteEntry> {
    let pages = manifest.gateway.openapi.as_ref().map(|openapi| openapi.pages(manifest)).unwrap_or_default();
    let mut routes: Vec<&Route> = manifest.routes.iter().chain(pages.iter().map(|(_, route)| route)).collect();
    routes.sort_by(|a, b| a.precedence(b));
    routes.into_iter().map(|route| RouteEntry::of(manifest, route)).collect()
}

impl RouteEntry {
    fn of(manifest: &Manifest, route: &Route) -> Self {
        let (public, callers) = match &route.access {
            Access::Public => (true, Callers::default()),
            Access::Authenticated(callers) => (false, callers.clone()),
        };
        let texts = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
        let layer = |layer: &Middleware| match &layer.source {
            DependencySource::Component(id) => id.value.to_string(),
            DependencySource::File(file) => file.path.display().to_string(),
        };
        let component = manifest.components.get(&route.component);
        Self {
            method: route.method.to_string(),
            path: route.pattern.to_string(),
            hosts: route.hosts.iter().map(ToString::to_string).collect(),
            component: route.component.to_string(),
            public,
            users: callers.users,
            roles: texts(&callers.roles),
            permissions: texts(&callers.permissions),
            services: texts(&callers.services),
            policies: callers.policies,
            deadline_ms: route.deadline_ms,
            limits: texts(&route.limits),
            tiered: route.is_tiered,
            priority: route.priority.as_str().to_owned(),
            transforms: route.transforms.iter().map(|rules| rules.name.to_string()).collect(),
            middleware: component.into_iter().flat_map(|one| manifest.middleware(one)).map(layer).collect(),
            idempotency: route.idempotency.as_str().to_owned(),
        }
    }
}

impl From<InvokeAnswer> for Answer {
    fn from(answer: InvokeAnswer) -> Self {
        Self { wave: answer.wave, json: answer.json, is_error: answer.is_error }
    }
}
