//! Opening: migrations once and in order, refusals, several contexts, key-value stores and startup functions.

use adapter_settings::{Context, Migration};
use adapter_store::bindings::weft::sql::types::{Error, Value};
use adapter_store::{Connection, Rows, Store};

use crate::harness::*;

fn migration(name: &str, sql: &str) -> Migration {
    Migration { name: name.to_owned(), sql: sql.to_owned() }
}

fn refusal(result: Result<TestStore, Error>) -> String {
    match result.map(drop) {
        Err(Error::Unavailable((false, text))) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn migrations_are_applied_once_by_whoever_comes_first() {
    let (file, clock) = (File::new(), Clock::default());
    let mut wanted = settings();
    let mut first = file.open(&clock, wanted.clone()).unwrap();
    commit(&mut first, "before", vec![effect("before", 1)]).unwrap();
    assert_eq!(effects(&mut file.open(&clock, wanted.clone()).unwrap(), "before"), Value::Int64(1));
    let more = "ALTER TABLE items ADD COLUMN more TEXT; INSERT INTO items (id, more) VALUES ('a;b', 'c')";
    wanted.contexts[0].migrations.push(migration("0002_more.sql", more));
    let other = migration("0001_other.sql", "CREATE TABLE other_things (id TEXT PRIMARY KEY)");
    wanted.contexts.push(Context { name: "other".to_owned(), migrations: vec![other], topics: vec![] });
    for _ in 0..2 {
        let mut store = file.open(&clock, wanted.clone()).unwrap();
        assert_eq!(one(&mut store, "SELECT more FROM items WHERE id = 'a;b'", &[]), text("c"));
        assert_eq!(one(&mut store, "SELECT COUNT(*) FROM other_things", &[]), Value::Int64(0));
        assert_eq!(effects(&mut store, "before"), Value::Int64(1));
    }
}

#[test]
fn a_changed_history_is_refused() {
    let (file, clock) = (File::new(), Clock::default());
    let mut wanted = settings();
    wanted.contexts[0].migrations.push(migration("0003_three.sql", "CREATE TABLE three (id TEXT)"));
    drop(file.open(&clock, wanted.clone()).unwrap());
    let mut changed = wanted.clone();
    changed.contexts[0].migrations[0].sql.push_str("-- changed");
    let text = refusal(file.open(&clock, changed));
    assert!(text.contains("0001_tested.sql") && text.contains("tests") && text.contains("changed"), "{text}");
    let mut gone = wanted.clone();
    gone.contexts[0].migrations.pop();
    assert!(refusal(file.open(&clock, gone)).contains("0003_three.sql"));
    let mut late = wanted.clone();
    late.contexts[0].migrations.insert(1, migration("0002_two.sql", "CREATE TABLE two (id TEXT)"));
    assert!(refusal(file.open(&clock, late)).contains("higher number"));
    file.open(&clock, wanted).unwrap();
}

#[test]
fn a_migration_that_fails_leaves_nothing() {
    let (file, clock) = (File::new(), Clock::default());
    for (sql, why) in [
        ("CREATE TABLE broken (id TEXT); CREATE TABLE items (id TEXT)", "already exists"),
        ("CREATE TABLE broken (id TEXT); PRAGMA user_version = 9", "PRAGMA"),
        ("CREATE TABLE weft_mine (id TEXT)", "reserved"),
        ("CREATE TABLE broken (id TEXT); SELECT '", "quotation"),
    ] {
        let mut broken = settings();
        broken.contexts[0].migrations.push(migration("0002_broken.sql", sql));
        let text = refusal(file.open(&clock, broken));
        assert!(text.contains(why) && text.contains("0002_broken.sql"), "{text}");
        let mut store = file.open(&clock, settings()).unwrap();
        assert!(matches!(store.query("SELECT * FROM broken", &[]), Err(Error::Invalid(_))));
    }
}

#[test]
fn key_value_stores_of_any_label_are_apart() {
    let (mut store, _) = store();
    assert_eq!(store.kv_get("a", "k"), Ok(None));
    store.kv_set("a", "k", b"1".to_vec()).unwrap();
    store.kv_set("a", "k", b"2".to_vec()).unwrap();
    store.kv_set("b", "k", b"3".to_vec()).unwrap();
    store.kv_set("a", "j", vec![]).unwrap();
    assert_eq!((store.kv_get("a", "k"), store.kv_get("b", "k")), (Ok(Some(b"2".to_vec())), Ok(Some(b"3".to_vec()))));
    assert_eq!(store.kv_keys("a"), Ok(vec!["j".to_owned(), "k".to_owned()]));
    store.kv_delete("a", "k").unwrap();
    store.kv_delete("a", "k").unwrap();
    assert_eq!((store.kv_exists("a", "k"), store.kv_exists("b", "k")), (Ok(false), Ok(true)));
    assert!(store.kv_set("a", &"k".repeat(1_025), vec![]).is_err());
    assert!(store.kv_set("a", "k", vec![0; 1_024 * 1_024 + 1]).is_err());
}

#[test]
fn a_startup_function_runs_once_on_a_database() {
    let (file, clock) = (File::new(), Clock::default());
    let mut wanted = settings();
    wanted.startup = vec!["first".to_owned(), "second".to_owned()];
    let mut store = file.open(&clock, wanted.clone()).unwrap();
    assert_eq!(store.due(|_, _| Ok(false)), Ok(wanted.startup.clone()));
    assert_eq!((store.startup_due("first"), store.startup_due("another")), (Ok(true), Ok(false)));
    store.startup_done("first").unwrap();
    store.startup_done("first").unwrap();
    let mut again = file.open(&clock, wanted).unwrap();
    assert_eq!(again.startup_due("first"), Ok(false));
    assert_eq!(again.due(|_, _| Ok(false)), Ok(vec!["second".to_owned()]));
}

/// A host that lets nobody change its settings, as Weft when it runs applications of Spin.
struct Settled(Sqlite);

impl Connection for Settled {
    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<Rows, String> {
        if sql.starts_with("PRAGMA") && sql.contains('=') {
            return Err("not authorized".to_owned());
        }
        self.0.execute(sql, parameters)
    }

    fn changes(&self) -> u64 {
        self.0.changes()
    }
}

#[test]
fn a_host_may_have_settled_its_connections() {
    let connection = || Settled(Sqlite(rusqlite::Connection::open_in_memory().unwrap()));
    let mut store = Store::open(connection(), Clock::default(), settings()).unwrap();
    let orphan = statement("INSERT INTO rules (id, name, parent) VALUES (1, 'a', 9)", []);
    let refused = store.commit(&key("orphan"), "f", vec![orphan], &[], vec![]);
    assert!(matches!(refused, Err(Error::Constraint(_))), "{refused:?}");
    let unchecked = connection();
    unchecked.0.0.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let refused = Store::open(unchecked, Clock::default(), settings()).map(drop);
    assert!(matches!(refused, Err(Error::Denied(_))), "constraints are not given up");
}
