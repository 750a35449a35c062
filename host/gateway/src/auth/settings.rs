//! What a token must carry and who signs it, from the manifest. Keys of variables and files are read when this is made: at a start, at a
//! reload, and when the files change. Those behind URLs are fetched (`remote`).

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weft_core::manifest::{self, Diagnostic, KeySource, Located};

use super::policies::Policies;
use super::{ApiKeys, ClaimNames, FetchKeys, KeyError, KeySet, RemoteKeys, Revocations};

/// Largest key file, in bytes.
const KEY_FILE_BYTES: u64 = 1024 * 1024;

/// What a token must carry.
pub struct AuthSettings {
    /// The `iss` claim.
    pub issuer: String,
    /// The `aud` claim, or one of them.
    pub audience: String,
    /// How far clocks may differ, in seconds.
    pub leeway_s: u64,
    /// Who signs.
    pub keys: KeySet,
    /// Where to ask who else signs.
    pub remote: Option<RemoteKeys>,
    /// Which tokens are void.
    pub revocations: Option<Arc<dyn Revocations>>,
    /// The API keys there are, if callers may show one.
    pub api_keys: Option<Arc<dyn ApiKeys>>,
    /// Whether it is logged as well who was let in.
    pub audit_allowed: bool,
    /// What is asked of callers beyond roles and permissions.
    pub policies: Policies,
    /// Which claims say more of a caller.
    pub claims: ClaimNames,
}

impl fmt::Debug for AuthSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthSettings")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("leeway_s", &self.leeway_s)
            .field("keys", &self.keys)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// What of the manifest's table cannot be used. `line` is the line in the manifest.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The variable is not set.
    #[error("the variable {name:?} holds no key: set it to the PEM text of one")]
    NoVariable {
        /// Where it is named.
        line: usize,
        /// The variable.
        name: Arc<str>,
    },
    /// The file cannot be read.
    #[error("the key file {} cannot be read: {source}", path.display())]
    File {
        /// Where it is named.
        line: usize,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is there is not a key that we take.
    #[error("{source}")]
    Key {
        /// Where it is named.
        line: usize,
        /// What is wrong with it.
        source: KeyError,
    },
    /// What is no policy.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Policies(Vec<Diagnostic>),
}

impl AuthError {
    /// The same as problems of the manifest; policies have files of their own.
    #[must_use]
    pub fn diagnostics(self, manifest: &Path) -> Vec<Diagnostic> {
        let line = match &self {
            Self::NoVariable { line, .. } | Self::File { line, .. } | Self::Key { line, .. } => *line,
            Self::Policies(_) => 0,
        };
        match self {
            Self::Policies(problems) => problems,
            other => vec![Diagnostic::new(manifest, line, other.to_string())],
        }
    }
}

impl AuthSettings {
    /// Tokens of this issuer for this audience, signed by one of these keys, and nothing else said.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, keys: KeySet) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            leeway_s: 30,
            keys,
            remote: None,
            revocations: None,
            api_keys: None,
            audit_allowed: false,
            policies: Policies::default(),
            claims: ClaimNames::default(),
        }
    }

    /// Reads the keys that the manifest names, but those behind URLs.
    ///
    /// # Errors
    /// [`AuthError`] for the first that cannot be used.
    pub fn read_keys(auth: &manifest::Auth, variable: impl Fn(&str) -> Option<String>) -> Result<KeySet, AuthError> {
        let mut keys = KeySet::default();
        auth.keys.iter().try_for_each(|source| add(&mut keys, source, &variable))?;
        Ok(keys)
    }

    /// Every key of the manifest's that cannot be used; those behind URLs are not asked for.
    pub fn problems(auth: &manifest::Auth, variable: impl Fn(&str) -> Option<String>) -> Vec<AuthError> {
        let mut keys = KeySet::default();
        auth.keys.iter().filter_map(|source| add(&mut keys, source, &variable).err()).collect()
    }

    /// Whether nobody can sign.
    pub(crate) fn is_without_keys(&self) -> bool {
        self.keys.is_empty() && self.remote.is_none()
    }

    /// Reads the keys and the policies that the manifest names. `variable` answers the value of an application variable; `fetch` will
    /// fetch those behind URLs.
    ///
    /// # Errors
    /// [`AuthError`] for the first key that cannot be used, or for all that are no policies.
    pub fn from_manifest(
        auth: &manifest::Auth,
        variable: impl Fn(&str) -> Option<String>,
        revocations: Option<Arc<dyn Revocations>>,
        fetch: Arc<dyn FetchKeys>,
        api_keys: Option<Arc<dyn ApiKeys>>,
    ) -> Result<Self, AuthError> {
        let keys = Self::read_keys(auth, variable)?;
        let url = |source: &Located<KeySource>| match &source.value {
            KeySource::JwksUrl(url) => Some(Located::new(Arc::clone(url), source.line)),
            _ => None,
        };
        let urls: Vec<_> = auth.keys.iter().filter_map(url).collect();
        let remote = (!urls.is_empty()).then_some(RemoteKeys { urls, fetch });
        let claims = ClaimNames { tier: auth.tier_claim.to_string(), tenant: auth.tenant_claim.to_string() };
        let policies = Policies::read(auth).map_err(AuthError::Policies)?;
        Ok(Self {
            leeway_s: auth.leeway_s.into(),
            remote,
            revocations,
            api_keys,
            audit_allowed: auth.audit_allowed,
            policies,
            claims,
            ..Self::new(&auth.issuer, &auth.audience, keys)
        })
    }
}

