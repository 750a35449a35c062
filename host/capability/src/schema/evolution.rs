//! The rules by which the schema of an event type may change: which versions a new one has to go together with (the
//! mode), and what a change needs beside that: a new field a default, a field that goes a time in which it is deprecated.
//! Each change that is refused is explained: where, what, whom it breaks, what to do instead.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compatibility::{Gap, GapKind, gaps};
use super::document::{Document, bare, escaped};

/// How long a field has to be deprecated before it may go, in days.
pub const DEPRECATION_DAYS: u64 = 90;
const DEPRECATION_MS: u64 = DEPRECATION_DAYS * 24 * 60 * 60 * 1000;

/// Which versions a new one has to go together with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Readers of the new version understand events of the one before.
    Backward,
    /// Readers of the new version understand events of all versions.
    #[default]
    BackwardTransitive,
    /// Readers of the version before understand events of the new one.
    Forward,
    /// Readers of all versions understand events of the new one.
    ForwardTransitive,
    /// Both, with the version before.
    Full,
    /// Both, with all versions.
    FullTransitive,
    /// Nothing is asked for: the version begins a new line, and later ones are compared with that.
    None,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Backward,
        Self::BackwardTransitive,
        Self::Forward,
        Self::ForwardTransitive,
        Self::Full,
        Self::FullTransitive,
        Self::None,
    ];

    /// As it is written, such as `BACKWARD_TRANSITIVE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
            Self::None => "NONE",
        }
    }

    fn reads_older(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    fn is_read_by_older(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| format!("the modes are {}", known()))
    }
}

/// A version that is there.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Its number.
    pub version: u32,
    /// Its schema.
    pub schema: &'a Document,
    /// When it was registered, in milliseconds since the Unix epoch; none if it is being registered together with the
    /// new one, where no event of the type was ever published.
    pub registered_at_ms: Option<u64>,
}

/// A change that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The version that it does not go together with.
    pub version: u32,
    /// JSON pointer into the schema, references followed; empty for the whole.
    pub pointer: String,
    /// What changes.
    pub what: String,
    /// Whom that breaks.
    pub why: String,
    /// What to do instead.
    pub advice: String,
}

/// What is known when a new version comes.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// The versions before, oldest first.
    pub past: &'a [Past<'a>],
    /// Fields that were deprecated by hand: JSON pointer and time.
    pub deprecated: &'a [(String, u64)],
    /// The mode of the type.
    pub mode: Mode,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
}

impl History<'_> {
    /// Every change of `new` that the rules refuse; none if it may be registered.
    #[must_use]
    pub fn refused(&self, new: &Document) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        if self.mode == Mode::None {
            return changes;
        }
        let compared = if self.mode.is_transitive() { self.past.len() } else { 1 };
        for past in self.past.iter().rev().take(compared) {
            for change in self.against(past, new) {
                // What breaks with the newest breaks with the older ones for the same reason.
                let is_known = |known: &Change| (&known.pointer, &known.what) == (&change.pointer, &change.what);
                if !changes.iter().any(is_known) {
                    changes.push(change);
                }
            }
        }
        changes
    }

    fn against(&self, past: &Past<'_>, new: &Document) -> Vec<Change> {
        let (old, new) = (past.schema.normal(), new.normal());
        let mut fields = Fields::default();
        fields.compare(old, new, "");
        let version = past.version;
        let mut changes = Vec::new();
        let mut told = BTreeSet::new();
        for (from, to) in &fields.renamed {
            told.extend([from.clone(), to.clone()]);
            changes.push(renamed(version, from, to));
        }
        for pointer in fields.removed.iter().filter(|pointer| !told.contains(*pointer)) {
            if let Some(change) = self.removed(version, pointer) {
                changes.push(change);
            }
        }
        told.extend(changes.iter().map(|change| change.pointer.clone()));
        if self.mode.reads_older() {
            let found = gaps(old, new);
            changes.extend(found.iter().filter(|gap| !told.contains(&gap.pointer)).map(|gap| backward(version, gap)));
            told.extend(found.into_iter().map(|gap| gap.pointer));
            let without = fields.without_default.iter().filter(|pointer| !told.contains(*pointer));
            changes.extend(without.map(|pointer| no_default(version, pointer)));
        }
        if self.mode.is_read_by_older() {
            let found = gaps(new, old);
            changes.extend(found.iter().filter(|gap| !told.contains(&gap.pointer)).map(|gap| forward(version, gap)));
        }
        changes
    }

    /// A field that goes needs to be deprecated long enough.
    fn removed(&self, version: u32, pointer: &str) -> Option<Change> {
        let in_schema = |past: &&Past<'_>| {
            let field = past.schema.normal().pointer(pointer);
            field.and_then(|field| field.get("deprecated")) == Some(&Value::Bool(true))
        };
        // Nobody has read versions that were never deployed here.
        let by_version = self.past.iter().filter(in_schema).map(|past| past.registered_at_ms.unwrap_or(0));
        let by_hand = self.deprecated.iter().filter(|(field, _)| field == pointer).map(|(_, at_ms)| *at_ms);
        let since = by_version.chain(by_hand).min();
        let since_ms = since.map(|since| self.now_ms.saturating_sub(since));
        if since_ms.is_some_and(|since_ms| since_ms >= DEPRECATION_MS) {
            return None;
        }
        let advice = match since_ms {
            None => format!(
                "keep the field and add \"deprecated\": true to it in this version (or `weft schema deprecate`); it may \
                 go {DEPRECATION_DAYS} days after that"
            ),
            Some(ms) => {
                let days = ms / (24 * 60 * 60 * 1000);
                format!(
                    "it is deprecated for {days} of {DEPRECATION_DAYS} days: keep it for the {} that are left",
                    DEPRECATION_DAYS.saturating_sub(days)
                )
            }
        };
        Some(Change {
            version,
            pointer: pointer.to_owned(),
            what: "the field is removed".to_owned(),
            why: "functions that read it would find it no more".to_owned(),
            advice,
        })
    }
}

