//! Spin's runtime configuration (`runtime-config.toml`): where key-value stores and SQLite databases are, and where the
//! values of variables come from. Only what this host has; anything else is refused by name. Opening what is named here
//! belongs to whoever assembles the host.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml_edit::Document;

use super::MAX_MANIFEST_BYTES;
use super::diagnostic::{Diagnostic, Located};
use super::problems::Problems;
use super::section::{Entry, Section};

/// The runtime configuration.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Where key-value stores are, by label; those that are not named are the embedded ones.
    pub key_value_stores: BTreeMap<Arc<str>, KeyValueStore>,
    /// Where SQLite databases are, by label; those that are not named are in the data directory.
    pub sqlite_databases: BTreeMap<Arc<str>, SqliteDatabase>,
    /// Where variables get their values from, the first before the second.
    pub variables_providers: Vec<VariablesProvider>,
}

/// Where a key-value store is.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyValueStore {
    /// In a file of its own.
    File(PathBuf),
    /// Nowhere that lasts: it is empty whenever the host starts.
    Transient,
    /// On the Redis server at this URL, which may hold a password.
    Redis(Arc<str>),
}

/// Where a SQLite database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqliteDatabase {
    /// In a file of its own.
    File(PathBuf),
    /// Nowhere that lasts: it is empty whenever the host starts.
    Transient,
}

/// Gives variables their values.
#[derive(Clone, PartialEq, Eq)]
pub enum VariablesProvider {
    /// Values by name.
    Static(BTreeMap<Arc<str>, Arc<str>>),
    /// Environment variables.
    Environment {
        /// What stands before the name, an underscore between them.
        prefix: Arc<str>,
        /// A file of environment variables that are not set.
        dotenv: Option<PathBuf>,
    },
}

/// What Spin has and this host does not, with what to do.
const ELSEWHERE: [(&str, &str); 12] = [
    ("state_dir", "name the data directory by --data"),
    ("log_dir", "the log is under the data directory; see `weft logs`"),
    (
        "max_instance_memory",
        "memory is limited for each component: tool.weft = { grants = \"spin\", limits = { memory_mb = 128 } }",
    ),
    ("llm_compute", "this host has no models; ask one over HTTP"),
    ("client_tls", "outbound TLS trusts the authorities of Mozilla; `spin:postgres` takes one of its own"),
    ("outbound_networking", "outbound connections are limited for each component; see docs/spin.md"),
    ("outbound_http", "outbound connections are limited for each component; see docs/spin.md"),
    ("outbound_redis", "outbound connections are limited for each component; see docs/spin.md"),
    ("outbound_pg", "outbound connections are limited for each component; see docs/spin.md"),
    ("outbound_mqtt", "outbound connections are limited for each component; see docs/spin.md"),
    ("outbound_mysql", "this host has no MySQL"),
    ("config_provider", "write [[variables_provider]]"),
];
const KEY_VALUE_TYPES: &str = "\"spin\" (a file, or nothing that lasts) and \"redis\"";
const SQLITE_TYPES: &str = "\"spin\" (a file, or nothing that lasts)";
const PROVIDER_TYPES: &str = "\"static\" and \"env\"";