/// The keys of one place; those behind a URL come later.
fn add(
    keys: &mut KeySet,
    source: &Located<KeySource>,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<(), AuthError> {
    let line = source.line;
    let added = match &source.value {
        KeySource::Variable(name) => {
            let pem = variable(name).filter(|value| !value.trim().is_empty());
            keys.add_pem(&pem.ok_or_else(|| AuthError::NoVariable { line, name: Arc::clone(name) })?)
        }
        KeySource::Pem(path) => keys.add_pem(&read(path, line)?),
        KeySource::Jwks(path) => keys.add_jwks(&read(path, line)?),
        KeySource::JwksUrl(_) => Ok(()),
    };
    added.map_err(|source| AuthError::Key { line, source })
}

fn read(path: &Path, line: usize) -> Result<String, AuthError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(KEY_FILE_BYTES).read_to_string(&mut text));
    read.map_err(|source| AuthError::File { line, path: path.to_owned(), source })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::BoxFuture;

    const PUBLIC: &str = include_str!("../../tests/keys/rsa-public.pem");

    struct Nowhere;

    impl FetchKeys for Nowhere {
        fn fetch<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<String, String>> {
            Box::pin(async { Err("nobody is asked at start".to_owned()) })
        }
    }

    fn auth(source: KeySource) -> manifest::Auth {
        manifest::Auth::new("i", "a", vec![Located::new(source, 7)])
    }

    fn read_auth(source: KeySource, value: Option<&str>) -> Result<AuthSettings, AuthError> {
        let nowhere = Arc::new(Nowhere);
        AuthSettings::from_manifest(&auth(source), |_| value.map(ToOwned::to_owned), None, nowhere, None)
    }

    #[test]
    fn keys_come_from_variables_and_files() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/rsa-public.pem");
        for source in [KeySource::Variable("key".into()), KeySource::Pem(file.into())] {
            let settings = read_auth(source, Some(PUBLIC)).unwrap();
            assert!(!settings.keys.is_empty());
            assert!(!format!("{settings:?}").contains("MIIB"));
        }
        let settings = read_auth(KeySource::JwksUrl("https://issuer.test/keys".into()), None).unwrap();
        assert!(settings.keys.is_empty() && !settings.is_without_keys());
    }

    #[test]
    fn a_key_that_is_missing_or_wrong_is_named_with_its_line() {
        let variable = || KeySource::Variable("jwt_key".into());
        for (result, expected) in [
            (read_auth(variable(), None), "spin.toml:7: the variable \"jwt_key\" holds no key"),
            (read_auth(variable(), Some(" \n")), "spin.toml:7: the variable \"jwt_key\" holds no key"),
            (read_auth(variable(), Some("nonsense")), "spin.toml:7: the PEM text"),
            (read_auth(KeySource::Pem("/nowhere".into()), None), "spin.toml:7: the key file /nowhere"),
            (read_auth(KeySource::Jwks("/nowhere".into()), None), "spin.toml:7: the key file /nowhere"),
        ] {
            let problems = result.unwrap_err().diagnostics(Path::new("spin.toml"));
            let message = problems[0].to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
