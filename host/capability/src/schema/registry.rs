//! The schemas that are deployed, in a file of the data directory: every version that was ever registered, since when,
//! the mode of each type and what of it is deprecated. What is asked for each event is answered from memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use jsonschema::Validator;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use weft_core::{Clock, Failure, Fault, Reason};

use super::SchemaCheck;
use super::document::{Document, escaped};
use super::evolution::{Change, History, Mode, Past};
use super::folder::is_type_name;
use super::stored::{self, Stored};
use super::validation::{compile, validate};

/// Most types with schemas.
pub const MAX_TYPES: usize = 1_000;
/// Most versions of one type.
pub const MAX_VERSIONS: usize = 100;
/// Most places of a changed version that are told.
const MAX_DIFFERENCES: usize = 10;

/// A schema that is to be registered.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The CloudEvents type.
    pub kind: Arc<str>,
    /// From 1.
    pub version: u32,
    /// The schema.
    pub document: Document,
}

/// A version that may not be registered, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The CloudEvents type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version.
    pub version: u32,
    /// Each reason.
    pub changes: Vec<Change>,
}

/// Versions that may be registered.
#[derive(Debug, Default)]
pub struct Plan {
    new: Vec<(Given, bool)>,
}

impl Plan {
    /// Type and version of each one that is not registered yet.
    pub fn new_versions(&self) -> impl Iterator<Item = (&str, u32)> {
        self.new.iter().map(|(given, _)| (&*given.kind, given.version))
    }
}

/// A type and its versions.
#[derive(Debug)]
pub struct EventType {
    /// Which versions a new one has to go together with.
    pub mode: Mode,
    /// Since when the whole type is deprecated, in milliseconds since the Unix epoch.
    pub deprecated_at_ms: Option<u64>,
    /// Fields that were deprecated by hand: JSON pointer and time.
    pub deprecated_fields: Vec<(String, u64)>,
    /// By number.
    pub versions: BTreeMap<u32, Arc<Version>>,
}

/// One version.
#[derive(Debug)]
pub struct Version {
    /// The schema.
    pub document: Document,
    /// Milliseconds since the Unix epoch.
    pub registered_at_ms: u64,
    /// Whether it was registered without regard to those before.
    pub begins_line: bool,
    validator: OnceLock<Result<Validator, String>>,
}

/// All types.
pub type Types = BTreeMap<Arc<str>, Arc<EventType>>;

/// The schemas of one data directory.
#[derive(Debug)]
pub struct Registry {
    stored: Arc<Stored>,
    clock: Arc<dyn Clock>,
    known: ArcSwap<Known>,
    /// Held while what is known changes.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    types: Types,
    /// Whether events need a schema.
    required: bool,
}

impl Registry {
    /// Opens or makes `schemas.db` in the data directory, whose lock the caller holds.
    ///
    /// # Errors
    /// If it cannot be opened or read.
    pub fn open(data: &Path, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let stored = Stored::open(data)?;
        let known = Known { types: stored.load()?, required: false };
        let (stored, known) = (Arc::new(stored), ArcSwap::from_pointee(known));
        Ok(Self { stored, clock, known, changing: tokio::sync::Mutex::default() })
    }

    /// Types, modes and versions.
    #[must_use]
    pub fn types(&self) -> Types {
        self.known.load().types.clone()
    }

    /// Says whether an event needs a schema to leave.
    pub fn require(&self, required: bool) {
        self.known.rcu(|known| Known { required, ..(**known).clone() });
    }

    /// Looks at whether versions may be registered.
    ///
    /// # Errors
    /// Each one that may not.
    pub fn plan(&self, given: Vec<Given>) -> Result<Plan, Vec<Refused>> {
        plan(&self.known.load().types, given, self.clock.now_ms())
    }

    /// Registers what was planned; durable when it answers. What somebody else has registered since is refused.
    ///
    /// # Errors
    /// If it cannot be written, or the plan does not hold any more.
    pub async fn register(&self, plan: Plan) -> Result<(), RegistryError> {
        let _changing = self.changing.lock().await;
        if plan.new.is_empty() {
            return Ok(());
        }
        let now_ms = self.clock.now_ms();
        let again: Vec<Given> = plan.new.into_iter().map(|(given, _)| given).collect();
        let Plan { new } = self::plan(&self.known.load().types, again, now_ms).map_err(RegistryError::Refused)?;
        self.stored.insert(new.clone(), now_ms).await?;
        self.reload().await
    }

    /// Sets the mode by which new versions of a type are looked at; durable when it answers.
    ///
    /// # Errors
    /// If there is no such type, or it cannot be written.
    pub async fn set_mode(&self, kind: &str, mode: Mode) -> Result<(), RegistryError> {
        let _changing = self.changing.lock().await;
        self.known_type(kind)?;
        self.stored.set_mode(kind.to_owned(), mode).await?;
        self.reload().await
    }

