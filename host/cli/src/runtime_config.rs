//! Spin's runtime configuration as the commands use it: found, read, and asked for the values of variables.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use weft_core::manifest::{Diagnostic, RuntimeConfig, SqliteDatabase, VariablesProvider};

use crate::assemble::Place;

/// What stands before the names of variables in the environment.
const PREFIX: &str = "SPIN_VARIABLE_";

/// The runtime configuration; an empty one where none is named.
///
/// # Errors
/// Every problem of the file.
pub fn load(place: &Place) -> Result<RuntimeConfig, Vec<Diagnostic>> {
    place.runtime_config.as_deref().map_or_else(|| Ok(RuntimeConfig::default()), RuntimeConfig::load)
}

/// The folder of stores and databases that the runtime configuration gives no path: they last as long as the host. Spin
/// has them in memory; here they are files like all others, which the next start removes, so that they may grow.
///
/// # Errors
/// If what an earlier host left cannot be removed, or the folder cannot be made.
pub fn transient_folder(data: &Path) -> io::Result<PathBuf> {
    let folder = data.join("transient");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Where SQLite databases are that the runtime configuration names.
pub fn sqlite_files(config: &RuntimeConfig, transient: &Path) -> BTreeMap<Arc<str>, PathBuf> {
    let file = |(number, (label, place)): (usize, (&Arc<str>, &SqliteDatabase))| {
        let path = match place {
            SqliteDatabase::File(path) => path.clone(),
            // A label may hold what no name of a file may.
            SqliteDatabase::Transient => transient.join(format!("sqlite-{number}.db")),
        };
        (label.clone(), path)
    };
    config.sqlite_databases.iter().enumerate().map(file).collect()
}

/// The values that the providers of the runtime configuration give variables.
pub struct Values {
    config: RuntimeConfig,
    dotenv: HashMap<PathBuf, HashMap<String, String>>,
}

impl Values {
    /// Reads all of it.
    ///
    /// # Errors
    /// Every problem of the runtime configuration, and files that it names and that cannot be read.
    pub fn of(place: &Place) -> Result<Self, Vec<Diagnostic>> {
        let config = load(place)?;
        let named = config.variables_providers.iter().filter_map(|provider| match provider {
            VariablesProvider::Environment { dotenv, .. } => dotenv.clone(),
            VariablesProvider::Static(_) => None,
        });
        let read = |path: PathBuf| {
            let variables = dotenvy::from_path_iter(&path).and_then(Iterator::collect);
            // Only where: what stands there may be secret.
            let problem = |error: dotenvy::Error| match error {
                dotenvy::Error::Io(error) => Diagnostic::new(&path, 0, format!("cannot be read: {error}")),
                _ => Diagnostic::new(&path, 0, "is no file of environment variables, NAME=value in each line"),
            };
            variables.map_err(problem).map(|variables| (path.clone(), variables))
        };
        let dotenv = named.map(read).collect::<Result<_, _>>().map_err(|problem| vec![problem])?;
        Ok(Self { config, dotenv })
    }

    /// The value of a variable, called as in the environment: `SPIN_VARIABLE_<NAME>`.
    #[must_use]
    pub fn get(&self, environment_name: &str) -> Option<String> {
        let environment = |name: &str, file: Option<&Path>| {
            std::env::var(name).ok().or_else(|| self.dotenv.get(file?)?.get(name).cloned())
        };
        let name = environment_name.strip_prefix(PREFIX)?.to_ascii_lowercase();
        self.config.variable(&name, &environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::Given;

    fn place(folder: &Path, config: &str) -> Place {
        let path = folder.join("runtime-config.toml");
        std::fs::write(&path, config).unwrap();
        Place {
            manifest: folder.join("spin.toml"),
            data: folder.join("data"),
            given: Given::default(),
            runtime_config: Some(path),
        }
    }

    #[test]
    fn providers_are_asked_in_their_order_and_files_fill_gaps() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("some.env"), "# names\nTEST_RC_A=\"from file\"\nTEST_RC_B=\"from file\"\n")
            .unwrap();
        let config = "[[variables_provider]]\ntype = \"static\"\nvalues = { a = \"static\" }\n\
                      [[variables_provider]]\ntype = \"env\"\nprefix = \"TEST_RC\"\ndotenv_path = \"some.env\"\n";
        let values = Values::of(&place(folder.path(), config)).ok().unwrap();
        assert_eq!(values.get("SPIN_VARIABLE_A").as_deref(), Some("static"));
        assert_eq!(values.get("SPIN_VARIABLE_B").as_deref(), Some("from file"));
        assert_eq!(values.get("SPIN_VARIABLE_TEST_RC_C"), None);
    }

    #[test]
    fn a_named_file_that_is_not_there_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        let config = "[[variables_provider]]\ntype = \"env\"\ndotenv_path = \"missing.env\"\n";
        let problems = Values::of(&place(folder.path(), config)).err().unwrap();
        assert!(problems[0].to_string().contains("missing.env: cannot be read"), "{}", problems[0]);
    }
}