impl RuntimeConfig {
    /// Reads and checks the file at `path`. Paths in it are relative to its folder; those of databases, as in Spin, to the
    /// working directory.
    ///
    /// # Errors
    /// Every problem of it, in the order of lines.
    pub fn load(path: &Path) -> Result<Self, Vec<Diagnostic>> {
        let refuse = |message: String| vec![Diagnostic::new(path, 0, message)];
        let size = fs::metadata(path).map_err(|error| refuse(format!("cannot be read: {error}")))?.len();
        if size > MAX_MANIFEST_BYTES {
            return Err(refuse(format!("has {size} bytes; a runtime configuration has at most {MAX_MANIFEST_BYTES}")));
        }
        let text = fs::read_to_string(path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
        Self::parse(path, &text)
    }

    /// Reads and checks `text` as the file at `path`.
    ///
    /// # Errors
    /// Every problem of it, in the order of lines.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let problems = Problems::new(path, text);
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(error) => {
                let line = error.span().map_or(0, |span| problems.line(&span));
                return Err(vec![Diagnostic::new(path, line, format!("not TOML: {}", error.message().trim()))]);
            }
        };
        let root = Section::root(&problems, document.as_table());
        let folder = path.parent().unwrap_or(Path::new(""));
        let config = Self {
            key_value_stores: labelled(&root, "key_value_store", |section| key_value_store(section, folder)),
            sqlite_databases: labelled(&root, "sqlite_database", sqlite_database),
            variables_providers: providers(&root, folder),
        };
        root.finish_with(|key| {
            ELSEWHERE.iter().find(|(name, _)| *name == key).map(|(_, help)| format!("Weft does not have it: {help}"))
        });
        if problems.is_empty() { Ok(config) } else { Err(problems.into_sorted()) }
    }

    /// The value that the providers give the variable `name`. `environment` looks up an environment variable, in the
    /// provider's file if it is not set.
    pub fn variable(&self, name: &str, environment: &dyn Fn(&str, Option<&Path>) -> Option<String>) -> Option<String> {
        self.variables_providers.iter().find_map(|provider| match provider {
            VariablesProvider::Static(values) => values.get(name).map(ToString::to_string),
            VariablesProvider::Environment { prefix, dotenv } => {
                environment(&format!("{prefix}_{}", name.to_ascii_uppercase()), dotenv.as_deref())
            }
        })
    }
}

