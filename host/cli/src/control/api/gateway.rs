//! The gateway over the control socket: its rate limits, and the API keys and the tokens of services that it takes.

use serde::{Deserialize, Serialize};

pub use weft_gateway::{LimitReport, LimitedCaller, OverloadClass, OverloadReport, OverloadRoute};

pub use crate::api_keys::ApiKeyEntry;

/// `POST /v1/api-keys`: a key to be made.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// Who makes it, such as `ada@local`.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// As [`ApiKeyEntry::name`].
    #[serde(default)]
    pub name: String,
    /// As [`ApiKeyEntry::owner`].
    pub owner: String,
    /// As [`ApiKeyEntry::role`].
    #[serde(default)]
    pub role: String,
    /// As [`ApiKeyEntry::permissions`].
    #[serde(default)]
    pub permissions: Vec<String>,
    /// As [`ApiKeyEntry::tier`]; a tier of the manifest.
    pub tier: Option<String>,
    /// As [`ApiKeyEntry::tenant`].
    pub tenant: Option<String>,
    /// How long it is good, in milliseconds; for ever without it.
    pub expires_in_ms: Option<u64>,
}

/// What [`NewApiKey`] is answered with. The key is told here and never again.
#[derive(Clone, Deserialize, PartialEq, Eq, Serialize)]
pub struct MadeApiKey {
    /// The key itself.
    pub key: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub entry: ApiKeyEntry,
}

/// `POST /v1/service-tokens`: a token of a service to be made.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewServiceToken {
    /// Who makes it, such as `ada@local`.
    pub actor: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// The service, as `callers` of routes name it.
    pub service: String,
    /// What it may do.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// How long it is good, in milliseconds: a second to a day, an hour without it.
    pub expires_in_ms: Option<u64>,
}

/// What [`NewServiceToken`] is answered with. The token is told here and kept nowhere.
#[derive(Clone, Deserialize, PartialEq, Eq, Serialize)]
pub struct MadeServiceToken {
    /// The token itself.
    pub token: String,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires_ms: u64,
}