    /// Notes that a field, or with an empty pointer the whole type, is deprecated from now on. What is so already stays
    /// so since then.
    ///
    /// # Errors
    /// If there is no such type or field, or it cannot be written.
    pub async fn deprecate(&self, kind: &str, pointer: &str) -> Result<(), RegistryError> {
        let _changing = self.changing.lock().await;
        let known = self.known_type(kind)?;
        let newest = known.versions.last_key_value().map(|(_, version)| version);
        if newest.is_none_or(|version| version.document.normal().pointer(pointer).is_none()) {
            return Err(RegistryError::Unknown(format!(
                "{kind} has nothing at {pointer}, such as /properties/<field>"
            )));
        }
        self.stored.deprecate(kind.to_owned(), pointer.to_owned(), self.clock.now_ms()).await?;
        self.reload().await
    }

    fn known_type(&self, kind: &str) -> Result<Arc<EventType>, RegistryError> {
        let known = self.known.load().types.get(kind).cloned();
        known.ok_or_else(|| RegistryError::Unknown(format!("there is no schema of the type {kind:?}")))
    }

    async fn reload(&self) -> Result<(), RegistryError> {
        let stored = Arc::clone(&self.stored);
        let loaded = tokio::task::spawn_blocking(move || stored.load()).await;
        let lost = |error: tokio::task::JoinError| Failure::unknown(Fault::Host, Reason::Internal, error.to_string());
        let types = loaded.map_err(lost)??;
        self.known.rcu(|known| Known { types: types.clone(), required: known.required });
        Ok(())
    }
}

/// Why the registry did not do as asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RegistryError {
    /// There is no such type, version or field. Client fault; trying again does not help.
    #[error("{0}")]
    Unknown(String),
    /// The rules refuse. Client fault; trying again does not help.
    #[error("{}", told(.0))]
    Refused(Vec<Refused>),
    /// The file cannot be read or written.
    #[error(transparent)]
    Unavailable(#[from] Failure),
}

