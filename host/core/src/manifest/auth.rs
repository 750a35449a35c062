//! Whose tokens the gateway accepts. Verifying them belongs to the gateway.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostic::Located;
use super::names;
use super::section::{Entry, Section};
use super::source::Files;
use super::transform;

/// Longest URL, in bytes.
const MAX_URL_BYTES: usize = 2048;
/// How far clocks may differ if it is not said, in seconds.
const DEFAULT_LEEWAY_S: u32 = 30;
/// The claims that say more of a caller if it is not said which.
const TIER_CLAIM: &str = "tier";
const TENANT_CLAIM: &str = "tenant";
/// Files of policies, and the bytes of each.
const MAX_POLICY_FILES: usize = 16;
const MAX_POLICY_BYTES: u64 = 256 * 1024;
/// Headers that policies see.
const MAX_POLICY_HEADERS: usize = 16;

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
    /// Whether the audit log says as well who was let in; not by default.
    pub audit_allowed: bool,
    /// What is asked of callers beyond roles and permissions, on routes that say so, in Cedar: up to 16 files.
    pub policies: Vec<PolicyFile>,
    /// The headers of a request that policies see, in lower case: up to 16.
    pub policy_headers: Vec<Arc<str>>,
    /// The claim that names a caller's tier; `tier` by default.
    pub tier_claim: Arc<str>,
    /// The claim that names a caller's tenant; `tenant` by default.
    pub tenant_claim: Arc<str>,
    /// The line of the table.
    pub line: usize,
}

/// A file of policies, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it, up to 256 KiB. What it means is up to the gateway.
    pub text: Arc<str>,
    /// The line of the manifest that names it.
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
    /// Where a JWKS is published: an `https` URL, or an `http` URL of this machine.
    JwksUrl(Arc<str>),
}

impl Auth {
    /// Tokens of this issuer for this audience, signed by one of these keys, and nothing else said.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, keys: Vec<Located<KeySource>>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            leeway_s: DEFAULT_LEEWAY_S,
            keys,
            revocations: None,
            api_keys: false,
            audit_allowed: false,
            policies: Vec::new(),
            policy_headers: Vec::new(),
            tier_claim: TIER_CLAIM.into(),
            tenant_claim: TENANT_CLAIM.into(),
            line: 0,
        }
    }

    pub(super) fn read(section: Section<'_>, files: &Files) -> Self {
        let text = |key| section.required_string(key).map(|text| text.value).unwrap_or_default();
        let (issuer, audience) = (text("issuer"), text("audience"));
        let leeway_s = section.number("leeway_s", 0..=300, DEFAULT_LEEWAY_S);
        let entries = section.get("keys").and_then(|entry| entry.items()).unwrap_or_default();
        if entries.is_empty() || entries.len() > 16 {
            section.report_with_help(
                section.line,
                "authentication needs 1 to 16 keys",
                "add keys = [{ variable = \"jwt_private_key\" }], or { pem = \"file\" }, { jwks = \"file\" }, { jwks_url = \"https://...\" }",
            );
        }
        let keys = entries.into_iter().filter_map(|entry| key(entry, files)).collect();
        let revocations = section.string("revocations");
        if let Some(store) = revocations.as_ref().filter(|store| !names::is_label(store)) {
            section.report(store.line, format!("`revocations`: {:?} is no label of a key-value store", &*store.value));
        }
        let claim = |key, default: &str| section.string(key).map_or_else(|| default.into(), |claim| claim.value);
        let (tier_claim, tenant_claim) = (claim("tier_claim", TIER_CLAIM), claim("tenant_claim", TENANT_CLAIM));
        let auth = Self {
            leeway_s,
            revocations,
            api_keys: section.flag("api_keys", false),
            audit_allowed: section.flag("audit_allowed", false),
            policies: policies(&section, files),
            policy_headers: policy_headers(&section),
            tier_claim,
            tenant_claim,
            line: section.line,
            ..Self::new(&issuer, &audience, keys)
        };
        section.finish();
        auth
    }
}

fn policies(section: &Section<'_>, files: &Files) -> Vec<PolicyFile> {
    let written = section.names("policies", |path| !path.is_empty(), "a file");
    if written.len() > MAX_POLICY_FILES {
        section.report(section.line, format!("`policies` has at most {MAX_POLICY_FILES} files"));
    }
    let read = |written: &Located<Arc<str>>| {
        let path = files.existing(written, section)?;
        let report = |what: String| {
            section.report(written.line, format!("`policies`: {}: {what}", path.display()));
            None
        };
        let mut text = String::new();
        let limit = MAX_POLICY_BYTES + 1;
        match File::open(&path).and_then(|file| file.take(limit).read_to_string(&mut text)) {
            Err(error) => report(error.to_string()),
            Ok(bytes) if bytes as u64 == limit => report(format!("a file has at most {MAX_POLICY_BYTES} bytes")),
            Ok(_) => Some(PolicyFile { path, text: text.into(), line: written.line }),
        }
    };
    written.iter().filter_map(read).collect()
}

/// Headers are what a client says of itself, or a proxy of it. What the gateway itself says or goes by, policies have in other words; and
/// a cookie is many things in one.
fn policy_headers(section: &Section<'_>) -> Vec<Arc<str>> {
    let is_seen = |name: &str| {
        names::is_token(name)
            && !name.bytes().any(|byte| byte.is_ascii_uppercase())
            && !transform::is_ours(name)
            && name != "cookie"
    };
    let what = "a header in lower case that is the client's or a proxy's to say, such as x-department";
    let written = section.names("policy_headers", is_seen, what);
    if let Some(many) = written.get(MAX_POLICY_HEADERS) {
        section.report(many.line, format!("`policy_headers` has at most {MAX_POLICY_HEADERS} entries"));
    }
    if let Some(first) = written.first().filter(|_| section.get("policies").is_none()) {
        section.report_with_help(
            first.line,
            "`policy_headers` without `policies`: nobody would see them",
            "add policies = [\"access.cedar\"], or remove this",
        );
    }
    written.into_iter().map(|name| name.value).collect()
}

fn key(entry: Entry<'_>, files: &Files) -> Option<Located<KeySource>> {
    let section = entry.section()?;
    let (variable, pem, jwks) = (section.string("variable"), section.string("pem"), section.string("jwks"));
    let source = match (variable, pem, jwks, section.string("jwks_url")) {
        (Some(name), None, None, None) => Some(KeySource::Variable(name.value)),
        (None, Some(file), None, None) => files.existing(&file, &section).map(KeySource::Pem),
        (None, None, Some(file), None) => files.existing(&file, &section).map(KeySource::Jwks),
        (None, None, None, Some(url)) if is_key_url(&url) => Some(KeySource::JwksUrl(url.value)),
        (None, None, None, Some(url)) => {
            let message = format!("`jwks_url`: {:?} is no https URL", &*url.value);
            section.report_with_help(
                url.line,
                message,
                "write https://host/path; plain http would let anybody between sign",
            );
            None
        }
        _ => {
            section.report(section.line, "a key has one of `variable`, `pem`, `jwks` and `jwks_url`");
            None
        }
    };
    let line = section.line;
    section.finish();
    source.map(|source| Located::new(source, line))
}

/// Whoever answers for this URL signs our tokens, so nobody may stand between.
fn is_key_url(url: &str) -> bool {
    let is_local = |rest: &str| {
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    };
    let https = url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']));
    let local = url.strip_prefix("http://").is_some_and(is_local);
    (https || local) && url.len() <= MAX_URL_BYTES && url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@')
}
