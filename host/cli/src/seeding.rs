//! What `weft up` puts into the default stores before the first request, as `spin up` does: `--key-value` and `--sqlite`.
//! What the stores are is assembled elsewhere.

use std::fs;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;

use weft_capability::kv::Write;

use crate::host::Parts;

/// The store and the database that Spin calls so.
const DEFAULT: &str = "default";

/// So much of a script is repeated in an error.
const TOLD_CHARS: usize = 80;

/// What to put into the default stores.
#[derive(Args, Clone, Debug, Default)]
pub struct Seeds {
    /// A pair for the default key-value store, in place of what is there; may be repeated
    #[arg(long = "key-value", value_name = "KEY=VALUE", value_parser = pair)]
    pairs: Vec<(String, String)>,
    /// Statements for the default SQLite database, or a file of them, at most 1 MiB; may be repeated
    #[arg(long = "sqlite", value_name = "SQL|@FILE")]
    scripts: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it looks like key=value".to_owned()),
    }
}

impl Seeds {
    /// Puts them in: the pairs, then the statements, each in the order in which they were given.
    ///
    /// # Errors
    /// If a file cannot be read, a statement fails, or a store cannot be written.
    pub async fn plant(&self, parts: &Parts) -> anyhow::Result<()> {
        for (key, value) in &self.pairs {
            let write = Write::Set { key: key.clone(), value: Bytes::from(value.clone()), ttl: None };
            let written = parts.key_value.write(DEFAULT, vec![write]).await;
            written.with_context(|| format!("--key-value {key}=...: cannot write to the default store"))?;
        }
        if self.scripts.is_empty() {
            return Ok(());
        }
        let database = parts.spin_sqlite.open(DEFAULT).await.context("--sqlite: cannot open the default database")?;
        for script in &self.scripts {
            let sql = match script.strip_prefix('@') {
                Some(file) => fs::read_to_string(file).with_context(|| format!("--sqlite: cannot read {file}"))?,
                None => script.clone(),
            };
            let beginning: String = script.chars().take(TOLD_CHARS).collect();
            database.script(sql).await.with_context(|| format!("--sqlite {beginning}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_split_at_its_first_equals_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("a="), Ok(("a".to_owned(), String::new())));
        for wrong in ["", "a", "=b"] {
            assert!(pair(wrong).is_err(), "{wrong}");
        }
    }
}