/// Refusals in words, one line for each reason.
#[must_use]
pub fn told(refused: &[Refused]) -> String {
    let lines = refused.iter().flat_map(|refused| {
        refused.changes.iter().map(move |Change { pointer, what, why, advice, .. }| {
            let at = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
            format!("{}/{}.json{at}: {what}: {why}; {advice}", refused.kind, refused.version)
        })
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The schemas that are deployed in a data directory; none if it has no registry. Takes no lock and changes nothing.
///
/// # Errors
/// If they cannot be read.
pub fn deployed(data: &Path) -> Result<Option<Types>, Failure> {
    stored::read(data)
}

/// Looks at whether versions may be registered beside what is there.
///
/// # Errors
/// Each one that may not.
pub fn plan(types: &Types, given: Vec<Given>, now_ms: u64) -> Result<Plan, Vec<Refused>> {
    let mut by_type: BTreeMap<Arc<str>, Vec<Given>> = BTreeMap::new();
    for one in given {
        by_type.entry(Arc::clone(&one.kind)).or_default().push(one);
    }
    let (mut plan, mut refused) = (Plan::default(), Vec::new());
    let mut count = types.len();
    for (kind, mut given) in by_type {
        given.sort_by_key(|one| one.version);
        count += usize::from(!types.contains_key(&kind));
        let mut refuse = |version: u32, changes: Vec<Change>| {
            refused.push(Refused { kind: kind.to_string(), version, changes });
        };
        if !is_type_name(&kind) {
            refuse(1, vec![plain("this is no name of a type", "use letters, digits, `.`, `-` and `_`")]);
        } else if count > MAX_TYPES {
            refuse(1, vec![plain(&format!("there are more than {MAX_TYPES} types"), "publish under fewer types")]);
        } else {
            plan_type(types.get(&kind), given, now_ms, &mut plan, &mut refuse);
        }
    }
    if refused.is_empty() { Ok(plan) } else { Err(refused) }
}

fn plan_type(
    known: Option<&Arc<EventType>>,
    given: Vec<Given>,
    now_ms: u64,
    plan: &mut Plan,
    refuse: &mut dyn FnMut(u32, Vec<Change>),
) {
    let none = BTreeMap::new();
    let registered = known.map_or(&none, |known| &known.versions);
    let mode = known.map_or_else(Mode::default, |known| known.mode);
    let mut newest = registered.last_key_value().map_or(0, |(version, _)| *version);
    let mut line: Vec<(u32, Document, Option<u64>)> = Vec::new();
    for (version, one) in registered {
        if one.begins_line {
            line.clear();
        }
        line.push((*version, one.document.clone(), Some(one.registered_at_ms)));
    }
    for one in given {
        if let Some(there) = registered.get(&one.version) {
            if there.document.written() != one.document.written() {
                refuse(one.version, changed(there, &one.document, newest + 1));
            }
            continue;
        }
        if one.version != newest + 1 || registered.len() >= MAX_VERSIONS {
            let what = format!("the next version is {}, of {MAX_VERSIONS} at most", newest + 1);
            refuse(one.version, vec![plain(&what, "give it that number; versions are registered one after the other")]);
            continue;
        }
        newest = one.version;
        if let Err(error) = compile(&one.document) {
            refuse(one.version, vec![plain(&error, "this is no schema of JSON Schema draft 2020-12: correct it")]);
            continue;
        }
        let begins_line = mode == Mode::None || one.document.written().get("x-compatibility") == Some(&"NONE".into());
        if begins_line {
            line.clear();
        }
        let past = line.iter().map(|(version, schema, at)| Past { version: *version, schema, registered_at_ms: *at });
        let past: Vec<_> = past.collect();
        let deprecated = known.map_or(&[][..], |known| &known.deprecated_fields);
        let changes = History { past: &past, deprecated, mode, now_ms }.refused(&one.document);
        if !changes.is_empty() {
            refuse(one.version, changes);
        }
        line.push((one.version, one.document.clone(), known.map(|_| now_ms)));
        plan.new.push((one, begins_line));
    }
}

/// A reason that is about the version as a whole.
fn plain(what: &str, advice: &str) -> Change {
    Change {
        version: 0,
        pointer: String::new(),
        what: what.to_owned(),
        why: "it cannot be registered".to_owned(),
        advice: advice.to_owned(),
    }
}

/// Where a version differs from what was registered under its number.
fn changed(there: &Version, given: &Document, next: u32) -> Vec<Change> {
    let mut pointers = Vec::new();
    differences(there.document.written(), given.written(), String::new(), &mut pointers);
    let change = |pointer| Change {
        version: 0,
        pointer,
        what: "this differs from the registered version".to_owned(),
        why: "events were checked by the registered one, and readers rely on it".to_owned(),
        advice: format!("leave the file as it was, and write the change as {next}.json"),
    };
    pointers.into_iter().map(change).collect()
}

fn differences(one: &Value, other: &Value, at: String, pointers: &mut Vec<String>) {
    match (one, other) {
        _ if pointers.len() >= MAX_DIFFERENCES || one == other => {}
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            for name in names {
                let at = format!("{at}/{}", escaped(name));
                match (one.get(name), other.get(name)) {
                    (Some(one), Some(other)) => differences(one, other, at, pointers),
                    _ => pointers.push(at),
                }
            }
        }
        _ => pointers.push(at),
    }
}

impl Version {
    pub(super) fn new(document: Document, registered_at_ms: u64, begins_line: bool) -> Self {
        Self { document, registered_at_ms, begins_line, validator: OnceLock::new() }
    }

    fn validate(&self, data: &Value) -> Result<(), String> {
        let validator = self.validator.get_or_init(|| compile(&self.document)).as_ref();
        validate(validator.map_err(|error| format!("the schema cannot be used: {error}"))?, data)
    }
}

impl SchemaCheck for Registry {
    fn check(&self, kind: &str, dataschema: Option<&str>, data: &[u8]) -> Result<(), String> {
        let known = self.known.load();
        let Some(event_type) = known.types.get(kind) else {
            return match dataschema.filter(|named| named.starts_with(PATH)) {
                Some(named) => Err(format!("the type {kind:?} has no schema, and so there is no {named}")),
                None if known.required => Err(format!(
                    "the type {kind:?} has no schema, and the application asks for one (schemas_required): add \
                     {kind}/1.json to its schemas"
                )),
                None => Ok(()),
            };
        };
        let newest = event_type.versions.last_key_value().map(|(number, version)| (*number, version));
        let (number, version) = match dataschema {
            None => newest.ok_or_else(|| format!("the type {kind:?} has no version"))?,
            Some(named) => {
                let number = named.strip_prefix(PATH).and_then(|rest| rest.strip_prefix(kind)?.strip_prefix('/'));
                let number = number.and_then(|number| number.parse::<u32>().ok());
                let found = number.and_then(|number| Some((number, event_type.versions.get(&number)?)));
                found.ok_or_else(|| {
                    let newest = newest.map_or(0, |(number, _)| number);
                    format!(
                        "dataschema {named:?} is no version of the type {kind:?}; its newest is {PATH}{kind}/{newest}"
                    )
                })?
            }
        };
        let refused = |error: String| {
            format!(
                "data of the type {kind:?} do not fit version {number} of its schema: {error}; publish data that fit, or \
                 register a version that takes these"
            )
        };
        let data = serde_json::from_slice(data).map_err(|error| refused(format!("they are not JSON: {error}")))?;
        version.validate(&data).map_err(refused)
    }
}

/// What a `dataschema` of this registry begins with.
const PATH: &str = "/schemas/";

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
