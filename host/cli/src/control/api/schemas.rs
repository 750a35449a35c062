//! Schemas of events as the control socket shows them, and what can be done to them by hand.

use serde::{Deserialize, Serialize};

use weft_capability::schema::{EventType, Mode, Types};

/// One entry of `GET /v1/schemas`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SchemaEntry {
    /// The CloudEvents type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which versions a new one has to go together with.
    pub mode: Mode,
    /// Oldest first.
    pub versions: Vec<SchemaVersion>,
    /// Since when the type is deprecated, in milliseconds since the Unix epoch.
    pub deprecated_at_ms: Option<u64>,
    /// Fields that were deprecated by hand.
    pub deprecated_fields: Vec<DeprecatedField>,
}

/// A registered version.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SchemaVersion {
    /// From 1.
    pub version: u32,
    /// Milliseconds since the Unix epoch.
    pub registered_at_ms: u64,
}

/// A field that may go some time after it was deprecated.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct DeprecatedField {
    /// JSON pointer into the schema.
    pub pointer: String,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// `POST /v1/schemas/register`: registers the next version of a type. Answers [`SchemaEntry`], as the others do.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterSchema {
    /// Who registers it.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// The CloudEvents type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The next version.
    pub version: u32,
    /// The schema.
    pub schema: serde_json::Value,
}

/// `POST /v1/schemas/mode`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SetMode {
    /// Who sets it.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// The CloudEvents type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The mode from now on.
    pub mode: Mode,
}

/// `POST /v1/schemas/deprecate`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Deprecate {
    /// Who says so.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// The CloudEvents type.
    #[serde(rename = "type")]
    pub kind: String,
    /// JSON pointer of a field in its newest schema; empty for the type as a whole.
    #[serde(default)]
    pub pointer: String,
}

/// Every type of a registry.
#[must_use]
pub fn entries(types: &Types) -> Vec<SchemaEntry> {
    types.iter().map(|(kind, known)| SchemaEntry::of(kind, known)).collect()
}

impl SchemaEntry {
    /// The entry of a type.
    #[must_use]
    pub fn of(kind: &str, known: &EventType) -> Self {
        let version = |(version, one): (&u32, &std::sync::Arc<weft_capability::schema::Version>)| SchemaVersion {
            version: *version,
            registered_at_ms: one.registered_at_ms,
        };
        let field = |(pointer, at_ms): &(String, u64)| DeprecatedField { pointer: pointer.clone(), at_ms: *at_ms };
        Self {
            kind: kind.to_owned(),
            mode: known.mode,
            versions: known.versions.iter().map(version).collect(),
            deprecated_at_ms: known.deprecated_at_ms,
            deprecated_fields: known.deprecated_fields.iter().map(field).collect(),
        }
    }
}
