//! Keys that the host makes itself: an application that names a variable as its signing key and gives it no value
//! gets an Ed25519 key at its first start, kept in the data directory for its owner alone.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _};

use weft_core::manifest::{Auth, Diagnostic, KeySource, Manifest, Variables};

use crate::assemble::{self, Place};
use crate::runtime_config::Values;

/// Makes the keys that are missing.
///
/// # Errors
/// If a key cannot be written.
pub fn ensure(manifest: &Manifest, data: &Path) -> anyhow::Result<()> {
    for name in key_variables(manifest) {
        let path = path(data, name);
        if path.exists() {
            continue;
        }
        write_new(&path).with_context(|| format!("cannot write the key {}", path.display()))?;
    }
    Ok(())
}

/// The variables with their values; keys without one take it from the data directory, if it is there.
///
/// # Errors
/// Required variables without a value, and a runtime configuration that is wrong.
pub fn resolve(manifest: &Manifest, place: &Place) -> Result<Variables, Vec<Diagnostic>> {
    resolve_with(manifest, place, BTreeMap::new())
}

/// The same, with values that were made for some of them.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_with(
    manifest: &Manifest,
    place: &Place,
    made: BTreeMap<String, String>,
) -> Result<Variables, Vec<Diagnostic>> {
    let (file, values) = (dotenv(manifest)?, Values::of(place)?);
    let environment =
        |name: &str| values.get(name).or_else(|| std::env::var(name).ok()).or_else(|| file.get(name).cloned());
    let mut overrides = place.given.variables(manifest);
    overrides.extend(made);
    let given = Variables::resolve(manifest, &environment, &overrides)?;
    for name in key_variables(manifest) {
        if given.get(name).is_some_and(str::is_empty)
            && let Ok(pem) = std::fs::read_to_string(path(&place.data, name))
        {
            overrides.insert(name.to_owned(), pem);
        }
    }
    Variables::resolve(manifest, &environment, &overrides)
}

/// The variables that closed forms need to make and to verify tokens: those of the private key and of its public half,
/// as far as they have no value. Nothing for an application without closed forms.
///
/// # Errors
/// Required variables without a value; a private key whose public half cannot be told.
pub fn pair(manifest: &Manifest, place: &Place) -> anyhow::Result<BTreeMap<String, String>> {
    let mut pair = BTreeMap::new();
    let public = manifest.closed_forms.as_ref().and_then(|forms| forms.public_key.as_ref());
    let (Some(public), Some(private)) = (public, key_variables(manifest).next()) else { return Ok(pair) };
    let variables = resolve(manifest, place).map_err(assemble::refused)?;
    let pem = variables.get(private).unwrap_or_default();
    pair.insert(private.to_owned(), pem.to_owned());
    let given = variables.get(&public.value).filter(|value| !value.trim().is_empty());
    let public_pem = match given {
        Some(given) => given.to_owned(),
        None => {
            let key = SigningKey::from_pkcs8_pem(pem)
                .with_context(|| format!("{private} is no Ed25519 key: set {} to its public half", public.value))?;
            key.verifying_key().to_public_key_pem(LineEnding::LF)?
        }
    };
    pair.insert(public.value.to_string(), public_pem);
    Ok(pair)
}

/// What `.env` in the working directory says, if it is there: Spin looks there for variables that the environment has
/// not.
fn dotenv(manifest: &Manifest) -> Result<HashMap<String, String>, Vec<Diagnostic>> {
    let failed = |error: dotenvy::Error| vec![manifest.problem(0, format!("variables: .env: {error}"))];
    match dotenvy::from_path_iter(".env") {
        Ok(lines) => lines.collect::<Result<_, _>>().map_err(failed),
        Err(error) if error.not_found() => Ok(HashMap::new()),
        Err(error) => Err(failed(error)),
    }
}

fn key_variables(manifest: &Manifest) -> impl Iterator<Item = &str> {
    manifest.auth.iter().flat_map(variables)
}

/// The variables that hold keys.
pub(crate) fn variables(auth: &Auth) -> impl Iterator<Item = &str> {
    auth.keys.iter().filter_map(|key| match &key.value {
        KeySource::Variable(name) => Some(&**name),
        KeySource::Pem(_) | KeySource::Jwks(_) | KeySource::JwksUrl(_) => None,
    })
}

fn path(data: &Path, variable: &str) -> PathBuf {
    data.join(format!("{variable}.pem"))
}

fn write_new(path: &Path) -> anyhow::Result<()> {
    let mut seed = [0_u8; 32];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut seed)?;
    let pem = SigningKey::from_bytes(&seed).to_pkcs8_pem(LineEnding::LF)?;
    let partial = path.with_extension("partial");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    Ok(())
}
