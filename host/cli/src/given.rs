//! What a command line says of the application beside where it is, in the words of `spin up`: values of variables, an
//! environment for all components, another manifest. What becomes of it is the manifest's and `keys`'s business.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use weft_core::manifest::Manifest;

/// The most that a file with values may hold, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The profile of the components.
    pub profile: Option<String>,
    /// Values of variables, the later one where two have a name.
    variables: Vec<Variable>,
    /// Environment variables for all components.
    environment: Vec<(String, String)>,
}

/// One value, whose debug output is its name alone, since it may be secret.
#[derive(Clone)]
struct Variable {
    name: String,
    value: String,
    /// Whether it comes from a file with many, of which some may be meant for other applications.
    one_of_many: bool,
}

impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// The options of commands that run or check an application.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct GivenArgs {
    /// The manifest, or the folder it is in; the same as --manifest
    #[arg(long, short = 'f', visible_alias = "file", alias = "from-file", value_name = "FILE|DIR")]
    pub from: Option<PathBuf>,
    /// A value for a variable of the application; may be repeated
    #[arg(long, value_name = "KEY=VALUE | KEY=@FILE | @FILE.json | @FILE.toml")]
    variable: Vec<VariableSource>,
    /// An environment variable for all components; may be repeated
    #[arg(long, short = 'e', value_name = "KEY=VALUE", value_parser = environment_variable)]
    env: Vec<(String, String)>,
}

/// Where values of variables come from.
#[derive(Clone)]
enum VariableSource {
    Value(String, String),
    /// The text of a file.
    Text(String, PathBuf),
    /// A JSON object or a TOML table of texts.
    Table(PathBuf, Format),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Toml,
}

impl std::fmt::Debug for VariableSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(name, _) => write!(f, "{name}=..."),
            Self::Text(name, path) => write!(f, "{name}=@{}", path.display()),
            Self::Table(path, _) => write!(f, "@{}", path.display()),
        }
    }
}

impl FromStr for VariableSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix('@') {
            let path = PathBuf::from(path);
            let format = match path.extension().and_then(|end| end.to_str()) {
                Some("json") => Format::Json,
                Some("toml") => Format::Toml,
                _ => return Err("a file with variables ends in .json or .toml".to_owned()),
            };
            return Ok(Self::Table(path, format));
        }
        let (name, value) = text.split_once('=').ok_or("a variable is `key=value`, `key=@file` or `@file`")?;
        Ok(match value.strip_prefix('@') {
            Some(path) => Self::Text(name.to_owned(), path.into()),
            None => Self::Value(name.to_owned(), value.to_owned()),
        })
    }
}

fn environment_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("an environment variable is `key=value`")?;
    if name.is_empty() { Err("an environment variable has a name".to_owned()) } else { Ok((name.into(), value.into())) }
}

impl GivenArgs {
    /// What is said, files with values read.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub fn read(self, profile: Option<String>) -> anyhow::Result<Given> {
        let mut variables = Vec::new();
        for source in self.variable {
            variables.extend(values(source)?);
        }
        Ok(Given { profile, variables, environment: self.env })
    }

    /// The manifest that is named, if one is.
    #[must_use]
    pub fn manifest(&self) -> Option<PathBuf> {
        self.from.as_deref().map(manifest)
    }
}

/// The manifest at a path, or in the folder there.
#[must_use]
pub fn manifest(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("spin.toml") } else { path.to_owned() }
}

fn values(source: VariableSource) -> anyhow::Result<Vec<Variable>> {
    let one = |name, value| vec![Variable { name, value, one_of_many: false }];
    let (path, format) = match source {
        VariableSource::Value(name, value) => return Ok(one(name, value)),
        VariableSource::Text(name, path) => return Ok(one(name, text(&path)?)),
        VariableSource::Table(path, format) => (path, format),
    };
    let text = text(&path)?;
    let what = || format!("{} is not a table of texts", path.display());
    let table: BTreeMap<String, String> = match format {
        Format::Json => serde_json::from_str(&text).with_context(what)?,
        Format::Toml => toml_edit::de::from_str(&text).with_context(what)?,
    };
    let variables = table.into_iter().map(|(name, value)| Variable { name, value, one_of_many: true });
    Ok(variables.collect())
}