/// Which fields come and go, wherever both schemas have objects.
#[derive(Default)]
struct Fields {
    removed: Vec<String>,
    without_default: Vec<String>,
    renamed: Vec<(String, String)>,
}

impl Fields {
    fn compare(&mut self, old: &Value, new: &Value, at: &str) {
        let none = serde_json::Map::new();
        let fields = |schema: &Value| schema.get("properties").and_then(Value::as_object).cloned();
        let (olds, news) = (fields(old).unwrap_or_else(|| none.clone()), fields(new).unwrap_or_else(|| none.clone()));
        let field = |name: &str| format!("{at}/properties/{}", escaped(name));
        let gone: Vec<_> = olds.iter().filter(|(name, _)| !news.contains_key(*name)).collect();
        let mut come: Vec<_> = news.iter().filter(|(name, _)| !olds.contains_key(*name)).collect();
        for (name, schema) in gone {
            let same = come.iter().position(|(_, other)| bare(other) == bare(schema));
            match same.filter(|_| schema.get("deprecated").is_none()) {
                Some(index) => self.renamed.push((field(name), field(come.remove(index).0))),
                None => self.removed.push(field(name)),
            }
        }
        let come = come.into_iter().filter(|(_, schema)| schema.get("default").is_none());
        self.without_default.extend(come.map(|(name, _)| field(name)));
        for (name, schema) in &olds {
            if let Some(other) = news.get(name) {
                self.compare(schema, other, &field(name));
            }
        }
        for keyword in ["items", "additionalProperties"] {
            if let (Some(old), Some(new)) = (old.get(keyword), new.get(keyword)) {
                self.compare(old, new, &format!("{at}/{keyword}"));
            }
        }
        for keyword in ["prefixItems", "allOf", "anyOf", "oneOf"] {
            let branches = |schema: &Value| schema.get(keyword).and_then(Value::as_array).cloned().unwrap_or_default();
            for (index, (old, new)) in branches(old).iter().zip(&branches(new)).enumerate() {
                self.compare(old, new, &format!("{at}/{keyword}/{index}"));
            }
        }
    }
}

const NEW_LINE: &str = "publish under a new type name beside the old one, or begin a new line with \"x-compatibility\": \"NONE\" in \
                        this version";

fn last(pointer: &str) -> &str {
    pointer.rsplit('/').next().unwrap_or_default()
}

