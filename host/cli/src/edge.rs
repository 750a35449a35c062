//! What the gateway of a host serves, made of the host's manifest. Reads the files of keys; asks nobody over a network.

use std::sync::Arc;

use weft_core::Generation;
use weft_core::manifest::{KeySource, Manifest, RateLimits, Variables};
use weft_core::shared_limits::SharedLimits;
use weft_gateway::{ApiKeys, AuthSettings, Deployment, Gateway, KeySet, Revocations};

use crate::api_keys::Keyring;
use crate::assemble;
use crate::host::Host;
use crate::issuers::Issuers;
use crate::upstream::Upstream;
use crate::wiring::VoidTokens;

/// The gateway over the host.
pub type Edge = Gateway<Upstream>;

/// What stands behind what a gateway serves.
pub struct Behind {
    /// What its requests run on.
    pub generation: Generation,
    /// Who counts rate limits for several hosts together.
    pub shared_limits: Option<Arc<dyn SharedLimits>>,
}

/// What a gateway is to serve of a manifest. `rate_limited` is whether its rate limits count.
///
/// # Errors
/// Keys that cannot be used, and a route that needs one where there is none, with their lines.
pub fn deployment(
    host: &Host,
    manifest: &Manifest,
    variables: &Variables,
    api_keys: Option<Arc<Keyring>>,
    rate_limited: bool,
    behind: Behind,
) -> anyhow::Result<Deployment> {
    let auth = auth(host, manifest, variables, api_keys)?;
    let unusable = |error: weft_gateway::ConfigError| manifest.problem(error.line(), error.to_string());
    let deployment = Deployment::of(manifest, auth).map_err(|error| assemble::refused(vec![unusable(error)]));
    let mut deployment = deployment?;
    (deployment.generation, deployment.shared_limits) = (Some(behind.generation), behind.shared_limits);
    if !rate_limited {
        deployment.rate_limits = RateLimits::default();
    }
    Ok(deployment)
}

fn auth(
    host: &Host,
    manifest: &Manifest,
    variables: &Variables,
    api_keys: Option<Arc<Keyring>>,
) -> anyhow::Result<Option<AuthSettings>> {
    let Some(auth) = &manifest.auth else { return Ok(None) };
    let revocations = auth.revocations.as_ref().map(|label| {
        let store = host.parts().key_value.clone();
        Arc::new(VoidTokens { store, label: label.value.clone() }) as Arc<dyn Revocations>
    });
    let issuers = Issuers { resolver: host.parts().resolver.clone(), clock: host.parts().clock.clone() };
    let api_keys = api_keys.map(|keyring| keyring as Arc<dyn ApiKeys>);
    let variable = |name: &str| variables.get(name).map(str::to_owned);
    let settings = AuthSettings::from_manifest(auth, variable, revocations, Arc::new(issuers), api_keys);
    Ok(Some(settings.map_err(|error| assemble::refused(error.diagnostics(&manifest.path)))?))
}

/// The keys of tokens that the manifest names, read anew.
///
/// # Errors
/// One that cannot be used, with its line.
pub fn keys(manifest: &Manifest, variables: &Variables) -> anyhow::Result<KeySet> {
    let Some(auth) = &manifest.auth else { return Ok(KeySet::default()) };
    let keys = AuthSettings::read_keys(auth, |name: &str| variables.get(name).map(str::to_owned));
    keys.map_err(|error| assemble::refused(error.diagnostics(&manifest.path)))
}

/// The files of keys that the manifest names.
pub fn key_files(manifest: &Manifest) -> impl Iterator<Item = &std::path::Path> {
    manifest.auth.iter().flat_map(|auth| &auth.keys).filter_map(|source| match &source.value {
        KeySource::Pem(path) | KeySource::Jwks(path) => Some(&**path),
        KeySource::Variable(_) | KeySource::JwksUrl(_) => None,
    })
}

/// The API keys, if the manifest takes any: those that are known already, or else read.
///
/// # Errors
/// If they cannot be read.
pub async fn keyring(
    host: &Host,
    manifest: &Manifest,
    known: Option<Arc<Keyring>>,
) -> anyhow::Result<Option<Arc<Keyring>>> {
    if !manifest.auth.as_ref().is_some_and(|auth| auth.api_keys) {
        return Ok(None);
    }
    match known {
        Some(known) => Ok(Some(known)),
        None => Ok(Some(Arc::new(Keyring::open(host.parts().key_value.clone()).await?))),
    }
}
