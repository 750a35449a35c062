//! What the engine needs to know of one function: where it is, what it may use, how it is limited. Made from the
//! manifest by whoever assembles the host, so that the engine does not know the manifest's syntax.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use weft_core::manifest::{Deadlines, Limits};
use weft_core::version_name;

/// One function of the application.
#[derive(Clone, Debug)]
pub struct FunctionSpec {
    /// The component's id in the manifest.
    pub id: Arc<str>,
    /// Which of its versions this is, if not the one that the manifest names. All have the same grants and the same
    /// identity towards others; calls name one of them by [`FunctionSpec::name`].
    pub version: Option<Arc<str>>,
    /// Its code.
    pub source: Source,
    /// Which component serves which imported interface.
    pub calls: BTreeMap<String, Arc<str>>,
    /// What it may use besides calls.
    pub grants: Grants,
    /// Whether it exports sagas.
    pub durable: bool,
    /// Whether a route leads to it, so that it has to export a `wasi:http` handler.
    pub serves_http: bool,
    /// Whether the application runs without it while its file is not there.
    pub optional: bool,
    /// Interfaces that its role in the manifest needs (a subscription, a startup function).
    pub required_exports: Vec<&'static str>,
    /// A folder that it sees at `/` and may read.
    pub files: Option<PathBuf>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Bounds of one instance.
    pub limits: InstanceSpec,
    /// How often one instance is used; `None` for a fresh one each time.
    pub reuse: Option<ReuseSpec>,
}

impl FunctionSpec {
    /// What calls name it by.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.version.as_ref().map_or_else(|| self.id.clone(), |version| version_name(&self.id, version))
    }
}

/// A function that the manifest's policy names: a rule or a fault on it does nothing unless somebody exports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFunction {
    /// The component that has to export it; any without it.
    pub component: Option<Arc<str>>,
    /// As `interface#function`, or `interface#*` for any of them.
    pub function: Arc<str>,
    /// What names it, such as `mesh.rules`.
    pub by: &'static str,
    /// The line of the manifest where it does.
    pub line: usize,
}

/// Where the code of a function is.
#[derive(Clone, Debug)]
pub struct Source {
    /// The component's file.
    pub path: PathBuf,
    /// What it was composed to with others, if it was: these bytes run, and the file is named in messages.
    pub composed: Option<Arc<[u8]>>,
}

/// What a function may use.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// The context whose database `weft:sql` reaches.
    pub context: Option<Arc<str>>,
    /// Topics that it may publish to.
    pub topics: Arc<[weft_core::topic::TopicPattern]>,
    /// Channels that it may push to.
    pub push: Arc<[weft_core::push::ChannelPattern]>,
    /// Key-value store labels.
    pub key_value_stores: Vec<Arc<str>>,
    /// `spin:sqlite` database labels.
    pub sqlite_databases: Vec<Arc<str>>,
    /// Hosts that it may reach by HTTP.
    pub outbound: weft_core::outbound::OutboundHosts,
    /// Variables with their resolved values.
    pub variables: Arc<BTreeMap<String, String>>,
    /// Durable components whose sagas it may see.
    pub sagas: Vec<Arc<str>>,
    /// How long what it asks outside of the host may take.
    pub deadlines: Deadlines,
}

/// Bounds of one instance. The manifest's [`Limits`] say what each means.
#[derive(Clone, Copy, Debug)]
pub struct InstanceSpec {
    /// Linear memory, in bytes.
    pub memory_bytes: usize,
    /// Processor time of one call or request.
    pub cpu: Duration,
    /// Fuel of one call or request; `None` if it is not counted.
    pub fuel: Option<u64>,
    /// Elements of all tables.
    pub table_elements: usize,
    /// Linear memories.
    pub memories: usize,
    /// Tables.
    pub tables: usize,
    /// Handles open for each call at once.
    pub handles: usize,
    /// Tasks and what they wait for, for each call at once.
    pub tasks: usize,
    /// Header fields of one request or response, in bytes.
    pub header_bytes: usize,
    /// Values of one call, and arguments of all calls under way, in bytes.
    pub value_bytes: usize,
    /// Output of one instance on each stream, in bytes.
    pub output_bytes: usize,
    /// Output of all instances within a second, in bytes.
    pub output_bytes_per_second: usize,
}

impl From<&Limits> for InstanceSpec {
    fn from(limits: &Limits) -> Self {
        // 32 bits always fit: the host needs a 64-bit machine for its instances.
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let kib = |number| count(number).saturating_mul(1 << 10);
        let mib = |number| count(number).saturating_mul(1 << 20);
        Self {
            memory_bytes: mib(limits.memory_mb),
            cpu: Duration::from_millis(limits.cpu_ms.into()),
            fuel: limits.fuel,
            table_elements: count(limits.table_elements),
            memories: count(limits.max_memories),
            tables: count(limits.max_tables),
            handles: count(limits.max_handles),
            tasks: count(limits.max_tasks),
            header_bytes: kib(limits.header_kb),
            value_bytes: mib(limits.values_mb),
            output_bytes: kib(limits.output_kb),
            output_bytes_per_second: kib(limits.output_kb_per_s),
        }
    }
}

impl Default for InstanceSpec {
    fn default() -> Self {
        Self::from(&Limits::default())
    }
}

/// How often one instance is used.
#[derive(Clone, Copy, Debug)]
pub struct ReuseSpec {
    /// Requests that one instance serves in its life.
    pub max_requests: usize,
    /// Requests that one instance serves at the same time.
    pub max_concurrent: usize,
}
