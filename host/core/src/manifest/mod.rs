//! The manifest: Spin's `spin.toml` of version 2, and what Weft adds under `[application.tool.weft]` and
//! `[component.<id>.tool.weft]`, read and checked as a whole. Reading reports every problem with its line. What
//! components import and whether they are built is not known here; those who find out report it by
//! [`Manifest::problem`] and [`Manifest::missing_grant`].

pub mod access;
mod application;
mod auth;
mod behind;
mod build;
mod check;
mod closed_form;
mod component;
mod context;
mod cycle;
mod deadlines;
mod dependency;
mod diagnostic;
mod engine;
mod gateway;
mod grants;
mod host;
mod limits;
mod lookup;
pub mod mesh;
mod missing;
mod names;
mod pattern;
mod problems;
mod profile;
mod projection;
mod rate_limit;
mod route;
mod runtime;
mod sagas;
mod schemas;
mod section;
pub mod service;
mod source;
mod spin;
mod split;
mod static_response;
mod subscription;
mod target;
mod template;
mod transform;
mod trigger;
mod values;
mod variable;
mod version;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use application::Application;
pub use auth::{Auth, KeySource, PolicyFile};
pub use build::Build;
pub use component::Component;
pub use context::{Context, Migration};
pub use deadlines::Deadlines;
pub use dependency::{Configuration, Dependency, DependencyName, DependencySource, Inherits};
pub use diagnostic::{Diagnostic, Located};
pub use engine::EngineSettings;
pub use gateway::{
    CertificateFiles, ChannelRule, Compression, Cors, Gateway, Hsts, Idempotency, JoinPattern, OpenApi, Operation,
    Origin, Overload, Page, Priority, PriorityError, Push, SecurityHeaders, Tls,
};
pub use grants::{FileMount, Grants};
pub use host::{HostError, HostPattern, host_of};
pub use limits::{DEFAULT_CALL_DEADLINE_MS, Limits, Reuse};
pub use lookup::{Choice, Lookup, choose, find};
pub use missing::MissingGrant;
pub use pattern::{Captures, MAX_ROUTE_BYTES, PatternError, RoutePattern, Segment};
pub use projection::{Projection, ProjectionSource};
pub use rate_limit::{DefaultTier, MAX_ROUTE_LIMITS, RateLimit, RateLimits, RateScope, RateStrategy, TIER_LIMIT, Tier};
pub use route::{Access, Callers, KeyUse, Method, MethodError, Route, Waits, is_service_name};
pub use runtime::{KeyValueStore, RuntimeConfig, SqliteDatabase, VariablesProvider};
pub use sagas::{Choreography, Overlap, SagaSettings, Schedule, StepLimit};
pub use schemas::Schemas;
pub use source::SourceFile;
pub use spin::ClosedForms;
pub use static_response::StaticResponse;
pub use subscription::{MessagingSettings, Order, Overflow, Start, Subscription, WhenDead, WorkQueue};
pub use template::{Template, TemplateError};
pub use transform::{Headers, Json, Pairs, PathChange, Pointer, Transform};
pub use trigger::{HttpTrigger, Middleware, TriggerTarget};
pub use values::{ComponentVariables, Variables};
pub use variable::Variable;
pub use version::{MAX_VERSION_HEADERS, MAX_VERSIONS, Version};

/// The largest manifest, in bytes. It bounds every list in it too.
pub const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// A manifest that was read and checked: every reference in it leads somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The file, as it was named.
    pub path: PathBuf,
    /// The SHA-256 of the file, in lower-case hex.
    pub digest: Arc<str>,
    /// Its folder, to which the paths in it are relative. Paths in this model have it in front already.
    pub root: PathBuf,
    /// Name and version.
    pub application: Application,
    /// What stands before every route (`[application.trigger.http] base`); `/` by default.
    pub base: RoutePattern,
    /// Application variables by name.
    pub variables: BTreeMap<Arc<str>, Variable>,
    /// Components that run at each start, in this order; they export `weft:control/startup`.
    pub startup: Vec<Located<Arc<str>>>,
    /// Components that Weft leaves out because the host does what they do.
    pub replaced_by_host: Vec<Located<Arc<str>>>,
    /// How all components are built, if it says so.
    pub build: Option<Build>,
    /// How what runs under Spin is made, if it is made.
    pub closed_forms: Option<ClosedForms>,
    /// Contexts by name.
    pub contexts: BTreeMap<Arc<str>, Context>,
    /// Whose tokens are accepted; without it every route is public.
    pub auth: Option<Auth>,
    /// What the gateway asks of every request, and gives every answer.
    pub gateway: Gateway,
    /// What all functions may use together.
    pub engine: EngineSettings,
    /// How long what is outside of the host may take.
    pub deadlines: Deadlines,
    /// Policy on calls from function to function.
    pub mesh: mesh::Mesh,
    /// Where the schemas of events are.
    pub schemas: Schemas,
    /// How sagas are kept.
    pub sagas: SagaSettings,
    /// How the message log is kept.
    pub messaging: MessagingSettings,
    /// Limits that the steps of sagas may name.
    pub step_limits: BTreeMap<Arc<str>, StepLimit>,
    /// Choreographies by name.
    pub choreographies: BTreeMap<Arc<str>, Choreography>,
    /// Spin's HTTP triggers, in the order of the file.
    pub triggers: Vec<HttpTrigger>,
    /// What the gateway serves, in the order of precedence: the first whose path matches decides on the path. See [`find`].
    pub routes: Vec<Route>,
    /// Components by id, those in [`Self::replaced_by_host`] included; see [`Self::running`].
    pub components: BTreeMap<Arc<str>, Component>,
}