/// The tables `[<key>.<label>]`.
fn labelled<T>(
    root: &Section<'_>,
    key: &'static str,
    read: impl Fn(Section<'_>) -> Option<T>,
) -> BTreeMap<Arc<str>, T> {
    let Some(section) = root.section(key) else { return BTreeMap::new() };
    let entries = section.entries();
    entries.into_iter().filter_map(|(label, entry)| Some((label.value, read(entry.section()?)?))).collect()
}

/// The type, which has to be there.
fn type_of(section: &Section<'_>) -> Option<Located<Arc<str>>> {
    section.required_string("type")
}

fn unknown(section: &Section<'_>, kind: &Located<Arc<str>>, known: &str) {
    let message = format!("`{}`: Weft does not have the type {:?}", section.name("type"), &**kind);
    section.report_with_help(kind.line, message, format!("there are {known}"));
}

fn key_value_store(section: Section<'_>, folder: &Path) -> Option<KeyValueStore> {
    let kind = type_of(&section)?;
    let store = match &**kind {
        "spin" => match section.get("path") {
            Some(path) => path.string().map(|path| KeyValueStore::File(folder.join(&*path.value))),
            None => Some(KeyValueStore::Transient),
        },
        "redis" => section.required_string("url").map(|url| KeyValueStore::Redis(url.value)),
        _ => {
            // What else stands there belongs to that type.
            unknown(&section, &kind, KEY_VALUE_TYPES);
            return None;
        }
    };
    section.finish();
    store
}

fn sqlite_database(section: Section<'_>) -> Option<SqliteDatabase> {
    let kind = type_of(&section)?;
    if &**kind != "spin" {
        unknown(&section, &kind, SQLITE_TYPES);
        return None;
    }
    if let Some(entry) = section.get("allow_attach_file")
        && entry.flag() == Some(true)
    {
        entry.report("cannot be true: this host attaches no files");
    }
    let database = match section.get("path") {
        Some(path) => path.string().map(|path| SqliteDatabase::File(PathBuf::from(&*path.value))),
        None => Some(SqliteDatabase::Transient),
    };
    section.finish();
    database
}

fn providers(root: &Section<'_>, folder: &Path) -> Vec<VariablesProvider> {
    let Some(entry) = root.get("variables_provider") else { return Vec::new() };
    let items = entry.items().unwrap_or_default();
    items.into_iter().filter_map(|item| provider(item, folder)).collect()
}

fn provider(entry: Entry<'_>, folder: &Path) -> Option<VariablesProvider> {
    let section = entry.section()?;
    let kind = type_of(&section)?;
    let provider = match &**kind {
        "static" => {
            let values = section.section("values");
            if values.is_none() && section.get("values").is_none() {
                section.report(section.line, "`variables_provider.values` is missing");
            }
            let entries = values.map(|values| values.entries()).unwrap_or_default();
            let value = |(name, entry): (Located<Arc<str>>, Entry<'_>)| Some((name.value, entry.string()?.value));
            VariablesProvider::Static(entries.into_iter().filter_map(value).collect())
        }
        "env" => VariablesProvider::Environment {
            prefix: section.string("prefix").map_or_else(|| "SPIN_VARIABLE".into(), |prefix| prefix.value),
            dotenv: section.string("dotenv_path").map(|path| folder.join(&*path.value)),
        },
        _ => {
            unknown(&section, &kind, PROVIDER_TYPES);
            return None;
        }
    };
    section.finish();
    Some(provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let problems = RuntimeConfig::parse(Path::new("conf/runtime-config.toml"), text).err().unwrap_or_default();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_there_is_read() {
        let text = r#"
            [key_value_store.default]
            type = "redis"
            url = "redis://localhost"

            [key_value_store.notes]
            type = "spin"
            path = "notes.db"

            [key_value_store.passing]
            type = "spin"

            [sqlite_database.passing]
            type = "spin"

            [sqlite_database.default]
            type = "spin"
            path = "data/db.db"
            allow_attach_file = false

            [[variables_provider]]
            type = "static"
            values = { greeting = "Servus" }

            [[variables_provider]]
            type = "env"
            prefix = "MY"
            dotenv_path = ".env"
        "#;
        let config = RuntimeConfig::parse(Path::new("conf/runtime-config.toml"), text).unwrap_or_default();
        assert!(
            matches!(&config.key_value_stores["default"], KeyValueStore::Redis(url) if &**url == "redis://localhost")
        );
        assert!(
            matches!(&config.key_value_stores["notes"], KeyValueStore::File(path) if path == Path::new("conf/notes.db"))
        );
        assert_eq!(config.sqlite_databases["default"], SqliteDatabase::File("data/db.db".into()));
        assert!(matches!(config.key_value_stores["passing"], KeyValueStore::Transient));
        assert_eq!(config.sqlite_databases["passing"], SqliteDatabase::Transient);
        let environment = |name: &str, dotenv: Option<&Path>| {
            assert_eq!(dotenv, Some(Path::new("conf/.env")));
            (name == "MY_NAME").then(|| "value".to_owned())
        };
        assert_eq!(config.variable("greeting", &environment).as_deref(), Some("Servus"));
        assert_eq!(config.variable("name", &environment).as_deref(), Some("value"));
        assert_eq!(config.variable("other", &environment), None);
    }

    #[test]
    fn what_is_not_there_is_refused_by_name_and_line() {
        let text = "state_dir = \"x\"\nfoo = 1\n[key_value_store.a]\ntype = \"azure_cosmos\"\nkey = \"k\"\n\
                    [key_value_store.b]\ntype = \"redis\"\nhost = \"h\"\n[sqlite_database.c]\ntype = \"libsql\"\n\
                    [sqlite_database.d]\ntype = \"spin\"\npath = \"d\"\nallow_attach_file = true\n\
                    [[variables_provider]]\ntype = \"vault\"\n[[variables_provider]]\ntype = \"static\"\nvalues = { a = 1 }\n\
                    [key_value_store.e]\ntype = \"spin\"\npath = 1\n[sqlite_database.f]\ntype = \"spin\"\npath = [\"x\"]\n";
        let found = problems(text);
        let has = |line: usize, part: &str| {
            let place = format!("runtime-config.toml:{line}: ");
            assert!(found.iter().any(|one| one.contains(&place) && one.contains(part)), "{line} {part}: {found:#?}");
        };
        has(1, "unknown key `state_dir`");
        has(1, "--data");
        has(2, "unknown key `foo`");
        has(4, "does not have the type \"azure_cosmos\"");
        has(4, "\"spin\" (a file, or nothing that lasts) and \"redis\"");
        has(6, "`key_value_store.b.url` is missing");
        has(8, "unknown key `key_value_store.b.host`");
        has(10, "\"libsql\"");
        has(14, "cannot be true");
        has(16, "\"vault\"");
        has(19, "must be a string");
        has(22, "must be a string");
        has(25, "must be a string");
        assert_eq!(found.len(), 11, "{found:#?}");
        assert_eq!(problems("[").len(), 1);
    }
}