fn text(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read {}", path.display());
    let size = std::fs::metadata(path).with_context(cannot)?.len();
    if size > MAX_FILE_BYTES {
        bail!("{} has {size} bytes; a file with variables has at most {MAX_FILE_BYTES}", path.display());
    }
    std::fs::read_to_string(path).with_context(cannot)
}

impl Given {
    /// A profile, and nothing else.
    #[must_use]
    pub fn of_profile(profile: Option<String>) -> Self {
        Self { profile, ..Self::default() }
    }

    /// The values for the variables of `manifest`; those of a file that it does not have are left out.
    #[must_use]
    pub fn variables(&self, manifest: &Manifest) -> BTreeMap<String, String> {
        let meant = |one: &&Variable| !one.one_of_many || manifest.variables.contains_key(one.name.as_str());
        self.variables.iter().filter(meant).map(|one| (one.name.clone(), one.value.clone())).collect()
    }

    /// Gives the environment to all components.
    pub fn extend_environment(&self, manifest: &mut Manifest) {
        for component in manifest.components.values_mut() {
            let given = self.environment.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
            component.grants.environment.extend(given);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let text = "spin_manifest_version = 2\n[application]\nname = \"x\"\n[variables]\na = { default = \"\" }\n\
                    b = { default = \"\" }\n[component.c]\nsource = \"c.wasm\"\nenvironment = { OLD = \"1\", BOTH = \"1\" }\n";
        Manifest::parse(Path::new("spin.toml"), text).unwrap()
    }

    fn given(sources: &[&str]) -> anyhow::Result<Given> {
        let variable = sources.iter().map(|source| source.parse().unwrap()).collect();
        GivenArgs { variable, ..GivenArgs::default() }.read(None)
    }

    #[test]
    fn values_come_as_texts_and_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (text, json) = (path("text", "line\n"), path("v.json", r#"{ "a": "json", "other": "x" }"#));
        let toml = path("v.toml", "a = \"toml\"\n");
        let values = |sources: &[&str]| given(sources).unwrap().variables(&manifest());
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(values(&["a=1=2", &format!("b=@{text}")]), map(&[("a", "1=2"), ("b", "line\n")]));
        assert_eq!(values(&["a=1", &format!("@{json}")]), map(&[("a", "json")]), "what others need is left out");
        assert_eq!(values(&[&format!("@{json}"), &format!("@{toml}")]), map(&[("a", "toml")]), "the later one counts");
        assert_eq!(values(&["nobody=1"]), map(&[("nobody", "1")]), "and is refused when it is resolved");
        assert!(given(&[&format!("@{}", path("bad.json", "[1]"))]).is_err());
        assert!(given(&["a=@/no/such/file"]).is_err());
        for wrong in ["a", "@file", "@file.txt"] {
            assert!(wrong.parse::<VariableSource>().is_err(), "{wrong}");
        }
        assert!(!format!("{:?}", given(&["a=s3cret"]).unwrap()).contains("s3cret"));
    }

    #[test]
    fn an_environment_goes_to_all_components() {
        let mut manifest = manifest();
        let environment = vec![("BOTH".to_owned(), "2".to_owned()), ("NEW".to_owned(), "a=b".to_owned())];
        Given { environment, ..Given::default() }.extend_environment(&mut manifest);
        let own: Vec<_> = manifest.components["c"].grants.environment.iter().collect();
        let shown: Vec<_> = own.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["BOTH=2", "NEW=a=b", "OLD=1"]);
        assert!(environment_variable("a").is_err() && environment_variable("=b").is_err());
    }
}
