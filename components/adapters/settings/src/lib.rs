//! What a closed form, the component that runs under Spin, is told about the application: the JSON document behind
//! `weft:adapter/settings`. `weft build` writes it, the adapters read it. Holds the form of that document alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The whole document. All closed forms of an application have the same one but for `component` and `front`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The component in the manifest whose closed form this is.
    pub component: String,
    /// All bounded contexts, whose tables share the database `default`.
    pub contexts: Vec<Context>,
    /// All durable components.
    pub durable: Vec<Durable>,
    /// All subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// All projections.
    pub projections: Vec<Projection>,
    /// Components that export `weft:control/startup`, in the order in which they run.
    pub startup: Vec<String>,
    /// The component that calls the pumps, at `http://<timer>.spin.internal/`.
    pub timer: Option<String>,
    /// What stands before a handler; none for pumps.
    pub front: Option<Front>,
}

/// A bounded context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// In the order of their numbers.
    pub migrations: Vec<Migration>,
    /// Patterns of the topics to which its functions publish: what is appended to one of them is an event of its store.
    pub topics: Vec<String>,
}

/// One migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The file's name without its folder, such as `0001_courses.sql`.
    pub name: String,
    /// SQL statements.
    pub sql: String,
}

/// A durable component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durable {
    /// Its id.
    pub component: String,
    /// The interfaces that it exports, such as `education:enrollment/enrolling@1.0.0`; functions of sagas are named
    /// `<interface>#<function>`.
    pub interfaces: Vec<String>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Whose.
    pub component: String,
    /// Unique in its component.
    pub name: String,
    /// A pattern of topics (`*` is one word, `#` at the end any number).
    pub topic: String,
    /// Deliveries of one event before it becomes a dead letter.
    pub max_attempts: u32,
    /// The pause before the second delivery, doubled for each further one, in milliseconds.
    pub base_ms: u32,
    /// The longest pause, in milliseconds.
    pub cap_ms: u32,
    /// Events that one call brings; with 1 the component exports `handler`, else `batch-handler`.
    pub batch: u32,
    /// Whether events with the same ordering key go one after the other.
    pub ordered: bool,
    /// How long after its time an event is still delivered, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// Whether it begins with the oldest event there is, when it is new.
    pub from_earliest: bool,
}

/// A projection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Projection {
    /// Whose.
    pub component: String,
    /// Unique in its component.
    pub name: String,
    /// Of the read model.
    pub version: u32,
    /// Where it reads.
    pub source: Source,
    /// Only events of these types; all if there are none.
    pub types: Vec<String>,
    /// Events of one step at most.
    pub batch: u32,
}

/// Where a projection reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The event store of a context.
    Context(String),
    /// Published events of these topics.
    Topic(String),
}

/// What stands before the functions of a path: what Weft's gateway does there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Front {
    /// Who may do what, by method (`GET`, ...). Others are answered by 405.
    pub methods: BTreeMap<String, Access>,
    /// How tokens are verified; without it everything is public.
    pub auth: Option<Auth>,
}

/// Who may use a method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Without a token, too.
    pub public: bool,
    /// Users, by their tokens.
    pub users: bool,
    /// One of these roles, if there are any.
    pub roles: Vec<String>,
    /// All of these permissions.
    pub permissions: Vec<String>,
    /// Services, by their tokens: names, or beginnings of names with `*`.
    pub services: Vec<String>,
    /// How long the function may take until the client is answered 504, in milliseconds.
    pub deadline_ms: u64,
}

impl Access {
    /// Whether a service is on the list.
    #[must_use]
    pub fn has_service(&self, name: &str) -> bool {
        self.services.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == pattern,
        })
    }
}

/// How tokens are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// The claim `iss`.
    pub issuer: String,
    /// The claim `aud`, or one of them.
    pub audience: String,
    /// How far clocks may differ, in seconds.
    pub leeway_s: u64,
    /// The variable that holds the public key (Ed25519 or RSA), as PEM.
    pub public_key_variable: String,
    /// The key-value store of void tokens: by subject, the epoch second up to which tokens are void.
    pub revocations: Option<String>,
}