fn renamed(version: u32, from: &str, to: &str) -> Change {
    Change {
        version,
        pointer: to.to_owned(),
        what: format!("the field `{}` is renamed to `{}`", last(from), last(to)),
        why: "functions that read the old name would find it no more, and events that are kept have only that"
            .to_owned(),
        advice: format!(
            "add `{}` as an optional field with a default, fill both, mark `{}` \"deprecated\": true, and remove it after \
             {DEPRECATION_DAYS} days",
            last(to),
            last(from)
        ),
    }
}

fn no_default(version: u32, pointer: &str) -> Change {
    Change {
        version,
        pointer: pointer.to_owned(),
        what: "the field is new and has no default".to_owned(),
        why: format!("events of version {version} do not have it, and nothing says what readers are to take for it"),
        advice: "add \"default\": with what stands for its absence (null counts if its type lets it)".to_owned(),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".to_owned(), Value::to_string)
}

fn values(values: &[Value]) -> String {
    values.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
}

/// Data of an older version that the new one does not take.
fn backward(version: u32, gap: &Gap) -> Change {
    let why =
        || format!("events of version {version} that are kept or on their way would not be valid for its readers");
    let (what, advice) = match &gap.kind {
        GapKind::Type { from, to } => (format!("the type changes from {from} to {to}"), NEW_LINE.to_owned()),
        GapKind::Values(gone) if gone.is_empty() => {
            ("it takes certain values alone now".to_owned(), "leave `enum` out".to_owned())
        }
        GapKind::Values(gone) => {
            (format!("the values {} are not taken any more", values(gone)), "keep the values".to_owned())
        }
        GapKind::Bound { keyword, from, to } => {
            let what = format!("`{keyword}` changes from {} to {}", shown(from.as_ref()), shown(to.as_ref()));
            (what, format!("keep `{keyword}` as it is, or make it wider"))
        }
        GapKind::Required(name) => (
            format!("the field `{name}` is required, and was not"),
            "leave it out of `required` and give it a \"default\"".to_owned(),
        ),
        GapKind::Field => (
            "the field is not taken any more".to_owned(),
            "keep it, or let fields through that are not named (no `additionalProperties`: false)".to_owned(),
        ),
        GapKind::Unnamed => (
            "fields that are not named are not all let through any more".to_owned(),
            "leave `additionalProperties` as it is".to_owned(),
        ),
        GapKind::Incomparable(keyword) => (
            format!("`{keyword}` changes in a way that cannot be compared"),
            format!("keep `{keyword}` as it is; else {NEW_LINE}"),
        ),
    };
    Change { version, pointer: gap.pointer.clone(), what, why: why(), advice }
}

/// Data of the new version that an older one does not take. `from` is the new version here.
fn forward(version: u32, gap: &Gap) -> Change {
    let why =
        || format!("functions that still go by version {version} would be given events that are not valid for them");
    let (what, advice) = match &gap.kind {
        GapKind::Type { from, to } => (format!("the type changes from {to} to {from}"), NEW_LINE.to_owned()),
        GapKind::Values(new) if new.is_empty() => ("it takes any value now".to_owned(), "keep `enum`".to_owned()),
        GapKind::Values(new) => {
            (format!("the values {} are new", values(new)), format!("keep to the values there were; else {NEW_LINE}"))
        }
        GapKind::Bound { keyword, from, to } => {
            let what = format!("`{keyword}` changes from {} to {}", shown(to.as_ref()), shown(from.as_ref()));
            (what, format!("keep `{keyword}` as it is, or make it narrower"))
        }
        GapKind::Required(name) => {
            (format!("the field `{name}` is not required any more"), "keep it in `required`".to_owned())
        }
        GapKind::Field => (
            "the field is new, and the older version takes no field that it does not name".to_owned(),
            NEW_LINE.to_owned(),
        ),
        GapKind::Unnamed => (
            "more fields that are not named are let through than before".to_owned(),
            "leave `additionalProperties` as it is".to_owned(),
        ),
        GapKind::Incomparable(keyword) => (
            format!("`{keyword}` changes in a way that cannot be compared"),
            format!("keep `{keyword}` as it is; else {NEW_LINE}"),
        ),
    };
    Change { version, pointer: gap.pointer.clone(), what, why: why(), advice }
}

#[cfg(test)]
#[path = "evolution_tests.rs"]
mod tests;