/// Which tables of a manifest mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// All of them.
    Weft,
    /// Those of Spin alone.
    Spin,
}

/// How a manifest is read.
#[derive(Clone, Copy, Debug)]
struct Mode<'m> {
    dialect: Dialect,
    /// Of the components.
    profile: Option<&'m str>,
}

fn text_of(path: &Path) -> Result<String, Vec<Diagnostic>> {
    let refuse = |message: String| vec![Diagnostic::new(path, 0, message)];
    let size = fs::metadata(path).map_err(|error| refuse(format!("cannot be read: {error}")))?.len();
    if size > MAX_MANIFEST_BYTES {
        return Err(refuse(format!("has {size} bytes; a manifest has at most {MAX_MANIFEST_BYTES}")));
    }
    fs::read_to_string(path).map_err(|error| refuse(format!("cannot be read: {error}")))
}

impl Manifest {
    /// Reads and checks the manifest at `path`.
    ///
    /// # Errors
    /// Every problem of it, in the order of lines.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Vec<Diagnostic>> {
        Self::load_with(path, None)
    }

    /// Like [`Self::load`], with what the components have under `profile` in the place of their own.
    ///
    /// # Errors
    /// Every problem of it, in the order of lines; a profile that no component has is one.
    pub fn load_with(path: impl AsRef<Path>, profile: Option<&str>) -> Result<Self, Vec<Diagnostic>> {
        let path = path.as_ref();
        Self::parse_with(path, &text_of(path)?, profile)
    }

    /// Reads and checks `text` as the manifest at `path`, which need not exist; files that it names are looked for
    /// beside it.
    ///
    /// # Errors
    /// Every problem of it, in the order of lines.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Diagnostic>> {
        Self::parse_with(path, text, None)
    }

    /// Like [`Self::parse`], with what the components have under `profile` in the place of their own.
    ///
    /// # Errors
    /// Every problem of it, in the order of lines; a profile that no component has is one.
    pub fn parse_with(path: &Path, text: &str, profile: Option<&str>) -> Result<Self, Vec<Diagnostic>> {
        application::read(path, text, Mode { dialect: Dialect::Weft, profile })
    }

    /// Like [`Self::load_with`], as Spin does: without the tables of tools, Weft's among them, and without components that
    /// no trigger leads to.
    ///
    /// # Errors
    /// As [`Self::load_with`].
    pub fn load_as_spin(path: impl AsRef<Path>, profile: Option<&str>) -> Result<Self, Vec<Diagnostic>> {
        let path = path.as_ref();
        let mut manifest = application::read(path, &text_of(path)?, Mode { dialect: Dialect::Spin, profile })?;
        // Spin loads what a trigger leads to, and knows no deadline and few limits.
        let leads_to = |id: &str| manifest.triggers.iter().any(|trigger| trigger.is_of(id));
        let is_half = |id: &str| manifest.components.values().any(|other| other.split_from.as_deref() == Some(id));
        let is_unused = |one: &&Component| !leads_to(&one.id) && !is_half(&one.id) && !manifest.is_part(one);
        let unused = manifest.components.values().filter(is_unused).map(|component| component.id.clone());
        let unused: Vec<_> = unused.collect();
        for id in unused {
            manifest.components.remove(&id);
        }
        manifest.gateway.request_timeout_ms = *limits::DEADLINE_MS.end();
        for component in manifest.components.values_mut() {
            component.limits = Limits {
                memory_mb: 1_024,
                cpu_ms: 60_000,
                max_concurrent: 1_000,
                max_pending: 1_000,
                max_memories: 32,
                max_tables: 64,
                ..Limits::default()
            };
        }
        for route in &mut manifest.routes {
            route.deadline_ms = manifest.gateway.request_timeout_ms;
        }
        Ok(manifest)
    }

    /// The components that Weft runs.
    pub fn running(&self) -> impl Iterator<Item = &Component> {
        self.components.values().filter(|component| !self.is_replaced(&component.id) && !self.is_part(component))
    }

    /// Whether a component only stands there to be composed into others.
    #[must_use]
    pub fn is_part(&self, component: &Component) -> bool {
        let id = &*component.id;
        let is_dependency = |dependency: &Dependency| match &dependency.source {
            DependencySource::Component(own) => &*own.value == id,
            DependencySource::File(_) => false,
        };
        let is_half = |other: &Component| other.split_from.as_deref() == Some(id);
        !component.is_weft()
            && !self.triggers.iter().any(|trigger| trigger.is_of(id))
            && !self.components.values().any(is_half)
            && (self.triggers.iter().flat_map(|trigger| &trigger.middleware).any(|layer| layer.is(id))
                || self.components.values().flat_map(|component| &component.middleware).any(|layer| layer.is(id))
                || self.components.values().flat_map(|component| &component.dependencies).any(is_dependency))
    }

    /// What stands before a component, the outermost first. One with middleware has one route: those with several are split.
    pub fn middleware<'m>(&'m self, component: &'m Component) -> impl Iterator<Item = &'m Middleware> {
        let own = self.triggers.iter().filter(|trigger| trigger.is_of(&component.id));
        let of_triggers = own.flat_map(|trigger| &trigger.middleware);
        component
            .middleware
            .iter()
            .chain(of_triggers)
            .filter(|layer| !self.replaced_by_host.iter().any(|id| layer.is(&id.value)))
    }

    /// Whether the host does what this component does, so that it is left out.
    #[must_use]
    pub fn is_replaced(&self, component: &str) -> bool {
        self.replaced_by_host.iter().any(|replaced| &*replaced.value == component)
    }

    /// A problem on `line` of this manifest, found later than by reading it.
    #[must_use]
    pub fn problem(&self, line: usize, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(&self.path, line, message)
    }
}
