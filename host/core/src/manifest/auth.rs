//! Whose tokens the gateway accepts. Verifying them belongs to the gateway.

use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostic::Located;
use super::names;
use super::section::{Entry, Section};
use super::source::Files;

/// `[application.tool.weft.auth]`: tokens are JWT of this issuer for this audience, signed by one of these keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The `iss` claim.
    pub issuer: Arc<str>,
    /// The `aud` claim.
    pub audience: Arc<str>,
    /// How far clocks may differ, in seconds: 0 to 300, 30 by default.
    pub leeway_s: u32,
    /// Where the keys come from: 1 to 16.
    pub keys: Vec<Located<KeySource>>,
    /// The key-value store that has, by user id, the epoch second before which that user's tokens are void.
    pub revocations: Option<Located<Arc<str>>>,
    /// Whether a caller may show an API key (`X-API-Key`) in place of a token; not by default.
    pub api_keys: bool,
    /// The claim that names a caller's tier; `tier` by default.
    pub tier_claim: Arc<str>,
    /// The claim that names a caller's tenant; `tenant` by default.
    pub tenant_claim: Arc<str>,
    /// The line of the table.
    pub line: usize,
}

/// Where a key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// An application variable with a PEM private or public key.
    Variable(Arc<str>),
    /// A PEM file.
    Pem(PathBuf),
    /// A JWKS file.
    Jwks(PathBuf),
}

impl Auth {
    pub(super) fn read(section: Section<'_>, files: &Files) -> Self {
        let text = |key| section.required_string(key).map(|text| text.value).unwrap_or_default();
        let (issuer, audience) = (text("issuer"), text("audience"));
        let leeway_s = section.number("leeway_s", 0..=300, 30);
        let entries = section.get("keys").and_then(|entry| entry.items()).unwrap_or_default();
        if entries.is_empty() || entries.len() > 16 {
            section.report_with_help(
                section.line,
                "authentication needs 1 to 16 keys",
                "add keys = [{ variable = \"jwt_private_key\" }], or { pem = \"file\" }, or { jwks = \"file\" }",
            );
        }
        let keys = entries.into_iter().filter_map(|entry| key(entry, files)).collect();
        let revocations = section.string("revocations");
        if let Some(store) = revocations.as_ref().filter(|store| !names::is_label(store)) {
            section.report(store.line, format!("`revocations`: {:?} is no label of a key-value store", &*store.value));
        }
        let claim = |key, default: &str| section.string(key).map_or_else(|| default.into(), |claim| claim.value);
        let (tier_claim, tenant_claim) = (claim("tier_claim", "tier"), claim("tenant_claim", "tenant"));
        let (api_keys, line) = (section.flag("api_keys", false), section.line);
        let auth = Self { issuer, audience, leeway_s, keys, revocations, api_keys, tier_claim, tenant_claim, line };
        section.finish();
        auth
    }
}

fn key(entry: Entry<'_>, files: &Files) -> Option<Located<KeySource>> {
    let section = entry.section()?;
    let (variable, pem, jwks) = (section.string("variable"), section.string("pem"), section.string("jwks"));
    let source = match (variable, pem, jwks) {
        (Some(name), None, None) => Some(KeySource::Variable(name.value)),
        (None, Some(file), None) => files.existing(&file, &section).map(KeySource::Pem),
        (None, None, Some(file)) => files.existing(&file, &section).map(KeySource::Jwks),
        _ => {
            section.report(section.line, "a key has one of `variable`, `pem` and `jwks`");
            None
        }
    };
    let line = section.line;
    section.finish();
    source.map(|source| Located::new(source, line))
}
