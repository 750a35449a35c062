//! What happens when an instance uses the database for the first time: the connection's settings, our tables, the
//! migrations of all contexts, and the places of subscriptions and projections that are new. All of it is done once for each
//! set of settings, under the write lock; an instance that finds it done reads one row.

use std::collections::BTreeMap;

use adapter_settings::{Context, Migration};
use sha2::{Digest, Sha256};

use crate::bindings::weft::sql::types::Error;
use crate::connection::{Columns, Connection, Platform, int, text};
use crate::error::describe;
use crate::store::Store;
use crate::{schema, text as sql};

/// As the connections of Weft are: LIKE minds case, a commit is flushed. A host that has settled them itself refuses.
const SETTINGS: [&str; 3] =
    ["PRAGMA case_sensitive_like = ON", "PRAGMA trusted_schema = OFF", "PRAGMA synchronous = FULL"];

/// The largest migration, in bytes.
const MIGRATION_BYTES: usize = 1024 * 1024;

pub(crate) fn open<C: Connection, P: Platform>(store: &Store<C, P>) -> Result<(), Error> {
    for setting in SETTINGS {
        match store.run(setting, &[]) {
            Ok(_) | Err(Error::Denied(_)) => {}
            Err(error) => return Err(error),
        }
    }
    // Without it constraints would be words.
    if store.number("PRAGMA foreign_keys", &[])? != 1 {
        store.run("PRAGMA foreign_keys = ON", &[])?;
    }
    let wanted = fingerprint(store);
    if store.run("SELECT value FROM weft_meta WHERE name = 'opened'", &[]).is_ok_and(|rows| is(rows.rows, &wanted)) {
        return Ok(());
    }
    write_ahead(store);
    store.write(|store| {
        store.run(schema::META, &[])?;
        tables(store)?;
        for context in &store.settings.contexts {
            migrate(store, context)?;
        }
        places(store)?;
        let opened = "INSERT INTO weft_meta (name, value) VALUES ('opened', ?1) \
                      ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        store.run(opened, &[text(wanted)]).map(drop)
    })
}

fn is(rows: Vec<Vec<crate::bindings::weft::sql::types::Value>>, wanted: &str) -> bool {
    rows.into_iter().next().is_some_and(|row| Columns::of(row).text() == wanted)
}

/// With a log ahead readers and the writer do not wait for each other. It stays with the file. Where it cannot be set, as
/// while others use the file, all works without it.
fn write_ahead<C: Connection, P: Platform>(store: &Store<C, P>) {
    let _ = store.run("PRAGMA journal_mode = WAL", &[]);
}

/// Of all that opening depends on.
fn fingerprint<C: Connection, P: Platform>(store: &Store<C, P>) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    };
    add(&schema::VERSION.to_string());
    for context in &store.settings.contexts {
        add(&context.name);
        for migration in &context.migrations {
            add(&migration.name);
            add(&migration.sql);
        }
    }
    for subscription in &store.settings.subscriptions {
        add(&subscription.component);
        add(&subscription.name);
    }
    for projection in &store.settings.projections {
        add(&projection.component);
        add(&projection.name);
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tables<C: Connection, P: Platform>(store: &Store<C, P>) -> Result<(), Error> {
    let found = store.first("SELECT value FROM weft_meta WHERE name = 'version'", &[])?.map(|mut row| row.text());
    match found.as_deref().map(str::parse) {
        Some(Ok(schema::VERSION)) => return Ok(()),
        Some(_) => {
            let found = found.unwrap_or_default();
            let text = format!("the database is of version {found} and this application knows {}", schema::VERSION);
            return Err(Error::Unavailable((false, format!("{text}: use the newer application"))));
        }
        None => {}
    }
    for table in schema::TABLES {
        store.run(table, &[])?;
    }
    let version = text(schema::VERSION.to_string());
    store.run("INSERT INTO weft_meta (name, value) VALUES ('version', ?1)", &[version]).map(drop)
}

/// Applies what the context has and the database has not.
fn migrate<C: Connection, P: Platform>(store: &Store<C, P>, context: &Context) -> Result<(), Error> {
    let applied = store.run("SELECT name, digest FROM weft_migrations WHERE context = ?1", &[text(&*context.name)])?;
    let applied: BTreeMap<String, String> = applied
        .rows
        .into_iter()
        .map(|row| {
            let mut columns = Columns::of(row);
            (columns.text(), columns.text())
        })
        .collect();
    let refuse = |name: &str, what: &str| {
        Err(Error::Unavailable((false, format!("migration {name} of the context {}: {what}", context.name))))
    };
    for (name, digest) in &applied {
        match context.migrations.iter().find(|migration| migration.name == *name) {
            None => return refuse(name, "it was applied to this database, and the application does not have it"),
            Some(migration) if digest_of(migration) != *digest => {
                return refuse(name, "it was changed after it was applied; put it back and add a new one");
            }
            Some(_) => {}
        }
    }
    let newest = applied.keys().next_back().cloned().unwrap_or_default();
    for migration in context.migrations.iter().filter(|migration| !applied.contains_key(&migration.name)) {
        if migration.name < newest {
            return refuse(&migration.name, &format!("{newest} was applied before it; give it a higher number"));
        }
        if let Err(error) = apply(store, &context.name, migration) {
            return refuse(&migration.name, &describe(&error));
        }
    }
    Ok(())
}

fn apply<C: Connection, P: Platform>(store: &Store<C, P>, context: &str, migration: &Migration) -> Result<(), Error> {
    if migration.sql.len() > MIGRATION_BYTES {
        let bytes = migration.sql.len();
        return Err(Error::TooLarge(format!("it has {bytes} bytes, at most {MIGRATION_BYTES} fit; split it")));
    }
    for statement in sql::statements(&migration.sql)? {
        store.run(statement, &[])?;
    }
    let row = [text(context), text(&*migration.name), text(digest_of(migration)), int(store.platform.now_ms())];
    let insert = "INSERT INTO weft_migrations (context, name, digest, applied_at_ms) VALUES (?1, ?2, ?3, ?4)";
    store.run(insert, &row).map(drop)
}

fn digest_of(migration: &Migration) -> String {
    hex(&Sha256::digest(migration.sql.as_bytes()))
}

/// Gives a place to each subscription and projection that has none.
fn places<C: Connection, P: Platform>(store: &Store<C, P>) -> Result<(), Error> {
    let head = store.number("SELECT coalesce(max(position), 0) FROM weft_log", &[])?;
    for subscription in &store.settings.subscriptions {
        let begin = if subscription.from_earliest { 0 } else { head };
        let insert = "INSERT INTO weft_subscriptions (component, name, position) VALUES (?1, ?2, ?3) \
                      ON CONFLICT (component, name) DO NOTHING";
        store.run(insert, &[text(&*subscription.component), text(&*subscription.name), int(begin)])?;
    }
    for projection in &store.settings.projections {
        let insert = "INSERT INTO weft_checkpoints (component, name, version, position) VALUES (?1, ?2, ?3, 0) \
                      ON CONFLICT (component, name) DO NOTHING";
        let version = int(projection.version.into());
        store.run(insert, &[text(&*projection.component), text(&*projection.name), version])?;
    }
    Ok(())
}
